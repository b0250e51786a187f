//! The end of a connection crosses the gateway as what it was: finished in one direction, finished in
//! both, or broken off.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::channel;

use support::backend::{Backend, Holder, reset};
use support::client::{Ending, ending, greet, patient};
use support::hello::{Hello, read_hello};
use support::lab::{Gateway, GatewayFile, sni};
use support::pattern::Pattern;
use support::wait::{self, DEADLINE};

/// A client and the service's end of the same connection.
fn pair(holder: &Holder, gateway: &Gateway) -> (TcpStream, TcpStream) {
    let client = greet(gateway.address(), &sni("web", "dc1"));
    let mut service = wait::until("a connection at the service", || holder.take());
    patient(&service);
    assert!(read_hello(&mut service) == Hello::to(sni("web", "dc1")).bytes());
    (client, service)
}

fn lab() -> (Holder, Gateway) {
    let holder = Holder::start();
    let gateway = GatewayFile::new("dc1").service("web", &[holder.address()]);
    (holder, gateway.log("access = true").start())
}

#[test]
fn a_service_that_breaks_off_midway_is_a_reset_for_the_client() {
    let (holder, gateway) = lab();
    let (mut client, mut service) = pair(&holder, &gateway);
    service.write_all(b"half of it").unwrap();
    let mut first = [0; 10];
    client.read_exact(&mut first).unwrap();
    reset(service);
    assert_eq!(ending(&mut client), (Ending::Reset, Vec::new()));
    let event = gateway.lictor.log.wait_for("closed");
    assert_eq!(event.field("how"), "upstream_reset");
    gateway.wait_for_active(0);
}

#[test]
fn a_client_that_breaks_off_is_a_reset_for_the_service() {
    let (holder, gateway) = lab();
    let (client, mut service) = pair(&holder, &gateway);
    reset(client);
    assert_eq!(ending(&mut service), (Ending::Reset, Vec::new()));
    let event = gateway.lictor.log.wait_for("closed");
    assert_eq!(event.field("how"), "client_reset");
    gateway.wait_for_active(0);
}

#[test]
fn a_client_that_breaks_off_a_transfer_is_a_reset_for_the_service() {
    let (done, result) = channel();
    let app = Backend::start(move |mut stream| {
        read_hello(&mut stream);
        done.send(Pattern(1).send(&mut stream, u64::MAX)).unwrap();
    });
    let gateway = GatewayFile::new("dc1")
        .service("web", &[app.address()])
        .start();
    let mut client = greet(gateway.address(), &sni("web", "dc1"));
    Pattern(1).receive(&mut client, 5_000_000).unwrap();
    reset(client);
    let error = result.recv_timeout(DEADLINE).unwrap().unwrap_err();
    let broken = [
        std::io::ErrorKind::ConnectionReset,
        std::io::ErrorKind::BrokenPipe,
    ];
    assert!(broken.contains(&error.kind()), "{error}");
    gateway.wait_for_active(0);
}

#[test]
fn a_client_may_finish_first_and_still_be_answered() {
    let (holder, gateway) = lab();
    let (mut client, mut service) = pair(&holder, &gateway);
    client.write_all(b"that is all").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(
        ending(&mut service),
        (Ending::Closed, b"that is all".to_vec())
    );
    Pattern(2).send(&mut service, 100_000).unwrap();
    gateway.wait_for_active(1);
    Pattern(2).receive(&mut client, 100_000).unwrap();
    drop(service);
    assert_eq!(ending(&mut client), (Ending::Closed, Vec::new()));
    let event = gateway.lictor.log.wait_for("closed");
    assert_eq!(
        (event.field("how"), event.field("received")),
        ("finished", "100000")
    );
    gateway.wait_for_active(0);
}

#[test]
fn a_service_may_finish_first_and_still_be_told() {
    let (holder, gateway) = lab();
    let (mut client, mut service) = pair(&holder, &gateway);
    service.write_all(b"enough").unwrap();
    service.shutdown(Shutdown::Write).unwrap();
    assert_eq!(ending(&mut client), (Ending::Closed, b"enough".to_vec()));
    Pattern(2).send(&mut client, 100_000).unwrap();
    Pattern(2).receive(&mut service, 100_000).unwrap();
    drop(client);
    assert_eq!(ending(&mut service), (Ending::Closed, Vec::new()));
    let event = gateway.lictor.log.wait_for("closed");
    assert_eq!(event.field("how"), "finished");
    assert_eq!(event.field("received"), "6");
}
