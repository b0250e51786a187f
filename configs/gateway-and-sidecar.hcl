# A box at the edge, all in one process: the mesh gateway of its site, and the sidecar of the one
# service that runs there. The service, meter, talks to its sidecar through unix sockets, and calls a
# service of a peered cluster.
#
#   lictor check configs/gateway-and-sidecar.hcl
#   lictor explain --upstream billing configs/gateway-and-sidecar.hcl
#   lictor run configs/gateway-and-sidecar.hcl

# The gateway: what arrives from outside, for meter here or for whoever calls from here.
service {
  name    = "mesh-gateway"
  kind    = "mesh-gateway"
  address = "192.0.2.50"
  port    = 8443
}

service {
  name    = "meter"
  address = "127.0.0.1" # other sidecars come through the gateway, so loopback will do

  connect {
    sidecar_service {
      port = 21000

      proxy {
        # Where meter itself listens, in place of local_service_address and local_service_port.
        local_service_socket_path = "/run/meter/app.sock"

        upstreams = [
          # meter connects to this socket to reach collect in dc1. The socket is made at the start, with
          # this mode, and is gone with the process. Its directory must be there.
          {
            destination_name       = "collect"
            datacenter             = "dc1"
            local_bind_socket_path = "/run/lictor/collect.sock"
            local_bind_socket_mode = "0660"
            mesh_gateway { mode = "remote" } # to a gateway there; ours need not be passed
          },
          # billing is exported to us by a peered cluster; mode "none" counts as "remote" there.
          {
            destination_name = "billing"
            destination_peer = "hq"
            local_bind_port  = 9192
          },
        ]
      }
    }
  }
}

lictor {
  datacenter   = "edge-7"
  trust_domain = "11111111-2222-3333-4444-555555555555.consul"
  roots        = ["certs/ca.pem"]

  identity "meter" {
    certificate = "certs/meter.pem"
    key         = "certs/meter-key.pem"
  }

  # For the gateway: meter's one instance is the sidecar above.
  service "meter" {
    endpoints = ["127.0.0.1:21000"]
  }

  datacenter "dc1" {
    gateways = ["gateway.dc1.example.com:8443"]
  }

  # What stands in the names of the peer's services, and by what they are known: TrustDomain and RootCert
  # of `curl localhost:8500/v1/agent/connect/ca/roots` over there, its datacenter, its name for this
  # cluster.
  peer "hq" {
    trust_domain = "99999999-8888-7777-6666-555555555555.consul"
    roots        = ["certs/hq.pem"]
    datacenter   = "hq-1"
    name_there   = "field"
    gateways     = ["gateway.hq.example.com:8443"]

    service "billing" {}
  }
}

# Who may call meter.
config_entries {
  bootstrap = [
    {
      kind    = "service-intentions"
      name    = "meter"
      sources = [{ name = "collect", action = "allow" }]
    },
  ]
}
