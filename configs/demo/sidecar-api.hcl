# The sidecar of service api in dc2 in the demo: takes mutual TLS from the mesh, asks the intentions
# below, and passes on in plain TCP to api itself.

service {
  name    = "api"
  address = "127.2.0.20"
  port    = 9001

  connect {
    sidecar_service {
      port = 21000 # the gateway of dc2 sends here what is for api

      proxy {
        local_service_address = "127.2.0.20"
      }
    }
  }
}

lictor {
  datacenter   = "dc2"
  trust_domain = "11111111-2222-3333-4444-555555555555.consul"
  roots        = ["certs/ca.pem"]

  identity "api" {
    certificate = "certs/api.pem"
    key         = "certs/api-key.pem"
  }

  admin = "127.2.0.20:19000"
  log {
    format = "json"
    access = true
  }

  # Who is not named may not call.
  default_intention_policy = "deny"
}

# Who may call api. The demo turns this to "deny" while web has a connection open.
config_entries {
  bootstrap = [
    {
      kind = "service-intentions"
      name = "api"
      sources = [
        { name = "web", action = "allow" },
      ]
    },
  ]
}
