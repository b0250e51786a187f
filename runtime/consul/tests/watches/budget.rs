//! More questions than connections.

use consul::{Question, TokenSource, Watch, Watches};

use crate::{
    Told,
    fake::{Fake, until, with},
    instances, watch,
};

const NODES: &str = "/v1/internal/ui/nodes";

/// A catalog with so many services on one node, of which one has this port.
fn catalog(services: usize, changed: usize, port: u16) -> String {
    let services: Vec<String> = (0..services)
        .map(|number| {
            let port = if number == changed { port } else { 1 };
            format!(
                r#"{{"Kind":"connect-proxy","ID":"p{number}","Service":"s{number}-proxy","Port":{port},"Proxy":{{"DestinationServiceName":"s{number}"}}}}"#
            )
        })
        .collect();
    format!(
        r#"[{{"ID":"x","Node":"n","Address":"10.0.0.1","Services":[{}],"Checks":[]}}]"#,
        services.join(",")
    )
}

/// What is asked for a service of the catalog.
fn path(number: usize) -> String {
    format!("/v1/health/connect/s{number}")
}

/// Watches twelve services, each with its first answer told.
async fn twelve(consul: &Fake, watches: &Watches) -> Vec<(Watch, Told)> {
    for number in 0..12 {
        consul.say(&path(number), 200, "[0]");
    }
    let all: Vec<_> = (0..12)
        .map(|number| watch(watches, &instances(&format!("s{number}"))))
        .collect();
    until(|| all.iter().all(|(_, told)| told.borrow().len() == 1)).await;
    all
}

#[test]
fn hundreds_of_services_are_watched_over_few_connections() {
    with(TokenSource::Anonymous, 8, |consul, watches| async move {
        for number in 0..300 {
            consul.say(&path(number), 200, &format!("[{number}]"));
        }
        consul.say("/v1/agent/connect/ca/roots", 200, "{\"a\":1}");
        consul.say(NODES, 200, &catalog(300, 0, 1));
        let roots = watch(&watches, &Question::Roots);
        let all: Vec<_> = (0..300)
            .map(|number| watch(&watches, &instances(&format!("s{number}"))))
            .collect();
        until(|| all.iter().all(|(_, told)| told.borrow().len() == 1)).await;
        // Each was asked once, and is not asked again.
        assert!((0..300).all(|number| consul.times(&path(number)) == 1));

        consul.say(&path(77), 200, "[\"new\"]");
        consul.say(NODES, 200, &catalog(300, 77, 2));
        until(|| all[77].1.borrow().len() == 2).await;
        assert_eq!(all[77].1.borrow()[1], "[\"new\"]");
        // What has changed blocks by itself for a while, and is told without the catalog.
        until(|| consul.times(&path(77)) == 3).await;
        let asked = (0..300)
            .map(|number| consul.times(&path(number)))
            .sum::<usize>();
        assert_eq!(asked, 302);
        consul.say(&path(77), 200, "[\"newer\"]");
        until(|| all[77].1.borrow().len() == 3).await;

        // What is not a service of the catalog still blocks by itself.
        consul.say("/v1/agent/connect/ca/roots", 200, "{\"a\":2}");
        until(|| roots.1.borrow().len() == 2).await;
        assert!(consul.connections.get().1 <= 8, "{:?}", consul.connections);
    });
}

#[test]
fn without_the_catalog_the_questions_take_turns() {
    with(TokenSource::Anonymous, 8, |consul, watches| async move {
        consul.say(NODES, 403, "Permission denied");
        let all = twelve(&consul, &watches).await;
        for number in 0..12 {
            consul.say(&path(number), 200, "[1]");
        }
        until(|| all.iter().all(|(_, told)| told.borrow().len() == 2)).await;
        assert!(consul.connections.get().1 <= 8, "{:?}", consul.connections);
    });
}

#[test]
fn a_catalog_that_cannot_be_read_holds_no_question_back() {
    with(TokenSource::Anonymous, 8, |consul, watches| async move {
        // As where it takes longer to come than it may.
        consul.say(NODES, 500, "context deadline exceeded");
        let all = twelve(&consul, &watches).await;
        // It is tried again, and then changes are told through it.
        consul.say(NODES, 200, &catalog(12, 3, 1));
        until(|| consul.times(NODES) >= 4).await;
        consul.say(&path(3), 200, "[1]");
        consul.say(NODES, 200, &catalog(12, 3, 2));
        until(|| all[3].1.borrow().len() == 2).await;
    });
}

#[test]
fn when_nothing_happens_one_question_stands_for_all_services() {
    with(TokenSource::Anonymous, 32, |consul, watches| async move {
        consul.say(NODES, 200, &catalog(10, 0, 1));
        for number in 0..10 {
            consul.say(&path(number), 200, "[0]");
        }
        let all: Vec<_> = (0..10)
            .map(|number| watch(&watches, &instances(&format!("s{number}"))))
            .collect();
        until(|| all.iter().all(|(_, told)| told.borrow().len() == 1)).await;
        assert_eq!(consul.times(NODES), 0);
        consul.hurried.set(true);
        until(|| consul.times(NODES) >= 2).await;
        // Those that blocked still come back, once.
        let asked = || {
            (0..10)
                .map(|number| consul.times(&path(number)))
                .sum::<usize>()
        };
        let mut before = 0;
        while before != asked() {
            before = asked();
            smol::Timer::after(std::time::Duration::from_millis(300)).await;
        }
        consul.hurried.set(false);

        consul.say(&path(3), 200, "[1]");
        consul.say(NODES, 200, &catalog(10, 3, 2));
        until(|| all[3].1.borrow().len() == 2).await;
        assert!(asked() <= before + 2);

        // Where it is about others all the time, each question is by itself again.
        let mut port = 10;
        while consul.times(&path(5)) < 20 && asked() < before + 11 {
            port += 1;
            consul.say(NODES, 200, &catalog(11, 10, port));
            smol::Timer::after(std::time::Duration::from_millis(50)).await;
        }
        consul.say(&path(5), 200, "[1]");
        until(|| all[5].1.borrow().len() == 2).await;
    });
}
