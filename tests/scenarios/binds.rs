//! A gateway listens where Consul's rules say: its service address, its tagged addresses, one family
//! or both.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use support::backend::Backend;
use support::client::echoing;
use support::lab::{GatewayFile, sni};

const TAGGED: &str = "tagged_addresses {
    lan = { address = \"127.0.0.3\", port = 0 }
    wan = { address = \"127.0.0.4\", port = 0 }
  }";

fn file(app: &Backend) -> GatewayFile {
    GatewayFile::new("dc1").service("web", &[app.address()])
}

#[test]
fn tagged_addresses_are_listened_on_when_asked_for() {
    let app = Backend::echo();
    let gateway = file(&app)
        .registration(TAGGED)
        .registration("proxy { config { envoy_gateway_bind_tagged_addresses = true } }")
        .start();
    for (name, ip) in [
        ("default", "127.0.0.1"),
        ("lan", "127.0.0.3"),
        ("wan", "127.0.0.4"),
    ] {
        let address = gateway.listener(name);
        assert_eq!(address.ip().to_string(), ip);
        echoing(address, &sni("web", "dc1"));
    }
    let listed: BTreeSet<SocketAddr> = gateway.admin().listeners().into_values().collect();
    let logged = ["default", "lan", "wan"].map(|name| gateway.listener(name));
    assert!(
        logged.iter().all(|address| listed.contains(address)),
        "{listed:?}"
    );
}

#[test]
fn the_service_address_is_left_alone_when_asked() {
    let app = Backend::echo();
    let gateway = file(&app)
        .registration(TAGGED)
        .registration(
            "proxy { config {
            envoy_gateway_bind_tagged_addresses = true
            envoy_gateway_no_default_bind = true
          } }",
        )
        .start();
    echoing(gateway.listener("wan"), &sni("web", "dc1"));
    let default = IpAddr::from([127, 0, 0, 1]);
    let admin = gateway.admin().0;
    let listeners = gateway.admin().listeners();
    let on_default = |address: &&SocketAddr| address.ip() == default && **address != admin;
    assert_eq!(listeners.values().find(on_default), None, "{listeners:?}");
}

#[test]
fn tagged_addresses_are_not_listened_on_unasked() {
    let app = Backend::echo();
    let gateway = file(&app).registration(TAGGED).start();
    echoing(gateway.address(), &sni("web", "dc1"));
    let names = gateway.lictor.log.events("listening");
    let tagged = |name: &str| name.starts_with("lan") || name.starts_with("wan");
    assert!(
        !names.iter().any(|event| tagged(event.field("name"))),
        "{names:?}"
    );
}

#[test]
fn an_address_of_ipv6_is_listened_on() {
    let app = Backend::at((Ipv6Addr::LOCALHOST, 0), support::backend::echo);
    let gateway = file(&app).address("::1").start();
    assert_eq!(gateway.address().ip(), IpAddr::from(Ipv6Addr::LOCALHOST));
    echoing(gateway.address(), &sni("web", "dc1"));
    assert_eq!(app.accepted(), 1);
}

#[test]
fn the_unspecified_address_of_ipv6_serves_both_families() {
    let app = Backend::echo();
    let gateway = file(&app).address("::").start();
    let port = gateway.address().port();
    echoing((Ipv6Addr::LOCALHOST, port).into(), &sni("web", "dc1"));
    echoing(([127, 0, 0, 1], port).into(), &sni("web", "dc1"));
    assert_eq!(app.accepted(), 2);
}

#[test]
fn the_unspecified_address_of_ipv4_serves_every_address_of_it() {
    let app = Backend::echo();
    let gateway = file(&app).address("0.0.0.0").start();
    let port = gateway.address().port();
    for ip in [[127, 0, 0, 1], [127, 9, 9, 9]] {
        echoing((ip, port).into(), &sni("web", "dc1"));
    }
}
