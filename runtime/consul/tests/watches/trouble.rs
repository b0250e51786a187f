//! An error is never an answer, and an empty answer is not always one.

use std::{fs, time::Duration};

use consul::{Follower, Question, Registered, Source, TokenSource, Watches, gateway::Gateway};
use zeroize::Zeroizing;

use crate::{
    fake::{Fake, until, with},
    instances, watch,
};

const PATH: &str = "/v1/health/connect/api";

fn given() -> TokenSource {
    TokenSource::Given(Zeroizing::new("t".to_owned()))
}

#[test]
fn trouble_is_told_once_and_its_end_and_the_answer_stays() {
    with(TokenSource::Anonymous, 32, |consul, watches| async move {
        consul.say(PATH, 200, "[1]");
        let (_watch, told) = watch(&watches, &instances("api"));
        until(|| consul.times(PATH) == 2).await;
        consul.say(PATH, 500, "No cluster leader");
        until(|| consul.times(PATH) == 4).await;
        consul.say(PATH, 200, "[1]");
        until(|| told.borrow().len() == 3).await;
        assert_eq!(
            *told.borrow(),
            ["[1]", "failed: 500 No cluster leader", "recovered"]
        );
        // After an error the next question is from the beginning: another server may answer it. And not before it knows all
        // that was known.
        let asked = consul.asked.borrow();
        let anew = format!("{PATH}?consistent");
        assert!(
            asked[2..].iter().take(2).all(|(path, _)| *path == anew),
            "{asked:?}"
        );
        let (first, second) = (&asked[0].0, &asked[1].0);
        assert!(first == PATH && !second.contains("consistent"), "{asked:?}");
    });
}

#[test]
fn a_consul_that_asks_for_patience_is_left_alone_for_a_while() {
    // As servers from 1.15 on say it (`agent/consul/rate/handler.go`).
    for (status, said) in [
        (
            429,
            "rate limit exceeded, try again later or against a different server",
        ),
        (
            503,
            "rate limit exceeded for operation that can only be performed by the leader, try again later",
        ),
    ] {
        with(TokenSource::Anonymous, 32, |consul, watches| async move {
            consul.say(PATH, 200, "[1]");
            let (_watch, told) = watch(&watches, &instances("api"));
            until(|| consul.times(PATH) == 2).await;
            consul.say(PATH, status, said);
            let begun = std::time::Instant::now();
            until(|| consul.times(PATH) == 4).await;
            assert!(
                begun.elapsed() > Duration::from_millis(400),
                "{:?}",
                begun.elapsed()
            );
            consul.say(PATH, 200, "[1]");
            until(|| told.borrow().len() == 3).await;
            let patience = format!("failed: Consul asks for patience: {said}");
            assert_eq!(*told.borrow(), ["[1]", &patience, "recovered"]);
        });
    }
}

#[test]
fn a_consul_that_was_away_is_asked_again() {
    with(TokenSource::Anonymous, 32, |consul, watches| async move {
        consul.say(PATH, 200, "[1]");
        let (_watch, told) = watch(&watches, &instances("api"));
        until(|| consul.times(PATH) == 2).await;
        consul.down.set(true);
        until(|| told.borrow().len() == 2).await;
        assert!(
            told.borrow()[1].contains("does an agent run there"),
            "{told:?}"
        );
        consul.down.set(false);
        consul.say(PATH, 200, "[2]");
        until(|| told.borrow().len() == 3).await;
        assert_eq!(told.borrow()[2], "[2]");
    });
}

#[test]
fn no_rights_are_no_empty_answer_and_a_new_token_is_tried_at_once() {
    let file = std::env::temp_dir().join(format!("lictor-watch-token-{}", std::process::id()));
    let _ = fs::remove_file(&file);
    let source = TokenSource::File(file.clone());
    with(source, 32, |consul, watches| {
        let file = file.clone();
        async move {
            consul.say(PATH, 403, "ACL not found");
            let (_watch, told) = watch(&watches, &instances("api"));
            until(|| told.borrow().len() == 1).await;
            assert!(told.borrow()[0].contains("No such file"), "{told:?}");
            fs::write(&file, "old\n").unwrap();
            until(|| told.borrow().len() == 2).await;
            assert!(told.borrow()[1].starts_with("failed: 403 ACL not found"));
            consul.say(PATH, 200, "[1]");
            fs::write(&file, "new\n").unwrap();
            until(|| told.borrow().len() == 3).await;
            assert_eq!(told.borrow()[2], "[1]");
            let asked = consul.asked.borrow();
            let tokens: Vec<_> = asked
                .iter()
                .map(|(_, token)| token.as_deref().unwrap())
                .collect();
            assert_eq!(tokens[..2], ["old", "new"]);
        }
    });
    fs::remove_file(&file).unwrap();
}

