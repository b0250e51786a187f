//! `max_inbound_connections` holds, and an idle flow with TLS costs little.

use support::backend::{Backend, Holder};
use support::budget::budget;
use support::client::{assert_echo, connect, ending};
use support::lab::TRUST_DOMAIN;
use support::openssl::client_with;
use support::pki::Mesh;
use support::process::many_descriptors;
use support::sidecar::SidecarFile;
use support::wait;

/// User memory that one more idle flow may take, in bytes, in both sidecars together.
const PER_IDLE_FLOW: u64 = 16 * 1024;

#[test]
fn no_more_connections_come_in_than_may_and_a_place_is_free_again_after_one() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let app = Backend::echo();
    let api = SidecarFile::new(&mesh, "api", "dc1", app.address()).allows("web");
    let api = api.config("max_inbound_connections = 2").start();
    let public = api.listener("public_listener");
    let web = SidecarFile::new(&mesh, "web", "dc1", app.address()).upstream("api", None);
    let web = web.instances("api", &[public]).start();
    let flow = || {
        let mut stream = connect(web.listener("api"));
        assert_echo(&mut stream, b"hello");
        stream
    };
    let (first, mut second) = (flow(), flow());
    let refused = |count: u32| {
        assert_eq!(ending(&mut connect(web.listener("api"))).1, b"");
        api.wait_for_refused("inbound_limit", count);
    };
    refused(1);
    refused(2);
    assert_echo(&mut second, b"lives on");
    drop(first);
    api.wait_for_active(1);
    let _third = flow();
    refused(3);
    // A client that is refused for its certificate gives its place back.
    drop(second);
    api.wait_for_active(1);
    for _ in 0..3 {
        client_with(&[], &mesh, None, public, "api.test", b"hello");
    }
    api.wait_for_active(1);
    flow();
    assert_eq!(api.stats().refused("inbound_limit"), 3.0);
}

#[test]
fn a_sidecar_with_fifty_upstreams_keeps_to_its_memory() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let app = Backend::echo();
    let mut web = SidecarFile::new(&mesh, "web", "dc1", app.address());
    for number in 0..50 {
        let name = format!("other-{number}");
        let endpoints = [app.address()];
        web = web.upstream(&name, None).instances(&name, &endpoints);
    }
    let web = web.start();
    let rss = web.lictor.proc().rss() / 1024;
    println!("idle, with fifty upstreams: {rss} KiB resident");
    let most = budget("x86_64-unknown-linux-gnu", "sidecar_idle_rss_kib");
    assert!(rss <= most, "{rss} KiB resident");
}

#[test]
fn an_idle_flow_takes_sixteen_kibibytes_at_most_in_both_sidecars() {
    let _guard = many_descriptors();
    const FLOWS: usize = 1000;
    let mesh = Mesh::new(TRUST_DOMAIN);
    let holder = Holder::start();
    let api = SidecarFile::new(&mesh, "api", "dc1", holder.address()).allows("web");
    let api = api.start();
    let web = SidecarFile::new(&mesh, "web", "dc1", holder.address()).upstream("api", None);
    let web = web.instances("api", &[api.listener("public_listener")]);
    let web = web.start();
    let address = web.listener("api");
    let open = |count: usize| -> Vec<_> { (0..count).map(|_| connect(address)).collect() };
    // The first flows also pay for what all share. A few at a time: a handshake takes time.
    let mut clients = open(50);
    wait::until_true("the first flows", || holder.held() == clients.len());
    let anon = || [&web, &api].map(|side| side.lictor.proc().rss_anon());
    let before = anon();
    while clients.len() < FLOWS + 50 {
        clients.extend(open(50));
        wait::until_true("all flows", || holder.held() == clients.len());
    }
    for side in [&web, &api] {
        side.wait_for_active(clients.len() as u32);
    }
    let grown = anon().into_iter().zip(before);
    let each: Vec<u64> = grown
        .map(|(now, before)| now.saturating_sub(before) / FLOWS as u64)
        .collect();
    println!(
        "an idle flow: {} bytes in the calling sidecar, {} in the called one",
        each[0], each[1]
    );
    assert!(each.iter().sum::<u64>() <= PER_IDLE_FLOW, "{each:?} bytes");
    assert_eq!(api.stats().refused_in_all(), 0.0);
}
