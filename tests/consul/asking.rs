//! Watches on a real Consul, written down.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use consul::{Address, Client, Event, Question, Settings, TokenSource, Watch, Watches};
use dial::Resolver;
use smol::{LocalExecutor, Timer, future};
use support::consul::Agent;

/// What was told.
pub(crate) type Told = Rc<RefCell<Vec<String>>>;

/// The watches of a test.
pub(crate) struct Asking {
    pub(crate) watches: Watches,
}

impl Asking {
    /// Watches a question.
    pub(crate) fn watch(&self, question: &Question) -> (Watch, Told) {
        let told = Told::default();
        let into = Rc::clone(&told);
        let watch = self
            .watches
            .watch(&Rc::new(question.clone()), move |event| {
                into.borrow_mut().push(match event {
                    Event::Answer(_, body) => String::from_utf8_lossy(body).into_owned(),
                    Event::Failed(error) => format!("failed: {error}"),
                    Event::Recovered => "recovered".to_owned(),
                });
            });
        (watch, told)
    }
}

/// Asks this agent in the usual way.
pub(crate) fn settings(agent: &Agent) -> Settings {
    Settings {
        addresses: vec![Address::new(&agent.http().to_string()).unwrap()],
        token: TokenSource::Anonymous,
        ..Settings::default()
    }
}

/// The instances of a service.
pub(crate) fn instances(service: &str) -> Question {
    Question::Instances {
        service: service.to_owned(),
        datacenter: None,
        filter: String::new(),
    }
}

/// Runs a test on watches.
pub(crate) fn run<F: Future<Output = ()>>(settings: Settings, test: impl FnOnce(Asking) -> F) {
    let executor = Rc::new(LocalExecutor::new());
    let client = Rc::new(Client::new(settings, Rc::new(Resolver::of_system())));
    let asking = Asking {
        watches: Watches::new(client, Rc::clone(&executor)),
    };
    let late = async {
        Timer::after(Duration::from_secs(120)).await;
        panic!("the test takes too long");
    };
    smol::block_on(executor.run(future::or(test(asking), late)));
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, told: &Told, so: impl Fn(&[String]) -> bool) {
    for _ in 0..12_000 {
        if so(&told.borrow()) {
            return;
        }
        Timer::after(Duration::from_millis(5)).await;
    }
    panic!("waited in vain for {what}; told was {:#?}", told.borrow());
}

/// Lets the watches go on while something blocks the test's own thread.
pub(crate) async fn meanwhile<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::spawn(work);
    while !thread.is_finished() {
        Timer::after(Duration::from_millis(5)).await;
    }
    thread.join().unwrap()
}
