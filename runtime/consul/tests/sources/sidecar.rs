//! The sidecar of `web`, from nothing to a plan.

use std::rc::Rc;

use consul::{
    Entries, NotYet, Question, Registered,
    sidecar::{Assembled, Sidecar},
};
use plan::{Cluster, Health, Plan, Route, TlsParameters, spiffe::SpiffeId};

use crate::playback;

const VERSIONS: [&str; 2] = ["1.8.7", "1.21"];

fn web() -> Sidecar {
    Sidecar::new(Registered {
        id: "web-1-sidecar-proxy".to_owned(),
        node: None,
    })
}

/// Asks what is wanted until nothing new is; answers to `unless` never come.
fn learn(sidecar: &mut Sidecar, version: &str, unless: impl Fn(&Question) -> bool) {
    let mut asked = Vec::new();
    loop {
        let wanted = sidecar.wanted();
        let next = wanted
            .iter()
            .find(|question| !asked.contains(*question) && !unless(question));
        let Some(question) = next else { return };
        let (body, index) = playback::answer(version, question);
        sidecar
            .learn(&Rc::new(question.clone()), &body, index)
            .expect("an answer");
        asked.push(question.clone());
    }
}

fn explained(sidecar: &Sidecar, upstream: &str) -> String {
    consul::explain::upstream(sidecar, upstream, &Entries::default())
}

fn learned(version: &str) -> Assembled {
    let mut sidecar = web();
    learn(&mut sidecar, version, |_| false);
    sidecar.mesh().expect("a mesh")
}

fn plan(assembled: &Assembled) -> Plan {
    plan::sidecar::plan(&assembled.sidecar, &assembled.mesh)
}

fn cluster<'a>(plan: &'a Plan, upstream: &str) -> &'a Cluster {
    let start = format!("{upstream}:");
    let mut listeners = plan.listeners.iter();
    let listener = listeners
        .find(|listener| listener.name.starts_with(&start))
        .expect(upstream);
    let Route::Cluster(name) = &listener.chains[0].route else {
        panic!("{upstream} does not lead to one cluster")
    };
    plan.cluster(name).expect(name)
}

fn addresses(cluster: &Cluster) -> Vec<String> {
    let healthy = cluster
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.health == Health::Healthy);
    healthy
        .map(|endpoint| endpoint.address.to_string())
        .collect()
}

#[test]
fn every_upstream_is_dialed_by_its_mode() {
    for version in VERSIONS {
        let assembled = learned(version);
        assert_eq!(assembled.refused, []);
        let plan = plan(&assembled);
        for (upstream, sni, dialed) in [
            // Within the datacenter: its first version alone, directly, although 1.21 says a mode for it.
            (
                "api",
                "v1.api.default.dc1.internal.",
                vec!["127.1.0.11:21011"],
            ),
            // Remote: the gateway of dc2 by its WAN address.
            (
                "api?dc=dc2",
                "v1.api.default.dc2.internal.",
                vec!["127.2.0.111:8444"],
            ),
            // Redirected to dc2, and local: the gateways here by their LAN addresses.
            ("db", "db.default.dc2.internal.", local_gateways(version)),
            // None: the instance itself by its WAN address.
            (
                "db?dc=dc2",
                "db.default.dc2.internal.",
                vec!["127.2.0.11:21021"],
            ),
        ] {
            let cluster = cluster(&plan, upstream);
            assert_eq!(addresses(cluster), dialed, "{version} {upstream}");
            let tls = cluster.tls.as_ref().expect("TLS");
            assert!(
                tls.server_name.starts_with(sni),
                "{version} {upstream}: {}",
                tls.server_name
            );
            assert!(tls.server_name.ends_with(&assembled.mesh.trust_domain));
        }
    }
}

fn local_gateways(version: &str) -> Vec<&'static str> {
    match version {
        "1.8.7" => vec!["127.1.0.11:8443", "127.1.0.11:8543"],
        _ => vec!["127.1.0.11:8443"],
    }
}

#[test]
fn failover_goes_to_the_next_target_with_a_name_of_its_own() {
    for version in VERSIONS {
        let plan = plan(&learned(version));
        let cluster = cluster(&plan, "cache");
        let names: Vec<_> = cluster
            .failover
            .iter()
            .filter_map(|name| plan.cluster(name))
            .collect();
        let names: Vec<_> = names
            .iter()
            .filter_map(|it| it.tls.as_ref())
            .map(|tls| &tls.server_name)
            .collect();
        assert_eq!(names.len(), 2);
        assert!(names[0].starts_with("cache-standby.default.dc2.internal."));
        assert!(names[1].starts_with("cache-standby.default.dc1.internal."));
    }
}

