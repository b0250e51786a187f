# The mesh gateway of datacenter dc1 in the demo (cargo run --release --bin demo).
#
# It knows no service of its own, only where dc2 is: whatever is asked for in dc2 goes to a gateway
# there, and that gateway decides. By hand: lictor run configs/demo/gateway-dc1.hcl

# The gateway as a Consul agent knows it: a service definition with kind = "mesh-gateway".
service {
  name    = "mesh-gateway"
  kind    = "mesh-gateway"
  address = "127.1.0.10" # all of 127.0.0.0/8 is this host, so the two datacenters look apart
  port    = 8443
}

# What Consul would tell the gateway, and what is lictor's own.
lictor {
  datacenter   = "dc1"
  trust_domain = "11111111-2222-3333-4444-555555555555.consul"

  # curl http://127.1.0.10:19000/stats
  admin = "127.1.0.10:19000"

  log {
    format = "json" # the demo reads it
    access = true   # a line when a connection is opened and when it is closed
  }

  # Every name in dc2 is reached through the gateways of dc2.
  datacenter "dc2" {
    gateways = ["127.2.0.10:8443"]
  }
}
