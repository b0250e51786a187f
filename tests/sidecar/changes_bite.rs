//! A change takes effect at once on the flows that are no longer allowed, and on no others; renewed
//! certificates cut nothing; a file that is broken changes nothing and says why.

use std::net::TcpStream;

use rcgen::KeyPair;
use support::backend::Backend;
use support::client::{assert_echo, connect, ending};
use support::lab::{Gateway, TRUST_DOMAIN};
use support::openssl::certificate_shown;
use support::pki::Mesh;
use support::sidecar::{SidecarFile, replace};

/// Two callers of api, web and cron, and a flow of each.
struct Lab {
    mesh: Mesh,
    app: Backend,
    file: SidecarFile,
    api: Gateway,
    web: Gateway,
    cron: Gateway,
    from_web: TcpStream,
    from_cron: TcpStream,
}

fn allowing(mesh: &Mesh, app: &Backend, datacenter: &str) -> SidecarFile {
    SidecarFile::new(mesh, "api", datacenter, app.address())
        .stanza("default_intention_policy = \"deny\"")
}

fn lab() -> Lab {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let app = Backend::echo();
    let file = allowing(&mesh, &app, "dc1");
    let api = file.clone().intentions("api", &[WEB, CRON]).start();
    let caller = |service: &str| {
        let file = SidecarFile::new(&mesh, service, "dc1", app.address());
        let file = file.upstream("api", None);
        file.instances("api", &[api.listener("public_listener")])
            .start()
    };
    let (web, cron) = (caller("web"), caller("cron"));
    let (from_web, from_cron) = (flow(&web), flow(&cron));
    Lab {
        mesh,
        app,
        file,
        api,
        web,
        cron,
        from_web,
        from_cron,
    }
}

fn flow(caller: &Gateway) -> TcpStream {
    let mut stream = connect(caller.listener("api"));
    assert_echo(&mut stream, b"hello");
    stream
}

fn refused(caller: &Gateway) {
    assert_eq!(ending(&mut connect(caller.listener("api"))).1, b"");
}

const WEB: &str = "{ name = \"web\" action = \"allow\" }";
const CRON: &str = "{ name = \"cron\" action = \"allow\" }";
const WEB_NO_MORE: &str = "{ name = \"web\" action = \"deny\" }";

#[test]
fn an_intention_that_now_denies_cuts_the_flows_of_that_service_alone() {
    let mut lab = lab();
    let denying = lab.file.clone().intentions("api", &[WEB_NO_MORE, CRON]);
    lab.api.lictor.rewrite(&denying.to_string());
    assert_eq!(ending(&mut lab.from_web).1, b"");
    lab.api.wait_for_refused("intention_denied", 1);
    let closed = lab.api.lictor.log.wait_for("closed");
    assert_eq!(closed.field("how"), "intention_denied", "{closed:?}");
    assert_echo(&mut lab.from_cron, b"lives on");
    let reached = lab.app.accepted();
    refused(&lab.web);
    lab.api.wait_for_refused("intention_denied", 2);
    assert_eq!(
        lab.app.accepted(),
        reached,
        "a denied client reached the app"
    );
    flow(&lab.cron);

    // And back again.
    let mark = lab.api.lictor.log.mark();
    let allowing = lab.file.clone().intentions("api", &[WEB, CRON]);
    lab.api.lictor.rewrite(&allowing.to_string());
    lab.api.lictor.log.event_after(mark, "reloaded", |_| true);
    flow(&lab.web);
    assert_echo(&mut lab.from_cron, b"lives on");
}

#[test]
fn it_cuts_them_while_the_process_drains_too() {
    let mut lab = lab();
    lab.api.lictor.terminate();
    lab.api.lictor.log.wait_for("draining");
    let denying = lab.file.clone().intentions("api", &[WEB_NO_MORE, CRON]);
    lab.api.lictor.rewrite(&denying.to_string());
    assert_eq!(ending(&mut lab.from_web).1, b"");
    let closed = lab.api.lictor.log.wait_for("closed");
    assert_eq!(closed.field("how"), "intention_denied", "{closed:?}");
    assert_echo(&mut lab.from_cron, b"lives on");
}

#[test]
fn an_intention_that_is_gone_cuts_too() {
    let mut lab = lab();
    let fewer = lab.file.clone().intentions("api", &[CRON]);
    lab.api.lictor.rewrite(&fewer.to_string());
    assert_eq!(ending(&mut lab.from_web).1, b"");
    lab.api.wait_for_refused("intention_denied", 1);
    assert_echo(&mut lab.from_cron, b"lives on");
}

