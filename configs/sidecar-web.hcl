# The sidecar of service web in dc1: takes calls to web, and carries web's calls to api and db.
#
#   lictor check configs/sidecar-web.hcl                     what would run, and what is wrong
#   lictor explain --upstream api configs/sidecar-web.hcl    which way calls to api go, and why
#   lictor run configs/sidecar-web.hcl
#
# Its counterpart, the sidecar of api in dc2, is sidecar-api.hcl.

# The service as a Consul agent knows it; its sidecar is defined along with it. The sidecar may also
# be a service of its own, of kind "connect-proxy": see sidecar-api.hcl.
service {
  name    = "web"
  address = "10.0.0.21"
  port    = 8080 # where web itself listens, on 127.0.0.1

  connect {
    sidecar_service {
      port = 21000 # where other sidecars and gateways connect; the first free port from 21000 on

      proxy {
        config {
          local_connect_timeout_ms = 2000 # for connecting to web itself
          max_inbound_connections  = 500  # at a time
        }

        upstreams = [
          # web calls api at 127.0.0.1:9191; api runs in dc2 and is reached through the gateway
          # here. Mode "remote" goes to the gateway there, "none" to the instances themselves.
          {
            destination_name = "api"
            datacenter       = "dc2"
            local_bind_port  = 9191
            mesh_gateway { mode = "local" }
          },
          # db is in this datacenter: always direct. Its resolver below says where to go without it, which
          # is another datacenter: there the mode counts.
          {
            destination_name = "db"
            local_bind_port  = 5432
            mesh_gateway { mode = "remote" }
            config {
              connect_timeout_ms = 3000
              limits {
                max_connections      = 50
                max_pending_requests = 10 # connections being made
              }
              # Who cannot be connected three times in a row is left out for 10 s, then for 20 s…
              passive_health_check {
                max_failures         = 3
                base_ejection_time   = "10s"
                max_ejection_percent = 50
              }
            }
          },
        ]
      }
    }
  }
}

lictor {
  datacenter = "dc1"

  # `<cluster uuid>.consul`: field TrustDomain of `curl localhost:8500/v1/agent/connect/ca/roots`.
  trust_domain = "11111111-2222-3333-4444-555555555555.consul"

  # The roots of that trust domain: field RootCert there. Several while the root is rotated. Here and
  # below: a file, from the folder of this one, or the text itself, which begins with -----BEGIN.
  roots = ["certs/ca.pem"]

  # Who web is: CertPEM and PrivateKeyPEM of `curl localhost:8500/v1/agent/connect/ca/leaf/web`. The
  # key's file should have mode 0600.
  identity "web" {
    certificate = "certs/web.pem"
    key         = "certs/web-key.pem"
  }

  # The mesh gateways here, for upstreams with mode "local".
  gateways = ["10.0.0.1:8443"]

  # What web reaches in dc1, by the addresses of the sidecars there.
  service "db" {
    endpoints = ["10.0.0.7:21000", "10.0.0.8:21000"]
  }

  # And in dc2: by the gateways there for mode "remote", by the sidecars there for mode "none".
  datacenter "dc2" {
    gateways = ["192.0.2.7:8443"]

    service "api" {
      endpoints = ["192.0.2.31:21000"]
    }
  }

  # What holds for callers that no intention names: "deny", unless it is "allow" here.
  default_intention_policy = "deny"
}

# Who may call web, and what becomes of its own calls: here and in sidecar-api.hcl as Consul keeps it.
config_entries {
  bootstrap = [
    {
      kind = "service-intentions"
      name = "web"
      sources = [
        { name = "ingress", action = "allow" },
        { name = "cron", action = "allow" },
      ]
    },
    {
      # db in dc2 stands in while nobody here can be reached; a client keeps its instance.
      kind          = "service-resolver"
      name          = "db"
      failover      = { "*" = { datacenters = ["dc2"] } }
      load_balancer { policy = "maglev" }
    },
    {
      # Of web's calls to api five in a hundred go to its next version. TCP is divided by connection.
      kind = "service-splitter"
      name = "api"
      splits = [
        { weight = 95 },
        { weight = 5, service = "api-next" },
      ]
    },
    {
      # No sidecar here talks to one that speaks less than TLS 1.3.
      kind = "mesh"
      tls {
        incoming { tls_min_version = "TLSv1_3" }
        outgoing { tls_min_version = "TLSv1_3" }
      }
    },
  ]
}
