//! Whatever happens to Consul, what was known stays, and what is new comes.

use std::time::Duration;

use consul::{Question, TokenSource};
use smol::Timer;
use support::consul::{Agent, Settings};
use support::temp::TempDir;

use crate::asking::{instances, meanwhile, run, settings, until};

#[test]
fn an_agent_that_restarts() {
    let mut agent = Agent::server();
    agent.register("api", 1111);
    run(settings(&agent), |asking| async move {
        let (_watch, told) = asking.watch(&instances("api"));
        until("the first answer", &told, |told| told.len() == 1).await;
        agent.kill();
        until("the trouble", &told, |told| told.len() == 2).await;
        assert!(told.borrow()[1].starts_with("failed: "));
        let agent = meanwhile(move || {
            agent.run();
            agent
        })
        .await;
        until("the end of it", &told, |told| {
            told.last().is_some_and(|last| last == "recovered")
        })
        .await;
        agent.register("api", 2222);
        until("the change", &told, |told| {
            told.last().is_some_and(|last| last.contains("2222"))
        })
        .await;
        assert!(!told.borrow().iter().any(|told| told == "[]"), "{told:?}");
    });
}

#[test]
fn a_server_behind_the_agent_that_dies() {
    let mut server = Agent::server();
    let agent = Agent::start(Settings {
        of: Some(&server),
        ..Settings::default()
    });
    server.register("api", 1111);
    run(settings(&agent), |asking| async move {
        let (_watch, told) = asking.watch(&instances("api"));
        let (_roots, roots) = asking.watch(&Question::Roots);
        until("the first answer", &told, |told| told.len() == 1).await;
        until("the roots", &roots, |told| told.len() == 1).await;
        server.kill();
        until("the trouble", &told, |told| told.len() == 2).await;
        assert!(told.borrow()[1].starts_with("failed: 500 "), "{told:?}");
        let server = meanwhile(move || {
            server.run();
            server
        })
        .await;
        until("the end of it", &told, |told| {
            told.last().is_some_and(|last| last == "recovered")
        })
        .await;
        server.register("api", 2222);
        until("the change", &told, |told| {
            told.last().is_some_and(|last| last.contains("2222"))
        })
        .await;
        assert!(!told.borrow().iter().any(|told| told == "[]"), "{told:?}");
    });
}

#[test]
fn a_cluster_that_is_made_anew_with_lower_indexes() {
    let mut agent = Agent::server();
    for _ in 0..40 {
        agent.register("other", 1);
        agent.put("/v1/catalog/deregister", r#"{"Node":"node-other"}"#);
    }
    agent.register("api", 1111);
    run(settings(&agent), |asking| async move {
        let (_watch, told) = asking.watch(&instances("api"));
        let (_roots, roots) = asking.watch(&Question::Roots);
        until("the first answer", &told, |told| told.len() == 1).await;
        until("the roots", &roots, |told| told.len() == 1).await;
        agent.kill();
        agent.forget();
        let agent = meanwhile(move || {
            agent.run();
            agent.register("api", 2222);
            agent
        })
        .await;
        until("the new instance", &told, |told| {
            told.last().is_some_and(|last| last.contains("2222"))
        })
        .await;
        until("the new trust domain", &roots, |told| {
            told.last()
                .is_some_and(|last| last.contains("TrustDomain") && *last != told[0])
        })
        .await;
        drop(agent);
    });
}

#[test]
fn tokens_that_are_missing_replaced_and_deleted() {
    let agent = Agent::start(Settings {
        acl: true,
        ..Settings::default()
    });
    let policy = r#"{"Name":"p","Rules":"service_prefix \"\" { policy = \"read\" } node_prefix \"\" { policy = \"read\" }"}"#;
    agent.put("/v1/acl/policy", policy);
    let token = || {
        let made = agent.put("/v1/acl/token", r#"{"Policies":[{"Name":"p"}]}"#);
        let made: serde_json::Value = serde_json::from_str(&made).unwrap();
        let word = |key: &str| made[key].as_str().unwrap().to_owned();
        (word("AccessorID"), word("SecretID"))
    };
    agent.register("api", 1111);
    let home = TempDir::new();
    let file = home.write("token", "11111111-2222-3333-4444-555555555555\n");
    let mut settings = settings(&agent);
    settings.token = TokenSource::File(file);
    let (accessor, secret) = token();
    run(settings, |asking| async move {
        let (_watch, told) = asking.watch(&instances("api"));
        until("the refusal", &told, |told| told.len() == 1).await;
        assert!(told.borrow()[0].contains("403"), "{told:?}");
        home.write("token", format!("{secret}\n"));
        until("the answer", &told, |told| told.len() == 2).await;
        assert!(told.borrow()[1].contains("1111"), "{told:?}");

        // Without the token Consul says that there is nothing, or that the token is unknown. Neither may be taken for an answer.
        let (status, _) = agent
            .ask("DELETE", &format!("/v1/acl/token/{accessor}"), "")
            .unwrap();
        assert_eq!(status, 200);
        agent.register("api", 2222);
        until("the refusal", &told, |told| told.len() >= 3).await;
        Timer::after(Duration::from_millis(500)).await;
        assert!(
            told.borrow()[2..]
                .iter()
                .all(|told| told.starts_with("failed: 403")),
            "{told:?}"
        );
        let made = agent.put("/v1/acl/token", r#"{"Policies":[{"Name":"p"}]}"#);
        let made: serde_json::Value = serde_json::from_str(&made).unwrap();
        home.write("token", made["SecretID"].as_str().unwrap());
        until("the change", &told, |told| {
            told.last().is_some_and(|last| last.contains("2222"))
        })
        .await;
    });
}
