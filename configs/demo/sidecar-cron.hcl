# The sidecar of service cron in the demo: as good a member of the mesh as web, and none that may call
# api. Its file is that of web but for the name.

service {
  name    = "cron"
  address = "127.1.0.21"
  port    = 8080

  connect {
    sidecar_service {
      port = 21000

      proxy {
        upstreams = [
          {
            destination_name   = "api"
            datacenter         = "dc2"
            local_bind_address = "127.1.0.21"
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

  identity "cron" {
    certificate = "certs/cron.pem"
    key         = "certs/cron-key.pem"
  }

  gateways = ["127.1.0.10:8443"]
  datacenter "dc2" {
    gateways = ["127.2.0.10:8443"]
  }

  admin = "127.1.0.21:19000"
  log {
    format = "json"
    access = true
  }
}
