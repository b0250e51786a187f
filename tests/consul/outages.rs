//! Consul goes and comes back, the proxies stay.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::admin::Admin;
use support::authority::Authority;
use support::backend::Backend;
use support::client::assert_echo;
use support::consul::{Agent, Settings};
use support::process::Launch;
use support::temp::TempDir;
use support::wait;

use crate::ground::{
    flow, free, register, register_gateway, sidecar, start, try_flow, two_datacenters, upstream,
};

/// web, whose upstream is api, and api, which is this app. Gives where web reaches api.
fn register_web_and_api(agent: &Agent, app: &Backend) -> SocketAddr {
    let listen = free(agent);
    let upstreams = format!(r#","Upstreams":[{}]"#, upstream("api", listen, ""));
    register(agent, "web", free(agent), &upstreams);
    register(agent, "api", app.address(), "");
    listen
}

#[test]
fn nothing_is_ready_before_consul_has_answered() {
    // It takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let home = Arc::new(TempDir::new());
    let file = home.write("own.hcl", "lictor { admin = \"127.0.0.1:0\" }");
    let file = file.to_string_lossy();
    let words = ["--gateway", "mesh", "--http-addr", &address, &file];
    let launch = Launch::with(words).beside(Arc::clone(&home));
    let lictor = launch.env("STATE_DIRECTORY", home.file("none")).begin();
    let admin = lictor
        .log
        .wait_for_event("listening", |event| event.field("name") == "admin");
    let admin = Admin(admin.field("address").parse().unwrap());
    let (status, body) = admin.get("/ready");
    assert_eq!((status, body.as_str()), (503, "waiting for Consul\n"));
}

#[test]
fn traffic_goes_on_and_what_changed_meanwhile_is_learned() {
    let mut server = Agent::server();
    let mut agent = Agent::start(Settings {
        of: Some(&server),
        ..Settings::default()
    });
    let app = Backend::echo();
    let listen = register_web_and_api(&agent, &app);
    let (web, api) = (sidecar(&agent, "web"), sidecar(&agent, "api"));
    let mut live = flow(listen);

    server.kill();
    web.lictor.log.wait_for("consul_lost");
    assert_echo(&mut live, b"without servers");
    drop(flow(listen));

    agent.kill();
    assert_echo(&mut live, b"without an agent");
    drop(flow(listen));
    let stats = web.stats();
    assert!(stats.value("lictor_consul_watches{state=\"lost\"}") > 0.5);
    assert!(stats.value("lictor_consul_lost_seconds") > 0.5);
    let said = web.lictor.log.wait_for("on_its_own");
    let leaf = "goes on for 71 hours: the certificate of web ends ";
    assert!(said.field("detail").starts_with(leaf), "{said:?}");
    let (_, status) = web.admin().get("/status");
    assert!(
        status.contains("consul      lost") && status.contains(leaf),
        "{status}"
    );

    server.run();
    agent.run();
    for proxy in [&web, &api] {
        proxy.lictor.log.wait_for("consul_back");
    }
    assert!(web.stats().value("lictor_consul_lost_seconds") < 0.5);
    assert_echo(&mut live, b"the same flow");
    // It learns again: the agent made new keys, which are in use.
    crate::ground::intend(&server, "web", "api", "deny");
    support::client::ending(&mut live);
}

#[test]
fn the_root_changes_under_load_and_no_flow_is_lost() {
    let agent = Agent::server();
    let app = Backend::echo();
    let listen = register_web_and_api(&agent, &app);
    let proxies = [sidecar(&agent, "web"), sidecar(&agent, "api")];
    let mut live: Vec<_> = (0..20).map(|_| flow(listen)).collect();
    let domain = agent.get("/v1/agent/connect/ca/roots")["TrustDomain"].clone();
    let domain = domain.as_str().expect("a trust domain").to_owned();
    let root = Authority::root(&domain, "the next one");
    let learned = || {
        proxies
            .each_ref()
            .map(|proxy| proxy.lictor.log.events("learned").len())
    };
    let before = learned();
    let (over, made) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let one = try_flow(listen);
                    assert!(one.is_some(), "a new connection was lost");
                    made.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // Whatever goes wrong in here ends the others too.
        let _over = Over(&over);
        let body = serde_json::json!({
            "Provider": "consul",
            "Config": {"PrivateKey": root.key(), "RootCert": root.certificate, "LeafCertTTL": "72h"},
        });
        agent.put("/v1/connect/ca/configuration", &body.to_string());
        // Two roots at first, then new leaves, within half a minute of Consul's choice.
        let leaves = ["web", "api"].map(|service| format!("/v1/agent/connect/ca/leaf/{service}"));
        let serials = || {
            leaves
                .each_ref()
                .map(|leaf| agent.get(leaf)["SerialNumber"].clone())
        };
        let old = serials();
        let end = Instant::now() + Duration::from_secs(60);
        while serials().iter().zip(&old).any(|(now, old)| now == old) {
            assert!(Instant::now() < end, "no new leaves within a minute");
            for stream in &mut live {
                assert_echo(stream, b"through it all");
            }
        }
        // The roots, and the leaf.
        wait::until_true("both to learn the new leaves", || {
            learned()
                .iter()
                .zip(before)
                .all(|(now, before)| *now >= before + 2)
        });
        for stream in &mut live {
            assert_echo(stream, b"to the end");
        }
        let so_far = made.load(Ordering::Relaxed);
        wait::until_true("more connections, by the new leaves", || {
            made.load(Ordering::Relaxed) > so_far + 20
        });
    });
    for proxy in &proxies {
        assert!(proxy.stats().refused_in_all() < 0.5);
    }
    println!("{} new connections, none lost", made.into_inner());
}

