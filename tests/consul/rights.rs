//! ACLs that deny by default: the rules that the README gives are enough, and each of them is needed.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use consul::gateway::Gateway as GatewaySource;
use consul::sidecar::Sidecar;
use consul::{Follower, Notice, Registered, Source, TokenSource};
use smol::{Timer, future};
use support::backend::Backend;
use support::client::{assert_echo, echoing, ending};
use support::consul::{Agent, Settings};
use support::lab::Gateway;
use support::temp::TempDir;
use support::wait;

use crate::asking::{run, settings};
use crate::ground::{
    assert_no_flow, flow, free, intend, launch, register, register_gateway, start, upstream,
};

/// The rules that the README gives below this comment, one each.
pub(crate) fn rules(of: &str) -> Vec<String> {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme
        .split_once(&format!("\n# {of}\n"))
        .expect("the README has them");
    let (block, _) = rest.split_once("```").expect("the block ends");
    let rule = |line: &str| {
        let (rule, _) = line.split_once('}').expect("a rule ends");
        rule.split_whitespace().collect::<Vec<_>>().join(" ") + " }"
    };
    block.lines().map(rule).collect()
}

const WEB: &str = "the sidecar of web, with the upstream api";
pub(crate) const GATEWAY: &str = "a mesh gateway";

/// A server that denies by default.
fn server() -> Agent {
    Agent::start(Settings {
        acl: true,
        ..Settings::default()
    })
}

/// A file with a token of these rules.
pub(crate) fn token_file(agent: &Agent, home: &TempDir, name: &str, rules: &[String]) -> String {
    let (_, secret) = agent.token(&rules.join("\n"));
    home.write(name, secret).display().to_string()
}

/// The sidecar of a service with the token in this file.
fn sidecar_with(agent: &Agent, service: &str, file: &str) -> Gateway {
    let id = format!("{service}-1");
    start(agent, &["--sidecar-for", &id, "--token-file", file])
}

