//! From files to the settings of a gateway: the whole stanza, and what is refused with a reason.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use config::{Format, LogFormat, LogLevel, Settings, Source, parse};
use plan::{Balance, Discovery, Endpoint, Health};

const WHOLE: &str = r#"
service {
  name = "mesh-gateway" kind = "mesh-gateway" port = 8443
  address = "10.0.0.1"
  meta { "consul-wan-federation" = 1 }
  token = "sesame"
  tagged_addresses {
    lan = { address = "10.0.0.1" port = 8443 }
    wan = { address = "198.51.100.1" port = 443 }
  }
  proxy { config {
    envoy_gateway_bind_tagged_addresses = "true"
    envoy_mesh_gateway_no_default_bind = true
    envoy_gateway_bind_addresses { v6 { address = "2001:db8::1" port = 8443 } }
    envoy_dns_discovery_type = "STRICT_DNS"
    envoy_gateway_remote_tcp_enable_keepalive = true
    envoy_gateway_remote_tcp_keepalive_time = 300
    connect_timeout_ms = "2500"
  } }
}
lictor {
  datacenter = "DC1"   trust_domain = "CB92B75C-aaaa.consul"   domain = "example"   partition = "default"
  state_dir = "/tmp/x"   admin = "127.0.0.1:19000"
  log { level = "warn"  format = "json"  access = true }
  limits { connections = 100  handshakes_per_source = 10  tls_sessions = 0 }
  timeouts { client_hello = "3s"  connect = "4s"  drain = "0s"  idle = "0s" }
  tcp { keepalive_time = "1m" keepalive_probes = 3  user_timeout = "20s" }
  service "api" {
    namespace = "blue"
    endpoints = ["10.0.0.5:21000", { address = "10.0.0.6:21000" weight = 2 health = "critical" }]
    connect_timeout = "1s"
    balance = "least_request"
    subset "v1" { endpoints = ["10.0.0.5:21000"] }
    subset "v2" { endpoints = [{ address = "[2001:db8::6]:21000" }] }
    default_subset = "v1"
    exported_to = ["cluster-01"]
  }
  service "db" { endpoints = "db.dc1.example:21000" }
  datacenter "dc2" { gateways = ["192.0.2.7:8443", "gw.dc2.example.com:8443"] }
  datacenter "dc3" { gateways = ["192.0.2.8:8443"] }
  partition "ap2" { gateways = ["10.0.9.1:8443"] }
  server "dc1-srv-1" { address = "10.0.0.2:8300"  grpc_tls_port = 8503 }
  server "dc1-rep-1" { address = "10.0.0.3:8300"  grpc_tls_port = 8503  read_replica = true }
  peer "cluster-01" {
    trust_domain = "aaaa.consul"  name_there = "cluster-02"  gateways = ["192.0.2.9:8443"]
    service "billing" { namespace = "green" partition = "ap1" }
    server_name = "server.dc9.peering.aaaa.consul"  servers = ["192.0.2.9:8443"]
  }
  peer_through_mesh_gateways = true
}
"#;

fn read(text: &str) -> Result<Settings, String> {
    read_all(&[("gw.hcl", text)])
}

fn read_all(files: &[(&str, &str)]) -> Result<Settings, String> {
    let sources: Vec<Source<'_>> = files
        .iter()
        .map(|(name, text)| Source {
            name,
            text,
            format: Format::Hcl,
        })
        .collect();
    parse(&sources).map_err(|errors| errors.to_string())
}

fn good(text: &str) -> Settings {
    read(text).unwrap_or_else(|errors| panic!("{errors}"))
}

fn show(endpoints: &[Endpoint]) -> Vec<String> {
    let health = |endpoint: &Endpoint| {
        if endpoint.health == Health::Healthy {
            ""
        } else {
            "!"
        }
    };
    endpoints
        .iter()
        .map(|it| format!("{}{}*{}", health(it), it.address, it.weight))
        .collect()
}

