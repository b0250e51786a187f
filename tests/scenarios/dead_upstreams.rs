//! An endpoint that refuses, or answers nothing, is passed over for the next one; when none is left,
//! the client is told by a close, the metrics by a cause, the operator by the log.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use support::backend::{Backend, BlackHole, Refusing};
use support::client::{assert_refused, echoing, greet};
use support::lab::{GatewayFile, sni};

#[test]
fn endpoints_that_refuse_are_passed_over() {
    let (bad, app) = (Refusing::new(), Backend::echo());
    let file = GatewayFile::new("dc1").service("web", &[bad.address(), app.address()]);
    let gateway = file.start();
    for _ in 0..10 {
        echoing(gateway.address(), &sni("web", "dc1"));
    }
    assert_eq!(app.accepted(), 10);
    let stats = gateway.stats();
    assert_eq!(stats.refused_in_all(), 0.0);
    assert!(stats.value("lictor_connect_failures_total") >= 1.0);
}

#[test]
fn with_no_endpoint_left_the_client_is_closed_and_the_failure_told() {
    let (one, other) = (Refusing::new(), Refusing::new());
    let file = GatewayFile::new("dc1").service("web", &[one.address(), other.address()]);
    let gateway = file.start();
    assert_refused(&mut greet(gateway.address(), &sni("web", "dc1")));
    gateway.wait_for_refused("connect_failed", 1);
    assert_eq!(gateway.stats().value("lictor_connect_failures_total"), 2.0);
    let event = gateway.lictor.log.wait_for("refused");
    assert_eq!(event.field("cause"), "connect_failed");
    assert_eq!(event.field("sni"), sni("web", "dc1"));
}

#[test]
fn an_endpoint_that_answers_nothing_is_passed_over_within_the_connect_timeout() {
    let (hole, app) = (BlackHole::at(Ipv4Addr::LOCALHOST.into()), Backend::echo());
    let file = GatewayFile::new("dc1").service("web", &[hole.address(), app.address()]);
    let gateway = file.timeout("connect = \"4s\"").start();
    // Whichever comes first, one of two connections starts with the silent endpoint.
    for _ in 0..2 {
        let started = Instant::now();
        echoing(gateway.address(), &sni("web", "dc1"));
        assert!(
            started.elapsed() < Duration::from_secs(4),
            "{:?}",
            started.elapsed()
        );
    }
    assert_eq!(app.accepted(), 2);
    assert_eq!(gateway.stats().refused_in_all(), 0.0);
}

#[test]
fn with_only_silent_endpoints_the_client_is_closed_after_the_connect_timeout() {
    let hole = BlackHole::at(Ipv4Addr::LOCALHOST.into());
    let file = GatewayFile::new("dc1").service("web", &[hole.address()]);
    let gateway = file.timeout("connect = \"700ms\"").start();
    let started = Instant::now();
    assert_refused(&mut greet(gateway.address(), &sni("web", "dc1")));
    let lasted = started.elapsed();
    let allowed = Duration::from_millis(650)..Duration::from_millis(2500);
    assert!(
        allowed.contains(&lasted),
        "closed after {lasted:?}, not after 700 ms"
    );
    gateway.wait_for_refused("connect_timeout", 1);
}

#[test]
fn a_service_without_endpoints_is_refused_under_its_own_cause() {
    let none: [&str; 0] = [];
    let gateway = GatewayFile::new("dc1").service("web", &none).start();
    assert_refused(&mut greet(gateway.address(), &sni("web", "dc1")));
    gateway.wait_for_refused("no_endpoints", 1);
}

#[test]
fn connections_are_spread_over_the_endpoints() {
    let apps = [Backend::echo(), Backend::echo(), Backend::echo()];
    let addresses = apps.each_ref().map(Backend::address);
    let gateway = GatewayFile::new("dc1").service("web", &addresses).start();
    for _ in 0..12 {
        echoing(gateway.address(), &sni("web", "dc1"));
    }
    assert_eq!(apps.each_ref().map(Backend::accepted), [4, 4, 4]);
}
