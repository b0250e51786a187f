//! Service intentions of the file, as a sidecar judges connections by them.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use config::{Errors, Format, Settings, Source, parse};
use plan::spiffe::SpiffeId;

/// A runnable sidecar of `web` and these config entries; they begin on line 6.
fn read(policy: &str, entries: &str) -> Result<Settings, Errors> {
    let certificate = "\"-----BEGIN CERTIFICATE-----\\nAA==\\n-----END CERTIFICATE-----\"";
    let key = "\"-----BEGIN PRIVATE KEY-----\\nAA==\\n-----END PRIVATE KEY-----\"";
    let text = format!(
        "lictor {{ datacenter = \"dc1\" trust_domain = \"own.consul\" roots = {certificate} {policy}
           identity \"web\" {{ certificate = {certificate} key = {key} }}
           peer \"p1\" {{ trust_domain = \"Theirs.consul\" }} peer \"p2\" {{ }} }}
service {{ name = \"web\" port = 80 connect {{ sidecar_service {{ }} }} }}
config_entries {{ bootstrap = [
{entries}
] }}"
    );
    parse(&[Source {
        name: "f",
        text: &text,
        format: Format::Hcl,
    }])
}

fn good(policy: &str, entries: &str) -> Settings {
    read(policy, entries).unwrap_or_else(|errors| panic!("{errors}"))
}

/// What the sidecar says to a client of this trust domain and path.
fn judge(settings: &Settings, domain: &str, path: &str) -> String {
    let id = SpiffeId::parse(&format!("spiffe://{domain}.consul{path}")).expect("a SPIFFE ID");
    let [sidecar] = settings.sidecar_registrations.as_slice() else {
        panic!("one sidecar: {:?}", settings.not_run)
    };
    sidecar.intentions.decide(&id).to_string()
}

fn service(settings: &Settings, domain: &str, name: &str) -> String {
    judge(settings, domain, &format!("/ns/default/dc/dc1/svc/{name}"))
}

#[test]
fn the_most_exact_intention_decides_and_then_the_default() {
    let entries = r#"{ kind = "service-intentions" name = "*" sources = [{ name = "*" action = "deny" }, { name = "cron" action = "allow" }] },
      { kind = "service-intentions" name = "WEB" sources = [{ name = "api" action = "allow" }, { name = "bad" action = "deny" }] },
      { kind = "service-intentions" name = "db" sources = [{ name = "shop" action = "allow" }] }"#;
    let settings = good("default_intention_policy = \"allow\"", entries);
    let says = |name: &str| service(&settings, "own", name);
    assert_eq!(says("api"), "allowed by the intention api => WEB");
    assert_eq!(says("bad"), "denied by the intention bad => WEB");
    assert_eq!(says("cron"), "allowed by the intention cron => *");
    // What is for db is not for web.
    assert_eq!(says("shop"), "denied by the intention * => *");
    assert!(settings.notes.is_empty(), "{:?}", settings.notes);

    for (policy, decision) in [
        ("", "denied"),
        ("default_intention_policy = \"deny\"", "denied"),
        ("default_intention_policy = \"allow\"", "allowed"),
    ] {
        let settings = good(policy, "");
        let expected = format!("{decision} by default: no intention matches");
        assert_eq!(service(&settings, "own", "api"), expected);
    }
}

#[test]
fn a_source_at_a_peer_has_the_peers_trust_domain() {
    let entries = r#"{ kind = "service-intentions" name = "web" namespace = "default"
       sources = [{ name = "api" peer = "P1" action = "allow" }, { name = "db" action = "allow" }] }"#;
    let settings = good("", entries);
    let allowed = |domain, name| service(&settings, domain, name).starts_with("allowed by");
    assert!(allowed("theirs", "api") && allowed("own", "db"));
    assert!(!allowed("own", "api") && !allowed("theirs", "db"));
}

#[test]
fn permissions_and_tokens_deny_and_are_noted() {
    let entries = r#"{ kind = "service-intentions" name = "web" sources = [
{ name = "api" permissions = [{ action = "allow" http { path_prefix = "/" } }] },
{ name = "bad" action = "deny" }] },
{ kind = "service-intentions" name = "*" jwt { providers = [] } sources = [
{ name = "*" action = "allow" }] }"#;
    let settings = good("default_intention_policy = \"allow\"", entries);
    for name in ["api", "other"] {
        let said = service(&settings, "own", name);
        assert!(said.starts_with("denied by the intention"), "{said}");
        assert!(said.ends_with("count as a deny for tcp"), "{said}");
    }
    let notes: Vec<String> = settings.notes.iter().map(ToString::to_string).collect();
    let why = "permissions and tokens are about requests, and connections are judged here: \
               this source counts as denied";
    assert_eq!(
        notes,
        [
            format!("f:7:1: config_entries.bootstrap[0].sources[0]: {why}"),
            format!("f:10:1: config_entries.bootstrap[1].sources[0]: {why}"),
        ]
    );
}

#[test]
fn namespaces_and_partitions_are_inherited_but_for_wildcards() {
    let entries = r#"{ kind = "service-intentions" name = "web" namespace = "*" sources = [{ name = "api" action = "allow" }] },
      { kind = "service-intentions" name = "*" partition = "ap2" sources = [{ name = "*" action = "allow" }] },
      { kind = "service-intentions" name = "other" sources = [{ name = "*" action = "allow" }] }"#;
    let settings = good("", entries);
    let says = |path: &str| judge(&settings, "own", path);
    assert_eq!(
        says("/ns/default/dc/dc1/svc/api"),
        "allowed by the intention api => */web"
    );
    let denied = "denied by default: no intention matches";
    assert_eq!(says("/ns/shop/dc/dc1/svc/api"), denied);
    assert_eq!(says("/ap/ap2/ns/default/dc/dc1/svc/api"), denied);
    assert_eq!(says("/ns/default/dc/dc1/svc/x"), denied);
}

#[test]
fn what_cannot_be_judged_is_refused_with_its_place() {
    let cases = [
        (
            "name = \"a\" peer = \"p9\" action = \"allow\"",
            "Peer: there is no peer 'p9'; add peer \"p9\" { trust_domain = \"…\" } to lictor { }",
        ),
        (
            "name = \"a\" peer = \"p2\" action = \"allow\"",
            "Peer: the trust domain of peer 'p2' is not known; add it to peer \"p2\" in lictor { }",
        ),
        (
            "name = \"a\" sameness_group = \"g\" action = \"deny\"",
            "SamenessGroup: sameness groups are not read; give a source for each peer and partition of it",
        ),
        (
            "name = \"a\"",
            "Action: a source needs an action, allow or deny",
        ),
        (
            "action = \"deny\"",
            "Name: a source needs a name, or * for all",
        ),
    ];
    for (source, message) in cases {
        let entries = format!(
            "{{ kind = \"service-intentions\" name = \"web\" sources = [\n{{ {source} }}] }}"
        );
        let errors = read("", &entries).expect_err(source).to_string();
        assert_eq!(
            errors,
            format!("f:7:1: config_entries.bootstrap[0].sources[0].{message}")
        );
        // Nobody asks a service that has no sidecar here.
        good("", &entries.replace("\"web\"", "\"db\""));
    }
}
