//! What config entries make of an upstream: its shares, targets and failover, its limits, and why there is none.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use config::{Format, Settings, Source, parse};
use plan::chain::{Chain, Target};
use plan::mesh::{Upstream, Via};
use plan::{Balance, OutlierDetection};

/// A sidecar of `web` with one upstream, and what the mesh and its entries say besides.
fn settings(upstream: &str, entries: &str) -> Settings {
    let certificate = "\"-----BEGIN CERTIFICATE-----\\nAA==\\n-----END CERTIFICATE-----\"";
    let key = "\"-----BEGIN PRIVATE KEY-----\\nAA==\\n-----END PRIVATE KEY-----\"";
    let text = format!(
        "service {{ name = \"web\" port = 1 connect {{ sidecar_service {{ proxy {{
           upstreams = [{{ local_bind_port = 2 {upstream} }}] }} }} }} }}
         config_entries {{ bootstrap = [
{entries}
         ] }}
         lictor {{ datacenter = \"dc1\" trust_domain = \"a.consul\" roots = {certificate}
           identity \"web\" {{ certificate = {certificate} key = {key} }}
           gateways = [\"10.0.0.9:8443\"]
           service \"api\" {{ endpoints = [\"10.0.0.7:1\"] subset \"v1\" {{ endpoints = [\"10.0.0.7:1\"] }} }}
           service \"old\" {{ endpoints = [\"10.0.0.8:1\"] }}
           datacenter \"dc2\" {{ gateways = [\"192.0.2.7:443\"] service \"api\" {{ endpoints = [\"198.51.100.7:1\"] balance = \"random\" }} }}
           datacenter \"dc3\" {{ gateways = [\"192.0.3.7:443\"] }} }}"
    );
    let sources = [Source {
        name: "f",
        text: &text,
        format: Format::Hcl,
    }];
    parse(&sources).unwrap_or_else(|errors| panic!("{errors}"))
}

const API: &str = "destination_name = \"api\"";

fn upstream(words: &str, entries: &str) -> Upstream {
    let settings = settings(words, entries);
    assert!(settings.not_run.is_empty(), "{:?}", settings.not_run);
    settings.sidecar_registrations[0].upstreams[0].clone()
}

/// A target in short: `v1.api@dc2`, with `/local` or `/remote` behind it where it goes through gateways.
fn short(target: &Target) -> String {
    let subset = target.subset.as_ref().map(|name| format!("{name}."));
    let via = match target.via {
        Via::Direct => "",
        Via::LocalGateway => "/local",
        Via::RemoteGateway => "/remote",
    };
    let (service, datacenter) = (&target.service, &target.datacenter);
    format!("{}{service}@{datacenter}{via}", subset.unwrap_or_default())
}

/// A chain in short: each share's weight, target and failover.
fn shares(chain: &Chain) -> Vec<String> {
    let share = |split: &plan::chain::Split| {
        let resolver = &split.resolver;
        let failover: String = resolver
            .failover
            .iter()
            .map(|target| format!(" > {}", short(target)))
            .collect();
        format!("{} {}{failover}", split.weight, short(&resolver.target))
    };
    chain.splits.iter().map(share).collect()
}

fn compiled(words: &str, entries: &str) -> Vec<String> {
    shares(&upstream(words, entries).chain)
}

/// Why the sidecar is not run.
fn refused(words: &str, entries: &str) -> String {
    let settings = settings(words, entries);
    assert!(settings.sidecar_registrations.is_empty());
    settings.not_run[0].to_string()
}

fn resolver(name: &str, words: &str) -> String {
    format!("{{ kind = \"service-resolver\" name = \"{name}\" {words} }},")
}

#[test]
fn without_entries_the_chain_is_what_the_upstream_says() {
    assert_eq!(compiled(API, ""), ["10000 api@dc1"]);
    let there = format!("{API} datacenter = \"dc2\" mesh_gateway {{ mode = \"local\" }}");
    assert_eq!(compiled(&there, ""), ["10000 api@dc2/local"]);
}

#[test]
fn redirects_are_followed_and_change_only_what_they_name() {
    let entries = resolver("first", "redirect { service = \"api\" }")
        + &resolver("api", "redirect { datacenter = \"DC2\" }");
    let first = "destination_name = \"first\"";
    assert_eq!(compiled(first, &entries), ["10000 api@dc2"]);
    let subset = resolver(
        "first",
        "redirect { service = \"api\" service_subset = \"v1\" }",
    );
    assert_eq!(compiled(first, &subset), ["10000 v1.api@dc1"]);
}

#[test]
fn the_default_subset_stands_in_for_the_plain_name() {
    let entries = resolver("api", "default_subset = \"v1\"");
    assert_eq!(compiled(API, &entries), ["10000 v1.api@dc1"]);
    // The resolver alone says which subsets there are where nobody lists instances.
    let entries = resolver(
        "far",
        "default_subset = \"v2\" subsets { v2 { filter = \"Service.Meta.v == 2\" } }",
    );
    let far = "destination_name = \"far\" datacenter = \"dc3\" mesh_gateway { mode = \"remote\" }";
    assert_eq!(compiled(far, &entries), ["10000 v2.far@dc3/remote"]);
}

#[test]
fn failover_is_by_datacenters_or_by_targets_or_by_service_and_by_subset_before_all() {
    let mode = "mesh_gateway { mode = \"remote\" }";
    let words = format!("{API} {mode}");
    for (failover, expected) in [
        (
            "\"*\" = { datacenters = [\"dc2\", \"dc3\", \"dc1\"] }",
            "10000 api@dc1 > api@dc2/remote > api@dc3/remote",
        ),
        (
            "\"*\" = { targets = [{ datacenter = \"dc3\" }, { service = \"old\" }] }",
            "10000 api@dc1 > api@dc3/remote > old@dc1",
        ),
        ("\"*\" = { service = \"old\" }", "10000 api@dc1 > old@dc1"),
        ("v1 = { service = \"old\" }", "10000 api@dc1"),
    ] {
        let entries = resolver("api", &format!("failover = {{ {failover} }}"));
        assert_eq!(compiled(&words, &entries), [expected], "{failover}");
    }
    let entries = resolver(
        "api",
        "default_subset = \"v1\" subsets = { v2 = {} } failover = { v1 = { service_subset = \"v2\" } \"*\" = { service = \"old\" } }",
    );
    assert_eq!(
        compiled(&words, &entries),
        ["10000 v1.api@dc1 > v2.api@dc1"]
    );
}

#[test]
fn redirects_hold_for_targets_of_failover_and_their_failover_does_not() {
    let entries = resolver("api", "failover = { \"*\" = { service = \"old\" } }")
        + &resolver(
            "old",
            "redirect { datacenter = \"dc2\" } failover = { \"*\" = { datacenters = [\"dc3\"] } }",
        );
    assert_eq!(compiled(API, &entries), ["10000 api@dc1 > old@dc2"]);
}

#[test]
fn a_splitter_divides_connections_and_splitters_of_its_services_divide_their_shares() {
    let splitter = |name: &str, splits: &str| {
        format!("{{ kind = \"service-splitter\" name = \"{name}\" splits = [{splits}] }},")
    };
    let entries = splitter(
        "api",
        "{ weight = 90 }, { weight = 9.5, service_subset = \"v1\" }, { weight = 0.5, service = \"old\" }",
    ) + &splitter(
        "old",
        "{ weight = 50 }, { weight = 50, service = \"api\", service_subset = \"v1\" }",
    );
    assert_eq!(
        compiled(API, &entries),
        [
            "9000 api@dc1",
            "950 v1.api@dc1",
            "25 old@dc1",
            "25 v1.api@dc1"
        ]
    );
    // An upstream that says tcp goes past splitters and routers, as in Consul.
    let router = "{ kind = \"service-router\" name = \"api\" routes = [{ match { http { path_prefix = \"/\" } } }] },";
    let tcp = format!("{API} config {{ protocol = \"tcp\" }}");
    assert_eq!(
        compiled(&tcp, &(entries.clone() + router)),
        ["10000 api@dc1"]
    );
    let why = refused(API, &(entries + router));
    assert!(
        why.contains("set protocol = \"tcp\"") && why.contains("service-router 'api'"),
        "{why}"
    );
    let why = refused(API, &splitter("api", "{ weight = 99.5 }"));
    assert!(
        why.contains("the weights are 99.50 together and must be 100"),
        "{why}"
    );
}

#[test]
fn what_leads_nowhere_or_in_circles_is_not_run() {
    for (entries, expected) in [
        (
            resolver("api", "redirect { service = \"old\" }")
                + &resolver("old", "redirect { service = \"api\" }"),
            "it leads back to itself",
        ),
        (
            "{ kind = \"service-splitter\" name = \"api\" splits = [{ weight = 100 service = \"old\" }] },
             { kind = \"service-splitter\" name = \"old\" splits = [{ weight = 100 service = \"api\" }] },"
                .to_owned(),
            "it leads back to itself",
        ),
        (
            resolver("api", "failover = { \"*\" = { service_subset = \"v9\" } }"),
            "service 'api' has no subset 'v9'",
        ),
        (
            resolver("api", "failover = { \"*\" = { sameness_group = \"g\" } }"),
            "sameness groups are not supported",
        ),
        (
            resolver("api", "redirect = { peer = \"p\" }"),
            "there is no peer 'p'",
        ),
    ] {
        let why = refused(API, &entries);
        assert!(why.contains(expected), "{why}");
    }
}

#[test]
fn splitters_that_multiply_come_to_an_end() {
    // Ten shares of ten shares, twelve times over.
    let shares = |to: &str| format!("{{ weight = 10 service = \"{to}\" }},").repeat(10);
    let splitter = |at: u32| {
        let (name, shares) = (format!("s{at}"), shares(&format!("s{}", at + 1)));
        format!("{{ kind = \"service-splitter\" name = \"{name}\" splits = [{shares}] }},")
    };
    let entries: String = (0..12).map(splitter).collect();
    let why = refused("destination_name = \"s0\"", &entries);
    assert!(why.contains("more than 10000 shares"), "{why}");
}

#[test]
fn each_target_has_the_mode_of_its_own_service_where_nothing_above_says_one() {
    let entries = resolver(
        "api",
        "failover = { \"*\" = { targets = [{ datacenter = \"dc2\" }, { datacenter = \"dc2\" service = \"old\" }] } }",
    ) + "{ kind = \"service-defaults\" name = \"old\" mesh_gateway { mode = \"local\" } },";
    assert_eq!(
        compiled(API, &entries),
        ["10000 api@dc1 > api@dc2 > old@dc2/local"]
    );
    let above = format!("{API} mesh_gateway {{ mode = \"remote\" }}");
    assert_eq!(
        compiled(&above, &entries),
        ["10000 api@dc1 > api@dc2/remote > old@dc2/remote"]
    );
    // A name outside the mesh is nothing that a gateway could route.
    let external = entries
        + "{ kind = \"service-defaults\" name = \"api\" external_sni = \"api.example.com\" },";
    let made = upstream(&above, &external);
    assert_eq!(
        shares(&made.chain),
        ["10000 api@dc1 > api@dc2 > old@dc2/remote"]
    );
    let names: Vec<_> = made
        .chain
        .targets()
        .map(|it| it.external_sni.as_deref())
        .collect();
    assert_eq!(
        names,
        [Some("api.example.com"), Some("api.example.com"), None]
    );
}

#[test]
fn policy_and_time_are_those_of_the_target_unless_the_upstream_says_a_time() {
    let of = |words: &str, entries: &str| {
        let resolver = upstream(words, entries).chain.splits.remove(0).resolver;
        (resolver.balance, resolver.connect_timeout)
    };
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let entries = resolver(
        "api",
        "connect_timeout = \"7s\" load_balancer { policy = \"maglev\" hash_policies = [{ source_ip = true }] }",
    );
    assert_eq!(of(API, &entries), (Balance::Maglev, seconds(7)));
    let own = format!("{API} config {{ connect_timeout_ms = 2000 }}");
    assert_eq!(of(&own, &entries), (Balance::Maglev, seconds(2)));
    let dc2 = format!("{API} datacenter = \"dc2\"");
    assert_eq!(of(&dc2, &entries), (Balance::Random, seconds(7)));
    let dc3 = format!("{API} datacenter = \"dc3\"");
    assert_eq!(of(&dc3, &entries), (Balance::Maglev, seconds(7)));
    assert_eq!(of(API, ""), (Balance::RoundRobin, None));
}

#[test]
fn limits_and_passive_health_checks_are_merged_as_wholes() {
    let entries = "{ kind = \"service-defaults\" name = \"web\" upstream_config {
        defaults { limits { max_connections = 5 max_pending_requests = 6 } passive_health_check { max_failures = 9 } }
        overrides = [{ name = \"api\" limits { max_connections = 7 } }] } },";
    let made = upstream(API, entries);
    assert_eq!((made.max_connections, made.max_pending), (Some(7), None));
    let default = OutlierDetection::default();
    let nine = OutlierDetection {
        consecutive_5xx: 9,
        ..default.clone()
    };
    assert_eq!(made.outlier_detection, Some(nine));
    let own = format!(
        "{API} config {{ limits {{ max_pending_requests = 0 max_concurrent_requests = 3 }} passive_health_check {{
           interval = \"2s\" max_failures = 0 enforcing_consecutive_5xx = 0 max_ejection_percent = 50 base_ejection_time = \"10m\" }} }}"
    );
    let made = upstream(&own, entries);
    assert_eq!((made.max_connections, made.max_pending), (None, Some(0)));
    let expected = OutlierDetection {
        interval: Duration::from_secs(2),
        enforcing_consecutive_5xx: 0,
        max_ejection_percent: 50,
        base_ejection_time: Duration::from_secs(600),
        max_ejection_time: Duration::from_secs(600),
        ..default
    };
    assert_eq!(made.outlier_detection, Some(expected));
    let notes = settings(&own, "").notes;
    let noted = notes
        .iter()
        .filter(|note| note.key.ends_with("max_concurrent_requests"));
    assert_eq!(noted.count(), 1, "{notes:?}");
}

#[test]
fn a_policy_that_nobody_knows_is_refused() {
    let text = resolver("api", "load_balancer { policy = \"fastest\" }");
    let text = format!("config_entries {{ bootstrap = [{text}] }}");
    let sources = [Source {
        name: "f",
        text: &text,
        format: Format::Hcl,
    }];
    let errors = parse(&sources).expect_err("refused").to_string();
    assert!(errors.contains("fastest"), "{errors}");
}
