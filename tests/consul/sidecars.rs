//! Two sidecars of one datacenter that know nothing but what Consul says.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use support::backend::Backend;
use support::client::{assert_echo, ending};
use support::consul::{self, Agent};
use support::wait;

use crate::ground::{assert_no_flow, flow, free, intend, register, sidecar, try_flow, upstream};

/// `web`, which calls `api`, and `api`; gives where web's application connects.
fn web_and_api(agent: &Agent, app: &Backend) -> SocketAddr {
    let listen = free(agent);
    let upstreams = format!(r#","Upstreams":[{}]"#, upstream("api", listen, ""));
    register(agent, "web", free(agent), &upstreams);
    register(agent, "api", app.address(), "");
    listen
}

#[test]
fn learn_all_they_need_and_intentions_bite_under_a_live_flow() {
    let agent = Agent::server();
    let app = Backend::echo();
    let listen = web_and_api(&agent, &app);
    let (web, api) = (sidecar(&agent, "web"), sidecar(&agent, "api"));
    let mut live = flow(listen);

    intend(&agent, "web", "api", "deny");
    ending(&mut live);
    assert_no_flow(listen);
    api.lictor.log.wait_for_event("refused", |event| {
        event.field("cause") == "intention_denied"
    });
    // Another one that is denied changes nothing for web.
    intend(&agent, "other", "api", "deny");
    intend(&agent, "web", "api", "allow");
    let mut live = flow(listen);
    // The default is to allow; with an intention for everyone there is no default.
    intend(&agent, "*", "api", "deny");
    intend(&agent, "other", "api", "deny");
    assert_echo(&mut live, b"web is allowed by name");
    intend(&agent, "web", "api", "deny");
    ending(&mut live);

    let (status, text) = web.admin().get("/explain?upstream=api");
    assert_eq!(status, 200);
    assert!(text.contains("without it   goes on for 71 hours"), "{text}");
    assert!(
        text.contains("upstream     api of web-1-sidecar-proxy"),
        "{text}"
    );
    assert!(web.stats().value("lictor_consul_watches{state=\"lost\"}") < 0.5);
    let left = web
        .stats()
        .value("lictor_leaf_seconds_left{service=\"web\"}");
    assert!((3600.0 * 70.0..=3600.0 * 72.0).contains(&left), "{left} s");
}

#[test]
fn leave_nothing_of_their_keys_where_answers_came() {
    let agent = Agent::server();
    let app = Backend::echo();
    let listen = web_and_api(&agent, &app);
    let (web, _api) = (sidecar(&agent, "web"), sidecar(&agent, "api"));
    flow(listen);
    let leaf = agent.get("/v1/agent/connect/ca/leaf/web");
    let key = leaf["PrivateKeyPEM"].as_str().expect("a key in PEM");
    let (_, secret) = key.split_once('\n').expect("lines");
    let (secret, _) = secret.split_once('\n').expect("lines");
    let process = web.lictor.proc();
    assert!(process.finds(secret.as_bytes()) > 0, "it has its key");
    // An answer has the line's end as JSON writes it.
    assert_eq!(process.finds(format!("\\n{secret}").as_bytes()), 0);
}

#[test]
fn follow_an_upstream_to_another_address_and_out_of_the_registration() {
    let agent = Agent::server();
    let (first, second) = (Backend::echo(), Backend::echo());
    let listen = web_and_api(&agent, &first);
    let (web, _api) = (sidecar(&agent, "web"), sidecar(&agent, "api"));
    let mut live = flow(listen);

    // The service moves; its sidecar is where it was, and flows that are there go on.
    let path = "/v1/agent/service/api-1-sidecar-proxy";
    let port = agent.get(path)["Port"]
        .as_u64()
        .and_then(|port| u16::try_from(port).ok());
    let at = SocketAddr::new(agent.http().ip(), port.expect("a port"));
    crate::ground::register_at(&agent, "api", second.address(), at, "");
    wait::until_true("a flow to the new place", || {
        try_flow(listen).is_some() && second.accepted() > 0
    });
    assert_echo(&mut live, b"still the old place");

    // Without the upstream nothing listens there.
    register(&agent, "web", free(&agent), "");
    wait::until_true("the upstream to go", || try_flow(listen).is_none());
    assert!(!web.lictor.log.events("learned").is_empty());
}

#[test]
fn and_consuls_own_proxy_understand_each_other() {
    let agent = Agent::server();
    let app = Backend::echo();
    let listen = web_and_api(&agent, &app);
    // Its proxy in front of api, ours in front of web.
    let theirs = Proxy::start(&agent, &["-sidecar-for", "api-1"]);
    let _web = sidecar(&agent, "web");
    let mut live = flow(listen);
    assert_echo(&mut live, &[7; 100_000]);
    drop((theirs, live));

    // The other way around.
    let _api = sidecar(&agent, "api");
    let theirs = free(&agent);
    let words = format!("api:{theirs}");
    let _proxy = Proxy::start(&agent, &["-service", "other", "-upstream", &words]);
    let mut live = flow(theirs);
    assert_echo(&mut live, &[8; 100_000]);
    intend(&agent, "other", "api", "deny");
    ending(&mut live);
}

/// `consul connect proxy`, killed when it goes.
struct Proxy(Child);

impl Proxy {
    fn start(agent: &Agent, words: &[&str]) -> Self {
        let mut command = Command::new(consul::binary());
        command.args(["connect", "proxy"]).args(words);
        command.env("CONSUL_HTTP_ADDR", agent.http().to_string());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(command.spawn().expect("consul can be started"))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
