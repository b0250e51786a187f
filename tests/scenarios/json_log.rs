//! In its JSON form, each line of the log is one object, whatever a client sends.

use support::backend::Backend;
use support::client::{assert_refused, greet, send_hello};
use support::hello::Hello;
use support::lab::{GatewayFile, sni};
use support::process::Launch;

#[test]
fn every_line_is_an_object_with_time_level_and_event() {
    let web = Backend::echo();
    let file = GatewayFile::new("dc1")
        .service("web", &[web.address()])
        .log("format = \"json\"");
    let file = file.log("access = true").stanza("").to_string();
    let mut lictor = Launch::new(&file).start();
    let field = |line: &str, key: &str| -> Option<String> {
        let value: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(value.get(key)?.as_str()?.to_owned())
    };
    let line = lictor.log.wait_for_line("the address", |line| {
        field(line, "event").as_deref() == Some("listening")
            && field(line, "name").is_some_and(|name| name.starts_with("default"))
    });
    let address = field(&line, "address").unwrap().parse().unwrap();
    drop(support::client::echoing(address, &sni("web", "dc1")));
    for odd in [&b"a\"b\\c\n{}"[..], b"\xff\xfe\x00", "\u{7f}é".as_bytes()] {
        assert_refused(&mut send_hello(address, &Hello::to(odd)));
    }
    assert_refused(&mut greet(address, &sni("other", "dc1")));
    lictor.log.wait_for_line("a refusal", |line| {
        field(line, "cause").as_deref() == Some("unknown_server_name")
    });
    lictor.log.wait_for_line("an end", |line| {
        field(line, "event").as_deref() == Some("closed")
    });
    lictor.terminate();
    lictor.wait_for_end();
    lictor.log.to_end();
    let lines = lictor.log.lines();
    assert!(lines.len() >= 7, "{lines:#?}");
    for line in lines {
        for key in ["time", "level", "event"] {
            assert!(field(&line, key).is_some(), "no {key} in {line}");
        }
    }
}