#[test]
fn the_whole_stanza_becomes_the_mesh() {
    let settings = good(WHOLE);
    let mesh = &settings.mesh;
    assert_eq!(
        (
            &*mesh.datacenter,
            &*mesh.trust_domain,
            &*mesh.domain,
            &*mesh.partition
        ),
        ("dc1", "cb92b75c-aaaa.consul", "example", "default")
    );
    let api = &mesh.services[0];
    assert_eq!((&*api.name, &*api.namespace), ("api", "blue"));
    assert_eq!(
        show(&api.endpoints),
        ["10.0.0.5:21000*1", "!10.0.0.6:21000*2"]
    );
    assert_eq!(api.subsets.len(), 2);
    assert_eq!(api.subsets[1].name, "v2");
    assert_eq!(show(&api.subsets[1].endpoints), ["[2001:db8::6]:21000*1"]);
    assert_eq!(api.default_subset.as_deref(), Some("v1"));
    assert_eq!(api.balance, Balance::LeastRequest { choices: 2 });
    assert_eq!(api.connect_timeout, Some(Duration::from_secs(1)));
    assert_eq!(api.exported_to, ["cluster-01"]);
    assert_eq!(
        show(&mesh.services[1].endpoints),
        ["db.dc1.example:21000*1"]
    );
    assert_eq!(mesh.services[1].balance, Balance::RoundRobin);
    assert_eq!(mesh.datacenters.len(), 2);
    assert_eq!(mesh.datacenters[0].name, "dc2");
    assert_eq!(
        show(&mesh.datacenters[0].gateways),
        ["192.0.2.7:8443*1", "gw.dc2.example.com:8443*1"]
    );
    assert_eq!(
        (&*mesh.partitions[0].name, mesh.partitions.len()),
        ("ap2", 1)
    );
    assert_eq!(
        show(std::slice::from_ref(&mesh.servers[0].rpc)),
        ["10.0.0.2:8300*1"]
    );
    let grpc = mesh.servers[0].grpc_tls.clone().expect("no read replica");
    assert_eq!(show(&[grpc]), ["10.0.0.2:8503*1"]);
    assert_eq!(
        (&*mesh.servers[1].node, mesh.servers[1].grpc_tls.is_none()),
        ("dc1-rep-1", true)
    );
    let peer = &mesh.peers[0];
    assert_eq!(
        (&*peer.name, &*peer.name_there, &*peer.trust_domain),
        ("cluster-01", "cluster-02", "aaaa.consul")
    );
    assert_eq!(peer.imported[0].name, "billing");
    assert_eq!(
        (&*peer.imported[0].namespace, &*peer.imported[0].partition),
        ("green", "ap1")
    );
    let control_plane = peer.control_plane.as_ref().expect("given");
    assert_eq!(control_plane.server_name, "server.dc9.peering.aaaa.consul");
    assert_eq!(show(&control_plane.endpoints), ["192.0.2.9:8443*1"]);
    assert!(mesh.peer_through_mesh_gateways);
}

#[test]
fn the_registration_becomes_the_gateway() {
    let settings = good(WHOLE);
    let gateway = &settings.gateways[0];
    assert_eq!((&*gateway.name, gateway.port), ("mesh-gateway", 8443));
    assert_eq!(
        gateway.address,
        Some("10.0.0.1".parse().expect("an address"))
    );
    assert!(gateway.no_default_bind && gateway.bind_tagged_addresses && gateway.wan_federation);
    let names: Vec<String> = plan::bind::addresses(gateway)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        names,
        [
            "lan:10.0.0.1:8443",
            "v6:[2001:db8::1]:8443",
            "wan:198.51.100.1:443"
        ]
    );
    assert_eq!(gateway.discovery, Discovery::StrictDns);
    assert_eq!(gateway.connect_timeout, Duration::from_millis(2500));
    let keepalive = gateway.remote_keepalive.expect("enabled");
    assert_eq!(
        (
            keepalive.time.as_secs(),
            keepalive.interval.as_secs(),
            keepalive.probes
        ),
        (300, 75, 9)
    );
}

