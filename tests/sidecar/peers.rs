//! Two peered clusters, each with a trust domain and roots of its own: web in the west calls api in the
//! east, through the east's gateway or through both, and each knows the other by the other's roots.
//! What one authority says of the other's services is worth nothing.

use std::net::SocketAddr;

use support::backend::Backend;
use support::client::{assert_echo, connect, ending};
use support::lab::{Gateway, GatewayFile, TRUST_DOMAIN as WEST};
use support::openssl::client_with;
use support::pki::{Leaf, Mesh};
use support::sidecar::SidecarFile;

const EAST: &str = "22222222-3333-4444-5555-666666666666.consul";
/// What the east exports is asked for by the east's name for the west.
const NAME: &str = "api.default.default.west.external.22222222-3333-4444-5555-666666666666.consul";

const EXPORTED: &str = "{ kind = \"exported-services\" name = \"default\" \
     services = [{ name = \"api\" consumers = [{ peer = \"west\" }] }] }";
const FROM_WEST: &str = "{ name = \"web\" peer = \"west\" action = \"allow\" }";

struct Clusters {
    west: Mesh,
    east: Mesh,
    app: Backend,
}

impl Clusters {
    fn new() -> Self {
        Self {
            west: Mesh::new(WEST),
            east: Mesh::new(EAST),
            app: Backend::echo(),
        }
    }

    /// The sidecar of api in the east, which knows the west by these roots.
    fn api(&self, west: &Mesh) -> SidecarFile {
        let roots = west.root();
        SidecarFile::new(&self.east, "api", "dc9", self.app.address()).stanza(&format!(
            "peer \"west\" {{ trust_domain = \"{WEST}\" roots = [\"{}\"] }}",
            roots.display()
        ))
    }

    /// The sidecar of web in the west, which reaches api at this gateway of the east.
    fn web(&self, gateway: SocketAddr, mode: &str) -> SidecarFile {
        SidecarFile::new(&self.west, "web", "dc1", self.app.address())
            .upstream_of_peer("api", "east", mode)
            .stanza(&self.peer_east(gateway, true))
    }

    fn peer_east(&self, gateway: SocketAddr, roots: bool) -> String {
        let roots = match roots {
            true => format!("roots = [\"{}\"]", self.east.root().display()),
            false => String::new(),
        };
        format!(
            "peer \"east\" {{ trust_domain = \"{EAST}\" {roots} datacenter = \"dc9\"
               name_there = \"west\" gateways = [\"{gateway}\"] service \"api\" {{ }} }}"
        )
    }
}

/// The gateway of the east, before api.
fn east_gateway(api: SocketAddr) -> Gateway {
    let file = GatewayFile::new("dc9").trust_domain(EAST);
    file.stanza(&format!(
        "service \"api\" {{ endpoints = [\"{api}\"] exported_to = [\"west\"] }}"
    ))
    .log("access = true")
    .start()
}

fn api_lets_web_in(clusters: &Clusters) -> Gateway {
    let api = clusters.api(&clusters.west).entry(EXPORTED);
    api.intentions("api", &[FROM_WEST]).start()
}

#[test]
fn a_peers_service_is_reached_through_the_gateways_of_either_side() {
    let clusters = Clusters::new();
    let api = api_lets_web_in(&clusters);
    let east = east_gateway(api.listener("public_listener"));
    let west = GatewayFile::new("dc1").stanza(&clusters.peer_east(east.address(), false));
    let west = west.log("access = true").start();
    for mode in ["none", "remote", "local"] {
        let web = clusters.web(east.address(), mode);
        let web = web.stanza(&format!("gateways = [\"{}\"]", west.address()));
        let web = web.start();
        let mark = east.lictor.log.mark();
        let mut client = connect(web.listener("api?peer=east"));
        assert_echo(&mut client, b"from the west");
        let passed = east.lictor.log.event_after(mark, "opened", |_| true);
        assert_eq!(passed.field("sni"), NAME, "{mode}");
        let through_west = west.lictor.log.events("opened").len();
        assert_eq!(through_west, usize::from(mode == "local"), "{mode}");
        assert_eq!(web.stats().refused_in_all(), 0.0);
    }
    assert_eq!(api.stats().refused_in_all(), 0.0);
}

/// A client with this leaf is refused by api for this cause, and the log says why.
fn refused(api: &Gateway, leaf: &Leaf, trusts: &Mesh, cause: &str, because: &str) {
    let (before, mark) = (api.stats().refused(cause), api.lictor.log.mark());
    let public = api.listener("public_listener");
    let output = client_with(&[], trusts, Some(leaf), public, NAME, b"hello");
    assert_eq!(output.stdout, b"", "it was answered");
    api.wait_for_refused(cause, before as u32 + 1);
    let event = api.lictor.log.event_after(mark, "refused", |_| true);
    let detail = event.field("detail");
    assert!(detail.contains(because), "{because}: {detail}");
}

