//! What is refused, where, and with which words: `file:line:column: key: what; what to do`.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use config::{Format, Source, parse};

/// Every message for a file, in order.
fn refused(text: &str) -> Vec<String> {
    refused_all(&[("f.hcl", text, Format::Hcl)])
}

fn refused_all(files: &[(&str, &str, Format)]) -> Vec<String> {
    let sources: Vec<Source<'_>> = files
        .iter()
        .map(|(name, text, format)| Source {
            name,
            text,
            format: *format,
        })
        .collect();
    match parse(&sources) {
        Ok(_) => panic!("not refused: {files:?}"),
        Err(errors) => errors.list().iter().map(ToString::to_string).collect(),
    }
}

fn check(table: &[(&str, &str)]) {
    for (text, message) in table {
        assert_eq!(refused(text), [*message], "{text}");
    }
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_known_one() {
    check(&[
        (
            "lictor {\n  data_center = \"dc1\"\n  trust_domian = \"x\"\n}",
            "f.hcl:3:3: lictor.trust_domian: lictor has no such key; did you mean 'trust_domain'?",
        ),
        (
            "lictor { service \"api\" { endpoint = [] } }",
            "f.hcl:1:26: lictor.service.api.endpoint: a service has no such key; did you mean 'endpoints'?",
        ),
        (
            "lictor { colour = \"x\" }",
            "f.hcl:1:10: lictor.colour: lictor has no such key",
        ),
        (
            "Kind = \"service-defaults\"\nName = \"web\"\nMeshGatway { Mode = \"local\" }",
            "f.hcl:3:1: MeshGatway: service-defaults has no such key; did you mean 'mesh_gateway'?",
        ),
        (
            "service { name = \"web\" prot = 80 }",
            "f.hcl:1:24: service.prot: a service definition has no such key; did you mean 'port'?",
        ),
        (
            "sevice { }",
            "f.hcl:1:1: sevice: nothing of this name stands at the top of a file; did you mean 'service'?",
        ),
        (
            "Kind = \"service-default\"",
            "f.hcl:1:8: Kind: 'service-default' is no kind of config entry; did you mean 'service-defaults'?",
        ),
        (
            "Kind = \"ingress-gateway\"",
            "f.hcl:1:8: Kind: config entries of kind 'ingress-gateway' are not read by lictor; remove it",
        ),
        (
            "kind = \"mesh-gateway\"",
            "f.hcl:1:8: Kind: 'mesh-gateway' is a kind of service; put the definition into service { }",
        ),
        (
            "config_entries { bootstrp = [] }",
            "f.hcl:1:18: config_entries.bootstrp: config_entries has no such key; did you mean 'bootstrap'?",
        ),
        (
            "config_entries { bootstrap = [{ name = \"x\" }] }",
            "f.hcl:1:31: config_entries.bootstrap[0]: a config entry needs a kind, as in Kind = \"proxy-defaults\"",
        ),
    ]);
}

#[test]
fn values_of_the_wrong_type_are_refused() {
    check(&[
        (
            "service { name = \"web\" port = 70000 }",
            "f.hcl:1:31: service.port: 70000 is not within 0 to 65535",
        ),
        (
            "service { name = \"web\" port = \"http\" }",
            "f.hcl:1:31: service.port: a whole number is needed, not a text",
        ),
        (
            "service { name = \"web\" kind = \"mesh_gateway\" }",
            "f.hcl:1:31: service.kind: 'mesh_gateway' is none of typical, connect-proxy, mesh-gateway, \
             ingress-gateway, terminating-gateway, api-gateway; did you mean 'mesh-gateway'?",
        ),
        (
            "Kind = \"proxy-defaults\" MeshGateway { Mode = \"locl\" }",
            "f.hcl:1:46: MeshGateway.Mode: 'locl' is none of none, local, remote; did you mean 'local'?",
        ),
        (
            "lictor { timeouts { idle = 10 } }",
            "f.hcl:1:28: lictor.timeouts.idle: a duration needs a unit and quotes, as in \"1m30s\"",
        ),
        (
            "lictor { timeouts { idle = \"ten\" } }",
            "f.hcl:1:28: lictor.timeouts.idle: 'ten' is no duration; write one as in \"1m30s\" or \"500ms\"",
        ),
        (
            "lictor { log { access = \"maybe\" } }",
            "f.hcl:1:25: lictor.log.access: true or false is needed",
        ),
        (
            "lictor { admin = \"19000\" }",
            "f.hcl:1:18: lictor.admin: '19000' is no IP address with a port, as in 127.0.0.1:19000, and no unix:///path",
        ),
        (
            "lictor { admin = \"unix://admin.sock\" }",
            "f.hcl:1:18: lictor.admin: 'admin.sock' is no absolute path of a socket",
        ),
        (
            "lictor { log = \"info\" }",
            "f.hcl:1:16: lictor.log: log is an object, not a text",
        ),
        (
            "lictor { log { } log { } }",
            "f.hcl:1:14: lictor.log: log is given more than once (lines 1 and 1); keep one",
        ),
        (
            "service { name = \"web\" Name = \"web\" }",
            "f.hcl:1:24: service.Name: the same key as 'name' on line 1; keep one",
        ),
        (
            "lictor { service \"api\" { endpoints = [\"10.0.0.5\"] } }",
            "f.hcl:1:39: lictor.service.api.endpoints[0]: '10.0.0.5' has no port; write address:port",
        ),
        (
            "lictor { service \"api\" { endpoints = [{ address = \"10.0.0.5:1\" weight = 0 }] } }",
            "f.hcl:1:39: lictor.service.api.endpoints[0]: a weight is at least 1; for no traffic set \
             health = \"critical\"",
        ),
        (
            "lictor { service \"api\" { endpoints = [{ weight = 1 }] } }",
            "f.hcl:1:39: lictor.service.api.endpoints[0]: an endpoint needs an address, as in \"10.0.0.5:21000\"",
        ),
    ]);
}

#[test]
fn a_gateway_that_could_not_work_is_refused() {
    let mesh = "lictor { datacenter = \"dc1\" trust_domain = \"a.consul\" }\n";
    let gateway = "service { name = \"gw\" kind = \"mesh-gateway\" port = 8443 }";
    assert_eq!(
        refused(gateway),
        [
            "f.hcl:1:9: service: a mesh gateway needs its datacenter; add lictor { datacenter = \"dc1\" }",
            "f.hcl:1:9: service: a mesh gateway needs the trust domain; add lictor { trust_domain = \
             \"<uuid>.consul\" }",
        ]
    );
    for (definition, message) in [
        (
            "service { name = \"gw\" kind = \"mesh-gateway\" }",
            "f.hcl:2:9: service.port: a mesh gateway needs the port that it listens on",
        ),
        (
            "service { kind = \"mesh-gateway\" port = 1 }",
            "f.hcl:2:9: service.name: a service needs a name",
        ),
        (
            "service { name = \"gw\" kind = \"mesh-gateway\" port = 1 address = \"gw.local\" }",
            "f.hcl:2:9: service.address: 'gw.local' is no IP address, and only such can be listened on",
        ),
        (
            "service { name = \"gw\" kind = \"mesh-gateway\" port = 1 proxy { config { envoy_gateway_no_default_bind = true } } }",
            "f.hcl:2:9: service.proxy.config: this gateway would listen nowhere; bind an address or the default one",
        ),
        (
            "service { name = \"gw\" kind = \"mesh-gateway\" port = 1 proxy { destination_service_name = \"x\" } }",
            "f.hcl:2:60: service.proxy.destination_service_name: a mesh gateway stands for no service; remove it",
        ),
        (
            "service { name = \"gw\" kind = \"mesh-gateway\" port = 1 proxy { config { envoy_gateway_bind_addresses { a { port = 1 } } } } }",
            "f.hcl:2:102: service.proxy.config.envoy_gateway_bind_addresses.a.address: an address to listen on is an IP address",
        ),
    ] {
        assert_eq!(
            refused(&format!("{mesh}{definition}")),
            [message],
            "{definition}"
        );
    }
}

#[test]
fn a_mesh_that_contradicts_itself_is_refused() {
    check(&[
        (
            "lictor { datacenter = \"dc1\" datacenter \"DC1\" { gateways = [\"192.0.2.7:1\"] } }",
            "f.hcl:1:40: lictor.datacenter.DC1: this is the own datacenter; list only the others here",
        ),
        (
            "lictor { partition \"default\" { gateways = [\"192.0.2.7:1\"] } }",
            "f.hcl:1:20: lictor.partition.default: this is the own partition; list only the others here",
        ),
        (
            "lictor { datacenter = \"dc 1\" }",
            "f.hcl:1:23: lictor.datacenter: 'dc 1': a name is 1 to 63 letters, digits, '-' and '_', since it \
             becomes part of SNI",
        ),
        (
            "lictor { trust_domain = \"not a domain\" }",
            "f.hcl:1:25: lictor.trust_domain: 'not a domain' is no domain name",
        ),
        (
            "lictor { service \"api\" { endpoints = [\"10.0.0.5:1\"] default_subset = \"v1\" } }",
            "f.hcl:1:70: lictor.service.api.default_subset: 'api' has no subset 'v1'; add it to the service",
        ),
        (
            "lictor { service \"api\" { } service \"api\" { } }",
            "f.hcl:1:36: lictor.service.api: given already at f.hcl:1; keep one",
        ),
        (
            "lictor { service \"api\" { } service \"API\" { } }",
            "f.hcl:1:36: lictor.service.API: given already at f.hcl:1; keep one",
        ),
        (
            "lictor { server \"s1\" { } }",
            "f.hcl:1:17: lictor.server.s1: a server needs its RPC address, as in \"10.0.0.2:8300\"",
        ),
        (
            "lictor { peer \"p\" { service \"x\" { } name_there = \"us\" } }",
            "f.hcl:1:15: lictor.peer.p: trust_domain: the peer's services need its trust domain",
        ),
        (
            "lictor { peer \"p\" { service \"x\" { } trust_domain = \"a.consul\" } }",
            "f.hcl:1:15: lictor.peer.p: name_there: the peer's services need its name for this cluster",
        ),
        (
            "lictor { peer \"p\" { server_name = \"server.dc2.peering.a.consul\" } }",
            "f.hcl:1:15: lictor.peer.p: server_name and servers go together: the name to send and where to",
        ),
        (
            "lictor { limits { connections = 0 } }",
            "f.hcl:1:33: lictor.limits.connections: 0 would let nothing through; give at least 1",
        ),
        (
            "lictor { timeouts { connect = \"0s\" } }",
            "f.hcl:1:31: lictor.timeouts.connect: 0 would let nothing through; give some time",
        ),
        (
            "lictor { tcp { keepalive_time = \"1500ms\" } }",
            "f.hcl:1:33: lictor.tcp.keepalive_time: the kernel takes whole seconds, 1s to 32767s",
        ),
        (
            "lictor { state_dir = \"here\" }",
            "f.hcl:1:22: lictor.state_dir: a directory is given from the root, as in /var/lib/lictor",
        ),
    ]);
}

#[test]
fn what_stands_twice_in_two_files_is_named_in_both() {
    let files = [
        (
            "a.hcl",
            "lictor { datacenter = \"dc1\" service \"api\" { endpoints = [\"10.0.0.5:1\"] } }",
            Format::Hcl,
        ),
        (
            "b.yaml",
            "lictor:\n  datacenter: dc1\n  services:\n    api:\n      endpoints: ['10.0.0.6:1']\n",
            Format::Yaml,
        ),
        (
            "c.hcl",
            "service { name = \"web\" id = \"w1\" }",
            Format::Hcl,
        ),
        (
            "d.json",
            "{\"service\": {\"name\": \"other\", \"ID\": \"w1\"}}",
            Format::Json,
        ),
        (
            "e.hcl",
            "Kind = \"proxy-defaults\" Name = \"global\"",
            Format::Hcl,
        ),
        (
            "f.yaml",
            "Kind: service-defaults\nName: web\n---\nKind: proxy-defaults\nName: global\n---\nKind: service-defaults\nName: WEB\n",
            Format::Yaml,
        ),
    ];
    assert_eq!(
        refused_all(&files),
        [
            "f.yaml:4:1: proxy-defaults 'global' is given already at e.hcl:1; keep one",
            "f.yaml:7:1: service-defaults 'WEB' is given already at f.yaml:1; keep one",
            "b.yaml:2:15: lictor.datacenter: given already at a.hcl:1; keep one",
            "b.yaml:4:5: lictor.services.api: given already at a.hcl:1; keep one",
            "d.json:1:13: service: a service with ID 'w1' is defined already at c.hcl:1; keep one",
        ]
    );
}

#[test]
fn sidecars_are_held_to_what_consul_asks() {
    check(&[
        (
            "service { name = \"x\" kind = \"connect-proxy\" port = 1 }",
            "f.hcl:1:9: service.proxy.destination_service_name: a connect-proxy needs the name of the service \
             it stands for",
        ),
        (
            "service { name = \"x\" kind = \"connect-proxy\" proxy { destination_service_name = \"web\" } }",
            "f.hcl:1:9: service.port: a connect-proxy needs the port that it listens on",
        ),
        (
            "service { name = \"x\" connect { sidecar_service { connect { } } } }",
            "f.hcl:1:48: service.connect.sidecar_service.connect: a sidecar has no sidecar of its own; remove it",
        ),
        (
            "service { name = \"x\" connect { sidecar_service { proxy { upstreams = [{ local_bind_port = 1 }] } } } }",
            "f.hcl:1:71: service.connect.sidecar_service.proxy.upstreams[0].destination_name: an upstream needs \
             the name it leads to",
        ),
        (
            "service { name = \"x\" connect { sidecar_service { proxy { upstreams = [{ destination_name = \"y\" }] } } } }",
            "f.hcl:1:71: service.connect.sidecar_service.proxy.upstreams[0].local_bind_port: an upstream needs \
             the port or the socket that the application connects to",
        ),
    ]);
    let twice = "service { name = \"x\" connect { sidecar_service { proxy { upstreams = [
      { destination_name = \"y\" local_bind_port = 1 },
      { destination_name = \"z\" local_bind_port = 1 local_bind_address = \"127.0.0.1\" },
      { destination_name = \"q\" local_bind_port = 2 destination_peer = \"p\" datacenter = \"dc2\" },
    ] } } } }";
    assert_eq!(
        refused(twice),
        [
            "f.hcl:3:7: service.connect.sidecar_service.proxy.upstreams[1].local_bind_port: 127.0.0.1:1 is taken \
             by the upstream at f.hcl:2",
            "f.hcl:4:7: service.connect.sidecar_service.proxy.upstreams[2].datacenter: a peer has no datacenter \
             here; give destination_peer or datacenter",
        ]
    );
}

