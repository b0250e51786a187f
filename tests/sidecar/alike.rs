//! Two lictors are each other's sidecars: directly, and through lictor's gateways by each mode. What
//! is said arrives whole both ways, and the server name is the destination's in every mode.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use support::backend::Backend;
use support::client::{Ending, assert_echo, connect, ending, greet};
use support::lab::{Gateway, GatewayFile, TRUST_DOMAIN, sni};
use support::pattern::{Exchanger, Pattern, exchange};
use support::pki::Mesh;
use support::sidecar::SidecarFile;

const LENGTH: u64 = 20 << 20;

fn bulk() -> Exchanger {
    Exchanger::at(([127, 0, 0, 1], 0), Pattern(2), Pattern(1), LENGTH)
}

/// Twenty mebibytes each way at once, from a client app to the app behind the other sidecar.
fn transfer(upstream: SocketAddr, app: &Exchanger) {
    let stream = greet(upstream, "the app's own business");
    exchange(&stream, Pattern(1), Pattern(2), LENGTH).unwrap();
    app.wait_for(1);
}

/// The sidecars of api and of web, which calls it, in one datacenter.
fn pair(mesh: &Mesh, app: SocketAddr) -> (Gateway, Gateway) {
    let api = SidecarFile::new(mesh, "api", "dc1", app).allows("web");
    let api = api.start();
    let web = SidecarFile::new(mesh, "web", "dc1", app)
        .upstream("api", None)
        .instances("api", &[api.listener("public_listener")])
        .start();
    (api, web)
}

#[test]
fn directly() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let app = bulk();
    let (api, web) = pair(&mesh, app.address());
    transfer(web.listener("api"), &app);
    for side in [&web, &api] {
        side.wait_for_active(0);
        assert_eq!(side.stats().refused_in_all(), 0.0);
        let closed = side.lictor.log.wait_for("closed");
        assert_eq!(closed.field("how"), "finished", "{closed:?}");
    }
}

/// More than one read of a handshake takes, and no more than comes in one piece: nothing follows that would tell of the rest.
#[test]
fn what_comes_with_the_end_of_a_handshake_is_passed_on() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let app = Backend::echo();
    let (_api, web) = pair(&mesh, app.address());
    for _ in 0..8 {
        let mut stream = connect(web.listener("api"));
        let mut sent = vec![0; 48 << 10];
        Pattern(3).fill(0, &mut sent);
        stream.write_all(&sent).unwrap();
        let mut back = vec![0; sent.len()];
        stream.read_exact(&mut back).unwrap();
        assert!(back == sent);
    }
}

/// Web in dc1, api in dc2, a gateway in each.
struct Federation {
    app: Exchanger,
    api: Gateway,
    dc1: Gateway,
    dc2: Gateway,
    web: Gateway,
}

fn federation(mode: &str) -> Federation {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let app = bulk();
    let api = SidecarFile::new(&mesh, "api", "dc2", app.address()).allows("web");
    let api = api.start();
    let public = api.listener("public_listener");
    let dc2 = GatewayFile::new("dc2").service("api", &[public]);
    let dc2 = dc2.log("access = true").start();
    let dc1 = GatewayFile::new("dc1").datacenter("dc2", &[dc2.address()]);
    let dc1 = dc1.log("access = true").start();
    let web = SidecarFile::new(&mesh, "web", "dc1", app.address())
        .upstream("api", Some(("dc2", mode)))
        .stanza(&format!("gateways = [\"{}\"]", dc1.address()))
        .stanza(&format!(
            "datacenter \"dc2\" {{\n gateways = [\"{}\"]\n service \"api\" {{ endpoints = [\"{public}\"] }}\n}}",
            dc2.address()
        ))
        .start();
    Federation {
        app,
        api,
        dc1,
        dc2,
        web,
    }
}

/// How many flows a gateway has passed on, all of them to api in dc2.
fn carried(gateway: &Gateway) -> usize {
    let opened = gateway.lictor.log.events("opened");
    for event in &opened {
        assert_eq!(event.field("sni"), sni("api", "dc2"));
    }
    opened.len()
}

/// Who carries a transfer by this mode: the gateway of dc1, the gateway of dc2.
fn by_mode(mode: &str, dc1: usize, dc2: usize) {
    let lab = federation(mode);
    transfer(lab.web.listener("api?dc=dc2"), &lab.app);
    lab.api.lictor.log.wait_for("closed");
    assert_eq!((carried(&lab.dc1), carried(&lab.dc2)), (dc1, dc2));
}

#[test]
fn in_another_datacenter_without_gateways() {
    by_mode("none", 0, 0);
}

#[test]
fn through_the_gateways_of_both_datacenters() {
    by_mode("local", 1, 1);
}

#[test]
fn through_the_gateway_of_the_other_datacenter() {
    by_mode("remote", 0, 1);
}

#[test]
fn pieces_of_any_size_come_back_on_connections_that_resume_each_other() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let app = Backend::echo();
    let (api, web) = pair(&mesh, app.address());
    let mut bytes = vec![0; 20_000];
    Pattern(5).fill(0, &mut bytes);
    // Later ones resume the session of earlier ones.
    for _ in 0..20 {
        let mut stream = connect(web.listener("api"));
        for length in [1, 2, 100, 16_384, 16_385, 20_000] {
            assert_echo(&mut stream, &bytes[..length]);
        }
    }
    assert_eq!(api.stats().refused_in_all(), 0.0);
}

#[test]
fn a_client_that_has_nothing_to_say_hears_the_app_out() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let app = Backend::start(|mut stream: TcpStream| {
        let _ = stream.write_all(&[b'x'; 100_000]);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let (_api, web) = pair(&mesh, app.address());
    for _ in 0..50 {
        let mut client = connect(web.listener("api"));
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(ending(&mut client), (Ending::Closed, vec![b'x'; 100_000]));
    }
}
