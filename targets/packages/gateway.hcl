# A mesh gateway between datacenters. Read by the service `lictor` at its start, on
# `systemctl reload lictor`, and whenever a file in this directory changes.
#
#   lictor check /etc/lictor                 what would run, and what is wrong
#   lictor explain --sni NAME /etc/lictor    where a name leads, and why
#
# All files in this directory that end in .hcl, .json, .yaml or .yml are read as one. Lines that
# begin with # are examples or defaults.

# The gateway, as a service definition of Consul.
service {
  name = "mesh-gateway"
  kind = "mesh-gateway"
  port = 8443
  # address = "10.0.0.1" # where it listens; without it, on all addresses of IPv4
}

# What Consul would tell the gateway.
lictor {
  datacenter = "dc1"

  # `<cluster uuid>.consul`: field TrustDomain of `curl localhost:8500/v1/agent/connect/ca/roots`.
  trust_domain = "11111111-2222-3333-4444-555555555555.consul"

  # The services of this datacenter and where their sidecars listen.
  # service "api" {
  #   endpoints = ["10.0.0.5:21000", "10.0.0.6:21000"]
  # }

  # The other datacenters and their gateways, by the address that is reached from here.
  # datacenter "dc2" {
  #   gateways = ["192.0.2.7:8443", "gw.dc2.example.com:8443"]
  # }

  # Counters, at http://127.0.0.1:19000/stats.
  # admin = "127.0.0.1:19000"
}
