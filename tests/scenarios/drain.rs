//! Asked to end, lictor accepts no more, lets flows finish up to a deadline, then closes them and ends
//! with success.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use support::backend::Backend;
use support::client::{assert_echo, echoing, ending};
use support::lab::{GatewayFile, sni};
use support::wait;

/// Much longer than a test waits for the end: whoever waits for this deadline fails.
const FOR_LONG: &str = "drain = \"10m\"";

#[test]
fn flows_finish_and_then_the_process_ends() {
    let web = Backend::echo();
    let file = GatewayFile::new("dc1").service("web", &[web.address()]);
    let mut gateway = file.timeout(FOR_LONG).start();
    let address = gateway.address();
    let mut flow = echoing(address, &sni("web", "dc1"));
    gateway.lictor.terminate();
    gateway.lictor.wait_for_notice("STOPPING=1");
    gateway.lictor.log.wait_for("draining");
    wait::until_true("no more connections", || {
        TcpStream::connect(address).is_err()
    });
    for _ in 0..10 {
        assert_echo(&mut flow, b"not done yet");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(gateway.lictor.runs(), "it ended before its last flow");
    drop(flow);
    assert_eq!(gateway.lictor.wait_for_end().code(), Some(0));
    gateway.lictor.log.wait_for("stopped");
}

#[test]
fn a_file_that_changes_meanwhile_lets_nobody_in_again() {
    let (web, api) = (Backend::echo(), Backend::echo());
    let file = GatewayFile::new("dc1")
        .service("web", &[web.address()])
        .timeout(FOR_LONG);
    let mut gateway = file.start();
    let address = gateway.address();
    let mut flow = echoing(address, &sni("web", "dc1"));
    gateway.lictor.terminate();
    gateway.lictor.log.wait_for("draining");
    gateway
        .lictor
        .rewrite(&file.service("api", &[api.address()]).to_string());
    let reloaded = gateway.lictor.log.wait_for("reloaded");
    assert_eq!(reloaded.field("listeners_opened"), "0", "{reloaded:?}");
    assert!(TcpStream::connect(address).is_err(), "it listens again");
    assert_echo(&mut flow, b"lives on");
    drop(flow);
    assert_eq!(gateway.lictor.wait_for_end().code(), Some(0));
}

#[test]
fn without_flows_it_ends_at_once() {
    let web = Backend::echo();
    let file = GatewayFile::new("dc1").service("web", &[web.address()]);
    let mut gateway = file.timeout(FOR_LONG).start();
    gateway.lictor.terminate();
    assert_eq!(gateway.lictor.wait_for_end().code(), Some(0));
}

#[test]
fn the_deadline_closes_what_is_left() {
    let web = Backend::echo();
    let file = GatewayFile::new("dc1").service("web", &[web.address()]);
    let mut gateway = file.timeout("drain = \"500ms\"").start();
    let mut flow = echoing(gateway.address(), &sni("web", "dc1"));
    let started = Instant::now();
    gateway.lictor.terminate();
    ending(&mut flow);
    let lasted = started.elapsed();
    // What is not set is half a minute.
    let allowed = Duration::from_millis(450)..Duration::from_secs(20);
    assert!(
        allowed.contains(&lasted),
        "closed after {lasted:?}, not after 500 ms"
    );
    assert_eq!(gateway.lictor.wait_for_end().code(), Some(0));
    let says_why = |line: &str| line.contains("drain_deadline");
    gateway.lictor.log.wait_for_line("the reason", says_why);
}

#[test]
fn a_second_request_ends_it_at_once() {
    let web = Backend::echo();
    let file = GatewayFile::new("dc1").service("web", &[web.address()]);
    let mut gateway = file.timeout(FOR_LONG).start();
    let mut flow = echoing(gateway.address(), &sni("web", "dc1"));
    gateway.lictor.terminate();
    gateway.lictor.log.wait_for("draining");
    assert_echo(&mut flow, b"still here");
    gateway.lictor.terminate();
    gateway.lictor.wait_for_end();
    ending(&mut flow);
}

#[test]
fn an_interrupt_from_the_keyboard_drains_too() {
    let web = Backend::echo();
    let mut gateway = GatewayFile::new("dc1")
        .service("web", &[web.address()])
        .start();
    gateway.lictor.signal(rustix::process::Signal::INT);
    gateway.lictor.log.wait_for("draining");
    assert_eq!(gateway.lictor.wait_for_end().code(), Some(0));
}
