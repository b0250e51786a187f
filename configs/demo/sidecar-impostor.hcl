# Somebody in the demo who says to be web, by a certificate that another authority has issued.

service {
  name    = "web"
  address = "127.1.0.66"
  port    = 8080

  connect {
    sidecar_service {
      port = 21000

      proxy {
        upstreams = [
          {
            destination_name   = "api"
            datacenter         = "dc2"
            local_bind_address = "127.1.0.66"
            local_bind_port    = 9191
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
    certificate = "certs/impostor.pem"
    key         = "certs/impostor-key.pem"
  }

  gateways = ["127.1.0.10:8443"]
  datacenter "dc2" {
    gateways = ["127.2.0.10:8443"]
  }

  admin = "127.1.0.66:19000"
  log {
    format = "json"
    access = true
  }
}