/// Says that it is over when it goes.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_datacenter_whose_consul_is_gone_is_still_reached() {
    let (dc1, mut dc2) = two_datacenters();
    let app = Backend::echo();
    let listen = free(&dc1);
    register(&dc2, "db", app.address(), "");
    register_gateway(&dc1);
    register_gateway(&dc2);
    let to_db = r#","Datacenter":"dc2","MeshGateway":{"Mode":"local"}"#;
    let upstreams = format!(r#","Upstreams":[{}]"#, upstream("db", listen, to_db));
    register(&dc1, "web", free(&dc1), &upstreams);
    let _db = sidecar(&dc2, "db");
    let gateways = [&dc1, &dc2].map(|agent| start(agent, &["--gateway", "mesh"]));
    let web = sidecar(&dc1, "web");
    let mut live = flow(listen);

    dc2.kill();
    let lost = web.lictor.log.wait_for_event("consul_lost", |event| {
        event.field("question").contains("dc=dc2")
    });
    assert!(lost.field("detail").contains("stays in force"), "{lost:?}");
    gateways[1].lictor.log.wait_for("consul_lost");
    assert_echo(&mut live, b"by both gateways");
    for _ in 0..5 {
        assert!(try_flow(listen).is_some());
    }

    let marks = [&web, &gateways[1]].map(|proxy| (proxy, proxy.lictor.log.mark()));
    dc2.run();
    for (proxy, mark) in marks {
        proxy.lictor.log.event_after(mark, "consul_back", |_| true);
    }
    assert_echo(&mut live, b"the same flow");
    // What is said there is learned again, by way of the first datacenter.
    crate::ground::intend(&dc1, "web", "db", "deny");
    support::client::ending(&mut live);
}

#[test]
fn a_cluster_that_is_made_anew_is_taken_up_and_so_is_a_port_that_becomes_free() {
    let mut server = Agent::server();
    let mut agent = Agent::start(Settings {
        of: Some(&server),
        ..Settings::default()
    });
    let app = Backend::echo();
    let listen = register_web_and_api(&agent, &app);
    let (web, _api) = (sidecar(&agent, "web"), sidecar(&agent, "api"));
    drop(flow(listen));

    agent.kill();
    server.kill();
    server.forget();
    server.run();
    // The agent keeps its registrations, and gets certificates of the new authority.
    agent.run();
    let domain = agent.get("/v1/agent/connect/ca/roots")["TrustDomain"].clone();
    let domain = domain.as_str().expect("a trust domain");
    wait::until_true("the new trust domain", || {
        let (_, text) = web.admin().get("/explain?upstream=api");
        text.contains(domain)
    });
    drop(flow(listen));

    // An upstream on a port that somebody has waits for it, and hinders nothing that is there.
    let taken = free(&agent);
    let somebody = TcpListener::bind(taken).expect("a free port");
    let both = format!(
        r#","Upstreams":[{},{}]"#,
        upstream("api", listen, ""),
        upstream("api", taken, r#","Datacenter":"dc1""#)
    );
    register(&agent, "web", free(&agent), &both);
    web.lictor.log.wait_for("learned_refused");
    drop(flow(listen));
    drop(somebody);
    drop(flow(taken));
}