#[test]
fn a_root_that_is_removed_cuts_the_flows_that_rest_on_it_and_no_others() {
    let (old, new) = (Mesh::new(TRUST_DOMAIN), Mesh::new(TRUST_DOMAIN));
    let app = Backend::echo();
    let file = allowing(&new, &app, "dc1").intentions("api", &[WEB, CRON]);
    file.trust(&[&old, &new]);
    let api = file.start();
    let caller = |mesh: &Mesh, service: &str| {
        let file = SidecarFile::new(mesh, service, "dc1", app.address()).upstream("api", None);
        file.trust(&[&old, &new]);
        file.instances("api", &[api.listener("public_listener")])
            .start()
    };
    // Both roots are trusted while leaves of both are about.
    let (web, cron) = (caller(&old, "web"), caller(&new, "cron"));
    let (mut from_web, mut from_cron) = (flow(&web), flow(&cron));
    // The roots' file alone is replaced.
    file.trust(&[&new]);
    assert_eq!(ending(&mut from_web).1, b"");
    api.wait_for_refused("trust_removed", 1);
    assert_echo(&mut from_cron, b"lives on");
    // A resumed session would rest on what was trusted once.
    refused(&web);
    api.wait_for_refused("tls_handshake", 1);
    flow(&cron);
}

#[test]
fn a_caller_cuts_when_it_no_longer_trusts_whom_it_calls() {
    let mut lab = lab();
    let other = Mesh::new(TRUST_DOMAIN);
    let file = SidecarFile::new(&other, "web", "dc1", lab.app.address()).upstream("api", None);
    let file = file.instances("api", &[lab.api.listener("public_listener")]);
    lab.web.lictor.rewrite(&file.to_string());
    assert_eq!(ending(&mut lab.from_web).1, b"");
    lab.web.wait_for_refused("trust_removed", 1);
    assert_echo(&mut lab.from_cron, b"lives on");
}

#[test]
fn a_renewed_leaf_cuts_nothing_and_is_shown_to_who_comes_next() {
    let mut lab = lab();
    let web = lab.mesh.leaf("web", "dc7");
    let public = lab.api.listener("public_listener");
    let shown = || certificate_shown(&web, public);
    for _ in 0..3 {
        let before = shown();
        let mark = lab.api.lictor.log.mark();
        // Another key, the same name; the directory of the certificates is watched.
        lab.file.identify(&lab.mesh.leaf("api", "dc1"));
        lab.api.lictor.log.event_after(mark, "reloaded", |_| true);
        assert_echo(&mut lab.from_web, b"lives on");
        assert_echo(&mut lab.from_cron, b"lives on");
        assert_ne!(shown(), before, "the old leaf is still shown");
        flow(&lab.web);
    }
    for cause in ["tls_handshake", "trust_removed", "intention_denied"] {
        assert_eq!(lab.api.stats().refused(cause), 0.0, "{cause}");
    }
}

#[test]
fn certificates_that_do_not_fit_change_nothing_and_the_log_says_why() {
    let mut lab = lab();
    let stranger = KeyPair::generate().unwrap().serialize_pem();
    let good = std::fs::read_to_string(lab.file.file("leaf.key")).unwrap();
    for (name, text, because) in [
        (
            "leaf.key",
            stranger.as_str(),
            "does not belong to the certificate",
        ),
        ("leaf.key", "", "no private key in PEM"),
        ("leaf.pem", "half a certi", "no certificate in PEM"),
        ("roots.pem", "", "no certificate in PEM"),
    ] {
        let path = lab.file.file(name);
        let whole = std::fs::read_to_string(&path).unwrap();
        let mark = lab.api.lictor.log.mark();
        replace(&path, text);
        let log = &lab.api.lictor.log;
        let event = log.event_after(mark, "reload_refused", |_| true);
        let error = event.field("error");
        assert!(error.contains(because), "{name}: {error}");
        let secret = good.lines().nth(1).unwrap();
        assert!(!lab.api.lictor.log.text().contains(secret), "a key is told");
        assert_echo(&mut lab.from_web, b"lives on");
        flow(&lab.cron);
        let mark = lab.api.lictor.log.mark();
        replace(&path, &whole);
        lab.api.lictor.log.event_after(mark, "reloaded", |_| true);
    }
    assert_eq!(lab.api.stats().refused_in_all(), 0.0);
}
