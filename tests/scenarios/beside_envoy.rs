//! lictor and real Envoy are each other's gateways in two datacenters, in both directions, with mutual
//! TLS end to end.

use std::net::SocketAddr;
use std::thread;

use support::client::{assert_refused, greet};
use support::envoy::EnvoyGateway;
use support::lab::{GatewayFile, TRUST_DOMAIN, sni};
use support::openssl::{CLOSE, Server, Serves, client};
use support::pattern::{Exchanger, Pattern, exchange_then_finish};
use support::pki::Mesh;

const LENGTH: u64 = 16 << 20;

/// A service that takes and gives a long stream after the ClientHello.
///
/// Not with each direction's end for itself: Envoy 1.40 drops what it still has to write to a slow
/// service once both sides have finished, and that is not what these tests are about.
fn bulk() -> Exchanger {
    Exchanger::finishing_last_at(([127, 0, 0, 1], 0), Pattern(2), Pattern(1), LENGTH)
}

fn transfers(gateway: SocketAddr, bulk: &Exchanger) {
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let stream = greet(gateway, &sni("bulk", "dc2"));
                exchange_then_finish(&stream, Pattern(1), Pattern(2), LENGTH).unwrap();
            });
        }
    });
    bulk.wait_for(3);
}

#[test]
fn from_lictor_to_envoy() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let (web, api) = (mesh.leaf("web", "dc1"), mesh.leaf("api", "dc2"));
    let (server, bulk) = (Server::start(&mesh, &api, Serves::Reversed), bulk());
    let envoy = EnvoyGateway::default().service(&sni("api", "dc2"), server.address());
    let envoy = envoy.service(&sni("bulk", "dc2"), bulk.address()).start();
    let lictor = GatewayFile::new("dc1")
        .datacenter("dc2", &[envoy.address()])
        .log("access = true")
        .start();

    let lines = [b"olleh\n", CLOSE].concat();
    let output = client(
        &mesh,
        Some(&web),
        lictor.address(),
        &sni("api", "dc2"),
        &lines,
    );
    assert!(output.stdout.starts_with(b"hello\n"), "{output:?}");
    server.wait_for_client(&web);
    transfers(lictor.address(), &bulk);
    assert_refused(&mut greet(lictor.address(), &sni("other", "dc2")));
}

#[test]
fn from_envoy_to_lictor() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let (web, api) = (mesh.leaf("web", "dc1"), mesh.leaf("api", "dc2"));
    let (server, bulk) = (Server::start(&mesh, &api, Serves::Reversed), bulk());
    let lictor = GatewayFile::new("dc2").service("api", &[server.address()]);
    let lictor = lictor.service("bulk", &[bulk.address()]).start();
    let envoy = EnvoyGateway::default()
        .datacenter("dc2", lictor.address())
        .start();

    let lines = [b"olleh\n", CLOSE].concat();
    let output = client(
        &mesh,
        Some(&web),
        envoy.address(),
        &sni("api", "dc2"),
        &lines,
    );
    assert!(output.stdout.starts_with(b"hello\n"), "{output:?}");
    server.wait_for_client(&web);
    transfers(envoy.address(), &bulk);
    assert_refused(&mut greet(envoy.address(), &sni("other", "dc2")));
    lictor.wait_for_refused("unknown_server_name", 1);
}
