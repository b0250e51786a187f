//! A client whose certificate is wrong in any way is refused with a TLS alert, counted, explained in
//! the log, and the app hears nothing of it.

use support::backend::Backend;
use support::flawed::Flaw;
use support::lab::{Gateway, TRUST_DOMAIN};
use support::openssl::client_with;
use support::pki::{Leaf, Mesh};
use support::sidecar::SidecarFile;

const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];

struct Lab {
    mesh: Mesh,
    app: Backend,
    api: Gateway,
}

fn lab() -> Lab {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let app = Backend::echo();
    let file = SidecarFile::new(&mesh, "api", "dc1", app.address());
    // Whoever proves who it is may come in, so nothing but the proof is in question.
    let api = file.stanza("default_intention_policy = \"allow\"").start();
    Lab { mesh, app, api }
}

/// Shows a wrong certificate, by each version of TLS, then sees that a good one is taken.
fn refused(lab: &Lab, leaf: Option<&Leaf>, because: &str, alert: u8) {
    let public = lab.api.listener("public_listener");
    for (count, version) in (1..).zip(VERSIONS) {
        let log = &lab.api.lictor.log;
        let mark = log.mark();
        let output = client_with(&[version], &lab.mesh, leaf, public, "api.test", b"hello\n");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.stdout, b"", "{version}: the app answered; {said}");
        let number = format!("SSL alert number {alert}");
        assert!(
            said.lines().any(|line| line.ends_with(&number)),
            "{version}: no {number}: {said}"
        );
        lab.api.wait_for_refused("tls_handshake", count);
        let event = log.event_after(mark, "refused", |_| true);
        let detail = event.field("detail");
        assert!(detail.contains(because), "{version}: {detail}");
        assert_eq!(event.field("cause"), "tls_handshake");
        assert!(event.field("listener").starts_with("public_listener"));
    }
    assert_eq!(lab.app.accepted(), 0, "a refused client reached the app");
    let web = lab.mesh.leaf("web", "dc1");
    client_with(&[], &lab.mesh, Some(&web), public, "api.test", b"hello");
    support::wait::until_true("a good client at the app", || lab.app.accepted() == 1);
}

fn flawed(flaw: Flaw, because: &str, alert: u8) {
    let lab = lab();
    let leaf = lab.mesh.flawed("web", "dc1", flaw);
    refused(&lab, Some(&leaf), because, alert);
}

#[test]
fn expired() {
    flawed(Flaw::Expired, "expired", CERTIFICATE_EXPIRED);
}

#[test]
fn not_yet_valid() {
    flawed(Flaw::NotYetValid, "is not valid yet", CERTIFICATE_EXPIRED);
}

#[test]
fn of_another_authority_with_the_same_name() {
    flawed(Flaw::OtherAuthority, "was not issued by a root", UNKNOWN_CA);
}

#[test]
fn of_the_right_authority_for_another_trust_domain() {
    flawed(Flaw::OtherTrustDomain, "is for trust domain 9", UNKNOWN_CA);
}

#[test]
fn without_a_uri() {
    flawed(Flaw::NoUri, "has no URI SAN", BAD_CERTIFICATE);
}

#[test]
fn with_a_dns_name_instead_of_a_uri() {
    flawed(Flaw::OnlyDnsName, "has no URI SAN", BAD_CERTIFICATE);
}

#[test]
fn with_two_uris() {
    flawed(Flaw::TwoUris, "has 2 URI SANs", BAD_CERTIFICATE);
}

#[test]
fn with_a_uri_that_names_no_service() {
    flawed(Flaw::NoService, "names no mesh identity", BAD_CERTIFICATE);
}

#[test]
fn of_an_authority_instead_of_a_leaf() {
    flawed(Flaw::Authority, "certificate authority", BAD_CERTIFICATE);
}

#[test]
fn with_a_key_that_signs_certificates() {
    flawed(Flaw::SignsCertificates, "keyCertSign", BAD_CERTIFICATE);
}

#[test]
fn with_a_key_that_signs_no_handshake() {
    flawed(Flaw::DoesNotSign, "digitalSignature", BAD_CERTIFICATE);
}

#[test]
fn for_another_use() {
    flawed(Flaw::WrongPurpose, "extended key usage", UNSUPPORTED);
}

#[test]
fn self_signed() {
    flawed(Flaw::SelfSigned, "was not issued by a root", UNKNOWN_CA);
}

#[test]
fn with_a_chain_that_lacks_its_intermediate() {
    flawed(Flaw::MissingIntermediate, "was not issued", UNKNOWN_CA);
}

#[test]
fn none_at_all() {
    refused(&lab(), None, "is missing", REQUIRED);
}

#[test]
fn of_another_mesh_altogether() {
    let lab = lab();
    let other = Mesh::new("99999999-2222-3333-4444-555555555555.consul");
    let web = other.leaf("web", "dc1");
    refused(&lab, Some(&web), "is for trust domain 9", UNKNOWN_CA);
}

// RFC 8446 section 6.2.
const BAD_CERTIFICATE: u8 = 42;
const UNSUPPORTED: u8 = 43;
const CERTIFICATE_EXPIRED: u8 = 45;
const UNKNOWN_CA: u8 = 48;
const REQUIRED: u8 = 116;
