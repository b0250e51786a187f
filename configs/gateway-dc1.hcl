# A mesh gateway of datacenter dc1 that forwards traffic between services of dc1 and dc2.
#
#   lictor check configs/gateway-dc1.hcl     what would run, and what is wrong
#   lictor run configs/gateway-dc1.hcl
#
# Its counterpart in dc2 is gateway-dc2.json. HCL, JSON and YAML say the same; a directory of files
# is read as one. Keys may be written in snake_case or CamelCase.

# The gateway as a Consul agent knows it. Everything Consul knows in a service definition may stand
# here; `lictor check` lists what lictor does not use.
service {
  name = "mesh-gateway"
  kind = "mesh-gateway"

  # Where it listens; without an address on all of IPv4. Port 0 is any free port.
  address = "10.0.0.1"
  port    = 8443

  tagged_addresses {
    lan = { address = "10.0.0.1", port = 8443 }
    wan = { address = "198.51.100.1", port = 443 } # what dc2 dials
  }

  proxy {
    config {
      # Listen on the tagged addresses instead of the address above.
      envoy_gateway_bind_tagged_addresses = true
      envoy_gateway_no_default_bind       = true

      # For connecting to a service or to another gateway; all its addresses are tried within.
      connect_timeout_ms = 5000

      # Notice a gateway that vanished: first probe after 60 s of silence, then 3 more, 20 s apart.
      envoy_gateway_remote_tcp_enable_keepalive   = true
      envoy_gateway_remote_tcp_keepalive_time     = 60
      envoy_gateway_remote_tcp_keepalive_interval = 20
      envoy_gateway_remote_tcp_keepalive_probes   = 3
    }
  }
}

# What Consul would tell the gateway, and what is lictor's own.
lictor {
  datacenter = "dc1"

  # `<cluster uuid>.consul`: field TrustDomain of `curl localhost:8500/v1/agent/connect/ca/roots`.
  trust_domain = "11111111-2222-3333-4444-555555555555.consul"

  # The services of dc1 and where their sidecars listen: IP address or host name, always a port.
  service "api" {
    endpoints = [
      "10.0.0.5:21000",
      { address = "10.0.0.6:21000", weight = 2 }, # twice the share
    ]
    connect_timeout = "2s"            # instead of connect_timeout_ms above
    balance         = "least_request" # or "round_robin", the default, or "random"

    # Instances under a name of their own (service-resolver). A client that asks for v2 of api gets
    # these; one that asks for api gets the default subset if there is one, else all of the above.
    subset "v1" { endpoints = ["10.0.0.5:21000"] }
    subset "v2" { endpoints = ["10.0.0.6:21000"] }
    default_subset = "v1"
  }

  service "db" {
    # Used only while no healthy instance is left.
    endpoints = ["10.0.0.7:21000", { address = "10.0.0.8:21000", health = "critical" }]
  }

  # The other datacenters and their gateways, by the address that is reached from here (WAN).
  datacenter "dc2" {
    gateways = ["192.0.2.7:8443", "gw.dc2.example.com:8443", "[2001:db8::7]:8443"]
  }

  # Everything below has a default, which is what stands here.
  state_dir = "/var/lib/lictor"

  log {
    level  = "info"  # error, warn, info, debug
    format = "text"  # or json
    access = false   # a line when a connection opens and when it closes
  }

  limits {
    connections           = 4096
    handshakes_per_source = 256
  }

  timeouts {
    client_hello = "10s" # for the first message of TLS to be complete
    connect      = "5s"  # where neither the service nor proxy.config says otherwise
    drain        = "30s" # for flows to end by themselves when the process is told to stop
    idle         = "1h"  # without a byte; "0s" is never. Traffic of Consul's servers has none.
  }

  # Unlike these, which are off by default: an admin endpoint, and probes on idle connections.
  admin = "127.0.0.1:19000"
  tcp {
    keepalive_time     = "5m"
    keepalive_interval = "30s"
    keepalive_probes   = 4
    user_timeout       = "60s" # a connection is dead when sent bytes stay unanswered for so long
  }
}
