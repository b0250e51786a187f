//! Services of peered clusters as upstreams, and callers from there.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use config::{Errors, Format, Material, Settings, Source, parse};
use plan::mesh::Via;
use plan::spiffe::SpiffeId;

const CERTIFICATE: &str = "\"-----BEGIN CERTIFICATE-----\\nAA==\\n-----END CERTIFICATE-----\"";
const KEY: &str = "\"-----BEGIN PRIVATE KEY-----\\nAA==\\n-----END PRIVATE KEY-----\"";

fn read(text: &str) -> Result<Settings, Errors> {
    parse(&[Source {
        name: "f",
        text,
        format: Format::Hcl,
    }])
}

/// A sidecar of web that calls billing of peer east, with this in the stanza of that peer.
fn calls(upstream: &str, peer: &str) -> Settings {
    with(
        upstream,
        &format!("peer \"east\" {{ gateways = [\"198.18.0.9:443\"] {peer} }}"),
    )
}

fn with(upstream: &str, stanza: &str) -> Settings {
    read(&format!(
        "service {{ name = \"web\" port = 8080 connect {{ sidecar_service {{ proxy {{ upstreams = [{{
           destination_name = \"billing\" destination_peer = \"East\" local_bind_port = 9191 {upstream} }}] }} }} }} }}
         lictor {{ datacenter = \"dc1\" trust_domain = \"a.consul\" roots = {CERTIFICATE}
           gateways = [\"10.0.0.9:8443\"]
           identity \"web\" {{ certificate = {CERTIFICATE} key = {KEY} }} {stanza} }}"
    ))
    .unwrap_or_else(|errors| panic!("{errors}"))
}

fn whole() -> String {
    format!(
        "trust_domain = \"B.consul\" roots = {CERTIFICATE} datacenter = \"dc9\" name_there = \"west\"
         service \"billing\" {{ }}"
    )
}

#[test]
fn a_peers_service_is_dialed_at_gateways_by_its_own_names() {
    for (upstream, via, dialed) in [
        ("", Via::RemoteGateway, "198.18.0.9:443"),
        (
            "mesh_gateway { mode = \"none\" }",
            Via::RemoteGateway,
            "198.18.0.9:443",
        ),
        (
            "mesh_gateway { mode = \"local\" }",
            Via::LocalGateway,
            "10.0.0.9:8443",
        ),
    ] {
        let settings = calls(upstream, &whole());
        assert!(settings.not_run.is_empty(), "{:?}", settings.not_run);
        assert!(settings.notes.is_empty(), "{:?}", settings.notes);
        let sidecar = &settings.sidecar_registrations[0];
        let made = &sidecar.upstreams[0];
        assert_eq!(made.name, "billing?peer=east");
        let target = made.chain.targets().next().expect("a target");
        assert_eq!((target.peer.as_deref(), target.via), (Some("east"), via));
        let plan = plan::sidecar::plan(sidecar, &settings.mesh);
        let cluster = plan.clusters.iter().find(|it| it.tls.is_some());
        let cluster = cluster.expect("a cluster with TLS");
        assert_eq!(cluster.endpoints[0].address.to_string(), dialed);
        let tls = cluster.tls.as_ref().expect("TLS");
        assert_eq!(
            tls.server_name,
            "billing.default.default.west.external.b.consul"
        );
        assert_eq!(tls.trust, "b.consul");
        let id = SpiffeId::parse(&tls.accepted[0]).expect("a SPIFFE ID");
        assert_eq!(
            id.to_string(),
            "spiffe://b.consul/ns/default/dc/dc9/svc/billing"
        );
        assert_eq!(tls.accepted.len(), 1);
    }
}

#[test]
fn what_the_peers_stanza_lacks_is_said() {
    let names = "trust_domain = \"b.consul\" name_there = \"west\"";
    let roots = format!("roots = {CERTIFICATE}");
    for (peer, why) in [
        (
            names.to_owned(),
            "peer \"East\" in lictor { } has no service \"billing\"; add it there",
        ),
        (
            format!("{names} {roots} service \"billing\" {{ }}"),
            "peer \"East\" in lictor { } lacks its datacenter, which is part of its services' identities",
        ),
        (
            format!("{names} datacenter = \"dc9\" service \"billing\" {{ }}"),
            "peer \"East\" in lictor { } lacks its roots, by which its services are known",
        ),
    ] {
        let settings = calls("", &peer);
        assert!(settings.sidecar_registrations.is_empty());
        let [said] = settings.not_run.as_slice() else {
            panic!("{:?}", settings.not_run)
        };
        assert!(said.why.ends_with(why), "{said}");
        assert!(said.key.ends_with("destination_peer"), "{said}");
    }
}

#[test]
fn a_peer_without_gateways_is_noted() {
    let settings = with("", &format!("peer \"east\" {{ {} }}", whole()));
    let said: Vec<String> = settings.notes.iter().map(ToString::to_string).collect();
    assert!(
        said[0].contains("peer \"east\" in lictor { } has no gateways"),
        "{said:?}"
    );
}

#[test]
fn roots_of_peers_are_theirs_alone() {
    let settings = calls("", &whole());
    let domains = settings.mesh.trust.iter();
    let domains: Vec<&str> = domains.map(|it| it.trust_domain.as_str()).collect();
    assert_eq!(domains, ["a.consul", "b.consul"]);
    let known = &settings.origins;
    assert!(
        known
            .iter()
            .any(|it| it.material == Material::Roots("b.consul".to_owned())
                && it.place.key.contains("east"))
    );
    for (peer, why) in [
        (
            "trust_domain = \"A.consul\"",
            "the peer's trust domain is the own one",
        ),
        ("", "roots of which trust domain?"),
    ] {
        let text = format!(
            "lictor {{ trust_domain = \"a.consul\" peer \"east\" {{ {peer} roots = {CERTIFICATE} }} }}"
        );
        let errors = read(&text).expect_err(why).to_string();
        assert!(errors.contains(why), "{errors}");
    }
}

/// The trust domains whose callers may come in.
fn callers(entries: &str, stanza: &str) -> (Vec<String>, Vec<String>) {
    let settings = read(&format!(
        "service {{ name = \"api\" port = 8080 connect {{ sidecar_service {{ }} }} }}
         lictor {{ datacenter = \"dc1\" trust_domain = \"a.consul\" roots = {CERTIFICATE}
           identity \"api\" {{ certificate = {CERTIFICATE} key = {KEY} }}
           peer \"east\" {{ trust_domain = \"b.consul\" roots = {CERTIFICATE} }}
           peer \"north\" {{ trust_domain = \"c.consul\" roots = {CERTIFICATE} }}
           peer \"bare\" {{ trust_domain = \"d.consul\" }} {stanza} }}
         config_entries {{ bootstrap = [{entries}] }}"
    ))
    .unwrap_or_else(|errors| panic!("{errors}"));
    let plan = plan::sidecar::plan(&settings.sidecar_registrations[0], &settings.mesh);
    let tls = plan.listeners[0].chains[0].tls.clone().expect("TLS");
    (
        tls.trust,
        settings.notes.iter().map(ToString::to_string).collect(),
    )
}

#[test]
fn callers_come_from_the_peers_that_the_service_is_exported_to() {
    let exported = |consumer: &str| {
        format!(
            "{{ kind = \"exported-services\" name = \"default\" services = [{{ name = \"api\" consumers = [{{ peer = \"{consumer}\" }}] }}] }}"
        )
    };
    assert_eq!(callers("", "").0, ["a.consul"]);
    assert_eq!(callers(&exported("East"), "").0, ["a.consul", "b.consul"]);
    let stanza = "service \"api\" { endpoints = [\"10.0.0.1:21000\"] exported_to = [\"north\"] }";
    assert_eq!(callers("", stanza).0, ["a.consul", "c.consul"]);
    let (trusted, notes) = callers(&exported("bare"), "");
    assert_eq!(trusted, ["a.consul"]);
    assert!(
        notes[0].contains("whose roots lictor { } does not have"),
        "{notes:?}"
    );
}