#[test]
fn all_errors_are_told_at_once_up_to_a_bound() {
    let text = "lictor {\n  a1 = 1\n  admin = 5\n  log { level = \"loud\" }\n}\nservice { name = [] }\nother { }";
    assert_eq!(refused(text).len(), 5);
    let many: String = (0..100).map(|n| format!("unknown{n} = 1\n")).collect();
    let errors = parse(&[Source {
        name: "f",
        text: &many,
        format: Format::Hcl,
    }])
    .expect_err("unknown");
    assert_eq!(errors.list().len(), config::MAX_ERRORS);
    assert!(
        errors
            .to_string()
            .ends_with("more errors follow; mend these first")
    );
}

#[test]
fn syntax_errors_name_the_file() {
    let files = [
        ("a.hcl", "lictor {", Format::Hcl),
        ("b.json", "{", Format::Json),
        ("c.yaml", "a: [", Format::Yaml),
        ("d.yaml", "just a text", Format::Yaml),
    ];
    let messages = refused_all(&files);
    assert_eq!(
        messages[0],
        "a.hcl:1:8: this block has no end; close it with '}'"
    );
    assert_eq!(
        messages[1],
        "b.json:1:1: what begins here has no end; close it with '}'"
    );
    assert!(
        messages[2].starts_with("c.yaml:1:5: not YAML"),
        "{}",
        messages[2]
    );
    assert_eq!(
        messages[3],
        "d.yaml:1:1: a file holds keys and values, not a text"
    );
}