#[test]
fn a_prepared_query_leads_to_what_it_found_by_the_identity_of_that() {
    for version in VERSIONS {
        let assembled = learned(version);
        let plan = plan(&assembled);
        let cluster = cluster(&plan, "prepared_query:api-query");
        assert!(!addresses(cluster).is_empty(), "{version}");
        let tls = cluster.tls.as_ref().expect("TLS");
        assert!(tls.server_name.starts_with("api-query.default.dc1.query."));
        let accepted = format!(
            "spiffe://{}/ns/default/dc/dc1/svc/api",
            assembled.mesh.trust_domain
        );
        assert_eq!(tls.accepted, [accepted]);
    }
}

#[test]
fn intentions_and_default_decide_who_may_come_in() {
    for version in VERSIONS {
        let assembled = learned(version);
        let domain = &assembled.mesh.trust_domain;
        let may = |source: &str| {
            let id = format!("spiffe://{domain}/ns/default/dc/dc2/svc/{source}");
            let id = SpiffeId::parse(&id).expect("an ID");
            assembled.sidecar.intentions.decide(&id).allowed
        };
        assert!(
            !may("legacy"),
            "{version}: denied by an intention for all services"
        );
        assert!(may("anyone"), "{version}: allowed by default");
        assert_eq!(assembled.sidecar.public.to_string(), "0.0.0.0:21001");
    }
    // Until the default is known it is a deny.
    let mut sidecar = web();
    learn(&mut sidecar, "1.21", |question| {
        matches!(question, Question::Default { .. })
    });
    let assembled = sidecar.mesh().expect("a mesh");
    let id = format!(
        "spiffe://{}/ns/default/dc/dc2/svc/anyone",
        assembled.mesh.trust_domain
    );
    let id = SpiffeId::parse(&id).expect("an ID");
    assert!(!assembled.sidecar.intentions.decide(&id).allowed);
    assert!(assembled.is_provisional && !learned("1.21").is_provisional);
}

#[test]
fn it_serves_once_it_has_registration_roots_leaf_and_intentions_and_upstreams_join() {
    let needed = |question: &Question| {
        matches!(
            question,
            Question::Registration { .. }
                | Question::Roots
                | Question::Leaf { .. }
                | Question::Intentions { .. }
        )
    };
    for version in VERSIONS {
        let mut sidecar = web();
        learn(&mut sidecar, version, |question| !needed(question));
        let assembled = sidecar.mesh().expect("enough to serve");
        assert_eq!(assembled.sidecar.upstreams, []);
        for missing in [
            Question::Roots,
            Question::Leaf {
                service: "web".to_owned(),
            },
        ] {
            let mut sidecar = web();
            learn(&mut sidecar, version, |question| *question == missing);
            assert!(matches!(sidecar.mesh(), Err(NotYet::Awaits(_))));
        }
        // A datacenter that cannot be reached keeps no upstream from joining.
        let mut sidecar = web();
        learn(&mut sidecar, version, |question| {
            matches!(
                question,
                Question::Instances {
                    datacenter: Some(_),
                    ..
                }
            )
        });
        let plan = plan(&sidecar.mesh().expect("a mesh"));
        assert_eq!(addresses(cluster(&plan, "db")), local_gateways(version));
        assert!(addresses(cluster(&plan, "db?dc=dc2")).is_empty());
    }
}

#[test]
fn what_is_asked_follows_from_what_is_known() {
    for version in VERSIONS {
        let mut sidecar = web();
        assert_eq!(sidecar.wanted().len(), 2);
        learn(&mut sidecar, version, |_| false);
        let wanted = sidecar.wanted();
        assert_eq!(wanted.contains(&Question::AnyIntention), version == "1.8.7");
        assert!(wanted.contains(&Question::Gateways));
        // Without upstreams nothing of them is asked any more, and nothing of them is kept.
        let (body, _) = playback::answer(
            version,
            &Question::Registration {
                id: "web-1-sidecar-proxy".to_owned(),
            },
        );
        let alone = String::from_utf8(body)
            .expect("text")
            .replace("\"Upstreams\"", "\"Nothing\"");
        let question = Question::Registration {
            id: "web-1-sidecar-proxy".to_owned(),
        };
        sidecar
            .learn(&Rc::new(question.clone()), alone.as_bytes(), None)
            .expect("an answer");
        assert!(
            sidecar
                .wanted()
                .iter()
                .all(|it| !matches!(it, Question::Chain(_) | Question::Instances { .. }))
        );
    }
}