#[test]
fn the_process_settings_are_read() {
    let runtime = good(WHOLE).runtime;
    assert_eq!(
        runtime.admin,
        Some(plan::Address::Inet(
            "127.0.0.1:19000".parse().expect("an address")
        ))
    );
    assert_eq!(runtime.state_dir.to_str(), Some("/tmp/x"));
    let log = runtime.log;
    assert_eq!(
        (log.level, log.format, log.access),
        (LogLevel::Warn, LogFormat::Json, true)
    );
    assert_eq!(
        (
            runtime.limits.connections,
            runtime.limits.handshakes_per_source,
            runtime.limits.tls_sessions
        ),
        (100, 10, 0)
    );
    assert_eq!(runtime.timeouts.client_hello, Duration::from_secs(3));
    assert_eq!(runtime.timeouts.connect, Duration::from_secs(4));
    assert_eq!(runtime.timeouts.drain, Duration::ZERO);
    assert_eq!(runtime.timeouts.idle, None);
    let keepalive = runtime.tcp.keepalive.expect("wanted");
    assert_eq!((keepalive.time.as_secs(), keepalive.probes), (60, 3));
    assert_eq!(runtime.tcp.user_timeout, Some(Duration::from_secs(20)));
}

#[test]
fn a_token_is_shown_nowhere() {
    let settings = good(WHOLE);
    assert!(!format!("{settings:?}").contains("sesame"));
    let plain = format!(
        "{:?}",
        good("service { name = \"web\" token = \"sesame\" }")
    );
    assert!(plain.contains("(secret)") && !plain.contains("sesame"));
    let errors =
        read("service { name = \"web\" token = [\"sesame\", \"x\"] }").expect_err("a list");
    assert!(!errors.contains("sesame"), "{errors}");
}

#[test]
fn what_a_file_says_nothing_of_has_defaults() {
    let settings = good("");
    let runtime = &settings.runtime;
    assert_eq!(runtime.admin, None);
    assert_eq!(runtime.timeouts.idle, Some(Duration::from_secs(3600)));
    assert_eq!(runtime.timeouts.connect, Duration::from_secs(5));
    assert_eq!(runtime.limits.connections, 4096);
    assert_eq!(
        (&*settings.mesh.domain, &*settings.mesh.partition),
        ("consul", "default")
    );
    let gateway = "service { name = \"gw\" kind = \"mesh-gateway\" port = 8443 }
        lictor { datacenter = \"dc1\" trust_domain = \"a.consul\" timeouts { connect = \"7s\" } }";
    let settings = good(gateway);
    assert_eq!(settings.gateways[0].connect_timeout, Duration::from_secs(7));
    assert_eq!(settings.gateways[0].address, None);
    assert_eq!(settings.gateways[0].remote_keepalive, None);
}

#[test]
fn camel_case_json_says_the_same() {
    let text = r#"{
      "Services": [{ "Name": "gw", "Kind": "mesh-gateway", "Port": "8443",
                     "TaggedAddresses": { "wan": { "Address": "198.51.100.1", "Port": 443 } },
                     "Proxy": { "Config": { "envoy_gateway_bind_tagged_addresses": 1 } } }],
      "Lictor": { "Datacenter": "dc1", "TrustDomain": "a.consul",
                  "Datacenters": { "dc2": { "Gateways": ["192.0.2.7:8443"] } },
                  "Services": { "api": { "Endpoints": [{ "Address": "10.0.0.5:1", "Weight": "3" }],
                                         "Subsets": { "v1": { "Endpoints": ["10.0.0.5:1"] } } } },
                  "Servers": { "s1": { "Address": "10.0.0.2:8300", "GrpcTLSPort": 8503 } } }
    }"#;
    let source = Source {
        name: "gw.json",
        text,
        format: Format::Json,
    };
    let settings = parse(&[source]).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(settings.mesh.datacenters[0].name, "dc2");
    assert_eq!(show(&settings.mesh.services[0].endpoints), ["10.0.0.5:1*3"]);
    assert_eq!(settings.mesh.services[0].subsets[0].name, "v1");
    assert!(settings.mesh.servers[0].grpc_tls.is_some());
    assert!(settings.gateways[0].bind_tagged_addresses);
}