#[test]
fn what_blocks_with_an_old_token_is_asked_anew_once_it_is_replaced() {
    let file = std::env::temp_dir().join(format!("lictor-blocked-token-{}", std::process::id()));
    fs::write(&file, "old").unwrap();
    with(TokenSource::File(file.clone()), 32, |consul, watches| {
        let file = file.clone();
        async move {
            consul.say(PATH, 200, "[1]");
            let (_watch, told) = watch(&watches, &instances("api"));
            until(|| consul.times(PATH) == 2).await;
            // A file that says nothing yet is none.
            fs::write(&file, "").unwrap();
            smol::Timer::after(Duration::from_millis(200)).await;
            assert_eq!(consul.times(PATH), 2);
            fs::write(&file, "new").unwrap();
            until(|| consul.times(PATH) == 4).await;
            let asked = consul.asked.borrow();
            assert_eq!(asked[2], (PATH.to_owned(), Some("new".to_owned())));
            assert_eq!(*told.borrow(), ["[1]"]);
        }
    });
    fs::remove_file(&file).unwrap();
}

#[test]
fn an_answer_that_is_suddenly_empty_is_believed_only_to_a_token_that_lives() {
    with(given(), 32, |consul, watches| async move {
        consul.say("/v1/acl/token/self", 403, "ACL not found");
        consul.say(PATH, 200, "[1]");
        let (_watch, told) = watch(&watches, &instances("api"));
        until(|| told.borrow().len() == 1).await;
        consul.say(PATH, 200, "[]");
        until(|| told.borrow().len() == 2).await;
        assert!(
            told.borrow()[1].starts_with("failed: 403 ACL not found"),
            "{told:?}"
        );
    });
    with(given(), 32, |consul, watches| async move {
        consul.say("/v1/acl/token/self", 200, "{}");
        consul.say("/v1/catalog/nodes", 200, r#"[{"Node":"n1"}]"#);
        consul.say(PATH, 200, "[1]");
        let (_watch, told) = watch(&watches, &instances("api"));
        until(|| told.borrow().len() == 1).await;
        consul.say(PATH, 200, "[]");
        until(|| told.borrow().len() == 2).await;
        assert_eq!(*told.borrow(), ["[1]", "[]"]);
    });
}

#[test]
fn where_there_is_nothing_at_first_the_token_may_be_why() {
    for (nodes, chain, expected) in [
        (
            (200, "[]"),
            (200, "{}"),
            r#"it needs node_prefix "" { policy = "read" }"#,
        ),
        (
            (200, r#"[{"Node":"n1"}]"#),
            (403, "Permission denied"),
            r#"it needs service "api-sidecar-proxy" { policy = "read" }"#,
        ),
        ((200, r#"[{"Node":"n1"}]"#), (200, r#"{"Chain":{}}"#), "[]"),
        // What cannot be looked at tells nothing.
        ((500, "no leader"), (500, "no leader"), "[]"),
    ] {
        with(given(), 32, |consul, watches| async move {
            consul.say("/v1/catalog/nodes", nodes.0, nodes.1);
            consul.say("/v1/discovery-chain/api-sidecar-proxy", chain.0, chain.1);
            consul.say(PATH, 200, "[]");
            let (_watch, told) = watch(&watches, &instances("api"));
            until(|| told.borrow().len() == 1).await;
            assert!(told.borrow()[0].ends_with(expected), "{told:?}");
        });
    }
}

#[test]
fn what_was_there_is_not_gone_because_nobody_can_tell() {
    with(given(), 32, |consul, watches| async move {
        consul.say("/v1/acl/token/self", 200, "{}");
        consul.say("/v1/catalog/nodes", 500, "no leader");
        consul.say(PATH, 200, "[1]");
        let (_watch, told) = watch(&watches, &instances("api"));
        until(|| told.borrow().len() == 1).await;
        consul.say(PATH, 200, "[]");
        until(|| told.borrow().len() == 2).await;
        assert_eq!(told.borrow()[1], "failed: 500 no leader");
        consul.say("/v1/catalog/nodes", 200, r#"[{"Node":"n1"}]"#);
        until(|| told.borrow().len() == 3).await;
        assert_eq!(told.borrow()[2], "[]");
    });
}

#[test]
fn a_token_of_this_datacenter_alone_sees_nothing_in_another() {
    with(given(), 32, |consul, watches| async move {
        consul.say("/v1/catalog/nodes", 200, "[]");
        consul.say(PATH, 200, "[]");
        let there = Question::Instances {
            service: "api".to_owned(),
            datacenter: Some("dc2".to_owned()),
            filter: String::new(),
        };
        let (_watch, told) = watch(&watches, &there);
        until(|| told.borrow().len() == 1).await;
        let why = "in dc2, of a token that is not local to its datacenter";
        assert!(told.borrow()[0].ends_with(why), "{told:?}");
        let asked = consul.asked.borrow();
        assert_eq!(asked[1].0, "/v1/catalog/nodes?dc=dc2");
    });
}

#[test]
fn another_rule_that_is_missing_is_told_too() {
    with(given(), 32, |consul, watches| async move {
        consul.say("/v1/catalog/nodes", 200, "[]");
        consul.say("/v1/discovery-chain/api-sidecar-proxy", 403, "denied");
        consul.say(PATH, 200, "[]");
        let (_watch, told) = watch(&watches, &instances("api"));
        until(|| told.borrow().len() == 1).await;
        assert!(told.borrow()[0].contains("node_prefix"), "{told:?}");
        consul.say("/v1/catalog/nodes", 200, r#"[{"Node":"n1"}]"#);
        until(|| told.borrow().len() == 2).await;
        assert!(told.borrow()[1].contains("api-sidecar-proxy"), "{told:?}");
    });
}

/// Follows what a gateway wants to know, which is registered.
fn gateway_follower(consul: &Fake, watches: &Watches) -> Follower {
    let gateway = r#"{"Kind":"mesh-gateway","ID":"gw","Service":"gw","Datacenter":"dc1"}"#;
    consul.say("/v1/agent/service/gw", 200, gateway);
    let registered = Registered {
        id: "gw".to_owned(),
        node: None,
    };
    let source = Source::Gateway(Gateway::new(registered, "consul"));
    Follower::new(source, watches.clone())
}

/// Takes up what is learned until the test is over.
async fn following(follower: &Follower, test: impl Future<Output = ()>) {
    let follow = async {
        loop {
            follower.next().await;
        }
    };
    smol::future::or(test, follow).await;
}

fn trouble_with(follower: &Follower, of: &Question) -> Option<String> {
    let mut found = None;
    follower.questions(|question, trouble| {
        if question == of {
            found = trouble.map(str::to_owned);
        }
    });
    found
}

#[test]
fn an_answer_that_is_not_understood_is_trouble_until_there_is_another() {
    with(TokenSource::Anonymous, 32, |consul, watches| async move {
        let names = "/v1/catalog/services";
        consul.say(names, 200, "[7]");
        let follower = gateway_follower(&consul, &watches);
        let says = |part: &str| {
            trouble_with(&follower, &Question::Services).is_some_and(|it| it.contains(part))
        };
        let test = async {
            until(|| says("not understood")).await;
            consul.say(names, 500, "No cluster leader");
            until(|| says("No cluster leader")).await;
            // Back, with the same.
            consul.say(names, 200, "[7]");
            until(|| !says("No cluster leader")).await;
            assert!(says("not understood"));
            consul.say(names, 200, r#"{"consul":[]}"#);
            until(|| trouble_with(&follower, &Question::Services).is_none()).await;
        };
        following(&follower, test).await;
    });
}

#[test]
fn rights_that_are_given_end_the_doubt_although_nothing_changed() {
    with(TokenSource::Anonymous, 32, |consul, watches| async move {
        let names = "/v1/catalog/services";
        // Who may see all services sees Consul's own.
        consul.say(names, 200, r#"{"api":[]}"#);
        let follower = gateway_follower(&consul, &watches);
        let doubted = || trouble_with(&follower, &Question::Services);
        let test = async {
            until(|| doubted().is_some()).await;
            assert!(doubted().unwrap().contains("service_prefix"));
            // The same again is no news, and no end of it.
            until(|| consul.times(names) == 2).await;
            consul.say(names, 200, r#"{"api":[],"consul":[]}"#);
            consul.set_index(names, 10);
            until(|| doubted().is_none()).await;
        };
        following(&follower, test).await;
    });
}

#[test]
fn answers_that_come_fast_are_fetched_with_pauses() {
    with(TokenSource::Anonymous, 32, |consul, watches| async move {
        consul.say(PATH, 200, "[0]");
        let (_watch, _told) = watch(&watches, &instances("api"));
        until(|| consul.times(PATH) == 1).await;
        let begun = std::time::Instant::now();
        let mut count = 0;
        while begun.elapsed() < Duration::from_millis(1000) {
            count += 1;
            consul.say(PATH, 200, &format!("[{count}]"));
            smol::Timer::after(Duration::from_millis(5)).await;
        }
        // Ten pauses fit.
        assert!(consul.times(PATH) <= 12, "{}", consul.times(PATH));
    });
}
