//! A client that cannot be placed is refused: closed, counted under its cause, explained in the log.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use support::backend::Backend;
use support::client::{assert_refused, connect, echoing, send_hello};
use support::hello::Hello;
use support::lab::{Gateway, GatewayFile, sni};

fn gateway(app: &Backend) -> Gateway {
    let file = GatewayFile::new("dc1").service("web", &[app.address()]);
    file.timeout("client_hello = \"300ms\"").start()
}

/// The refusal is counted once, under this cause and no other, and the log says whom it hit.
fn assert_told(gateway: &Gateway, cause: &str, client: &str) {
    gateway.wait_for_refused(cause, 1);
    assert_eq!(gateway.stats().refused_in_all(), 1.0);
    let event = gateway.lictor.log.wait_for("refused");
    assert_eq!(
        (event.field("cause"), event.field("client")),
        (cause, client)
    );
    assert!(event.field("listener").starts_with("default"), "{event:?}");
    assert!(
        event.field("detail").len() > 10,
        "nothing that an operator could check: {event:?}"
    );
}

/// Sends a hello that must be refused for this cause, then sees that others are still served.
fn refused(hello: &Hello, cause: &str) -> Gateway {
    let app = Backend::echo();
    let gateway = gateway(&app);
    let mut client = send_hello(gateway.address(), hello);
    assert_refused(&mut client);
    assert_told(&gateway, cause, &client.local_addr().unwrap().to_string());
    assert_eq!(app.accepted(), 0, "a refused client reached the service");
    echoing(gateway.address(), &sni("web", "dc1"));
    gateway
}

#[test]
fn a_hello_without_a_server_name_is_refused() {
    refused(&Hello::nameless(), "no_server_name");
}

#[test]
fn a_server_name_that_leads_nowhere_is_refused_and_named() {
    let gateway = refused(&Hello::to(sni("other", "dc1")), "unknown_server_name");
    let event = gateway.lictor.log.wait_for("refused");
    assert_eq!(event.field("sni"), sni("other", "dc1"));
}

#[test]
fn the_name_of_a_datacenter_that_nobody_told_of_is_refused() {
    refused(&Hello::to(sni("web", "dc9")), "unknown_server_name");
}

#[test]
fn server_names_of_odd_bytes_are_refused() {
    let suffix = sni("web", "dc1");
    for odd in [
        &b"we b."[..],
        b"we\0b.",
        b"we\xff\xfeb.",
        b"we\nb=1 x=\"2.",
        "wéb.".as_bytes(),
    ] {
        let name = [odd, suffix.as_bytes()].concat();
        let gateway = refused(&Hello::to(name), "odd_server_name");
        let lines = gateway.lictor.log.lines();
        let whole = |line: &String| support::log::Event::parse(line).is_some();
        assert!(lines.iter().all(whole), "a name broke the log: {lines:#?}");
    }
}

#[test]
fn an_http_client_is_closed_at_once() {
    let app = Backend::echo();
    let file = GatewayFile::new("dc1").service("web", &[app.address()]);
    // Much longer than a test waits for an answer.
    let gateway = file.timeout("client_hello = \"10m\"").start();
    let mut client = connect(gateway.address());
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    assert_refused(&mut client);
    assert_told(
        &gateway,
        "not_tls",
        &client.local_addr().unwrap().to_string(),
    );
}

#[test]
fn a_hello_longer_than_anyone_needs_is_refused() {
    refused(
        &Hello::to(sni("web", "dc1")).padded(20_000),
        "client_hello_too_long",
    );
}

#[test]
fn a_hello_in_more_records_than_anyone_needs_is_refused() {
    let hello = Hello::to(sni("web", "dc1"))
        .post_quantum()
        .padded(4000)
        .in_records_of(8);
    let app = Backend::echo();
    let gateway = gateway(&app);
    let mut client = connect(gateway.address());
    // It may be refused while it is still being sent.
    let _ = client.write_all(&hello.bytes());
    assert_refused(&mut client);
    assert_eq!(gateway.stats().refused_in_all(), 1.0);
}

#[test]
fn a_hello_that_never_ends_is_closed_at_the_deadline() {
    let app = Backend::echo();
    let gateway = gateway(&app);
    let started = Instant::now();
    let mut client = connect(gateway.address());
    let mut slow = client.try_clone().unwrap();
    let hello = Hello::to(sni("web", "dc1")).padded(4000).bytes();
    // A byte now and then must not put the deadline off.
    let trickle = thread::spawn(move || {
        for byte in hello {
            if slow.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    });
    assert_refused(&mut client);
    let lasted = started.elapsed();
    // What is not set is ten seconds, and the bytes go on for eighty.
    let allowed = Duration::from_millis(290)..Duration::from_secs(8);
    assert!(
        allowed.contains(&lasted),
        "closed after {lasted:?}, not after 300 ms"
    );
    let name = client.local_addr().unwrap().to_string();
    drop(client);
    trickle.join().unwrap();
    assert_told(&gateway, "client_hello_timeout", &name);
}

#[test]
fn a_client_that_says_nothing_is_closed_at_the_deadline() {
    let app = Backend::echo();
    let gateway = gateway(&app);
    let mut client = connect(gateway.address());
    assert_refused(&mut client);
    assert_told(
        &gateway,
        "client_hello_timeout",
        &client.local_addr().unwrap().to_string(),
    );
}

#[test]
fn a_health_check_that_connects_and_closes_is_no_refusal() {
    let app = Backend::echo();
    let gateway = gateway(&app);
    for _ in 0..5 {
        drop(connect(gateway.address()));
    }
    echoing(gateway.address(), &sni("web", "dc1"));
    gateway.wait_for_active(0);
    assert_eq!(gateway.stats().refused_in_all(), 0.0);
}
