//! A client with a good certificate reaches the app behind the public listener, by each version of
//! TLS, and both hear all that the other says.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::channel;

use support::backend::{Backend, Refusing};
use support::lab::{TRUST_DOMAIN, sni};
use support::openssl::client_with;
use support::pattern::Pattern;
use support::pki::Mesh;
use support::sidecar::SidecarFile;
use support::wait::DEADLINE;

const LENGTH: u64 = 300_001;
const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];

/// Ends what the client sends, so that it waits for the answer.
const LAST: &[u8] = b"\n";

fn sent() -> Vec<u8> {
    let mut bytes = vec![0; LENGTH as usize];
    Pattern(3).fill(0, &mut bytes);
    [&bytes, LAST].concat()
}

#[test]
fn an_app_that_speaks_first_and_its_client_hear_each_other_out() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let web = mesh.leaf("web", "dc1");
    let length = sent().len();
    let app = Backend::start(move |mut stream: TcpStream| {
        stream.write_all(b"220 ready\n").unwrap();
        let mut got = vec![0; length];
        stream.read_exact(&mut got).unwrap();
        stream.write_all(&got).unwrap();
    });
    let api = SidecarFile::new(&mesh, "api", "dc1", app.address()).allows("web");
    let api = api.start();
    for version in VERSIONS {
        let public = api.listener("public_listener");
        let name = sni("api", "dc1");
        let output = client_with(&[version], &mesh, Some(&web), public, &name, &sent());
        let expected = [b"220 ready\n".as_slice(), &sent()].concat();
        assert!(
            output.stdout == expected,
            "{version}: {} bytes came, of {}: {}",
            output.stdout.len(),
            expected.len(),
            String::from_utf8_lossy(&output.stderr)
        );
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("api.svc.default"), "who is that? {said}");
    }
    assert_eq!(api.stats().refused_in_all(), 0.0);
}

#[test]
fn the_end_of_what_a_client_sends_is_an_end_for_the_app() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let web = mesh.leaf("web", "dc1");
    let (tell, hears) = channel();
    let app = Backend::start(move |mut stream: TcpStream| {
        let mut all = Vec::new();
        let end = stream.read_to_end(&mut all);
        tell.send(end.map(|_| all)).unwrap();
    });
    let api = SidecarFile::new(&mesh, "api", "dc1", app.address()).allows("web");
    let api = api.start();
    for version in VERSIONS {
        let public = api.listener("public_listener");
        // Without the line's end the client closes when it has sent all.
        let input = &sent()[..LENGTH as usize];
        client_with(&[version], &mesh, Some(&web), public, "api.test", input);
        let heard = hears.recv_timeout(DEADLINE).unwrap();
        let heard = heard.expect("an orderly end, not a reset");
        assert!(heard == input, "{version}: {} bytes came", heard.len());
    }
}

#[test]
fn an_app_that_is_down_ends_the_flow_and_is_told_of() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let web = mesh.leaf("web", "dc1");
    let down = Refusing::new();
    let api = SidecarFile::new(&mesh, "api", "dc1", down.address()).allows("web");
    let api = api.start();
    let public = api.listener("public_listener");
    let output = client_with(&[], &mesh, Some(&web), public, "api.test", b"hello\n");
    assert_eq!(output.stdout, b"");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !said.contains("wrong version"),
        "plain bytes in TLS: {said}"
    );
    api.wait_for_refused("connect_failed", 1);
}

#[test]
fn an_app_that_closes_first_still_gets_what_the_client_sends() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let (tell, hears) = channel();
    let app = Backend::start(move |mut stream: TcpStream| {
        stream.write_all(b"bye\n").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut all = Vec::new();
        let end = stream.read_to_end(&mut all);
        tell.send(end.map(|_| all)).unwrap();
    });
    let api = SidecarFile::new(&mesh, "api", "dc1", app.address()).allows("web");
    let api = api.start();
    let web = SidecarFile::new(&mesh, "web", "dc1", app.address())
        .upstream("api", None)
        .instances("api", &[api.listener("public_listener")])
        .start();
    let mut client = support::client::connect(web.listener("api"));
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"bye\n");
    client
        .write_all(b"after the end of the other side")
        .unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let heard = hears.recv_timeout(DEADLINE).unwrap().unwrap();
    assert_eq!(heard, b"after the end of the other side");
}

#[test]
fn a_caller_that_dies_is_no_end_of_what_it_sent() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let (tell, hears) = channel();
    let app = Backend::start(move |mut stream: TcpStream| {
        let mut got = [0; 5];
        stream.read_exact(&mut got).unwrap();
        stream.write_all(&got).unwrap();
        tell.send(stream.read_to_end(&mut Vec::new())).unwrap();
    });
    let api = SidecarFile::new(&mesh, "api", "dc1", app.address()).allows("web");
    let api = api.start();
    let web = SidecarFile::new(&mesh, "web", "dc1", app.address())
        .upstream("api", None)
        .instances("api", &[api.listener("public_listener")])
        .start();
    let mut client = support::client::connect(web.listener("api"));
    support::client::assert_echo(&mut client, b"hello");
    // Its sockets end as any do, but TLS was not told.
    web.lictor.signal(rustix::process::Signal::KILL);
    let heard = hears.recv_timeout(DEADLINE).unwrap();
    let heard = heard.expect_err("an end, as if all had been said");
    assert_eq!(heard.kind(), std::io::ErrorKind::ConnectionReset);
}
