//! An instance that fails again and again is left out for a while, and an upstream takes no more
//! connections than it may, made or being made.

use std::net::Ipv4Addr;

use support::backend::{Backend, Holder};
use support::client::{assert_echo, connect, ending};
use support::instances::{Door, Instance, ask};
use support::lab::TRUST_DOMAIN;
use support::pki::Mesh;
use support::sidecar::SidecarFile;
use support::wait;

/// A sidecar of web whose upstreams have these settings.
fn web(mesh: &Mesh, settings: &str) -> SidecarFile {
    let file = SidecarFile::new(mesh, "web", "dc1", ([127, 0, 0, 1], 9).into());
    file.upstream("api", None).entry(&format!(
        "{{ kind = \"service-defaults\" name = \"web\" upstream_config {{ defaults {{ {settings} }} }} }}"
    ))
}

#[test]
fn an_instance_that_fails_in_a_row_is_left_out_and_returns() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let [one, two] = ["one", "two"].map(|name| Instance::start(&mesh, "api", name));
    let mut door = Door::open(Ipv4Addr::new(127, 77, 4, 1), two.address());
    let file = web(
        &mesh,
        "passive_health_check { max_failures = 3 base_ejection_time = \"5s\" }",
    );
    let file = file.instances("api", &[one.address(), door.address()]);
    let web = file.start();
    let address = web.listener("api");
    let failures = || web.stats().value("lictor_connect_failures_total");
    door.shut();
    // Every second one is tried there first; no client notices.
    while failures() < 3.0 {
        assert_eq!(ask(address), "one");
    }
    let ejected = web.lictor.log.wait_for("endpoint_ejected");
    assert_eq!(ejected.field("endpoint"), door.address().to_string());
    assert_eq!(ejected.field("seconds").split('.').next(), Some("5"));
    for _ in 0..10 {
        assert_eq!(ask(address), "one");
    }
    // On a machine so slow that it has returned meanwhile it may have been tried again.
    let failed = failures();
    let returned = web.lictor.log.events("endpoint_returned");
    assert!(
        failed == 3.0 || !returned.is_empty(),
        "it was tried although it is left out"
    );
    door.reopen();
    wait::until_true("the other is back", || ask(address) == "two");
    web.lictor.log.wait_for("endpoint_returned");
    assert!(web.stats().value("lictor_endpoint_ejections_total") >= 1.0);
    assert_eq!(web.stats().refused_in_all(), 0.0);
}

#[test]
fn no_client_notices_an_instance_that_closes_in_the_middle_of_tls_while_there_is_another() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let one = Instance::start(&mesh, "api", "one");
    // As a gateway does that knows no way to the service.
    let closes = Backend::start(drop);
    let file = web(
        &mesh,
        "passive_health_check { max_failures = 0 enforcing_consecutive_5xx = 0 }",
    );
    let web = file
        .instances("api", &[closes.address(), one.address()])
        .start();
    for _ in 0..6 {
        assert_eq!(ask(web.listener("api")), "one");
    }
    assert!(closes.accepted() >= 3, "in turn");
    assert_eq!(web.stats().refused_in_all(), 0.0);
}

#[test]
fn no_more_connections_are_made_than_may_be() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let app = Backend::echo();
    let api = SidecarFile::new(&mesh, "api", "dc1", app.address());
    let api = api.allows("web").start();
    let file = web(&mesh, "limits { max_connections = 1 }");
    let web = file
        .instances("api", &[api.listener("public_listener")])
        .start();
    let mut first = connect(web.listener("api"));
    assert_echo(&mut first, b"hello");
    assert_eq!(ending(&mut connect(web.listener("api"))).1, b"");
    web.wait_for_refused("cluster_limit", 1);
    let event = web.lictor.log.wait_for("refused");
    let detail = event.field("detail");
    assert!(detail.contains("may have 1 connections"), "{detail}");
    drop(first);
    web.wait_for_active(0);
    assert_echo(&mut connect(web.listener("api")), b"again");
}

#[test]
fn no_more_connections_wait_to_be_made_than_may_and_those_made_do_not_count() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let app = Backend::echo();
    let api = SidecarFile::new(&mesh, "api", "dc1", app.address());
    let api = api.allows("web").start();
    let file = web(&mesh, "limits { max_pending_requests = 1 }");
    let good = file
        .clone()
        .instances("api", &[api.listener("public_listener")])
        .start();
    let mut flows = Vec::new();
    for _ in 0..3 {
        let mut stream = connect(good.listener("api"));
        assert_echo(&mut stream, b"hello");
        flows.push(stream);
    }
    assert_eq!(good.stats().refused_in_all(), 0.0);
    // It takes connections and says nothing, so that TLS is never set up.
    let silent = Holder::start();
    let web = file.instances("api", &[silent.address()]).start();
    let _waits = connect(web.listener("api"));
    wait::until_true("the first waits", || silent.held() == 1);
    assert_eq!(ending(&mut connect(web.listener("api"))).1, b"");
    web.wait_for_refused("pending_limit", 1);
}
