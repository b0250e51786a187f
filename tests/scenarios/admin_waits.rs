//! Requests to the admin endpoint: one that finds all places taken waits for one, one that would change something is refused.

use std::io::{Read as _, Write as _};
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

#[test]
fn other_methods_are_told_the_one_that_there_is() {
    let gateway = GatewayFile::new("dc1").start();
    let mut stream = TcpStream::connect(gateway.admin().0).expect("the admin endpoint listens");
    write!(stream, "DELETE /ready HTTP/1.1\r\nHost: lictor\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    assert!(
        head.starts_with("HTTP/1.1 405 ") && head.contains("\r\nallow: GET\r\n"),
        "{head}"
    );
    assert_eq!(body, "only GET\n");
}
