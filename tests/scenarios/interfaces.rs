//! A file names addresses by interface, as Consul's own addresses are: what an interface has counts at each start and reload.

use std::net::TcpStream;

use support::lab::Gateway;
use support::netns::Namespace;
use support::process::Launch;

fn file(interface: &str) -> String {
    format!(
        r#"
service {{
  name = "mesh-gateway"
  kind = "mesh-gateway"
  port = 8443
  address = "{{{{ GetInterfaceIP \"{interface}\" }}}}"
  tagged_addresses {{
    wan = {{ address = "{{{{ GetPrivateInterfaces | include \"name\" \"^wan0$\" | attr \"address\" }}}}", port = 443 }}
  }}
  proxy {{ config {{ envoy_gateway_bind_tagged_addresses = true }} }}
}}
lictor {{
  datacenter = "dc1"
  trust_domain = "11111111-2222-3333-4444-555555555555.consul"
  admin = "127.0.0.1:0"
}}
"#
    )
}

#[test]
fn a_gateway_listens_where_its_interfaces_are() {
    let namespace = Namespace::new();
    namespace.ip(&[
        "link", "add", "lan0", "type", "veth", "peer", "name", "wan0",
    ]);
    for (device, address) in [("lan0", "10.2.0.1/16"), ("wan0", "10.3.0.1/16")] {
        namespace.ip(&["address", "add", address, "dev", device]);
        namespace.ip(&["link", "set", device, "up"]);
    }
    let gateway = namespace.run(|| Gateway::start(Launch::new(&file("lan0"))));
    let listens = |name: &str, address: &str| {
        let listening = gateway.lictor.log.wait_for_event("listening", |event| {
            event.field("name").starts_with(name) && event.field("address") == address
        });
        drop(listening);
        namespace
            .run(|| TcpStream::connect(address))
            .expect("it listens");
    };
    listens("default", "10.2.0.1:8443");
    listens("wan", "10.3.0.1:443");

    // A lease ended: another address, and none of the old one's.
    namespace.ip(&["address", "del", "10.2.0.1/16", "dev", "lan0"]);
    namespace.ip(&["address", "add", "10.2.7.7/16", "dev", "lan0"]);
    gateway.lictor.reload();
    listens("default", "10.2.7.7:8443");

    // An interface that is not there changes nothing, and is named.
    gateway.lictor.rewrite(&file("lan7"));
    gateway.lictor.reload();
    let refused = gateway.lictor.log.wait_for("reload_refused");
    let why = refused.field("error");
    assert!(
        why.contains("service.address") && why.contains("lan7"),
        "{why}"
    );
    namespace
        .run(|| TcpStream::connect("10.2.7.7:8443"))
        .expect("it listens as before");
}
