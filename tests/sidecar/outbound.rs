//! What an app sends to an upstream goes to the bearer of that service's SPIFFE ID, or nowhere: the
//! other end is OpenSSL's server, good and bad.

use std::io::{Read, Write};
use std::net::Shutdown;

use support::backend::Refusing;
use support::client::{Ending, connect, ending};
use support::flawed::Flaw;
use support::lab::{Gateway, TRUST_DOMAIN};
use support::openssl::{Server, Serves};
use support::pattern::Pattern;
use support::pki::{Leaf, Mesh};
use support::sidecar::SidecarFile;

const HOME: ([u8; 4], u16) = ([127, 0, 0, 1], 9);

/// A sidecar of web whose one upstream is api, with instances at these addresses.
fn web(mesh: &Mesh, instances: &[std::net::SocketAddr]) -> Gateway {
    let file = SidecarFile::new(mesh, "web", "dc1", HOME.into()).upstream("api", None);
    file.instances("api", instances).start()
}

#[test]
fn a_server_with_the_right_identity_is_talked_to_and_sees_who_calls() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let server = Server::start(&mesh, &mesh.leaf("api", "dc1"), Serves::Reversed);
    let web = web(&mesh, &[server.address()]);
    let mut client = connect(web.listener("api"));
    client.write_all(b"olleh\n").unwrap();
    let mut answer = [0; 6];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello\n");
    server.wait_for_client(&mesh.leaf("web", "dc1"));
    assert_eq!(web.stats().refused_in_all(), 0.0);
}

#[test]
fn a_download_and_an_upload_are_whole() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let api = mesh.leaf("api", "dc1");
    let files = Server::start(&mesh, &api, Serves::Files);
    let mut blob = vec![0; 3_000_001];
    Pattern(8).fill(0, &mut blob);
    files.publish("blob", &blob);
    let downloads = web(&mesh, &[files.address()]);
    let mut client = connect(downloads.listener("api"));
    client.write_all(b"GET /blob HTTP/1.0\r\n\r\n").unwrap();
    let (end, all) = ending(&mut client);
    assert_eq!(end, Ending::Closed);
    assert!(all.ends_with(&blob), "{} bytes came", all.len());

    let takes = Server::start(&mesh, &api, Serves::Output);
    let uploads = web(&mesh, &[takes.address()]);
    let mut client = connect(uploads.listener("api"));
    let upload = [b"one\n".repeat(20_000), b"last\n".to_vec()].concat();
    client.write_all(&upload).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let output = &takes.output;
    output.wait_for_line("the last line", |line| line == "last");
    let ones = output.lines().iter().filter(|line| *line == "one").count();
    assert_eq!(ones, 20_000);
}

/// The server that shows this leaf is not talked to: the app's client is closed, without a byte.
fn refused(mesh: &Mesh, leaf: &Leaf, because: &str) {
    let server = Server::start(mesh, leaf, Serves::Output);
    let web = web(mesh, &[server.address()]);
    let mut client = connect(web.listener("api"));
    client.write_all(b"secret\n").unwrap();
    let (_, bytes) = ending(&mut client);
    assert_eq!(bytes, b"", "the app's client was sent something");
    web.wait_for_refused("upstream_tls", 1);
    let event = web.lictor.log.wait_for("refused");
    let detail = event.field("detail");
    let address = server.address().to_string();
    assert!(detail.contains(&address), "which server? {detail}");
    assert!(detail.contains(because), "{detail}");
    assert!(event.field("listener").starts_with("api:"), "{event:?}");
    let said = server.output.text();
    assert!(!said.contains("secret"), "the server was told: {said}");
}

#[test]
fn the_identity_of_another_service_is_refused() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let db = mesh.leaf("db", "dc1");
    let because = format!(
        "is that of {}, expected: {}",
        mesh.spiffe_id("db", "dc1"),
        mesh.spiffe_id("api", "dc1")
    );
    refused(&mesh, &db, &because);
}

#[test]
fn the_identity_of_the_service_in_another_datacenter_is_refused() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    refused(&mesh, &mesh.leaf("api", "dc2"), "expected: spiffe://");
}

#[test]
fn flawed_identities_are_refused() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    for (flaw, because) in [
        (Flaw::Expired, "expired"),
        (Flaw::NotYetValid, "is not valid yet"),
        (Flaw::OtherAuthority, "was not issued by a root"),
        (Flaw::OtherTrustDomain, "is that of spiffe://9"),
        (Flaw::NoUri, "has no URI SAN"),
        (Flaw::OnlyDnsName, "has no URI SAN"),
        (Flaw::TwoUris, "has 2 URI SANs"),
        (Flaw::WrongPurpose, "extended key usage"),
        (Flaw::SelfSigned, "was not issued by a root"),
    ] {
        refused(&mesh, &mesh.flawed("api", "dc1", flaw), because);
    }
}

#[test]
fn a_server_that_does_not_trust_us_is_told_of() {
    let (mesh, other) = (Mesh::new(TRUST_DOMAIN), Mesh::new(TRUST_DOMAIN));
    // It shows the right identity, and takes clients of another authority only.
    let server = Server::start(&other, &mesh.leaf("api", "dc1"), Serves::Output);
    let web = web(&mesh, &[server.address()]);
    let mut client = connect(web.listener("api"));
    client.write_all(b"hello\n").unwrap();
    assert_eq!(ending(&mut client).1, b"");
    // By TLS 1.3, all was well for us until it had looked at our certificate.
    web.wait_for_refused("upstream_tls", 1);
    let event = web.lictor.log.wait_for("refused");
    let detail = event.field("detail");
    assert!(detail.contains("does not know the root"), "{detail}");
}

#[test]
fn what_is_no_tls_server_is_refused() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let http = support::backend::Backend::start(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let web = web(&mesh, &[http.address()]);
    let (_, bytes) = ending(&mut connect(web.listener("api")));
    assert_eq!(bytes, b"");
    web.wait_for_refused("upstream_tls", 1);
}

#[test]
fn an_app_whose_upstream_is_down_is_closed_and_sent_nothing() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let web = web(&mesh, &[Refusing::new().address()]);
    let mut client = connect(web.listener("api"));
    let (_, bytes) = ending(&mut client);
    assert_eq!(bytes, b"", "the app's client does not speak TLS");
    web.wait_for_refused("connect_failed", 1);
}
