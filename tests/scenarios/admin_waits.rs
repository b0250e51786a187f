//! Requests to the admin endpoint that find all places taken wait for one, and are answered.

use std::net::TcpStream;

use support::backend::Backend;
use support::lab::GatewayFile;

#[test]
fn one_request_more_than_are_answered_at_a_time_waits_for_its_turn() {
    let web = Backend::echo();
    let gateway = GatewayFile::new("dc1")
        .service("web", &[web.address()])
        .start();
    let silent: Vec<TcpStream> = (0..4)
        .map(|_| TcpStream::connect(gateway.admin().0).expect("the admin endpoint listens"))
        .collect();
    // The silent ones are given up after five seconds.
    assert_eq!(gateway.admin().get("/ready").0, 200);
    drop(silent);
}
