//! Mutual TLS between OpenSSL's client in one datacenter and OpenSSL's server in another goes through
//! two gateways unopened: both ends verify the other's SPIFFE certificate, and no byte is changed.

use support::backend::Refusing;
use support::lab::{Gateway, GatewayFile, TRUST_DOMAIN, sni};
use support::openssl::{CLOSE, Server, Serves, client};
use support::pattern::Pattern;
use support::pki::{Leaf, Mesh};

struct Federation {
    mesh: Mesh,
    web: Leaf,
    server: Server,
    _dc2: Gateway,
    dc1: Gateway,
}

fn federation(serves: Serves) -> Federation {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let (web, api) = (mesh.leaf("web", "dc1"), mesh.leaf("api", "dc2"));
    let server = Server::start(&mesh, &api, serves);
    let dc2 = GatewayFile::new("dc2")
        .service("api", &[server.address()])
        .start();
    let gateways = [Refusing::new().address(), dc2.address()];
    let dc1 = GatewayFile::new("dc1").datacenter("dc2", &gateways).start();
    Federation {
        mesh,
        web,
        server,
        _dc2: dc2,
        dc1,
    }
}

#[test]
fn both_ends_verify_each_other_through_two_gateways() {
    let lab = federation(Serves::Reversed);
    let lines = [b"olleh\n", CLOSE].concat();
    let name = sni("api", "dc2");
    let output = client(&lab.mesh, Some(&lab.web), lab.dc1.address(), &name, &lines);
    assert!(output.stdout.starts_with(b"hello\n"), "{output:?}");
    lab.server.wait_for_client(&lab.web);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("api.svc.default"),
        "the client saw another server: {said}"
    );

    // The same path, and no certificate: it is the server that refuses, so the TLS is its own.
    let stranger = client(&lab.mesh, None, lab.dc1.address(), &name, &lines);
    assert!(!stranger.stdout.starts_with(b"hello"), "{stranger:?}");
    let other = Mesh::new("99999999-2222-3333-4444-555555555555.consul");
    let foreign = other.leaf("web", "dc1");
    let refused = client(&other, Some(&foreign), lab.dc1.address(), &name, &lines);
    assert!(!refused.stdout.starts_with(b"hello"), "{refused:?}");
}

#[test]
fn a_download_of_sixteen_mebibytes_is_whole() {
    let lab = federation(Serves::Files);
    let mut blob = vec![0; 16 << 20];
    Pattern(21).fill(0, &mut blob);
    lab.server.publish("blob", &blob);
    let get = b"GET /blob HTTP/1.0\r\n\r\n";
    let name = sni("api", "dc2");
    let output = client(&lab.mesh, Some(&lab.web), lab.dc1.address(), &name, get);
    assert!(
        output.stdout.ends_with(&blob),
        "{} bytes came",
        output.stdout.len()
    );
}

#[test]
fn an_upload_is_whole() {
    let lab = federation(Serves::Output);
    let numbers: Vec<String> = (0..200_000)
        .map(|number| format!("line {number}"))
        .collect();
    let upload = format!("{}\nlast", numbers.join("\n"));
    let (name, address) = (sni("api", "dc2"), lab.dc1.address());
    client(&lab.mesh, Some(&lab.web), address, &name, upload.as_bytes());
    lab.server
        .output
        .wait_for_line("the last line", |line| line.starts_with("last"));
    let lines = lab.server.output.lines();
    let got: Vec<&String> = lines
        .iter()
        .filter(|line| line.starts_with("line "))
        .collect();
    assert!(
        got.iter().copied().eq(&numbers),
        "{} lines of {}",
        got.len(),
        numbers.len()
    );
}
