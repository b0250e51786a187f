//! A mesh gateway, from nothing to a plan.

use std::rc::Rc;

use consul::{
    ChainQuestion, Question, Registered,
    gateway::{Assembled, Gateway},
};
use plan::Plan;

use crate::playback;

fn learned(version: &str) -> (Gateway, Assembled) {
    let registered = Registered {
        id: "mesh-gateway".to_owned(),
        node: None,
    };
    let mut gateway = Gateway::new(registered, "consul");
    let mut asked: Vec<Question> = Vec::new();
    loop {
        let wanted = gateway.wanted();
        let Some(question) = wanted.iter().find(|question| !asked.contains(*question)) else {
            let assembled = gateway.mesh().expect("a mesh");
            return (gateway, assembled);
        };
        let (body, _) = playback::answer(version, question);
        gateway
            .learn(&Rc::new(question.clone()), &body)
            .expect("an answer");
        asked.push(question.clone());
    }
}

fn leads(plan: &Plan, name: &str) -> Vec<String> {
    let explained = plan::explain::server_name(plan, name);
    let cluster = explained
        .verdicts
        .first()
        .and_then(|verdict| verdict.cluster);
    let endpoints = cluster.map_or(&[][..], |cluster| &cluster.endpoints);
    endpoints
        .iter()
        .map(|endpoint| endpoint.address.to_string())
        .collect()
}

#[test]
fn every_name_leads_where_consul_would_lead_it() {
    for version in ["1.8.7", "1.21"] {
        let (_, assembled) = learned(version);
        let domain = assembled.mesh.trust_domain.clone();
        assert_eq!(assembled.mesh.datacenter, "dc1");
        let plan = plan::gateway::plan(&assembled.gateway, &assembled.mesh);
        for (name, addresses) in [
            // The plain name means the default subset.
            (
                format!("api.default.dc1.internal.{domain}"),
                vec!["127.1.0.11:21011"],
            ),
            (
                format!("v1.api.default.dc1.internal.{domain}"),
                vec!["127.1.0.11:21011"],
            ),
            (
                format!("billing.default.dc1.internal.{domain}"),
                vec!["127.1.0.11:9300"],
            ),
            (
                format!("anything.default.dc2.internal.{domain}"),
                vec!["127.2.0.111:8444"],
            ),
            (
                "dc1-srv.server.dc1.consul".to_owned(),
                vec!["127.1.0.1:8300"],
            ),
            ("any.server.dc2.consul".to_owned(), vec!["127.2.0.111:8444"]),
            (format!("nosuch.default.dc1.internal.{domain}"), vec![]),
        ] {
            assert_eq!(leads(&plan, &name), addresses, "{version} {name}");
        }
        assert_eq!(assembled.gateway.connect_timeout.as_secs(), 3);
        assert_eq!(plan.listeners[0].address.to_string(), "127.1.0.11:8443");
    }
}

#[test]
fn servers_have_names_in_the_domain_that_the_agent_or_the_file_names() {
    let registered = Registered {
        id: "mesh-gateway".to_owned(),
        node: None,
    };
    let of = |answer: &str, given: &str| {
        let mut gateway = Gateway::new(registered.clone(), given);
        let questions = [Question::Roots, Question::Services, Question::Servers];
        let chain = Question::Chain(Box::new(ChainQuestion {
            service: "mesh-gateway".to_owned(),
            ..ChainQuestion::default()
        }));
        let all = registered.questions().into_iter().chain(questions);
        for question in all.chain([chain]) {
            let (body, _) = playback::answer("1.8.7", &question);
            gateway
                .learn(&Rc::new(question.clone()), &body)
                .expect("an answer");
        }
        let asks = gateway.wanted().contains(&Question::Agent);
        let learned = gateway.learn(&Rc::new(Question::Agent), answer.as_bytes());
        learned.expect("an answer");
        (asks, gateway.mesh().expect("a mesh").mesh.domain)
    };
    let corp = r#"{"DebugConfig":{"DNSDomain":"corp.example."}}"#;
    for (answer, given, asks, domain) in [
        (corp, "consul", true, "corp.example"),
        (corp, "", true, "corp.example"),
        // The file's word goes before.
        (corp, "mesh.example", false, "mesh.example"),
        // An agent that does not say it was told nothing.
        (r#"{"Config":{}}"#, "consul", true, "consul"),
    ] {
        assert_eq!(
            of(answer, given),
            (asks, domain.to_owned()),
            "{answer} {given}"
        );
    }
}

#[test]
fn sidecars_and_servers_are_not_asked_for_as_services() {
    let (gateway, _) = learned("1.21");
    let asked: Vec<String> = gateway
        .wanted()
        .into_iter()
        .filter_map(|question| match question {
            Question::Instances { service, .. } => Some(service),
            _ => None,
        })
        .collect();
    assert!(asked.iter().any(|name| name == "api"));
    for name in [
        "consul",
        "api-sidecar-proxy",
        "web-sidecar-proxy",
        "cache-sidecar-proxy",
    ] {
        assert!(asked.iter().all(|asked| asked != name), "{name}");
    }
}
