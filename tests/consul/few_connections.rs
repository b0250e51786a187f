//! Hundreds of services over few connections, within what Consul allows an address.

use std::time::{Duration, Instant};

use consul::Question;
use smol::Timer;
use support::consul::Agent;

use crate::asking::{instances, run, settings, until};

const SERVICES: usize = 300;

#[test]
fn more_services_than_consul_allows_connections() {
    let agent = Agent::server();
    for number in 0..SERVICES {
        agent.register(&format!("s{number}"), 1111);
    }
    run(settings(&agent), |asking| async move {
        let (_roots, roots) = asking.watch(&Question::Roots);
        let all: Vec<_> = (0..SERVICES)
            .map(|number| asking.watch(&instances(&format!("s{number}"))))
            .collect();
        for (_, told) in &all {
            until("the first answer", told, |told| told.len() == 1).await;
        }
        until("the roots", &roots, |told| told.len() == 1).await;
        let mut times = Vec::new();
        for number in (0..SERVICES).step_by(10) {
            let begun = Instant::now();
            agent.register(&format!("s{number}"), 2222);
            let told = &all[number].1;
            until("the change", told, |told| {
                told.len() == 2 && told[1].contains("2222")
            })
            .await;
            times.push(begun.elapsed());
            assert!(
                agent.connections() <= consul::CONNECTIONS,
                "{}",
                agent.connections()
            );
            Timer::after(Duration::from_millis(150)).await;
        }
        times.sort();
        println!(
            "from the change to its answer: median {:?}, worst {:?}",
            times[times.len() / 2],
            times[times.len() - 1]
        );
        // An instance that goes, and a service that comes.
        agent.put("/v1/catalog/deregister", r#"{"Node":"node-s7"}"#);
        until("the end of an instance", &all[7].1, |told| {
            told.last().is_some_and(|last| last == "[]")
        })
        .await;
        let (_late, late) = asking.watch(&instances("late"));
        until("nothing yet", &late, |told| told.len() == 1).await;
        agent.register("late", 3333);
        until("what came late", &late, |told| told.len() == 2).await;
        // Nobody else was told anything.
        let told: usize = all.iter().map(|(_, told)| told.borrow().len()).sum();
        assert_eq!(told, SERVICES + SERVICES / 10 + 1);
    });
}