#[test]
fn several_files_make_one_mesh() {
    let settings = read_all(&[
        ("a.hcl", "lictor { datacenter = \"dc1\" service \"api\" { endpoints = [\"10.0.0.5:1\"] } }"),
        ("b.hcl", "lictor { trust_domain = \"a.consul\" service \"db\" { endpoints = [\"10.0.0.6:1\"] } }"),
        ("c.hcl", "service { name = \"gw\" kind = \"mesh-gateway\" port = 8443 }"),
    ])
    .unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(settings.mesh.services.len(), 2);
    assert_eq!(settings.gateways.len(), 1);
}

#[test]
fn config_entries_reach_the_mesh() {
    let text = r#"
lictor { datacenter = "dc1" trust_domain = "a.consul"
  service "api" { endpoints = ["10.0.0.5:1"] subset "v1" { endpoints = ["10.0.0.5:1"] } }
  service "web" { endpoints = ["10.0.0.6:1"] } }
service { name = "gw" kind = "mesh-gateway" port = 8443 }
config_entries { bootstrap = [
  { Kind = "proxy-defaults" Name = "global" Config { connect_timeout_ms = 1500 envoy_gateway_no_default_bind = true
      envoy_gateway_bind_addresses { a { address = "10.0.0.9" port = 1 } } } },
  { kind = "service-defaults" name = "api" protocol = "HTTP" },
  { kind = "service-defaults" name = "gw" upstream_config { defaults { limits { max_connections = 77 } } } },
  { kind = "service-resolver" name = "api" default_subset = "v1" connect_timeout = "9s"
    subsets { v1 { filter = "Service.Meta.version == v1" } }
    load_balancer { policy = "least_request" least_request_config { choice_count = 5 } } },
  { kind = "exported-services" name = "default" services = [
      { name = "api" consumers = [{ peer = "cluster-01" }, { peer_name = "cluster-02" }, { partition = "x" }] },
      { name = "*" consumers = [{ peer = "cluster-03" }] } ] },
  { kind = "mesh" peering { peer_through_mesh_gateways = true } },
] }
"#;
    let settings = good(text);
    let api = &settings.mesh.services[0];
    assert_eq!(api.protocol, "http");
    assert_eq!(api.default_subset.as_deref(), Some("v1"));
    assert_eq!(api.connect_timeout, Some(Duration::from_secs(9)));
    assert_eq!(api.balance, Balance::LeastRequest { choices: 5 });
    assert_eq!(api.exported_to, ["cluster-01", "cluster-02", "cluster-03"]);
    assert_eq!(settings.mesh.services[1].exported_to, ["cluster-03"]);
    assert!(settings.mesh.peer_through_mesh_gateways);
    let gateway = &settings.gateways[0];
    assert_eq!(gateway.max_connections, Some(77));
    assert_eq!(gateway.connect_timeout, Duration::from_millis(1500));
    assert_eq!(plan::bind::addresses(gateway).len(), 1);
}

#[test]
fn port_0_is_any_free_port() {
    let text = "service { name = \"gw\" kind = \"mesh-gateway\" port = 0 }
        lictor { datacenter = \"dc1\" trust_domain = \"a.consul\" }";
    let settings = good(text);
    assert_eq!(settings.gateways[0].port, 0);
    assert_eq!(settings.notes.len(), 1);
}
