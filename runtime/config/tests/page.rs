//! The examples of Consul's page on mesh gateways
//! (<https://developer.hashicorp.com/consul/docs/connect/gateways/mesh-gateway>) load as they
//! stand, and every upstream has the mode that the page says.
//!
//! The files in `page/` are the examples as a copy of the page prints them, without indentation:
//! the HCL does not mind, the YAML of the last two is read by the schema.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use config::{Format, GatewayMode, ModeLevel, Settings, Source, parse};

const GLOBAL_HCL: &str = include_str!("page/global.hcl");
const GLOBAL_YAML: &str = include_str!("page/global.yaml");
const SERVICE_HCL: &str = include_str!("page/service.hcl");
const SERVICE_YAML: &str = include_str!("page/service.yaml");
const INSTANCE_HCL: &str = include_str!("page/instance.hcl");
const INSTANCE_YAML: &str = include_str!("page/instance.yaml");
const UPSTREAM_HCL: &str = include_str!("page/upstream.hcl");
const UPSTREAM_YAML: &str = include_str!("page/upstream.yaml");

/// A service `web` whose sidecar says nothing of modes, and one of another name.
const SILENT: &str = r#"
service { name = "web" port = 80 connect { sidecar_service { proxy {
  upstreams = [{ destination_name = "api" datacenter = "secondary" local_bind_port = 10000 }]
} } } }
service { name = "shop" port = 81 connect { sidecar_service { proxy {
  upstreams = [{ destination_name = "api" datacenter = "secondary" local_bind_port = 10001 }]
} } } }
"#;

fn settings(texts: &[(&str, Format)]) -> Settings {
    let sources: Vec<Source<'_>> = texts
        .iter()
        .map(|(text, format)| Source {
            name: "page",
            text,
            format: *format,
        })
        .collect();
    parse(&sources).unwrap_or_else(|errors| panic!("{errors}"))
}

fn modes(settings: &Settings) -> Vec<(String, GatewayMode, ModeLevel)> {
    let name = |upstream: &config::Upstream| upstream.destination_name.clone().expect("checked");
    settings
        .upstreams()
        .map(|(sidecar, upstream, decision)| {
            (
                format!("{} {}", sidecar.service, name(upstream)),
                decision.mode,
                decision.level,
            )
        })
        .collect()
}

fn says(list: &[(&str, GatewayMode, ModeLevel)]) -> Vec<(String, GatewayMode, ModeLevel)> {
    list.iter()
        .map(|(name, mode, level)| ((*name).to_owned(), *mode, *level))
        .collect()
}

#[test]
fn gateways_enabled_globally() {
    for example in [(GLOBAL_HCL, Format::Hcl), (GLOBAL_YAML, Format::Yaml)] {
        let settings = settings(&[example, (SILENT, Format::Hcl)]);
        let level = ModeLevel::ProxyDefaults;
        let local = GatewayMode::Local;
        assert_eq!(
            modes(&settings),
            says(&[("web api", local, level), ("shop api", local, level)])
        );
        assert!(settings.notes.is_empty(), "{:?}", settings.notes);
    }
}

#[test]
fn gateways_enabled_for_a_service() {
    for example in [(SERVICE_HCL, Format::Hcl), (SERVICE_YAML, Format::Yaml)] {
        let settings = settings(&[example, (SILENT, Format::Hcl)]);
        let expected = says(&[
            ("web api", GatewayMode::Local, ModeLevel::ServiceDefaults),
            ("shop api", GatewayMode::None, ModeLevel::Default),
        ]);
        assert_eq!(modes(&settings), expected);
        assert!(settings.notes.is_empty(), "{:?}", settings.notes);
    }
}

#[test]
fn gateways_enabled_for_a_service_instance() {
    let expected = says(&[("web api", GatewayMode::Remote, ModeLevel::ServiceInstance)]);

    // The page's HCL shows the registration in full and "alternatively" inline: the same sidecar.
    let in_hcl = settings(&[(INSTANCE_HCL, Format::Hcl)]);
    assert_eq!(modes(&in_hcl), expected);
    assert_eq!(in_hcl.sidecars[0].port, 8181);
    assert_eq!(
        in_hcl.sidecars[0].proxy.upstreams[0].local_bind_port,
        Some(10000)
    );
    assert_eq!(in_hcl.services[0].name.as_deref(), Some("web"));
    let notes: Vec<String> = in_hcl.notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            "page:24:17: service[1].connect.sidecar_service: 'web-sidecar-proxy' is defined in full \
             at page:1; that definition is used"
        ]
    );

    // Inline alone gives the same sidecar, on the first port of Consul's range.
    let (_, inline) = INSTANCE_HCL
        .split_once("inline with the service definition:")
        .expect("two");
    let inline = settings(&[(inline, Format::Hcl)]);
    assert_eq!(modes(&inline), expected);
    assert_eq!(
        (inline.sidecars[0].id.as_str(), inline.sidecars[0].port),
        ("web-sidecar-proxy", 21000)
    );

    let in_yaml = settings(&[(INSTANCE_YAML, Format::Yaml)]);
    assert_eq!(modes(&in_yaml), expected);
    assert_eq!(in_yaml.sidecars[0].port, 8181);
    assert_eq!(
        in_yaml.sidecars[0].proxy.upstreams[0].local_bind_port,
        Some(100)
    );
    assert_eq!(
        in_yaml.sidecars[0].proxy.upstreams[0].datacenter.as_deref(),
        Some("secondary")
    );
    assert_eq!(in_yaml.notes[0].why, "indentation lost; read by the schema");
}

