//! lictor and real Envoy are each other's sidecars: either calls, either lets in by SPIFFE ID,
//! directly and through lictor's gateways.

use std::io::Write;

use support::client::{connect, ending, greet};
use support::envoy_sidecar::{inbound, outbound};
use support::lab::{GatewayFile, TRUST_DOMAIN, sni};
use support::pattern::{Exchanger, Pattern, exchange_then_finish};
use support::pki::Mesh;
use support::sidecar::SidecarFile;

const LENGTH: u64 = 16 << 20;

/// Not with each direction's end for itself: Envoy 1.40 drops what it still has to write to a slow
/// service once both sides have finished, and that is not what these tests are about.
fn bulk() -> Exchanger {
    Exchanger::finishing_last_at(([127, 0, 0, 1], 0), Pattern(2), Pattern(1), LENGTH)
}

fn transfer(upstream: std::net::SocketAddr, app: &Exchanger) {
    // The second one resumes the first one's session, where Envoy does that.
    for _ in 0..2 {
        let stream = greet(upstream, "the app's own business");
        exchange_then_finish(&stream, Pattern(1), Pattern(2), LENGTH).unwrap();
        app.wait_for(1);
    }
}

/// Only callers of this service, in any datacenter, as Consul writes it into RBAC.
fn only(service: &str) -> String {
    format!("^spiffe://{TRUST_DOMAIN}/ns/default/dc/[^/]+/svc/{service}$").replace('.', "[.]")
}

#[test]
fn lictor_calls_and_envoy_lets_in_whom_it_should() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let app = bulk();
    let api = inbound(
        &mesh.root(),
        &mesh.leaf("api", "dc1"),
        app.address(),
        &only("web"),
    );
    let caller = |service: &str| {
        let file = SidecarFile::new(&mesh, service, "dc1", app.address());
        let file = file.upstream("api", None);
        file.instances("api", &[api.address()]).start()
    };
    let (web, cron) = (caller("web"), caller("cron"));
    transfer(web.listener("api"), &app);
    let mut denied = connect(cron.listener("api"));
    denied.write_all(b"hello\n").unwrap();
    assert_eq!(ending(&mut denied).1, b"");
    assert_eq!(web.stats().refused_in_all(), 0.0);
}

#[test]
fn envoy_calls_and_lictor_lets_in_whom_it_should() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let app = bulk();
    let api = SidecarFile::new(&mesh, "api", "dc1", app.address()).allows("web");
    let api = api.start();
    let caller = |service: &str| {
        let (leaf, wants) = (mesh.leaf(service, "dc1"), mesh.spiffe_id("api", "dc1"));
        let public = api.listener("public_listener");
        outbound(&mesh.root(), &leaf, public, &sni("api", "dc1"), &wants)
    };
    let (web, cron) = (caller("web"), caller("cron"));
    transfer(web.address(), &app);
    let mut denied = connect(cron.address());
    denied.write_all(b"hello\n").unwrap();
    assert_eq!(ending(&mut denied).1, b"");
    api.wait_for_refused("intention_denied", 1);
}

#[test]
fn envoy_does_not_talk_to_a_lictor_of_another_service() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let app = bulk();
    let db = SidecarFile::new(&mesh, "db", "dc1", app.address()).allows("*");
    let db = db.start();
    let (leaf, wants) = (mesh.leaf("web", "dc1"), mesh.spiffe_id("api", "dc1"));
    let public = db.listener("public_listener");
    let web = outbound(&mesh.root(), &leaf, public, &sni("api", "dc1"), &wants);
    let mut client = connect(web.address());
    client.write_all(b"hello\n").unwrap();
    assert_eq!(ending(&mut client).1, b"");
    db.wait_for_refused("tls_handshake", 1);
}

#[test]
fn envoy_calls_lictor_through_the_gateways_of_two_datacenters_and_back() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let app = bulk();
    let api = SidecarFile::new(&mesh, "api", "dc2", app.address()).allows("web");
    let api = api.start();
    let db = inbound(
        &mesh.root(),
        &mesh.leaf("db", "dc2"),
        app.address(),
        &only("web"),
    );
    let dc2 = GatewayFile::new("dc2").service("api", &[api.listener("public_listener")]);
    let dc2 = dc2.service("db", &[db.address()]).start();
    let dc1 = GatewayFile::new("dc1").datacenter("dc2", &[dc2.address()]);
    let dc1 = dc1.start();

    let (leaf, wants) = (mesh.leaf("web", "dc1"), mesh.spiffe_id("api", "dc2"));
    let envoy = outbound(
        &mesh.root(),
        &leaf,
        dc1.address(),
        &sni("api", "dc2"),
        &wants,
    );
    transfer(envoy.address(), &app);

    let lictor = SidecarFile::new(&mesh, "web", "dc1", app.address())
        .upstream("db", Some(("dc2", "local")))
        .stanza(&format!("gateways = [\"{}\"]", dc1.address()))
        .stanza("datacenter \"dc2\" { }")
        .start();
    transfer(lictor.listener("db?dc=dc2"), &app);
}