#[test]
fn a_sidecar_runs_with_exactly_these_and_goes_on_when_its_token_is_revoked() {
    let (agent, home) = (server(), Arc::new(TempDir::new()));
    let app = Backend::echo();
    let listen = free(&agent);
    let upstreams = format!(r#","Upstreams":[{}]"#, upstream("api", listen, ""));
    register(&agent, "web", free(&agent), &upstreams);
    register(&agent, "api", app.address(), "");
    let of_web = rules(WEB);
    assert_eq!(of_web.len(), 6);
    let (accessor, secret) = agent.token(&of_web.join("\n"));
    let file = home.write("web", secret).display().to_string();
    // Without an upstream there is no rule for one.
    let of_api: Vec<String> = [&of_web[0], &of_web[1], &of_web[5]]
        .map(|rule| rule.replace("web", "api"))
        .into();
    let of_api = token_file(&agent, &home, "api", &of_api);
    let (web, _api) = (
        sidecar_with(&agent, "web", &file),
        sidecar_with(&agent, "api", &of_api),
    );
    assert_no_flow(listen);
    intend(&agent, "web", "api", "allow");
    let mut live = flow(listen);
    assert_eq!(web.lictor.log.events("consul_lost").len(), 0);

    agent.revoke(&accessor);
    // Consul looks at the token again when something changes.
    intend(&agent, "other", "web", "deny");
    let lost = web.lictor.log.wait_for("consul_lost");
    for part in ["ACL not found", "stays in force"] {
        assert!(lost.field("detail").contains(part), "{lost:?}");
    }
    assert_echo(&mut live, b"the flow that is there");
    drop(flow(listen));

    let (_, secret) = agent.token(&of_web.join("\n"));
    std::fs::write(Path::new(&file), secret).unwrap();
    web.lictor.log.wait_for("consul_back");
    // It learns again.
    register(&agent, "web", free(&agent), "");
    wait::until_true("the upstream to go", || {
        std::net::TcpStream::connect(listen).is_err()
    });
    intend(&agent, "web", "api", "deny");
    ending(&mut live);
}

#[test]
fn a_token_without_rights_in_the_place_of_a_good_one_is_noticed_at_once() {
    let (agent, home) = (server(), Arc::new(TempDir::new()));
    register(&agent, "web", free(&agent), "");
    let rules = rules(WEB);
    let file = token_file(&agent, &home, "token", &rules);
    let web = sidecar_with(&agent, "web", &file);
    // Everything blocks by now, or will in a moment.
    let (_, none) = agent.token("");
    std::fs::write(&file, none).unwrap();
    let lost = web.lictor.log.wait_for("consul_lost");
    assert!(lost.field("detail").contains("it needs"), "{lost:?}");
    token_file(&agent, &home, "token", &rules);
    web.lictor.log.wait_for("consul_back");
}

#[test]
fn without_the_right_to_see_its_proxy_the_missing_rule_is_named() {
    let (agent, home) = (server(), Arc::new(TempDir::new()));
    register(&agent, "web", free(&agent), "");
    let mut rules = rules(WEB);
    let missing = rules.remove(1);
    let file = token_file(&agent, &home, "token", &rules);
    let lictor = launch(&agent, &["--sidecar-for", "web-1", "--token-file", &file]).begin();
    let lost = lictor.log.wait_for("consul_lost");
    assert!(lost.field("detail").contains(&missing), "{lost:?}");
}

#[test]
fn a_sidecar_names_each_rule_that_is_missing() {
    let agent = server();
    let app = Backend::echo();
    // An upstream of a datacenter that is not there: what there is to know of gateways is asked all the same.
    let upstreams = format!(
        r#","Upstreams":[{},{}]"#,
        upstream("api", free(&agent), ""),
        upstream(
            "db",
            free(&agent),
            r#","Datacenter":"dc2","MeshGateway":{"Mode":"local"}"#
        )
    );
    register(&agent, "web", free(&agent), &upstreams);
    register(&agent, "api", app.address(), "");
    register_gateway(&agent);
    let mut all = rules(WEB);
    let source = || Source::Sidecar(Sidecar::new(registered("web-1-sidecar-proxy")));
    all.push(r#"service "db" { policy = "read" }"#.to_owned());
    for missing in &all {
        let named = match missing.as_str() {
            // The name is what it is registered by, which it may not read.
            rule if rule.contains("web-sidecar-proxy") => {
                r#"service "…" { policy = "read" } with the name that web-1-sidecar-proxy"#
            }
            rule => rule,
        };
        assert_names(&agent, &all, missing, source(), named);
    }
}

#[test]
fn a_gateway_runs_with_exactly_these_and_names_each_that_is_missing() {
    let (agent, home) = (server(), Arc::new(TempDir::new()));
    let app = Backend::echo();
    agent.put(
        "/v1/catalog/register",
        &format!(
            r#"{{"Node":"far","Address":"127.0.0.1","Service":{{"Kind":"connect-proxy","Service":"api-sidecar-proxy","Port":{},
            "Proxy":{{"DestinationServiceName":"api"}}}}}}"#,
            app.address().port()
        ),
    );
    agent.put(
        "/v1/catalog/register",
        r#"{"Node":"far","Address":"127.0.0.1","Service":{"Service":"api"}}"#,
    );
    let all = rules(GATEWAY);
    assert_eq!(all.len(), 3);
    let lan = free(&agent);
    let words = [
        "--gateway",
        "mesh",
        "--register",
        "--address",
        &lan.to_string(),
        "--token-file",
    ];
    let with = |file: &str| launch(&agent, &[&words[..], &[file]].concat());

    let less = token_file(&agent, &home, "less", &all[1..]);
    let refused = with(&less).begin();
    let failed = refused.log.wait_for("register_failed");
    assert!(failed.field("error").contains(&all[0]), "{failed:?}");
    drop(refused);

    let gateway = Gateway::start(with(&token_file(&agent, &home, "token", &all)));
    let domain = agent.get("/v1/agent/connect/ca/roots")["TrustDomain"].clone();
    let name = format!("api.default.dc1.internal.{}", domain.as_str().unwrap());
    wait::until_true("the way to api", || {
        let learned = gateway.lictor.log.events("learned");
        let last = learned.last();
        last.is_some_and(|event| event.field("clusters") != "0")
    });
    drop(echoing(lan, &name));
    assert_eq!(
        gateway.lictor.log.events("consul_lost").len(),
        0,
        "{}",
        gateway.lictor.log.text()
    );

    let source = || Source::Gateway(GatewaySource::new(registered("mesh-gateway"), "consul"));
    for missing in &all[1..] {
        assert_names(&agent, &all, missing, source(), missing);
    }
}

fn registered(id: &str) -> Registered {
    Registered {
        id: id.to_owned(),
        node: None,
    }
}

/// Follows a source with all rules but one, and sees that trouble names it.
fn assert_names(agent: &Agent, all: &[String], missing: &str, source: Source, named: &str) {
    let rest: Vec<&str> = all
        .iter()
        .map(String::as_str)
        .filter(|rule| *rule != missing)
        .collect();
    let (_, secret) = agent.token(&rest.join("\n"));
    let mut settings = settings(agent);
    settings.token = TokenSource::Given(secret.into());
    run(settings, |asking| async move {
        let follower = Follower::new(source, asking.watches.clone());
        let told = Rc::new(RefCell::new(Vec::new()));
        let heard = Rc::clone(&told);
        let found = async move {
            loop {
                for notice in follower.next().await {
                    let Notice::Lost(question, why) = notice else {
                        continue;
                    };
                    let is_it = why.contains(named);
                    heard.borrow_mut().push(format!("{question}: {why}"));
                    if is_it {
                        return;
                    }
                }
            }
        };
        let late = async {
            Timer::after(Duration::from_secs(20)).await;
            panic!("nothing names {named}; told was {:#?}", told.borrow());
        };
        future::or(found, late).await;
    });
}
