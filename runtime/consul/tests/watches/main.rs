//! Watches on a Consul that a test has in its hands.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that is wrong fails"
)]

mod budget;
mod fake;
mod registered;
mod trouble;

use std::{cell::RefCell, rc::Rc};

use consul::{Event, Question, TokenSource, Watch, Watches};
use fake::{until, with};

/// The instances of a service of this datacenter.
pub(crate) fn instances(service: &str) -> Question {
    Question::Instances {
        service: service.to_owned(),
        datacenter: None,
        filter: String::new(),
    }
}

/// What was told, as text.
pub(crate) type Told = Rc<RefCell<Vec<String>>>;

/// Watches a question and writes down what is told.
pub(crate) fn watch(watches: &Watches, question: &Question) -> (Watch, Told) {
    let told = Told::default();
    let into = Rc::clone(&told);
    let watch = watches.watch(&Rc::new(question.clone()), move |event| {
        into.borrow_mut().push(match event {
            Event::Answer(_, body) => String::from_utf8_lossy(body).into_owned(),
            Event::Failed(error) => format!("failed: {error}"),
            Event::Recovered => "recovered".to_owned(),
        });
    });
    (watch, told)
}

#[test]
fn an_answer_is_told_once_and_a_new_one_when_it_comes() {
    with(TokenSource::Anonymous, 32, |consul, watches| async move {
        let path = "/v1/health/connect/api";
        consul.say(path, 200, "[1]");
        let (watch, told) = watch(&watches, &instances("api"));
        until(|| told.borrow().len() == 1 && consul.times(path) == 2).await;
        // The same again, with another index: nothing to tell.
        consul.say(path, 200, "[1]");
        until(|| consul.times(path) == 3).await;
        consul.say(path, 200, "[1,2]");
        until(|| told.borrow().len() == 2).await;
        assert_eq!(*told.borrow(), ["[1]", "[1,2]"]);
        let asked = consul.asked.borrow();
        assert_eq!(asked[0].0, path);
        assert_eq!(asked[1].0, format!("{path}?index=10&wait=50s"));
        assert!(watch.traffic(|traffic| traffic.received() > 100 && traffic.sent() > 100));
    });
}

#[test]
fn an_index_that_goes_backwards_starts_over() {
    with(TokenSource::Anonymous, 32, |consul, watches| async move {
        let path = "/v1/health/connect/api";
        consul.say(path, 200, "[1]");
        let (_watch, told) = watch(&watches, &instances("api"));
        until(|| consul.times(path) == 2).await;
        consul.set_index(path, 3);
        until(|| consul.times(path) == 4).await;
        let asked: Vec<String> = consul
            .asked
            .borrow()
            .iter()
            .map(|(path, _)| path.clone())
            .collect();
        assert_eq!(asked[2], path);
        assert_eq!(asked[3], format!("{path}?index=3&wait=50s"));
        consul.say(path, 200, "[2]");
        until(|| told.borrow().len() == 2).await;
        assert_eq!(*told.borrow(), ["[1]", "[2]"]);
    });
}

#[test]
fn a_listener_may_add_and_drop_watches_its_own_among_them() {
    with(TokenSource::Anonymous, 32, |consul, watches| async move {
        consul.say("/v1/health/connect/a", 200, "[1]");
        consul.say("/v1/health/connect/b", 200, "[2]");
        let kept: Rc<RefCell<Vec<Watch>>> = Rc::default();
        let (inner, all) = (Rc::clone(&kept), watches.clone());
        let told = Told::default();
        let into = Rc::clone(&told);
        let first = watches.watch(&Rc::new(instances("a")), move |_| {
            let into = Rc::clone(&into);
            let next = all.watch(&Rc::new(instances("b")), move |_| {
                into.borrow_mut().push("b".to_owned())
            });
            let own = std::mem::replace(&mut *inner.borrow_mut(), vec![next]);
            drop(own);
        });
        kept.borrow_mut().push(first);
        until(|| told.borrow().len() == 1).await;
        assert_eq!(watches.count(), 1);
        kept.borrow_mut().clear();
        assert_eq!(watches.count(), 0);
    });
}
