# The sidecar of service api in dc2, which web in dc1 calls (sidecar-web.hcl). api calls nobody.
#
#   lictor check configs/sidecar-api.hcl
#   lictor run configs/sidecar-api.hcl

# The sidecar as a service of its own.
service {
  name    = "api-sidecar-proxy"
  kind    = "connect-proxy"
  address = "192.0.2.31"
  port    = 21000 # where the gateway and other sidecars connect

  proxy {
    destination_service_name = "api" # whose identity it shows
    local_service_address    = "127.0.0.1"
    local_service_port       = 9090
  }
}

lictor {
  datacenter   = "dc2"
  trust_domain = "11111111-2222-3333-4444-555555555555.consul"

  # Both the old and the new root, so that neither side is refused while certificates are renewed.
  roots = ["certs/ca.pem", "certs/ca-next.pem"]

  identity "api" {
    certificate = "certs/api.pem"
    key         = "certs/api-key.pem"
  }

  limits {
    tls_sessions = 256 # kept for callers that come again, about 1.5 KB each; 0 for none
  }

  # Callers of a peered cluster are known by its trust domain and by its roots, which vouch for nobody
  # else: TrustDomain and RootCert of `curl localhost:8500/v1/agent/connect/ca/roots` over there.
  peer "cluster-01" {
    trust_domain = "99999999-8888-7777-6666-555555555555.consul"
    roots        = ["certs/cluster-01.pem"]
  }
}

# The most exact intention decides: web may, whatever the second entry says of everybody. Where
# permissions look at requests (HTTP), the source counts as denied: connections are judged here.
config_entries {
  bootstrap = [
    {
      kind = "service-intentions"
      name = "api"
      sources = [
        { name = "web", action = "allow" },
        { name = "billing", peer = "cluster-01", action = "allow" },
      ]
    },
    {
      # Without this no caller of cluster-01 gets as far as the intentions.
      kind     = "exported-services"
      name     = "default"
      services = [{ name = "api", consumers = [{ peer = "cluster-01" }] }]
    },
    {
      kind    = "service-intentions"
      name    = "*"
      sources = [{ name = "*", action = "deny" }]
    },
  ]
}
