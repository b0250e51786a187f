//! No agent: proxies ask the servers themselves, over HTTPS, and stand in the catalog.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use consul::sidecar::Sidecar;
use consul::{Follower, Registered, Source};
use smol::Timer;
use support::backend::Backend;
use support::client::assert_echo;
use support::clock::WrongClock;
use support::consul::{Agent, Settings, binary};
use support::lab::Gateway;
use support::process::Launch;
use support::temp::TempDir;
use support::wait;

use crate::asking::{run, settings};
use crate::ground::{
    flow, free, intend, register, register_at, register_gateway, two_datacenters, upstream,
};

/// Servers that deny by default and speak HTTPS, by certificates of their own making.
struct Servers {
    home: TempDir,
    all: Vec<Agent>,
}

impl Servers {
    fn start(count: usize) -> Self {
        let home = TempDir::new();
        for arguments in [
            &["tls", "ca", "create"][..],
            &["tls", "cert", "create", "-server", "-dc", "dc1"],
        ] {
            let mut command = Command::new(binary());
            let done = command
                .args(arguments)
                .current_dir(home.path())
                .output()
                .unwrap();
            assert!(done.status.success(), "{done:?}");
        }
        let more = format!(
            r#"{{"server":true,"autopilot":{{"server_stabilization_time":"100ms"}},
            "ca_file":"{}","cert_file":"{}","key_file":"{}"}}"#,
            home.file("consul-agent-ca.pem").display(),
            home.file("dc1-server-consul-0.pem").display(),
            home.file("dc1-server-consul-0-key.pem").display(),
        );
        let mut servers = Self {
            home,
            all: Vec::new(),
        };
        for _ in 0..count {
            let next = Agent::start(Settings {
                of: servers.all.first(),
                acl: true,
                more: &more,
                ..Settings::default()
            });
            servers.all.push(next);
        }
        wait::until_true("all servers to vote", || {
            let known = servers.all[0].get("/v1/operator/raft/configuration");
            let list = known["Servers"].as_array().map_or(&[][..], Vec::as_slice);
            list.iter().filter(|server| server["Voter"] == true).count() == count
        });
        servers
    }

    /// A lictor beside no agent, with these words and a token of these rules.
    fn launch(&self, node: &str, words: &[&str], rules: &str) -> Launch {
        let (_, secret) = self.all[0].token(rules);
        self.launch_with(node, words, &secret)
    }

    /// The same with this token.
    fn launch_with(&self, node: &str, words: &[&str], secret: &str) -> Launch {
        let home = Arc::new(TempDir::new());
        std::fs::create_dir(home.file("state")).unwrap();
        let addresses: Vec<String> = self
            .all
            .iter()
            .map(|it| format!("\"https://{}\"", it.https()))
            .collect();
        let own = format!(
            "lictor {{
                admin = \"127.0.0.1:0\"
                state_dir = \"{}\"
                consul {{
                    addresses = [{}]
                    token_file = \"{}\"
                    agentless = true
                    node_name = \"{node}\"
                    tls {{ ca_file = \"{}\" server_name = \"server.dc1.consul\" }}
                }}
            }}",
            home.file("state").display(),
            addresses.join(", "),
            home.write("token", secret).display(),
            self.home.file("consul-agent-ca.pem").display(),
        );
        let file: PathBuf = home.write("own.hcl", own);
        let words = words.iter().map(Into::into).chain([file.into_os_string()]);
        Launch::with(words).beside(home)
    }

    /// The sidecar of a service that stands in the catalog, on a node of its own.
    fn sidecar(&self, service: &str) -> Launch {
        self.sidecar_with(service, &self.token_of(service))
    }

    /// The same with this token.
    fn sidecar_with(&self, service: &str, secret: &str) -> Launch {
        let id = format!("{service}-1");
        self.launch_with(&node(service), &["--sidecar-for", &id], secret)
    }

    /// A token for the sidecar of a service.
    fn token_of(&self, service: &str) -> String {
        let rules = format!(
            r#"service "{service}" {{ policy = "write" }} service_prefix "" {{ policy = "read" }} node_prefix "" {{ policy = "read" }}"#
        );
        self.all[0].token(&rules).1
    }
}

fn node(service: &str) -> String {
    format!("edge-{service}")
}

