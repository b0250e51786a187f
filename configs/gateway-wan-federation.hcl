# A mesh gateway that also carries the traffic of Consul's own servers between datacenters (WAN
# federation via mesh gateways): RPC, gossip and replication.
#
# On the servers: connect { enable_mesh_gateway_wan_federation = true }, verified TLS
# (verify_outgoing, verify_server_hostname), and in secondary datacenters primary_gateways. Every
# UDP message of gossip becomes a short TLS connection through here, so allow for many.

service {
  name = "mesh-gateway"
  kind = "mesh-gateway"
  port = 8443

  # What `consul connect envoy -gateway=mesh -expose-servers` sets.
  meta {
    consul-wan-federation = "1"
  }

  # Servers of this datacenter dial lan, other gateways dial wan.
  tagged_addresses {
    lan { address = "10.0.0.1" port = 8443 }
    wan { address = "198.51.100.1" port = 443 }
  }

  proxy {
    config {
      envoy_gateway_bind_tagged_addresses = true
      envoy_gateway_no_default_bind       = true
    }
  }
}

lictor {
  datacenter   = "dc1"
  trust_domain = "11111111-2222-3333-4444-555555555555.consul"
  domain       = "consul" # the servers' `domain`: dc1-srv-1.server.dc1.consul

  # Every server of this datacenter, under its node name.
  server "dc1-srv-1" { address = "10.0.0.11:8300" }
  server "dc1-srv-2" { address = "10.0.0.12:8300" }
  server "dc1-srv-3" { address = "10.0.0.13:8300" }

  # Traffic for servers and services of another datacenter goes to its gateways.
  datacenter "dc2" { gateways = ["192.0.2.7:8443"] }
  datacenter "dc3" { gateways = ["gw-1.dc3.example.com:8443", "gw-2.dc3.example.com:8443"] }

  service "api" { endpoints = ["10.0.0.5:21000"] }

  limits {
    connections           = 16384
    handshakes_per_source = 1024 # all servers of a datacenter come from its gateway
  }
}
