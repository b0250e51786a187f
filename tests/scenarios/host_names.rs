//! Gateways of another datacenter that are known by host name: every name and every address of it is
//! used, changes are followed, the last good answer is kept, and a dead address holds nothing up.
//!
//! Each test has a namespace with a name server of its own on port 53 and a resolv.conf that names it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use support::backend::{Backend, BlackHole, echo};
use support::client::{assert_refused, echoing, greet};
use support::dns::{DnsServer, Mood};
use support::lab::{Gateway, GatewayFile, sni};
use support::netns::Namespace;
use support::process::Launch;
use support::wait;

const PORT: u16 = 8443;

fn v4(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

/// A namespace whose resolver is the server in it.
fn network() -> (Namespace, DnsServer) {
    let namespace = Namespace::new();
    namespace.resolver("nameserver 127.0.0.1\noptions timeout:1 attempts:2\n");
    let server = namespace.run(|| DnsServer::start(SocketAddr::from(([127, 0, 0, 1], 53))));
    (namespace, server)
}

fn at(namespace: &Namespace, ip: IpAddr) -> Backend {
    namespace.run(|| Backend::at((ip, PORT), echo))
}

/// A gateway of dc1 in the namespace that knows those of dc2 by these names.
fn gateway(namespace: &Namespace, names: &[&str]) -> Gateway {
    let addresses: Vec<String> = names.iter().map(|name| format!("{name}:{PORT}")).collect();
    let strict = "proxy { config { envoy_dns_discovery_type = \"strict_dns\" } }";
    let file = GatewayFile::new("dc1")
        .datacenter("dc2", &addresses)
        .registration(strict)
        .log("access = true");
    let launch = Launch::new(&file.to_string()).inside(namespace);
    namespace.run(|| Gateway::start(launch))
}

/// A connection through the gateway; how long it took until the first bytes were back.
fn connects(namespace: &Namespace, gateway: &Gateway) -> Duration {
    let started = Instant::now();
    namespace.run(|| echoing(gateway.address(), &sni("web", "dc2")));
    started.elapsed()
}

#[test]
fn every_address_of_every_name_is_used() {
    let (namespace, server) = network();
    server.set("one.test", &[v4(11), v4(12)], 60);
    server.set("two.test", &[v4(13)], 60);
    let gateways = [11, 12, 13].map(|last| at(&namespace, v4(last)));
    let gateway = gateway(&namespace, &["one.test", "two.test"]);
    for _ in 0..9 {
        connects(&namespace, &gateway);
    }
    for backend in &gateways {
        assert!(backend.accepted() >= 1, "an address was never used");
    }
    assert_eq!(gateways.iter().map(Backend::accepted).sum::<usize>(), 9);
}

#[test]
fn a_changed_answer_is_picked_up_after_its_time_to_live() {
    let (namespace, server) = network();
    server.set("moves.test", &[v4(21)], 1);
    let (old, new) = (at(&namespace, v4(21)), at(&namespace, v4(22)));
    let gateway = gateway(&namespace, &["moves.test"]);
    connects(&namespace, &gateway);
    assert_eq!((old.accepted(), new.accepted()), (1, 0));
    server.set("moves.test", &[v4(22)], 1);
    wait::until_true("the new address", || {
        connects(&namespace, &gateway);
        new.accepted() > 0
    });
}

#[test]
fn the_last_good_answer_is_kept_while_the_name_server_fails() {
    let (namespace, server) = network();
    server.set("kept.test", &[v4(31)], 1);
    let backend = at(&namespace, v4(31));
    let gateway = gateway(&namespace, &["kept.test"]);
    connects(&namespace, &gateway);
    for mood in [Mood::Fails, Mood::Silent] {
        server.mood(mood);
        let asked = server.asked("kept.test");
        wait::until_true("it asks again", || server.asked("kept.test") > asked + 1);
        assert!(connects(&namespace, &gateway) < Duration::from_millis(900));
    }
    assert_eq!(backend.accepted(), 3);
}

#[test]
fn a_name_that_does_not_exist_is_refused_with_its_name_in_the_log() {
    let (namespace, server) = network();
    let gateway = gateway(&namespace, &["nowhere.test"]);
    namespace.run(|| {
        assert_refused(&mut greet(gateway.address(), &sni("web", "dc2")));
        gateway.wait_for_refused("name_resolution", 1);
        let event = gateway.lictor.log.wait_for("refused");
        assert!(event.field("detail").contains("nowhere.test"), "{event:?}");
        // And once it exists, it is used without a restart.
        let _backend = Backend::at((v4(41), PORT), echo);
        server.set("nowhere.test", &[v4(41)], 60);
        wait::until_true("the name to be used", || {
            let mut client = greet(gateway.address(), &sni("web", "dc2"));
            !matches!(
                std::io::Read::read(&mut client, &mut [0; 1]),
                Ok(0) | Err(_)
            )
        });
    });
}

#[test]
fn a_dead_address_of_ipv6_delays_a_connection_by_a_quarter_of_a_second_at_most() {
    let (namespace, server) = network();
    let dead = Ipv6Addr::new(0xfd00, 0x77, 0, 0, 0, 0, 0, 1);
    namespace.ip(&[
        "-6",
        "address",
        "add",
        &format!("{dead}/128"),
        "dev",
        "lo",
        "nodad",
    ]);
    let _hole = namespace.run(|| BlackHole::bound_at((dead, PORT).into()));
    server.set("dual.test", &[dead.into(), v4(51)], 60);
    let backend = at(&namespace, v4(51));
    let gateway = gateway(&namespace, &["dual.test"]);
    // The first one waits for the name server, too.
    connects(&namespace, &gateway);
    let mut took = [(); 8].map(|()| connects(&namespace, &gateway));
    took.sort();
    // Half of them may start with the address that works; one may be late on a busy machine.
    assert!(
        took[6] < Duration::from_millis(400),
        "connections took {took:?}"
    );
    assert_eq!(backend.accepted(), 9);
}

#[test]
fn an_address_of_ipv6_that_works_is_used() {
    let (namespace, server) = network();
    namespace.wait_for(Ipv6Addr::LOCALHOST.into());
    server.set("six.test", &[Ipv6Addr::LOCALHOST.into()], 60);
    let backend = at(&namespace, Ipv6Addr::LOCALHOST.into());
    let gateway = gateway(&namespace, &["six.test"]);
    connects(&namespace, &gateway);
    assert_eq!(backend.accepted(), 1);
}