#[test]
fn keys_that_consul_knows_and_lictor_does_not_use_are_noted() {
    let text = "service {\n  name = \"web\"\n  enable_tag_override = true\n  checks = [{ http = \"x\" }]\n}
service { name = \"in\" kind = \"ingress-gateway\" }
service { name = \"gw\" kind = \"mesh-gateway\" port = 1 proxy { config { protocol = \"tcp\" } } }
lictor { datacenter = \"dc1\" trust_domain = \"a.consul\" admin = \"0.0.0.0:1\" datacenter \"dc2\" { } }";
    let settings = parse(&[Source {
        name: "f",
        text,
        format: Format::Hcl,
    }])
    .unwrap_or_else(|errors| panic!("{errors}"));
    let notes: Vec<String> = settings.notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            "f:3:3: service[0].enable_tag_override: known to Consul, not used by lictor",
            "f:4:3: service[0].checks: known to Consul, not used by lictor",
            "f:8:63: lictor.admin: everyone who reaches this address can read what the gateway knows",
            "f:8:86: lictor.datacenter.dc2: no gateways: connections to this datacenter are closed",
            "f:6:9: service[1].kind: lictor does not run services of this kind",
            "f:7:71: service[2].proxy.config.protocol: not used by lictor",
        ]
    );
}
