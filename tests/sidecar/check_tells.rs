//! `lictor check` looks into certificates, keys and roots as a start would, and says what is wrong with
//! its place and file; what peers will refuse is a note, and a line of the log of who runs it all the
//! same.

use std::fs;
use std::process::Output;

use rcgen::KeyPair;
use support::flawed::Flaw;
use support::lab::TRUST_DOMAIN;
use support::pki::Mesh;
use support::process::lictor;
use support::sidecar::SidecarFile;
use support::temp::TempDir;

const HOME: ([u8; 4], u16) = ([127, 0, 0, 1], 9);

fn sidecar(mesh: &Mesh) -> SidecarFile {
    SidecarFile::new(mesh, "api", "dc1", HOME.into()).allows("web")
}

fn check(file: &SidecarFile) -> Output {
    let home = TempDir::new();
    lictor(&["check".into(), home.write("api.hcl", file.to_string())])
}

/// Not good: the exit code says so, and a line has the place, the key, the file and the reason.
fn bad(file: &SidecarFile, place: &str, holder: &str, because: &str) {
    let output = check(file);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    let holder = file.file(holder).display().to_string();
    let all = [place, &holder, because];
    let line = said
        .lines()
        .find(|line| all.iter().all(|part| line.contains(part)));
    assert!(line.is_some_and(|line| line.contains("api.hcl:")), "{said}");
    // And a start refuses it with the same words.
    let (status, log) = file.launch().run_to_end();
    assert_eq!(status.code(), Some(78), "{log}");
    assert!(all.iter().all(|part| log.contains(part)), "{log}");
}

/// Good, with this doubt.
fn doubtful(file: &SidecarFile, because: &str) {
    let output = check(file);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    let holder = file.file("leaf.pem").display().to_string();
    let all = ["note", "lictor.identity.api", holder.as_str(), because];
    let told = |line: &str| all.iter().all(|part| line.contains(part));
    assert!(said.lines().any(told), "{because}: {said}");
    let runs = file.start();
    let event = runs.lictor.log.wait_for("doubtful_identity");
    assert!(event.field("detail").contains(because), "{event:?}");
}

#[test]
fn what_is_sound_is_good_and_has_no_doubts() {
    let output = check(&sidecar(&Mesh::new(TRUST_DOMAIN)));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("result    good"),
        "{said}"
    );
    assert!(!said.contains("will refuse"), "{said}");
}

#[test]
fn all_that_would_run_is_shown_also_of_a_gateway_beside_a_sidecar() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let file = sidecar(&mesh)
        .upstream_socket("db", "/run/lictor/db.sock".as_ref(), "")
        .instances("db", &["10.0.0.7:21000"])
        .stanza("datacenter \"dc2\" { gateways = [\"192.0.2.7:443\"] }");
    let text = file.to_string();
    let gateway = "service { name = \"mesh-gateway\" kind = \"mesh-gateway\" port = 8443 }\n";
    let home = TempDir::new();
    for (text, rule) in [(text.clone(), 0), (format!("{gateway}{text}"), 1)] {
        let output = lictor(&["check".into(), home.write("both.hcl", text)]);
        let said = String::from_utf8_lossy(&output.stdout);
        for line in [
            "listens   db:/run/lictor/db.sock",
            "listens   public_listener:127.0.0.1:0",
            "sidecar   api-sidecar-proxy for api",
        ] {
            assert!(said.contains(line), "{line}: {said}");
        }
        let to_dc2 = format!("rule      \"*.dc2.internal.{TRUST_DOMAIN}\" to 1 endpoint(s)");
        assert_eq!(said.matches(&to_dc2).count(), rule, "{said}");
    }
}

#[test]
fn a_key_of_another_certificate_is_told_with_its_file() {
    let file = sidecar(&Mesh::new(TRUST_DOMAIN));
    let stranger = KeyPair::generate().unwrap().serialize_pem();
    fs::write(file.file("leaf.key"), &stranger).unwrap();
    let because = "the private key does not belong to the certificate";
    bad(&file, "lictor.identity.api", "leaf.key", because);
    let secret = stranger.lines().nth(1).unwrap();
    let output = check(&file);
    assert!(!String::from_utf8_lossy(&output.stderr).contains(secret));
}

#[test]
fn a_certificate_that_no_mesh_takes_is_told_with_its_file() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let file = sidecar(&mesh);
    for (flaw, because) in [
        (Flaw::NoUri, "has no URI SAN"),
        (Flaw::Authority, "certificate authority"),
    ] {
        file.identify(&mesh.flawed("api", "dc1", flaw));
        bad(&file, "lictor.identity.api", "leaf.pem", because);
    }
}

#[test]
fn roots_of_no_use_are_told_with_their_file() {
    let file = sidecar(&Mesh::new(TRUST_DOMAIN));
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    fs::write(file.file("roots.pem"), broken).unwrap();
    bad(
        &file,
        "lictor.roots",
        "roots.pem",
        "one is not an X.509 certificate",
    );
}

#[test]
fn identities_that_peers_will_refuse_are_noted_and_run() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let file = sidecar(&mesh);
    for (flaw, because) in [
        (Flaw::Expired, "expired"),
        (Flaw::NotYetValid, "is not valid yet"),
        (Flaw::OtherAuthority, "was not issued by a root"),
        (Flaw::OtherTrustDomain, "is for trust domain 9"),
        (Flaw::WrongPurpose, "extended key usage"),
    ] {
        file.identify(&mesh.flawed("api", "dc1", flaw));
        doubtful(&file, because);
    }
    for leaf in [mesh.leaf("api", "dc2"), mesh.leaf("db", "dc1")] {
        file.identify(&leaf);
        doubtful(&file, "callers of api in dc1 will refuse it");
    }
}
