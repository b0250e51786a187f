//! A changed file takes effect at once and touches only what it changes; a broken one changes nothing
//! and says where it is broken.

use std::time::{Duration, Instant};

use support::backend::Backend;
use support::client::{assert_echo, assert_refused, echoing, ending, greet};
use support::lab::{Gateway, GatewayFile, sni};
use support::wait;

fn reloads(gateway: &Gateway, result: &str) -> f64 {
    gateway
        .stats()
        .value(&format!("lictor_reloads_total{{result=\"{result}\"}}"))
}

#[test]
fn a_new_service_is_routed_and_sockets_and_flows_live_on() {
    let (web, api) = (Backend::echo(), Backend::echo());
    let file = GatewayFile::new("dc1").service("web", &[web.address()]);
    let mut gateway = file.start();
    let address = gateway.address();
    let socket = gateway
        .lictor
        .proc()
        .listening_inode(address)
        .expect("a listening socket");
    let mut flow = echoing(address, &sni("web", "dc1"));
    assert_refused(&mut greet(address, &sni("api", "dc1")));

    // The change of the file alone is enough.
    gateway
        .lictor
        .rewrite(&file.service("api", &[api.address()]).to_string());
    gateway.lictor.log.wait_for("reloaded");
    gateway.lictor.wait_for_notice("READY=1");
    echoing(address, &sni("api", "dc1"));
    assert_echo(&mut flow, b"lives on");
    assert_eq!(gateway.lictor.proc().listening_inode(address), Some(socket));
    assert_eq!(reloads(&gateway, "ok"), 1.0);
    assert_eq!(web.accepted(), 1);
}

#[test]
fn a_hang_up_signal_reloads_too_and_tells_the_service_manager() {
    let web = Backend::echo();
    let mut gateway = GatewayFile::new("dc1")
        .service("web", &[web.address()])
        .start();
    let mut flow = echoing(gateway.address(), &sni("web", "dc1"));
    gateway.lictor.reload();
    let notice = gateway.lictor.wait_for_notice("RELOADING=1");
    assert!(notice.contains("MONOTONIC_USEC="), "{notice}");
    gateway.lictor.wait_for_notice("READY=1");
    gateway.lictor.log.wait_for("reloaded");
    assert_echo(&mut flow, b"lives on");
}

#[test]
fn the_flows_of_a_service_that_is_gone_are_closed_at_once_and_no_others() {
    let (web, api) = (Backend::echo(), Backend::echo());
    let file = GatewayFile::new("dc1").service("web", &[web.address()]);
    let gateway = file.clone().service("api", &[api.address()]).start();
    let mut stays = echoing(gateway.address(), &sni("web", "dc1"));
    let mut goes = echoing(gateway.address(), &sni("api", "dc1"));
    let started = Instant::now();
    gateway.lictor.rewrite(&file.to_string());
    ending(&mut goes);
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "after {:?}",
        started.elapsed()
    );
    gateway.wait_for_refused("cluster_removed", 1);
    assert_echo(&mut stays, b"lives on");
    assert_refused(&mut greet(gateway.address(), &sni("api", "dc1")));
}

#[test]
fn a_broken_file_changes_nothing_and_says_where_it_is_broken() {
    let (web, api) = (Backend::echo(), Backend::echo());
    let file = GatewayFile::new("dc1").service("web", &[web.address()]);
    let gateway = file.start();
    let mut flow = echoing(gateway.address(), &sni("web", "dc1"));
    let better = file.service("api", &[api.address()]);
    for (count, broken) in [
        better.clone().stanza("datacentre \"dc2\" { }").to_string(),
        format!("{better}\nlictor {{"),
        better.clone().limit("connections = \"many\"").to_string(),
    ]
    .into_iter()
    .enumerate()
    {
        let mark = gateway.lictor.log.mark();
        gateway.lictor.rewrite(&broken);
        let event = gateway
            .lictor
            .log
            .event_after(mark, "reload_refused", |_| true);
        let place = event.field("error").split("gateway.hcl:").nth(1);
        let place = place.unwrap_or_else(|| panic!("no file: {event:?}"));
        let line = place
            .split(':')
            .next()
            .and_then(|line| line.parse::<usize>().ok());
        assert!(line.is_some_and(|line| line > 5), "no line: {event:?}");
        assert_eq!(reloads(&gateway, "refused"), count as f64 + 1.0);
        assert_echo(&mut flow, b"lives on");
        echoing(gateway.address(), &sni("web", "dc1"));
        assert_refused(&mut greet(gateway.address(), &sni("api", "dc1")));
    }
    let mark = gateway.lictor.log.mark();
    gateway.lictor.rewrite(&better.to_string());
    gateway.lictor.log.event_after(mark, "reloaded", |_| true);
    echoing(gateway.address(), &sni("api", "dc1"));
    assert_echo(&mut flow, b"lives on");
}

#[test]
fn a_listener_moves_and_its_flows_live_on() {
    let web = Backend::echo();
    let file = GatewayFile::new("dc1").service("web", &[web.address()]);
    let gateway = file.start();
    let old = gateway.address();
    let mut flow = echoing(old, &sni("web", "dc1"));
    let mark = gateway.lictor.log.mark();
    gateway
        .lictor
        .rewrite(&file.address("127.0.0.2").to_string());
    let event = gateway.lictor.log.event_after(mark, "listening", |_| true);
    let new: std::net::SocketAddr = event.field("address").parse().unwrap();
    assert_eq!(new.ip().to_string(), "127.0.0.2");
    echoing(new, &sni("web", "dc1"));
    wait::until_true("the old address to be given up", || {
        std::net::TcpStream::connect(old).is_err()
    });
    assert_echo(&mut flow, b"lives on");
}

#[test]
fn endpoints_that_change_take_new_connections_only() {
    let (old, new) = (Backend::echo(), Backend::echo());
    let gateway = GatewayFile::new("dc1")
        .service("web", &[old.address()])
        .start();
    let mut flow = echoing(gateway.address(), &sni("web", "dc1"));
    let file = GatewayFile::new("dc1").service("web", &[new.address()]);
    gateway.lictor.rewrite(&file.to_string());
    gateway.lictor.log.wait_for("reloaded");
    echoing(gateway.address(), &sni("web", "dc1"));
    assert_eq!((old.accepted(), new.accepted()), (1, 1));
    assert_echo(&mut flow, b"lives on");
}
