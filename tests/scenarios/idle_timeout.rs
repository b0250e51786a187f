//! A service's flow that carries nothing for the idle timeout is closed; one that carries a little is
//! not, and the long silent streams of Consul's servers never are.

use std::thread;
use std::time::{Duration, Instant};

use support::backend::Backend;
use support::client::{assert_echo, echoing, ending};
use support::lab::{GatewayFile, sni};

#[test]
fn service_flows_are_closed_and_control_plane_flows_are_not() {
    let (app, server) = (Backend::echo(), Backend::echo());
    let stanza = format!("server \"srv-1\" {{ address = \"{}\" }}", server.address());
    let file = GatewayFile::new("dc1")
        .service("web", &[app.address()])
        .stanza(&stanza);
    let wan = file.registration("meta { \"consul-wan-federation\" = \"1\" }");
    let gateway = wan.timeout("idle = \"600ms\"").start();

    let mut control = echoing(gateway.address(), "srv-1.server.dc1.consul");
    let mut busy = echoing(gateway.address(), &sni("web", "dc1"));
    let started = Instant::now();
    let mut idle = echoing(gateway.address(), &sni("web", "dc1"));
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..20 {
                assert_echo(&mut busy, b".");
                thread::sleep(Duration::from_millis(100));
            }
        });
        ending(&mut idle);
    });
    let lasted = started.elapsed();
    assert!(
        lasted >= Duration::from_millis(590),
        "closed after {lasted:?}"
    );
    gateway.wait_for_refused("idle_timeout", 1);
    assert_echo(&mut control, b"after more than two seconds of silence");
    assert_eq!(server.accepted(), 1);
}

#[test]
fn without_an_idle_timeout_nothing_is_closed() {
    let app = Backend::echo();
    let file = GatewayFile::new("dc1").service("web", &[app.address()]);
    let gateway = file.timeout("idle = \"0s\"").start();
    let mut idle = echoing(gateway.address(), &sni("web", "dc1"));
    thread::sleep(Duration::from_millis(1500));
    assert_echo(&mut idle, b"here");
    assert_eq!(gateway.stats().refused_in_all(), 0.0);
}
