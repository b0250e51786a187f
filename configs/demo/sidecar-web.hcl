# The sidecar of service web in the demo (cargo run --release --bin demo): web's way to api in dc2.
#
# web itself speaks plain TCP to 127.1.0.20:9191; the sidecar makes it mutual TLS as web, through the
# gateway of dc1. The demo makes the certificates and runs a copy of this file beside them.

service {
  name    = "web"
  address = "127.1.0.20"
  port    = 8080

  connect {
    sidecar_service {
      port = 21000

      proxy {
        upstreams = [
          {
            destination_name   = "api"
            datacenter         = "dc2"
            local_bind_address = "127.1.0.20"
            local_bind_port    = 9191
            mesh_gateway { mode = "local" }
          },
          # Nobody in dc2 has this service; the demo shows what becomes of such a call.
          {
            destination_name   = "billing"
            datacenter         = "dc2"
            local_bind_address = "127.1.0.20"
            local_bind_port    = 9192
            mesh_gateway { mode = "local" }
          },
        ]
      }
    }
  }
}

lictor {
  datacenter   = "dc1"
  trust_domain = "11111111-2222-3333-4444-555555555555.consul"
  roots        = ["certs/ca.pem"]

  identity "web" {
    certificate = "certs/web.pem"
    key         = "certs/web-key.pem"
  }

  # Mode "local" goes through the gateways here.
  gateways = ["127.1.0.10:8443"]

  # That dc2 is there; its gateways are the business of the gateway here.
  datacenter "dc2" {
    gateways = ["127.2.0.10:8443"]
  }

  admin = "127.1.0.20:19000"
  log {
    format = "json" # the demo reads it
    access = true
  }
}