#[test]
fn an_answer_that_is_none_changes_nothing() {
    let mut sidecar = web();
    learn(&mut sidecar, "1.21", |_| false);
    let before = sidecar.mesh();
    for question in sidecar.wanted() {
        for body in [&b"{\"Service\":"[..], b"rpc error making call: EOF", b""] {
            sidecar
                .learn(&Rc::new(question.clone()), body, None)
                .expect_err("no answer");
        }
    }
    assert_eq!(sidecar.mesh(), before);
}

#[test]
fn a_rebuilt_cluster_is_waited_for_until_its_leaf_is_there() {
    let mut sidecar = web();
    learn(&mut sidecar, "1.21", |_| false);
    let (body, index) = playback::answer("1.8.7", &Question::Roots);
    sidecar
        .learn(&Rc::new(Question::Roots), &body, index)
        .expect("other roots");
    assert!(matches!(sidecar.mesh(), Err(NotYet::Awaits(_))));
    let leaf = Question::Leaf {
        service: "web".to_owned(),
    };
    let (body, index) = playback::answer("1.8.7", &leaf);
    sidecar
        .learn(&Rc::new(leaf.clone()), &body, index)
        .expect("another leaf");
    let assembled = sidecar.mesh().expect("the new cluster");
    assert!(assembled.mesh.trust_domain.starts_with("baf40753"));
}

#[test]
fn upstreams_that_cannot_be_run_are_refused_by_name_and_the_others_run() {
    let mut sidecar = web();
    let registration = r#"{"Kind":"connect-proxy","ID":"web-1-sidecar-proxy","Service":"web-sidecar-proxy","Port":21001,"Datacenter":"dc1",
        "Proxy":{"DestinationServiceName":"web","LocalServicePort":9001,"Upstreams":[
            {"DestinationName":"far","DestinationPeer":"beta","LocalBindPort":9001},
            {"DestinationName":"routed","LocalBindPort":9002},
            {"DestinationName":"cache","LocalBindPort":9003},
            {"DestinationName":"*","Config":{}}]}}"#;
    let question = Question::Registration {
        id: "web-1-sidecar-proxy".to_owned(),
    };
    sidecar
        .learn(&Rc::new(question.clone()), registration.as_bytes(), Some(1))
        .expect("an answer");
    for question in sidecar.wanted() {
        let (body, index) = match &question {
            Question::Registration { .. } => continue,
            // As 1.8.7 compiled it for a service with a router.
            Question::Chain(chain) if chain.service == "routed" => {
                (playback::recorded("1.8.7", "chain-web"), Some(1))
            }
            other => playback::answer("1.21", other),
        };
        sidecar
            .learn(&Rc::new(question.clone()), &body, index)
            .expect("an answer");
    }
    let assembled = sidecar.mesh().expect("a mesh");
    let refused: Vec<_> = assembled
        .refused
        .iter()
        .map(|(name, why)| (name.as_str(), why.as_str()))
        .collect();
    assert_eq!((refused[0].0, refused[1].0), ("far?peer=beta", "routed"));
    assert!(refused[0].1.contains("xDS"), "{}", refused[0].1);
    assert!(
        refused[1].1.contains("protocol = \"tcp\""),
        "{}",
        refused[1].1
    );
    let names: Vec<_> = assembled
        .sidecar
        .upstreams
        .iter()
        .map(|it| it.name.as_str())
        .collect();
    assert_eq!(names, ["cache"]);
}

/// As a 1.21.4 that is peered with `beta` answers.
#[test]
fn upstreams_at_a_peer_and_chains_that_lead_to_one_are_refused_by_name_and_reason() {
    let mut sidecar = web();
    let registration = sidecar.wanted().swap_remove(0);
    assert!(matches!(registration, Question::Registration { .. }));
    let body = playback::recorded("1.21", "agent-service-with-peers");
    sidecar
        .learn(&Rc::new(registration.clone()), &body, Some(1))
        .expect("it");
    // Nothing is asked of an upstream that cannot be run.
    let wanted = sidecar.wanted();
    assert!(!wanted.iter().any(|it| matches!(it, Question::Chain(_))));
    // And one of our own that fails over to the peer.
    let own = String::from_utf8(body).expect("text").replace(
        r#""Upstreams":["#,
        r#""Upstreams":[{"DestinationName":"db","LocalBindPort":9290},"#,
    );
    sidecar
        .learn(&Rc::new(registration.clone()), own.as_bytes(), Some(2))
        .expect("it");
    for question in sidecar.wanted() {
        let body = match &question {
            Question::Registration { .. } => continue,
            Question::Chain(_) => playback::recorded("1.21", "chain-with-a-peer"),
            other => playback::answer("1.21", other).0,
        };
        sidecar
            .learn(&Rc::new(question.clone()), &body, Some(3))
            .expect("an answer");
    }
    let assembled = sidecar.mesh().expect("a mesh");
    assert_eq!(assembled.sidecar.upstreams, []);
    let names: Vec<_> = assembled.refused.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["db", "db?peer=beta", "www?peer=beta"]);
    for (name, why) in &assembled.refused {
        assert!(
            why.starts_with("it leads to peer beta") && why.contains("only over gRPC (xDS)"),
            "{name}: {why}"
        );
        let told = explained(&sidecar, name);
        assert!(told.contains(&format!("refused      {why}")), "{told}");
    }
}

