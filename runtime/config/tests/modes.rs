//! The precedence of mesh gateway modes, row by row.
//!
//! The first rows were observed on real agents of Consul 1.8 and 1.21: what `/v1/agent/service`
//! merged into the upstream, or where that was empty what the discovery chain said.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use config::{Format, GatewayMode, ModeDecision, ModeLevel, Source, parse};

/// What each level says; empty for nothing.
#[derive(Clone, Copy, Default)]
struct Row {
    proxy_defaults: &'static str,
    source: &'static str,
    source_defaults: &'static str,
    source_override: &'static str,
    destination: &'static str,
    instance: &'static str,
    upstream: &'static str,
    /// More keys of the upstream.
    target: &'static str,
}

/// One of the levels of a row.
type Field = fn(&mut Row) -> &mut &'static str;

fn decide(row: Row) -> ModeDecision {
    let mode = |mode: &str| match mode {
        "" => String::new(),
        mode => format!("mesh_gateway {{ mode = \"{mode}\" }}"),
    };
    let text = format!(
        r#"
service {{ name = "web-sidecar-proxy" kind = "connect-proxy" port = 1 proxy {{
  destination_service_name = "web" {}
  upstreams = [{{ destination_name = "db" local_bind_port = 2 {} {} }}] }} }}
config_entries {{ bootstrap = [
  {{ kind = "proxy-defaults" name = "global" {} }},
  {{ kind = "service-defaults" name = "web" {}
     upstream_config {{ defaults {{ {} }} overrides = [{{ name = "other" mesh_gateway {{ mode = "local" }} }}, {{ name = "db" {} }}] }} }},
  {{ kind = "service-defaults" name = "db" {} }},
] }}"#,
        mode(row.instance),
        mode(row.upstream),
        row.target,
        mode(row.proxy_defaults),
        mode(row.source),
        mode(row.source_defaults),
        mode(row.source_override),
        mode(row.destination),
    );
    let settings = parse(&[Source {
        name: "f",
        text: &text,
        format: Format::Hcl,
    }])
    .unwrap_or_else(|errors| panic!("{errors}"));
    settings.upstreams().next().expect("one upstream").2
}

#[test]
fn the_matrix_that_was_observed() {
    use GatewayMode::{Local, None, Remote};
    use ModeLevel::{
        DestinationDefaults, ProxyDefaults, ServiceDefaults, ServiceInstance, Upstream,
    };
    // proxy-defaults, source, destination, instance, upstream
    let table = [
        (["local", "", "", "", ""], Local, ProxyDefaults),
        (["local", "remote", "", "", ""], Remote, ServiceDefaults),
        (["local", "", "remote", "", ""], Local, ProxyDefaults),
        (["", "", "remote", "", ""], Remote, DestinationDefaults),
        (
            ["local", "remote", "remote", "none", ""],
            None,
            ServiceInstance,
        ),
        (
            ["local", "remote", "remote", "none", "local"],
            Local,
            Upstream,
        ),
        (["remote", "", "", "local", ""], Local, ServiceInstance),
        (["", "", "", "", ""], None, ModeLevel::Default),
    ];
    for ([proxy_defaults, source, destination, instance, upstream], mode, level) in table {
        let row = Row {
            proxy_defaults,
            source,
            destination,
            instance,
            upstream,
            ..Row::default()
        };
        let decision = decide(row);
        assert_eq!((decision.mode, decision.level), (mode, level), "{decision}");
        assert_eq!(decision.place.is_none(), level == ModeLevel::Default);
    }
}

#[test]
fn every_level_goes_before_all_below_it() {
    // From the lowest: each step adds the next level with another mode, and that one decides.
    let mut row = Row::default();
    let mut said = 0;
    let steps: [(ModeLevel, Field); 7] = [
        (ModeLevel::DestinationDefaults, |row| &mut row.destination),
        (ModeLevel::ProxyDefaults, |row| &mut row.proxy_defaults),
        (ModeLevel::ServiceDefaults, |row| &mut row.source),
        (ModeLevel::UpstreamDefaults, |row| &mut row.source_defaults),
        (ModeLevel::ServiceInstance, |row| &mut row.instance),
        (ModeLevel::UpstreamOverride, |row| &mut row.source_override),
        (ModeLevel::Upstream, |row| &mut row.upstream),
    ];
    for (at, (level, field)) in steps.into_iter().enumerate() {
        let (word, mode) = match at % 2 {
            0 => ("local", GatewayMode::Local),
            _ => ("remote", GatewayMode::Remote),
        };
        *field(&mut row) = word;
        said += 1;
        let decision = decide(row);
        assert_eq!((decision.mode, decision.level), (mode, level), "{decision}");
        assert_eq!(decision.said.len(), said);
        assert!(
            decision.said.is_sorted_by_key(|(level, _)| *level),
            "{:?}",
            decision.said
        );
    }
}

#[test]
fn a_peer_is_reached_through_its_gateways_unless_it_is_local() {
    let peer = Row {
        target: "destination_peer = \"cluster-01\"",
        ..Row::default()
    };
    let decision = decide(peer);
    assert_eq!(
        (decision.mode, decision.level),
        (GatewayMode::Remote, ModeLevel::Default)
    );
    let decision = decide(Row {
        upstream: "none",
        ..peer
    });
    assert_eq!(
        (decision.mode, decision.written),
        (GatewayMode::Remote, GatewayMode::None)
    );
    assert_eq!(
        decision.to_string(),
        "remote by upstream definition (f:4); none counts as remote for a peer"
    );
    assert_eq!(
        decide(Row {
            proxy_defaults: "local",
            ..peer
        })
        .mode,
        GatewayMode::Local
    );
}

#[test]
fn a_prepared_query_hears_only_its_own_definition() {
    let query = Row {
        proxy_defaults: "local",
        target: "destination_type = \"prepared_query\"",
        ..Row::default()
    };
    assert_eq!(decide(query).level, ModeLevel::Default);
    assert_eq!(
        decide(Row {
            upstream: "remote",
            ..query
        })
        .mode,
        GatewayMode::Remote
    );
}

#[test]
fn the_empty_mode_says_nothing() {
    let text = "service { name = \"web\" connect { sidecar_service { proxy {
      mesh_gateway { mode = \"\" }
      upstreams = [{ destination_name = \"db\" local_bind_port = 1 mesh_gateway { } }] } } } }";
    let settings = parse(&[Source {
        name: "f",
        text,
        format: Format::Hcl,
    }])
    .unwrap_or_else(|errors| panic!("{errors}"));
    let (_, _, decision) = settings.upstreams().next().expect("one upstream");
    assert_eq!(decision.level, ModeLevel::Default);
    assert_eq!(decision.to_string(), "none by default");
}