#[test]
fn a_peer_may_call_what_is_exported_to_it_as_far_as_intentions_let_it() {
    let clusters = Clusters::new();
    let Clusters { west, east, app } = &clusters;
    let web = west.leaf("web", "dc1");
    let own = "{ name = \"web\" action = \"allow\" }";
    let all = "{ name = \"*\" action = \"allow\" }";

    // Not exported: nobody there is known at all, whatever the intentions.
    let api = clusters.api(west).intentions("api", &[FROM_WEST]).start();
    refused(&api, &web, east, "tls_handshake", "is for trust domain");

    // Exported: one's own web is not the peer's, and all of one's own is not all of the peer's.
    let api = clusters.api(west).entry(EXPORTED);
    let api = api
        .intentions("api", &[own])
        .intentions("*", &[all])
        .start();
    refused(&api, &web, east, "intention_denied", WEST);
    let mut client = SidecarFile::new(east, "web", "dc9", app.address()).upstream("api", None);
    client = client.instances("api", &[api.listener("public_listener")]);
    let client = client.start();
    assert_echo(&mut connect(client.listener("api")), b"the east's own");

    // Let in by name: another service there is not.
    let api = api_lets_web_in(&clusters);
    refused(
        &api,
        &west.leaf("cron", "dc1"),
        east,
        "intention_denied",
        "cron",
    );
}

#[test]
fn an_authority_vouches_for_its_own_trust_domain_alone() {
    let clusters = Clusters::new();
    let Clusters { east, .. } = &clusters;
    // The west's authority has issued a leaf that says it is the east's own web.
    let west_as_east = Mesh::new(EAST);
    let all = "{ name = \"*\" action = \"allow\" }";
    let api = clusters.api(&west_as_east).entry(EXPORTED);
    let api = api.intentions("api", &[all, FROM_WEST]).start();
    let because = "was not issued by a root that we know of trust domain";
    refused(
        &api,
        &west_as_east.leaf("web", "dc9"),
        east,
        "tls_handshake",
        because,
    );
    // And the east's authority one that says it is the west's.
    let east_as_west = Mesh::new(WEST);
    let api = api_lets_web_in(&clusters);
    refused(
        &api,
        &east_as_west.leaf("web", "dc1"),
        east,
        "tls_handshake",
        because,
    );
}

/// Web's call is not made when who answers for the peer's api shows this leaf.
fn not_called(clusters: &Clusters, mesh: &Mesh, leaf: &Leaf, because: &str) {
    let server = support::openssl::Server::start(mesh, leaf, support::openssl::Serves::Output);
    let web = clusters.web(server.address(), "remote").start();
    let (_, bytes) = ending(&mut connect(web.listener("api?peer=east")));
    assert_eq!(bytes, b"");
    web.wait_for_refused("upstream_tls", 1);
    let event = web.lictor.log.wait_for("refused");
    assert!(event.field("detail").contains(because), "{event:?}");
}

#[test]
fn who_answers_must_be_the_peers_service_by_the_peers_roots() {
    let clusters = Clusters::new();
    let Clusters { west, east, .. } = &clusters;
    not_called(
        &clusters,
        west,
        &west.leaf("api", "dc9"),
        "was not issued by",
    );
    not_called(
        &clusters,
        east,
        &east.leaf("db", "dc9"),
        "is that of spiffe://2",
    );
    not_called(
        &clusters,
        east,
        &east.leaf("api", "dc1"),
        "is that of spiffe://2",
    );
    // Of the right name, by another authority.
    let other = Mesh::new(EAST);
    not_called(
        &clusters,
        &other,
        &other.leaf("api", "dc9"),
        "was not issued by",
    );
}

#[test]
fn roots_of_a_peer_that_are_taken_away_cut_its_callers_and_no_others() {
    let clusters = Clusters::new();
    let Clusters { east, app, .. } = &clusters;
    let own = "{ name = \"cron\" action = \"allow\" }";
    let file = clusters.api(&clusters.west).entry(EXPORTED);
    let file = file.intentions("api", &[FROM_WEST, own]);
    let api = file.start();
    let public = api.listener("public_listener");
    let gateway = east_gateway(public);
    let web = clusters.web(gateway.address(), "remote").start();
    let cron = SidecarFile::new(east, "cron", "dc9", app.address()).upstream("api", None);
    let cron = cron.instances("api", &[public]).start();
    let mut from_web = connect(web.listener("api?peer=east"));
    let mut from_cron = connect(cron.listener("api"));
    assert_echo(&mut from_web, b"hello");
    assert_echo(&mut from_cron, b"hello");
    let text = file.to_string();
    let without = text.replace(
        EXPORTED,
        "{ kind = \"exported-services\" name = \"default\" }",
    );
    assert_ne!(text, without);
    api.lictor.rewrite(&without);
    assert_eq!(ending(&mut from_web).1, b"");
    api.wait_for_refused("trust_removed", 1);
    assert_echo(&mut from_cron, b"lives on");
}
