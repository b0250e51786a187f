//! Consul goes and comes back, the proxies stay.

use std::net::SocketAddr;
use std::time::Duration;

use support::authority::Authority;
use support::backend::Backend;
use support::client::assert_echo;
use support::consul::{Agent, Settings};
use support::wait;

use crate::ground::{flow, free, register, sidecar, upstream};

/// web, whose upstream is api, and api, which is this app. Gives where web reaches api.
fn register_web_and_api(agent: &Agent, app: &Backend) -> SocketAddr {
    let listen = free(agent);
    let upstreams = format!(r#","Upstreams":[{}]"#, upstream("api", listen, ""));
    register(agent, "web", free(agent), &upstreams);
    register(agent, "api", app.address(), "");
    listen
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
    let mut live: Vec<_> = (0..8).map(|_| flow(listen)).collect();
    let domain = agent.get("/v1/agent/connect/ca/roots")["TrustDomain"].clone();
    let domain = domain.as_str().expect("a trust domain").to_owned();
    let root = Authority::root(&domain, "the next one");
    let before = proxies
        .each_ref()
        .map(|proxy| proxy.lictor.log.events("learned").len());
    let body = serde_json::json!({
        "Provider": "consul",
        "Config": {"PrivateKey": root.key(), "RootCert": root.certificate, "LeafCertTTL": "72h"},
    });
    agent.put("/v1/connect/ca/configuration", &body.to_string());
    // Two roots at first, then new leaves, within half a minute of Consul's choice.
    let leaf = "/v1/agent/connect/ca/leaf/web";
    let old = agent.get(leaf)["SerialNumber"].clone();
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while agent.get(leaf)["SerialNumber"] == old {
        assert!(
            std::time::Instant::now() < end,
            "no new leaf within a minute"
        );
        for stream in &mut live {
            assert_echo(stream, b"through it all");
        }
        drop(flow(listen));
    }
    wait::until_true("both to learn the new leaves", || {
        let now = proxies
            .each_ref()
            .map(|proxy| proxy.lictor.log.events("learned").len());
        now.iter().zip(before).all(|(now, before)| *now > before)
    });
    for stream in &mut live {
        assert_echo(stream, b"to the end");
    }
    drop(flow(listen));
    for proxy in &proxies {
        assert!(proxy.stats().refused_in_all() < 0.5);
    }
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
    let somebody = std::net::TcpListener::bind(taken).expect("a free port");
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
