//! The demo is the first thing a new user runs: it ends well, and shows every hop.
//!
//! It runs on the addresses of `configs/demo/`, the only fixed ones in these tests, since those are
//! files to be read along with it; so it is a test program of its own, with one test.

#![allow(
    clippy::expect_used,
    reason = "a demo that cannot be started fails the test"
)]

use std::process::Command;

#[test]
fn the_demo_shows_every_hop_and_ends_well_or_says_why_not() {
    let demo = Command::new(env!("CARGO_BIN_EXE_demo"))
        .output()
        .expect("the demo starts");
    let shown = String::from_utf8_lossy(&demo.stdout);
    assert!(demo.status.success(), "{shown}");
    for line in [
        "sidecar web   makes it TLS to api.default.dc2.internal, by way of 127.1.0.10:8443",
        "gateway dc1   passes it on to 127.2.0.10:8443 (cluster dc2.internal)",
        "gateway dc2   passes it on to 127.2.0.20:21000 (cluster api.default.dc2.internal)",
        "sidecar api   lets in /ns/default/dc/dc1/svc/web, passes it on to 127.2.0.20:9001",
        "web           gets \"hello, this is api in dc2\" ",
        "web           gets 16 MB in ",
        "gateway dc2   refuses, unknown_server_name: ",
        "sidecar api   refuses, intention_denied: /ns/default/dc/dc1/svc/cron: denied by default",
        "sidecar cron  gives up, upstream_tls: ",
        "sidecar api   refuses, tls_handshake: ",
        "sidecar api   cuts the connection at once: intention_denied",
        "web           is greeted as before",
        "It works: ",
    ] {
        assert!(shown.contains(line), "no line \"{line}\" in:\n{shown}");
    }
    assert!(!shown.contains('\x1b'), "colour is for terminals");

    let demo = Command::new(env!("CARGO_BIN_EXE_demo"))
        .env("LICTOR_BIN", "/nowhere/lictor")
        .output()
        .expect("the demo starts");
    assert_eq!(demo.status.code(), Some(1));
    let shown = String::from_utf8_lossy(&demo.stdout);
    let why = "It failed: starting /nowhere/lictor: ";
    assert!(shown.contains(why), "{shown}");
}
