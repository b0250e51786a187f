//! A Plan made on the desk: it runs on a device as the files would, and every question can be asked of the blob alone.

use std::fs;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use serde_json::Value;
use support::backend::Backend;
use support::client::{assert_echo, assert_refused, echoing, greet};
use support::lab::{Gateway, GatewayFile, sni};
use support::process::{Launch, lictor};
use support::temp::TempDir;

const DIFFERENT: Option<i32> = Some(1);
const USAGE: Option<i32> = Some(64);
const CONFIGURATION: Option<i32> = Some(78);

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Compiles a file and gives what was said.
fn compile(home: &TempDir, file: &GatewayFile, blob: &str) -> String {
    let source = home.write("gateway.hcl", file.to_string());
    let output = lictor(&[
        "compile".as_ref(),
        source.as_os_str(),
        "-o".as_ref(),
        home.file(blob).as_os_str(),
    ]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    text(&output.stdout)
}

fn on_blob(command: &[&str], blob: &Path) -> Output {
    let blob = blob.to_string_lossy();
    let words: Vec<&str> = command.iter().copied().chain([&*blob]).collect();
    lictor(&words)
}

#[test]
fn a_blob_runs_as_its_files_would_and_is_taken_over_when_it_changes() {
    let (web, api) = (Backend::echo(), Backend::echo());
    let home = Arc::new(TempDir::new());
    let file = GatewayFile::new("dc1").service("web", &[web.address()]);
    let said = compile(&home, &file, "gateway.blob");
    assert!(said.contains("1 listener(s), 1 cluster(s)"), "{said}");
    fs::remove_file(home.file("gateway.hcl")).unwrap();

    let launch = Launch::with([home.file("gateway.blob")]).beside(Arc::clone(&home));
    let gateway = Gateway::start(launch);
    let mut flow = echoing(gateway.address(), &sni("web", "dc1"));
    assert_refused(&mut greet(gateway.address(), &sni("api", "dc1")));

    compile(
        &home,
        &file.service("api", &[api.address()]),
        "gateway.blob",
    );
    gateway.lictor.log.wait_for("reloaded");
    echoing(gateway.address(), &sni("api", "dc1"));
    assert_echo(&mut flow, b"lives on");
    // Half of one changes nothing.
    let blob = fs::read(home.file("gateway.blob")).unwrap();
    fs::write(home.file("gateway.blob"), &blob[..blob.len() / 2]).unwrap();
    let event = gateway.lictor.log.wait_for("reload_refused");
    assert!(event.field("error").contains("damaged"), "{event:?}");
    echoing(gateway.address(), &sni("api", "dc1"));
}

#[test]
fn inspect_shows_a_blob_to_a_person_and_to_a_program() {
    let home = TempDir::new();
    let file = GatewayFile::new("dc1").service("web", &["10.0.0.1:20000"]);
    compile(&home, &file.timeout("drain = \"7s\""), "gateway.blob");
    let blob = home.file("gateway.blob");
    let said = text(&on_blob(&["inspect"], &blob).stdout);
    for part in [
        "generation 1",
        "gateway.hcl",
        "10.0.0.1:20000",
        &sni("web", "dc1"),
        "drain: 7s",
    ] {
        assert!(said.contains(part), "no {part} in:\n{said}");
    }
    let said = text(&on_blob(&["inspect", "--json"], &blob).stdout);
    let json: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(json["version"], 1);
    let cluster = &json["content"]["plan"]["clusters"][0];
    assert_eq!(cluster["name"], sni("web", "dc1"));
    assert_eq!(
        cluster["endpoints"][0]["address"]["Socket"],
        "10.0.0.1:20000"
    );
    assert_eq!(json["content"]["process"]["drain"], "7s");
}

#[test]
fn diff_tells_what_another_blob_says_differently() {
    let home = TempDir::new();
    let file = GatewayFile::new("dc1").service("web", &["10.0.0.1:1"]);
    compile(&home, &file, "a");
    compile(&home, &file, "same");
    compile(
        &home,
        &file
            .limit("connections = 9")
            .service("api", &["10.0.0.2:2"]),
        "b",
    );
    let diff = |other: &str| {
        lictor(&[
            "diff".as_ref(),
            home.file("a").as_os_str(),
            home.file(other).as_os_str(),
        ])
    };
    let same = diff("same");
    assert_eq!(
        (same.status.code(), text(&same.stdout)),
        (Some(0), String::new())
    );
    let other = diff("b");
    let said = text(&other.stdout);
    assert_eq!(other.status.code(), DIFFERENT, "{said}");
    assert!(said.contains("~ process.connections: 4096 -> 9"), "{said}");
    let api = sni("api", "dc1");
    assert!(
        said.lines()
            .any(|line| line.starts_with('+') && line.contains(&api)),
        "{said}"
    );
    assert!(!said.contains("10.0.0.1"), "{said}");
}

#[test]
fn explain_answers_from_a_blob_as_from_the_files() {
    let home = TempDir::new();
    let file = GatewayFile::new("dc1").service("web", &["10.0.0.1:20000"]);
    compile(
        &home,
        &file.datacenter("dc2", &["192.0.2.7:8443"]),
        "gateway.blob",
    );
    let blob = home.file("gateway.blob");
    for name in [sni("web", "dc1"), sni("any", "dc2"), sni("other", "dc1")] {
        let from_file = on_blob(&["explain", "--sni", &name], &home.file("gateway.hcl"));
        let from_blob = on_blob(&["explain", "--sni", &name, "--blob"], &blob);
        assert_eq!(from_blob.status.code(), Some(0), "{from_blob:?}");
        assert_eq!(text(&from_blob.stdout), text(&from_file.stdout));
    }
    let nobody = on_blob(&["explain", "--upstream", "nobody", "--blob"], &blob);
    let said = text(&nobody.stdout);
    assert_eq!(said, "no upstream has the destination nobody\n");
    let file = home.file("gateway.hcl");
    let both = on_blob(
        &["explain", "--sni", "x", "--blob", &blob.to_string_lossy()],
        &file,
    );
    assert_eq!(both.status.code(), USAGE, "{both:?}");
}

#[test]
fn identities_that_cannot_be_looked_at_are_not_taken_for_none() {
    let home = TempDir::new();
    compile(&home, &GatewayFile::new("dc1"), "gateway.blob");
    let (blob, beside) = (
        home.file("gateway.blob"),
        home.file("gateway.blob.identities"),
    );
    std::os::unix::fs::symlink(&beside, &beside).unwrap();
    let output = on_blob(&["run", "--state-dir", "/nowhere"], &blob);
    assert_eq!(output.status.code(), CONFIGURATION, "{output:?}");
    let said = text(&output.stderr);
    assert!(said.contains("identities cannot be read"), "{said}");
}

#[test]
fn what_is_no_blob_is_refused_by_name() {
    let home = TempDir::new();
    let file = home.write("gateway.hcl", GatewayFile::new("dc1").to_string());
    compile(&home, &GatewayFile::new("dc1"), "gateway.blob");
    let blob = home.file("gateway.blob");
    let mut newer = fs::read(&blob).unwrap();
    newer[40] ^= 1;
    let damaged = home.write("damaged", &newer);
    // A state directory, of which the reason is that of its slot.
    let state = home.file("state");
    fs::create_dir(&state).unwrap();
    fs::write(state.join("plan-1.a"), &newer).unwrap();
    for (command, path, code, says) in [
        (&["inspect"][..], &file, CONFIGURATION, "not a blob"),
        (&["inspect"], &damaged, CONFIGURATION, "damaged"),
        (
            &["inspect"],
            &state,
            CONFIGURATION,
            "plan-1.a is cut off or damaged",
        ),
        (
            &["inspect"],
            &home.file("none"),
            CONFIGURATION,
            "cannot be read",
        ),
        (
            &["explain", "--sni", "x", "--blob"],
            &file,
            CONFIGURATION,
            "not a blob",
        ),
        (&["check"], &blob, USAGE, "lictor inspect"),
        (
            &["run", "--state-dir", "/nowhere", &file.to_string_lossy()],
            &blob,
            CONFIGURATION,
            "no file beside it",
        ),
        (
            &["run", "--state-dir", "/nowhere"],
            &damaged,
            CONFIGURATION,
            "damaged",
        ),
    ] {
        let output = on_blob(command, path);
        assert_eq!(output.status.code(), code, "{command:?}: {output:?}");
        let said = text(&output.stderr);
        assert!(
            said.contains(says) && said.contains(&*path.to_string_lossy()),
            "{said}"
        );
    }
}
