//! Every ClientHello that a real client may send is understood, however it is cut, and passed on
//! without a changed byte.

use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, channel};

use support::backend::{Backend, echo};
use support::client::{assert_echo, connect, echoing};
use support::hello::{Hello, read_hello};
use support::lab::{GatewayFile, sni};
use support::wait::DEADLINE;

/// A service that says which ClientHello it was sent, then echoes.
fn witness() -> (Backend, Receiver<Vec<u8>>) {
    let (tell, told) = channel();
    let backend = Backend::start(move |mut stream| {
        tell.send(read_hello(&mut stream)).unwrap();
        echo(stream);
    });
    (backend, told)
}

/// Sends a hello in pieces of this size, each in a segment of its own, and sees it arrive as it was.
fn passes(hello: &Hello, pieces: usize) {
    let (app, told) = witness();
    let gateway = GatewayFile::new("dc1")
        .service("web", &[app.address()])
        .start();
    let hello = hello.bytes();
    let mut client = connect(gateway.address());
    for piece in hello.chunks(pieces) {
        client.write_all(piece).unwrap();
    }
    assert!(
        told.recv_timeout(DEADLINE).unwrap() == hello,
        "the service was sent another ClientHello"
    );
    assert_echo(&mut client, b"and what follows");
    assert_eq!(gateway.stats().refused_in_all(), 0.0);
}

#[test]
fn in_segments_of_one_byte() {
    passes(&Hello::to(sni("web", "dc1")), 1);
}

#[test]
fn with_a_post_quantum_key_share_over_several_packets() {
    let hello = Hello::to(sni("web", "dc1")).post_quantum().padded(300);
    assert!(hello.bytes().len() > 1500);
    passes(&hello, 1400);
}

#[test]
fn over_several_records_cut_anywhere() {
    for (record, pieces) in [(400, 4096), (61, 100), (1000, 7)] {
        passes(
            &Hello::to(sni("web", "dc1"))
                .post_quantum()
                .in_records_of(record),
            pieces,
        );
    }
}

#[test]
fn with_the_server_name_behind_twelve_kilobytes() {
    passes(&Hello::to(sni("web", "dc1")).padded(12_000), 1460);
}

#[test]
fn with_a_server_name_in_upper_case() {
    passes(&Hello::to(sni("web", "dc1").to_uppercase()), 4096);
}

#[test]
fn with_early_data_behind_it_in_the_same_segment() {
    let (app, told) = witness();
    let gateway = GatewayFile::new("dc1")
        .service("web", &[app.address()])
        .start();
    let hello = Hello::to(sni("web", "dc1")).bytes();
    let mut client = connect(gateway.address());
    client
        .write_all(&[&hello[..], b"at once"].concat())
        .unwrap();
    assert!(told.recv_timeout(DEADLINE).unwrap() == hello);
    let mut back = [0; 7];
    client.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"at once");
}

#[test]
fn subsets_and_the_services_of_other_datacenters_have_names_of_their_own() {
    let (all, v1, far) = (Backend::echo(), Backend::echo(), Backend::echo());
    let stanza = format!(
        "service \"web\" {{\n endpoints = [\"{}\"]\n subset \"v1\" {{ endpoints = [\"{}\"] }}\n }}",
        all.address(),
        v1.address()
    );
    let file = GatewayFile::new("dc1")
        .stanza(&stanza)
        .datacenter("dc2", &[far.address()]);
    let gateway = file.start();
    let names = [
        sni("web", "dc1"),
        format!("v1.{}", sni("web", "dc1")),
        sni("any", "dc2"),
    ];
    for name in names {
        echoing(gateway.address(), &name);
    }
    assert_eq!([&all, &v1, &far].map(Backend::accepted), [1, 1, 1]);
}