#[test]
fn gateways_enabled_for_an_upstream() {
    let expected = says(&[
        ("web api", GatewayMode::Remote, ModeLevel::Upstream),
        ("web db", GatewayMode::Local, ModeLevel::Upstream),
        ("web logging", GatewayMode::None, ModeLevel::Upstream),
    ]);
    let in_hcl = settings(&[(UPSTREAM_HCL, Format::Hcl)]);
    assert_eq!(modes(&in_hcl), expected);
    let upstreams = &in_hcl.sidecars[0].proxy.upstreams;
    assert_eq!(upstreams[0].destination_peer.as_deref(), Some("cluster-01"));
    assert!(in_hcl.notes.is_empty(), "{:?}", in_hcl.notes);

    let in_yaml = settings(&[(UPSTREAM_YAML, Format::Yaml)]);
    assert_eq!(modes(&in_yaml), expected);
    let ports: Vec<_> = in_yaml.sidecars[0]
        .proxy
        .upstreams
        .iter()
        .map(|it| it.local_bind_port)
        .collect();
    assert_eq!(ports, [Some(10000), Some(10001), Some(10002)]);
    assert_eq!(in_yaml.notes[0].why, "indentation lost; read by the schema");
}

#[test]
fn the_same_yaml_with_its_indentation_needs_no_note() {
    let indented = "\
service:
- kind: connect-proxy
  name: web-sidecar-proxy
  port: 8181
  proxy:
  - destination_service_name: web
    upstreams:
    - destination_name: api
      local_bind_port: 10000
      mesh_gateway:
      - mode: remote
    - destination_name: db
      local_bind_port: 10001
      mesh_gateway:
      - mode: local
    - destination_name: logging
      local_bind_port: 10002
      mesh_gateway:
      - mode: none
";
    let flat: String = indented
        .lines()
        .map(|line| format!("{}\n", line.trim_start()))
        .collect();
    assert_eq!(flat, UPSTREAM_YAML);
    let plain = settings(&[(indented, Format::Yaml)]);
    assert!(plain.notes.is_empty(), "{:?}", plain.notes);
    assert_eq!(
        modes(&plain),
        modes(&settings(&[(UPSTREAM_YAML, Format::Yaml)]))
    );
}

#[test]
fn every_level_of_the_page_goes_before_the_next() {
    let all = |upstream: &str, instance: &str| {
        format!(
            r#"service {{ name = "web-sidecar-proxy" kind = "connect-proxy" port = 8181 proxy {{
                 destination_service_name = "web" {instance}
                 upstreams = [{{ destination_name = "api" local_bind_port = 1 {upstream} }}] }} }}"#
        )
    };
    let remote = "mesh_gateway { mode = \"remote\" }";
    let none = "mesh_gateway { mode = \"none\" }";
    let service = SERVICE_HCL.replace("local", "remote");
    let cases = [
        (
            all(remote, none),
            &service,
            ModeLevel::Upstream,
            GatewayMode::Remote,
        ),
        (
            all("", none),
            &service,
            ModeLevel::ServiceInstance,
            GatewayMode::None,
        ),
        (
            all("", ""),
            &service,
            ModeLevel::ServiceDefaults,
            GatewayMode::Remote,
        ),
    ];
    for (definition, service, level, mode) in cases {
        let settings = settings(&[
            (GLOBAL_HCL, Format::Hcl),
            (service, Format::Hcl),
            (&definition, Format::Hcl),
        ]);
        assert_eq!(modes(&settings), says(&[("web api", mode, level)]));
    }
    let settings = settings(&[(GLOBAL_HCL, Format::Hcl), (&all("", ""), Format::Hcl)]);
    assert_eq!(
        modes(&settings),
        says(&[("web api", GatewayMode::Local, ModeLevel::ProxyDefaults)])
    );
}