#[test]
fn without_an_agent_the_registration_comes_from_the_catalog() {
    let mut sidecar = Sidecar::new(Registered {
        id: "meter-1-sidecar-proxy".to_owned(),
        node: Some("field-7".to_owned()),
    });
    learn(&mut sidecar, "1.21", |_| false);
    let assembled = sidecar.mesh().expect("a mesh");
    assert_eq!(assembled.sidecar.service, "meter");
    assert_eq!(assembled.mesh.datacenter, "dc1");
    let plan = plan(&assembled);
    assert_eq!(addresses(cluster(&plan, "db?dc=dc2")), ["127.1.0.11:8443"]);
}

#[test]
fn the_mesh_entry_says_what_tls_is_spoken_and_a_consul_without_one_is_not_asked() {
    let mut sidecar = web();
    learn(&mut sidecar, "1.21", |question| {
        *question == Question::MeshEntry
    });
    assert!(sidecar.mesh().expect("a mesh").is_provisional);
    learn(&mut sidecar, "1.21", |_| false);
    let assembled = sidecar.mesh().expect("a mesh");
    assert!(!assembled.is_provisional);
    let incoming = TlsParameters {
        min_version: "TLSv1_3".to_owned(),
        ..TlsParameters::default()
    };
    let outgoing = TlsParameters {
        min_version: "TLSv1_2".to_owned(),
        max_version: "TLSv1_2".to_owned(),
        cipher_suites: [
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        ]
        .map(str::to_owned)
        .into(),
    };
    let plan = plan(&assembled);
    let mut chains = plan.listeners.iter().flat_map(|listener| &listener.chains);
    let public = chains
        .find_map(|chain| chain.tls.as_ref())
        .expect("a way in");
    assert_eq!(public.parameters, incoming);
    let tls = cluster(&plan, "db?dc=dc2")
        .tls
        .as_ref()
        .expect("mutual TLS");
    assert_eq!(tls.parameters, outgoing);

    let mut old = web();
    learn(&mut old, "1.8.7", |_| false);
    assert!(!old.wanted().contains(&Question::MeshEntry));
    assert_eq!(
        old.mesh().expect("a mesh").sidecar.incoming,
        TlsParameters::default()
    );
}

#[test]
fn what_consul_said_of_an_upstream_is_explained() {
    let mut sidecar = web();
    learn(&mut sidecar, "1.21", |_| false);
    let text = explained(&sidecar, "db");
    assert!(
        text.contains("upstream     db of web-1-sidecar-proxy\n"),
        "{text}"
    );
    assert!(text.contains("upstream     db?dc=dc2 of"), "{text}");
    assert!(
        text.contains("local: by the gateways of this datacenter"),
        "{text}"
    );
    assert!(
        text.contains("endpoint   127.2.0.11:21021 weight 1\n"),
        "{text}"
    );
    assert!(!text.contains("cache"), "{text}");
    let cache = explained(&sidecar, "cache");
    assert!(
        cache.contains("failover     cache-standby in dc2"),
        "{cache}"
    );
    assert!(explained(&sidecar, "nosuch").is_empty());
}

#[test]
fn an_upstream_whose_mode_changes_stays_while_its_new_chain_is_asked_for() {
    let mut sidecar = web();
    learn(&mut sidecar, "1.21", |_| false);
    let question = Question::Registration {
        id: "web-1-sidecar-proxy".to_owned(),
    };
    let (body, _) = playback::answer("1.21", &question);
    let changed = String::from_utf8(body)
        .expect("text")
        .replace("\"Mode\":\"none\"", "\"Mode\":\"remote\"");
    sidecar
        .learn(&Rc::new(question.clone()), changed.as_bytes(), None)
        .expect("an answer");
    sidecar.forget();
    let asked = sidecar.wanted().into_iter().any(|question| {
        matches!(question, Question::Chain(chain) if chain.datacenter == "dc2" && chain.mode == "remote" && chain.service == "db")
    });
    assert!(asked);
    let plan = plan(&sidecar.mesh().expect("a mesh"));
    assert_eq!(addresses(cluster(&plan, "db?dc=dc2")), ["127.2.0.11:21021"]);
}
