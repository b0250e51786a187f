//! Intentions decide who reaches the app: the most exact one that matches, else the default. Of a
//! client that is denied, the app hears nothing.

use support::backend::Backend;
use support::client::{connect, ending};
use support::lab::TRUST_DOMAIN;
use support::openssl::client_with;
use support::pki::Mesh;
use support::sidecar::SidecarFile;

const WEB_ALLOWED: &str = "{ name = \"web\" action = \"allow\" }";
const WEB_DENIED: &str = "{ name = \"web\" action = \"deny\" }";
const ALL_ALLOWED: &str = "{ name = \"*\" action = \"allow\" }";
const ALL_DENIED: &str = "{ name = \"*\" action = \"deny\" }";
const BY_REQUEST: &str =
    "{ name = \"web\" permissions = [{ action = \"allow\" http { path_prefix = \"/\" } }] }";

/// What becomes of web, and of another service, by these intentions.
fn decided(intentions: &[(&str, &[&str])], default: &str, web: Verdict, other: Verdict) {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let app = Backend::echo();
    let mut file = SidecarFile::new(&mesh, "api", "dc1", app.address())
        .stanza(&format!("default_intention_policy = \"{default}\""));
    for (destination, sources) in intentions {
        file = file.intentions(destination, sources);
    }
    let api = file.start();
    let public = api.listener("public_listener");
    let (mut reached, mut denied) = (0, 0);
    // The datacenter that a caller is in makes no difference.
    for (service, datacenter, verdict) in [
        ("web", "dc1", &web),
        ("web", "dc9", &web),
        ("other", "dc1", &other),
    ] {
        let leaf = mesh.leaf(service, datacenter);
        let mark = api.lictor.log.mark();
        client_with(&[], &mesh, Some(&leaf), public, "api.test", b"hello");
        match verdict {
            Reaches => {
                reached += 1;
                let event = api.lictor.log.event_after(mark, "opened", |_| true);
                assert_eq!(event.field("upstream"), app.address().to_string());
                let id = mesh.spiffe_id(service, datacenter);
                assert_eq!(event.field("identity"), id, "{event:?}");
            }
            Denied(by) => {
                denied += 1;
                api.wait_for_refused("intention_denied", denied);
                let event = api.lictor.log.event_after(mark, "refused", |_| true);
                let detail = event.field("detail");
                let id = mesh.spiffe_id(service, datacenter);
                assert!(detail.contains(&id) && detail.contains(by), "{detail}");
            }
        }
        support::wait::until_true("as many as may come", || app.accepted() == reached);
    }
    assert_eq!(api.stats().refused_in_all(), f64::from(denied));
    assert_eq!(app.accepted(), reached, "a denied client reached the app");
}

enum Verdict {
    Reaches,
    /// With words of the reason.
    Denied(&'static str),
}
use Verdict::{Denied, Reaches};

const NO_MATCH: Verdict = Denied("by default: no intention matches");

#[test]
fn who_is_denied_is_told_so_by_an_alert() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let app = Backend::echo();
    let api = SidecarFile::new(&mesh, "api", "dc1", app.address()).allows("cron");
    let api = api.start();
    let public = api.listener("public_listener");
    let leaf = mesh.leaf("web", "dc1");
    for version in ["-tls1_2", "-tls1_3"] {
        let output = client_with(
            &[version],
            &mesh,
            Some(&leaf),
            public,
            "api.test",
            b"hello\n",
        );
        let said = String::from_utf8_lossy(&output.stderr);
        // RFC 8446 section 6.2: access_denied is 49.
        let alert = "alert access denied";
        assert!(said.contains(alert) && said.contains("49"), "{said}");
    }
    // And another lictor tells its operator.
    let web = SidecarFile::new(&mesh, "web", "dc1", app.address()).upstream("api", None);
    let web = web.instances("api", &[public]).start();
    assert_eq!(ending(&mut connect(web.listener("api"))).1, b"");
    web.wait_for_refused("upstream_tls", 1);
    let detail = web
        .lictor
        .log
        .wait_for("refused")
        .field("detail")
        .to_owned();
    assert!(
        detail.contains("no intention there lets our service in"),
        "{detail}"
    );
    api.wait_for_refused("intention_denied", 3);
    assert_eq!(app.accepted(), 0);
}

#[test]
fn an_exact_allow_lets_in_that_service_and_no_other() {
    decided(&[("api", &[WEB_ALLOWED])], "deny", Reaches, NO_MATCH);
}

#[test]
fn an_exact_deny_keeps_out_that_service_and_no_other() {
    let denied = Denied("by the intention web => api");
    decided(&[("api", &[WEB_DENIED])], "allow", denied, Reaches);
}

#[test]
fn an_exact_source_goes_before_a_wildcard_whatever_the_order() {
    let all = Denied("by the intention * => api");
    decided(
        &[("api", &[ALL_DENIED, WEB_ALLOWED])],
        "allow",
        Reaches,
        all,
    );
    let web = Denied("by the intention web => api");
    decided(&[("api", &[ALL_ALLOWED, WEB_DENIED])], "deny", web, Reaches);
}

#[test]
fn an_exact_destination_goes_before_a_wildcard_whatever_the_order() {
    let intentions: [(&str, &[&str]); 2] = [("*", &[ALL_DENIED]), ("api", &[WEB_ALLOWED])];
    let all = Denied("by the intention * => *");
    decided(&intentions, "allow", Reaches, all);
}

#[test]
fn intentions_for_another_service_are_of_no_concern() {
    let other = Denied("by default");
    decided(&[("db", &[ALL_ALLOWED])], "deny", NO_MATCH, other);
}

#[test]
fn without_intentions_the_default_decides() {
    decided(&[], "deny", NO_MATCH, NO_MATCH);
    decided(&[], "allow", Reaches, Reaches);
}

#[test]
fn permissions_on_requests_count_as_a_deny_and_the_log_says_so() {
    let denied = Denied("permissions are for requests and count as a deny");
    decided(&[("api", &[BY_REQUEST])], "allow", denied, Reaches);
}
