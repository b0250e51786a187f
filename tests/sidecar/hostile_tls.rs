//! A client that breaks TLS in one place gets the alert that the RFC names, whatever the place, and
//! nothing of it reaches the app; odd clients that are right are served.
//!
//! The client is `hostile/main.py`, on tlslite-ng; `tests/peers/tlslite-ng` gives a Python that has it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::backend::Backend;
use support::lab::{Gateway, TRUST_DOMAIN};
use support::pki::{Leaf, Mesh};
use support::sidecar::SidecarFile;

/// Conversations that come to an echo, and so are all that the app may hear of.
const SERVED: &str = ": echo";

/// What is echoed then.
const SAID: &[u8] = b"still here?";

fn converse(api: &Gateway, leaf: &Leaf) -> Output {
    let python = std::env::var_os("LICTOR_TLSLITE");
    let python = python.expect("LICTOR_TLSLITE is not set: `tests/peers/tlslite-ng` prints it");
    let public = api.listener("public_listener");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/sidecar/hostile/main.py");
    let mut command = Command::new(python);
    // Nothing is written beside the scripts.
    command.arg("-B").arg(script);
    command.args([public.ip().to_string(), public.port().to_string()]);
    command.arg(&leaf.certificate).arg(&leaf.key);
    let output = command.stdin(Stdio::null()).output();
    output.expect("the Python that LICTOR_TLSLITE names can be started")
}

#[test]
fn what_is_wrong_is_refused_with_its_alert_and_what_is_odd_is_served() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let web = mesh.leaf("web", "dc1");
    let heard = Arc::new(AtomicUsize::new(0));
    let hears = Arc::clone(&heard);
    let app = Backend::start(move |mut stream: TcpStream| {
        let mut got = [0; 64];
        while let Ok(read @ 1..) = stream.read(&mut got) {
            hears.fetch_add(read, Ordering::SeqCst);
            if stream.write_all(&got[..read]).is_err() {
                return;
            }
        }
    });
    let api = SidecarFile::new(&mesh, "api", "dc1", app.address()).allows("web");
    let mut api = api.start();
    let output = converse(&api, &web);
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let failed: Vec<&str> = said
        .lines()
        .filter(|line| !line.starts_with("ok "))
        .collect();
    assert!(
        output.status.success() && failed.is_empty(),
        "{}\n{errors}",
        failed.join("\n")
    );
    assert!(said.lines().count() > 130, "{said}\n{errors}");
    assert!(api.lictor.runs());
    api.wait_for_active(0);
    // What breaks after the handshake may have reached the app, but with no byte.
    let served = said.lines().filter(|line| line.contains(SERVED)).count();
    assert_eq!(heard.load(Ordering::SeqCst), served * SAID.len(), "{said}");
}
