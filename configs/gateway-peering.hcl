# A mesh gateway of a cluster that is peered with another one, cluster-01, which calls this one
# cluster-02. Each has its own certificates and its own trust domain.

service {
  name = "mesh-gateway"
  kind = "mesh-gateway"
  port = 8443
}

lictor {
  datacenter   = "dc1"
  trust_domain = "11111111-2222-3333-4444-555555555555.consul"

  # What cluster-01 may reach here. The export may also be written as Consul does, below.
  service "api" {
    endpoints   = ["10.0.0.5:21000"]
    exported_to = ["cluster-01"]
  }
  service "metrics" {
    endpoints = ["10.0.0.9:21000"]
  }

  # What cluster-01 exports to us, for sidecars here that reach it in mode "local".
  peer "cluster-01" {
    trust_domain = "99999999-8888-7777-6666-555555555555.consul"
    name_there   = "cluster-02"
    gateways     = ["192.0.2.7:8443"]

    service "billing" {}
    service "invoices" { namespace = "finance" }

    # Where our servers reach theirs, if ours are the ones that dial.
    server_name = "server.dc9.peering.99999999-8888-7777-6666-555555555555.consul"
    servers     = ["192.0.2.7:8443"]
  }

  # The servers here that cluster-01 reaches through this gateway. Read replicas take no part.
  server "dc1-srv-1" {
    address       = "10.0.0.11:8300"
    grpc_tls_port = 8503
  }
  server "dc1-srv-2" {
    address       = "10.0.0.12:8300"
    grpc_tls_port = 8503
    read_replica  = true
  }
}

config_entries {
  bootstrap = [
    {
      # Consul's own switch for the control plane of peering to go through gateways. The same in
      # the stanza above would be peer_through_mesh_gateways = true.
      Kind = "mesh"
      Peering {
        PeerThroughMeshGateways = true
      }
    },
    {
      Kind = "exported-services"
      Name = "default"
      Services = [
        {
          Name      = "metrics"
          Consumers = [{ Peer = "cluster-01" }]
        },
      ]
    },
  ]
}
