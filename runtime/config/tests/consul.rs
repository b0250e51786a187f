//! `lictor { consul { … } }`: where Consul is, and what is refused of it.

#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::path::PathBuf;

use config::{ConsulSettings, Format, Source, parse};

fn read(consul: &str) -> Result<Option<ConsulSettings>, Vec<String>> {
    let text = format!("lictor {{\n{consul}\n}}");
    let source = Source {
        name: "f.hcl",
        text: &text,
        format: Format::Hcl,
    };
    parse(&[source])
        .map(|settings| settings.consul)
        .map_err(|errors| errors.list().iter().map(ToString::to_string).collect())
}

#[test]
fn the_whole_stanza_is_read() {
    let settings = read(
        "consul { addresses = [\"https://10.0.0.1\", \"10.0.0.2:8500\", \"unix:///run/c.sock\"] token_file = \"/t\"
        tls { ca_file = \"/ca\" cert_file = \"/c\" key_file = \"/k\" server_name = \"server.dc1.consul\" } connections = 64 agentless = true node_name = \"edge-7\" }",
    );
    let expected = ConsulSettings {
        addresses: ["https://10.0.0.1", "10.0.0.2:8500", "unix:///run/c.sock"]
            .map(str::to_owned)
            .into(),
        token_file: Some(PathBuf::from("/t")),
        ca_file: Some(PathBuf::from("/ca")),
        own: Some((PathBuf::from("/c"), PathBuf::from("/k"))),
        server_name: Some("server.dc1.consul".to_owned()),
        connections: Some(64),
        agentless: true,
        node_name: Some("edge-7".to_owned()),
    };
    assert_eq!(settings, Ok(Some(expected)));
    assert_eq!(read(""), Ok(None));
    assert_eq!(read("consul {}"), Ok(Some(ConsulSettings::default())));
    let one = read("consul { address = \"agent\" }")
        .expect("it is good")
        .expect("it is there");
    assert_eq!(one.addresses, ["agent"]);
}

#[test]
fn what_cannot_be_used_is_refused_where_it_stands() {
    for (consul, message) in [
        (
            "consul { address = \"ftp://x\" }",
            "f.hcl:2:20: lictor.consul.address: an address is host:port, http://host:port, https://host:port or unix:///path",
        ),
        (
            "consul { connections = 3 }",
            "f.hcl:2:24: lictor.consul.connections: some queries block; give at least 4",
        ),
        (
            "consul { tls { cert_file = \"/c\" } }",
            "f.hcl:2:14: lictor.consul.tls: cert_file and key_file belong together; give both or neither",
        ),
        (
            "consul { node_name = \"edge-7\" }",
            "f.hcl:2:22: lictor.consul.node_name: an agent has a node; it goes with agentless = true",
        ),
        (
            "consul { tokens_file = \"/t\" }",
            "f.hcl:2:10: lictor.consul.tokens_file: consul has no such key; did you mean 'token_file'?",
        ),
    ] {
        assert_eq!(read(consul), Err(vec![message.to_owned()]), "{consul}");
    }
}
