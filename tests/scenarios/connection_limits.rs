//! At a limit new connections are refused and old ones go on; below it again, new ones are served.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;

use support::backend::{Backend, connect_from};
use support::client::{assert_echo, assert_refused, echoing, greet};
use support::hello::Hello;
use support::lab::{GatewayFile, sni};
use support::wait;

#[test]
fn a_flood_beyond_the_limit_leaves_established_flows_alone() {
    let app = Backend::echo();
    let file = GatewayFile::new("dc1").service("web", &[app.address()]);
    let gateway = file.limit("connections = 40").start();
    let (address, name) = (gateway.address(), sni("web", "dc1"));
    let mut established: Vec<_> = (0..40).map(|_| echoing(address, &name)).collect();
    gateway.wait_for_active(40);

    for round in 0..10 {
        // The refusal may be there before the hello is sent, or even before connect returns.
        let mut flood: Vec<TcpStream> = (0..20)
            .filter_map(|_| match TcpStream::connect(address) {
                Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
                connected => Some(connected.unwrap()),
            })
            .collect();
        for client in &mut flood {
            support::client::patient(client);
            let _ = client.write_all(&Hello::to(&name).bytes());
        }
        for flow in &mut established {
            assert_echo(flow, b"still here");
        }
        for client in &mut flood {
            assert_refused(client);
        }
        gateway.wait_for_refused("connection_limit", 20 * (round + 1));
    }
    assert_eq!(app.accepted(), 40);
    let event = gateway.lictor.log.wait_for("refused");
    assert!(event.field("detail").contains("40"), "{event:?}");

    established.truncate(30);
    gateway.wait_for_active(30);
    echoing(address, &name);
}

#[test]
fn one_source_has_a_limited_number_of_handshakes_and_others_are_not_hurt() {
    let app = Backend::echo();
    let file = GatewayFile::new("dc1").service("web", &[app.address()]);
    let gateway = file.limit("handshakes_per_source = 10").start();
    let (address, hello) = (gateway.address(), Hello::to(sni("web", "dc1")).bytes());
    // What is refused may be reset before connecting is seen to be done, or while it is written to.
    let try_half_open = |source: [u8; 4]| {
        let mut client = connect_from(source.into(), address).ok()?;
        let _ = client.write_all(&hello[..20]);
        Some(client)
    };
    let half_open = |source| try_half_open(source).expect("a connection that is not refused");
    let mut first: Vec<_> = (0..10).map(|_| half_open([127, 2, 0, 1])).collect();
    wait::until_true("ten handshakes", || {
        gateway.stats().value("lictor_handshaking") == 10.0
    });
    let more = (0..5).filter_map(|_| try_half_open([127, 2, 0, 1]));
    for mut client in more.collect::<Vec<_>>() {
        assert_refused(&mut client);
    }
    gateway.wait_for_refused("handshake_limit", 5);

    let mut other = half_open([127, 2, 0, 2]);
    other.write_all(&hello[20..]).unwrap();
    let mut back = vec![0; hello.len()];
    std::io::Read::read_exact(&mut other, &mut back).unwrap();

    // A handshake that is done makes room for one that follows.
    let mut done = first.pop().unwrap();
    done.write_all(&hello[20..]).unwrap();
    std::io::Read::read_exact(&mut done, &mut back).unwrap();
    let mut next = half_open([127, 2, 0, 1]);
    next.write_all(&hello[20..]).unwrap();
    std::io::Read::read_exact(&mut next, &mut back).unwrap();
    assert_eq!(gateway.stats().refused_in_all(), 5.0);
}

#[test]
fn a_gateway_at_its_limit_answers_its_admin() {
    let app = Backend::echo();
    let file = GatewayFile::new("dc1").service("web", &[app.address()]);
    let gateway = file.limit("connections = 2").start();
    let clients = [(); 6].map(|()| greet_quietly(gateway.address()));
    gateway.wait_for_refused("connection_limit", 4);
    assert_eq!(gateway.admin().get("/ready").0, 200);
    drop(clients);
    gateway.wait_for_active(0);
    drop(greet(gateway.address(), &sni("web", "dc1")));
}

fn greet_quietly(address: std::net::SocketAddr) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).ok();
    if let Some(stream) = &mut stream {
        let _ = stream.write_all(&Hello::to(sni("web", "dc1")).bytes());
    }
    stream
}
