# The mesh gateway of datacenter dc2 in the demo (cargo run --release --bin demo).
#
# It stands before the service api: it hands over what is asked for by api's name, byte for byte, and
# refuses names it does not know. By hand: lictor run configs/demo/gateway-dc2.hcl

service {
  name    = "mesh-gateway"
  kind    = "mesh-gateway"
  address = "127.2.0.10"
  port    = 8443
}

lictor {
  datacenter   = "dc2"
  trust_domain = "11111111-2222-3333-4444-555555555555.consul"

  admin = "127.2.0.10:19000"

  log {
    format = "json"
    access = true
  }

  # The instances of api in this datacenter, by the addresses of their sidecars.
  service "api" {
    endpoints = ["127.2.0.20:21000"]
  }

  # The way back; the demo sends nothing this way.
  datacenter "dc1" {
    gateways = ["127.1.0.10:8443"]
  }
}