/// Puts a service and its sidecar into the catalog, as `register` has an agent do it.
fn catalogue(servers: &Agent, service: &str, app: SocketAddr, sidecar: SocketAddr, proxy: &str) {
    let (ip, port, node) = (app.ip(), app.port(), node(service));
    for what in [
        format!(r#""ID":"{service}-1","Service":"{service}","Address":"{ip}","Port":{port}"#),
        format!(
            r#""Kind":"connect-proxy","ID":"{service}-1-sidecar-proxy","Service":"{service}-sidecar-proxy","Address":"{}","Port":{},
            "Proxy":{{"DestinationServiceName":"{service}","DestinationServiceID":"{service}-1",
                "LocalServiceAddress":"{ip}","LocalServicePort":{port}{proxy}}}"#,
            sidecar.ip(),
            sidecar.port()
        ),
    ] {
        let body = format!(r#"{{"Node":"{node}","Address":"{ip}","Service":{{{what}}}}}"#);
        servers.put("/v1/catalog/register", &body);
    }
}

#[test]
fn traffic_flows_and_survives_one_server_and_then_the_loss_of_the_leader() {
    let mut servers = Servers::start(3);
    let app = Backend::echo();
    let ip = servers.all[2].http().ip();
    let at = || free(&servers.all[2]);
    let (listen, web, api) = (at(), at(), at());
    let upstreams = format!(r#","Upstreams":[{}]"#, upstream("api", listen, ""));
    catalogue(
        &servers.all[0],
        "web",
        SocketAddr::new(ip, 9),
        web,
        &upstreams,
    );
    catalogue(&servers.all[0], "api", app.address(), api, "");
    intend(&servers.all[0], "web", "api", "allow");
    let proxies = [servers.sidecar("web"), servers.sidecar("api")].map(Gateway::start);
    let mut live = flow(listen);

    // The server that is asked, which leads too, goes: the next one is asked, and told of what changes.
    servers.all[0].kill();
    wait::until_true("another leader", || {
        let leader = servers.all[1].ask("GET", "/v1/status/leader", "");
        leader.is_some_and(|(_, text)| {
            text.len() > 2 && !text.contains(&servers.all[0].http().ip().to_string())
        })
    });
    assert_echo(&mut live, b"without the first");
    let moved = free(&servers.all[2]);
    let upstreams = format!(r#","Upstreams":[{}]"#, upstream("api", moved, ""));
    catalogue(
        &servers.all[2],
        "web",
        SocketAddr::new(ip, 9),
        web,
        &upstreams,
    );
    drop(flow(moved));
    assert_echo(&mut live, b"and of the upstream's old place");

    // Two of three: nobody leads.
    servers.all[1].kill();
    for proxy in &proxies {
        proxy.lictor.log.wait_for_event("consul_lost", |event| {
            event.field("detail").contains("No cluster leader")
                || event.field("detail").contains("stays in force")
        });
    }
    wait::until_true("nobody to lead", || {
        let leader = servers.all[2].ask("GET", "/v1/status/leader", "");
        leader.is_some_and(|(_, text)| text.trim() == "\"\"")
    });
    assert_echo(&mut live, b"without a leader");
    drop(flow(moved));

    servers.all[1].run();
    intend(&servers.all[1], "web", "api", "deny");
    support::client::ending(&mut live);
    for proxy in &proxies {
        wait::until_true("all to be answered again", || {
            proxy.stats().value("lictor_consul_watches{state=\"lost\"}") < 0.5
        });
    }
}

#[test]
fn a_gateway_stands_in_the_catalog_and_its_check_says_whether_it_runs() {
    let servers = Servers::start(1);
    let server = &servers.all[0];
    let lan = free(server);
    let words = [
        "--gateway",
        "mesh",
        "--register",
        "--address",
        &lan.to_string(),
    ];
    let rules = r#"service "mesh-gateway" { policy = "write" } service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }"#;
    let of_agent = server.get("/v1/agent/self")["Config"]["NodeName"].clone();
    let refused = servers
        .launch(of_agent.as_str().unwrap(), &words, rules)
        .begin();
    let failed = refused.log.wait_for("register_failed");
    assert!(
        failed.field("error").contains("is an agent's"),
        "{failed:?}"
    );
    drop(refused);
    let refused = servers.launch("edge-gw", &words, rules).begin();
    let failed = refused.log.wait_for("register_failed");
    assert!(
        failed
            .field("error")
            .contains(r#"node "…" { policy = "write" }"#),
        "{failed:?}"
    );
    drop(refused);

    let rules = format!(r#"{rules} node "edge-gw" {{ policy = "write" }}"#);
    let mut gateway = Gateway::start(servers.launch("edge-gw", &words, &rules));
    let known = || server.get("/v1/health/service/mesh-gateway");
    let status = |known: &serde_json::Value| known[0]["Checks"][0]["Status"].clone();
    let now = known();
    assert_eq!(now[0]["Node"]["Node"], "edge-gw");
    assert_eq!(now[0]["Service"]["Port"], lan.port());
    assert_eq!(status(&now), "passing");
    // Whoever takes it out, or says that it does not run, is corrected.
    for change in [
        (
            "/v1/catalog/deregister",
            r#"{"Node":"edge-gw","ServiceID":"mesh-gateway"}"#,
        ),
        ("/v1/catalog/deregister", r#"{"Node":"edge-gw"}"#),
        (
            "/v1/catalog/register",
            r#"{"Node":"edge-gw","SkipNodeUpdate":true,"Check":{"Node":"edge-gw","CheckID":"lictor:mesh-gateway","Name":"x","ServiceID":"mesh-gateway","Status":"critical"}}"#,
        ),
    ] {
        server.put(change.0, change.1);
        wait::until_true("it to be registered again", || {
            status(&known()) == "passing"
        });
    }
    assert_eq!(
        gateway.lictor.log.events("consul_lost").len(),
        0,
        "{}",
        gateway.lictor.log.text()
    );
    gateway.lictor.terminate();
    gateway.lictor.wait_for_end();
    assert_eq!(status(&known()), "critical");
}

#[test]
fn a_board_that_starts_in_1970_gets_through_to_the_servers() {
    let servers = Servers::start(1);
    let at = || free(&servers.all[0]);
    let ip = servers.all[0].http().ip();
    catalogue(&servers.all[0], "web", SocketAddr::new(ip, 9), at(), "");
    let clock = WrongClock::in_1970();
    let web = Gateway::start(clock.worn_by(servers.sidecar("web")));
    assert!(web.stats().value("lictor_clock_behind") > 0.5);
    assert_eq!(
        web.lictor.log.events("consul_lost").len(),
        0,
        "{}",
        web.lictor.log.text()
    );
}

#[test]
fn a_leaf_past_half_of_its_life_is_renewed_by_another_server() {
    let servers = Servers::start(2);
    let at = || free(&servers.all[0]);
    let ip = servers.all[0].http().ip();
    catalogue(&servers.all[0], "web", SocketAddr::new(ip, 9), at(), "");
    let token = servers.token_of("web");
    // Of 72 hours 36 are left after as many: not yet.
    let clock = WrongClock::by(35 * 3600);
    let web = Gateway::start(clock.worn_by(servers.sidecar_with("web", &token)));
    let log = &web.lictor.log;
    log.wait_for("learned");
    wait::holds(Duration::from_secs(4), "the leaf is not renewed", || {
        log.events("leaf_renewed").is_empty() && log.events("leaf_not_renewed").is_empty()
    });
    drop(web);
    // Whoever asks with the same token gets the same leaf, by now some seconds old; the other server has made none yet.
    let clock = WrongClock::by(37 * 3600);
    let web = Gateway::start(clock.worn_by(servers.sidecar_with("web", &token)));
    let renewed = web.lictor.log.wait_for("leaf_renewed");
    assert!(
        renewed
            .field("ends_later_by_seconds")
            .parse::<u64>()
            .unwrap()
            > 0
    );
    wait::until_true("the new leaf to be put to work", || {
        web.lictor.log.events("learned").len() == 2
    });
}

#[test]
fn the_plan_is_the_one_that_an_agent_leads_to() {
    let (dc1, dc2) = two_datacenters();
    let app = Backend::echo();
    let (db, web, listen) = (free(&dc2), free(&dc1), [free(&dc1), free(&dc1), free(&dc1)]);
    register_at(&dc2, "db", app.address(), db, "");
    register(&dc2, "cache", app.address(), "");
    register(&dc1, "api", app.address(), "");
    register_gateway(&dc1);
    register_gateway(&dc2);
    let there = |more: &str| format!(r#","Datacenter":"dc2"{more}"#);
    let upstreams = format!(
        r#","Config":{{"local_connect_timeout_ms":1500}},"Upstreams":[{},{},{}]"#,
        upstream("db", listen[0], &there("")),
        upstream(
            "cache",
            listen[1],
            &there(r#","MeshGateway":{"Mode":"remote"}"#)
        ),
        upstream("api", listen[2], "")
    );
    for entry in [
        r#"{"Kind":"proxy-defaults","Name":"global","Config":{"local_connect_timeout_ms":9,"connect_timeout_ms":3000},"MeshGateway":{"Mode":"remote"}}"#,
        r#"{"Kind":"service-defaults","Name":"web","Protocol":"http","MeshGateway":{"Mode":"local"}}"#,
        r#"{"Kind":"service-defaults","Name":"api","Protocol":"grpc"}"#,
    ] {
        dc1.put("/v1/config", entry);
    }
    register_at(&dc1, "web", app.address(), web, &upstreams);
    catalogue(&dc1, "web", app.address(), web, &upstreams);

    let source = |node: Option<String>| {
        Source::Sidecar(Sidecar::new(Registered {
            id: "web-1-sidecar-proxy".to_owned(),
            node,
        }))
    };
    run(settings(&dc1), |asking| async move {
        let follow = |node| Follower::new(source(node), asking.watches.clone());
        let (by_agent, by_servers) = (follow(None), follow(Some(node("web"))));
        let plan = |follower: &Follower| {
            let assembled = follower.assembled().ok()?;
            let plan = assembled.plan();
            let whole =
                follower.is_settled() && follower.troubles() == 0 && plan.listeners.len() == 4;
            whole.then_some(plan)
        };
        let both = async {
            loop {
                by_agent.next().await;
            }
        };
        let other = async {
            loop {
                by_servers.next().await;
            }
        };
        let compared = async {
            let mut last = None;
            for _ in 0..1500 {
                Timer::after(Duration::from_millis(10)).await;
                let (one, two) = (plan(&by_agent), plan(&by_servers));
                if one.is_some() && one == two {
                    return;
                }
                last = Some((one, two));
            }
            panic!("the plans differ: {last:#?}");
        };
        smol::future::or(compared, smol::future::or(both, other)).await;
    });
}
