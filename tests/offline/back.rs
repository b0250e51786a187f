//! Consul is gone at the start, and comes back: what is remembered serves at once, and is left without cutting anything.

use std::net::{SocketAddr, TcpStream};

use support::backend::Backend;
use support::client::{echoes, ending, try_echo, try_echoing};
use support::clock::WrongClock;
use support::lab::Gateway;
use support::wait::until;

use crate::edge::{Edge, Gone, Node};

const HOUR: i64 = 3600;

/// What is said of something that runs from memory, and was learned some hours ago.
fn assert_says_how_old(lictor: &Gateway, hours: i64) {
    let recalled = lictor.lictor.log.wait_for("recalled");
    let age = recalled.field("age");
    assert!(age.starts_with(&format!("{hours}h")), "{recalled:?}");
    let stats = lictor.stats();
    assert!(stats.value("lictor_plan_stale") > 0.5);
    let seconds = f64::from(i32::try_from(hours * HOUR).unwrap());
    let age = stats.value("lictor_plan_age_seconds");
    assert!((seconds..seconds + 3600.0).contains(&age), "{age}");
    let (_, status) = lictor.admin().get("/status");
    assert!(
        status.contains(&format!("from memory, {hours}h")),
        "{status}"
    );
    lictor.lictor.log.wait_for("on_its_own");
}

/// Waits until all is as Consul says it again.
fn wait_for_live(lictor: &Gateway) {
    until("what is live", || {
        let stats = lictor.stats();
        let lost = stats.value("lictor_consul_lost_seconds");
        (stats.value("lictor_plan_stale") < 0.5 && lost < 0.5).then_some(())
    });
    let (_, status) = lictor.admin().get("/status");
    assert!(
        status.contains("plan        as its source says"),
        "{status}"
    );
    assert!(status.contains("consul      answers"), "{status}");
}

/// Runs it until it remembers, and takes its power.
fn run_once(node: &Node, clock: &WrongClock, works: impl Fn() -> Option<TcpStream>) {
    let lictor = node.start(clock);
    drop(until("a first connection", works));
    lictor.lictor.log.wait_for("remembered");
}

/// A service with a sidecar of its own that Consul configures.
fn service(edge: &Edge, name: &str, app: &Backend) -> (Node, SocketAddr) {
    let sidecar = edge.address();
    edge.register(name, app.address(), sidecar, &[]);
    (edge.node(&["--sidecar-for", &format!("{name}-1")]), sidecar)
}

#[test]
fn a_sidecar_serves_at_once_without_its_agent_and_goes_over_with_its_connections() {
    Edge::with(Gone::Agent, a_sidecar_serves_and_goes_over);
}

#[test]
fn a_sidecar_serves_at_once_without_servers_and_goes_over_with_its_connections() {
    Edge::with(Gone::Servers, a_sidecar_serves_and_goes_over);
}

#[test]
fn a_sidecar_serves_at_once_without_the_link_and_goes_over_with_its_connections() {
    Edge::with(Gone::Link, a_sidecar_serves_and_goes_over);
}

fn a_sidecar_serves_and_goes_over(mut edge: Edge) {
    let (api, db) = (Backend::echo(), Backend::echo());
    let right = WrongClock::by(0);
    let (api_node, _) = service(&edge, "api", &api);
    let (db_node, _) = service(&edge, "db", &db);
    let peers = [api_node.start(&right), db_node.start(&right)];
    let (to_api, to_db) = (edge.address(), edge.address());
    let upstreams = [("api", to_api), ("db", to_db)];
    let public = edge.address();
    edge.register("web", api.address(), public, &upstreams);
    let node = edge.node(&["--sidecar-for", "web-1"]);
    let clock = right.another();
    run_once(&node, &clock, || {
        try_echo(to_api).and_then(|_| try_echo(to_db))
    });

    edge.cut();
    clock.set(5 * HOUR);
    let web = node.start(&clock);
    let mut kept = try_echo(to_api).expect("it serves at once");
    let mut lost = try_echo(to_db).expect("it serves at once");
    assert_says_how_old(&web, 5);

    edge.bring_back();
    wait_for_live(&web);
    assert!(
        echoes(&mut kept) && echoes(&mut lost),
        "nothing has changed"
    );
    // Now that it is live, what changes bites.
    edge.register("web", api.address(), public, &upstreams[..1]);
    ending(&mut lost);
    assert!(TcpStream::connect(to_db).is_err(), "nothing listens there");
    assert!(echoes(&mut kept), "its target is still right");
    // Consul may hold its machine for lost until it has heard of it again.
    drop(until("a new connection", || try_echo(to_api)));
    drop(peers);
}

#[test]
fn a_gateway_serves_at_once_and_goes_over_with_its_connections() {
    Edge::with(Gone::Link, |mut edge| {
        let apps = [Backend::echo(), Backend::echo()];
        for (name, app) in ["one", "two"].into_iter().zip(&apps) {
            edge.register(name, app.address(), app.address(), &[]);
        }
        let address = edge.address();
        edge.register_gateway("gateway-1", address);
        let node = edge.node(&["--gateway", "mesh"]);
        let domain = edge.mesh.trust_domain().to_owned();
        let call =
            |name: &str| try_echoing(address, &format!("{name}.default.dc1.internal.{domain}"));
        let clock = WrongClock::by(0);
        run_once(&node, &clock, || call("one").and_then(|_| call("two")));

        edge.cut();
        clock.set(30 * HOUR);
        let gateway = node.start(&clock);
        let mut kept = call("one").expect("it serves at once");
        let mut lost = call("two").expect("it serves at once");
        assert_says_how_old(&gateway, 30);

        // One service more and one less, while nobody here could hear of it.
        let three = Backend::echo();
        edge.meanwhile(|edge| {
            edge.register("three", three.address(), three.address(), &[]);
            edge.deregister("two");
        });
        edge.bring_back();
        wait_for_live(&gateway);
        drop(until("the new service", || call("three")));
        ending(&mut lost);
        assert!(echoes(&mut kept), "its target is still right");
        assert!(call("two").is_none());
    });
}

#[test]
fn its_age_counts_from_when_consul_was_lost_not_from_the_last_look_at_the_clock() {
    Edge::with(Gone::Agent, |mut edge| {
        let app = Backend::echo();
        edge.register("plain", app.address(), app.address(), &[]);
        edge.register_gateway("gateway-1", edge.address());
        let node = edge.node(&["--gateway", "mesh"]);
        let clock = WrongClock::by(0);
        let gateway = Gateway::start(clock.passes_for(node.launch()));
        gateway.lictor.log.wait_for("remembered");
        edge.cut();
        gateway.lictor.log.wait_for("consul_lost");
        // Seven hours of it: a time has been written down twice, and that all is true not once.
        let written = || {
            gateway
                .stats()
                .value("lictor_state_writes_total{result=\"ok\"}")
        };
        for hour in 1..=7 {
            clock.set(hour * HOUR);
            assert!(written() < 1.5, "nothing is confirmed");
        }
        drop(gateway);
        let gateway = Gateway::start(clock.passes_for(node.launch()));
        assert_says_how_old(&gateway, 7);
    });
}
