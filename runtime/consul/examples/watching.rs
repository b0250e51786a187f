//! What it takes to watch services: `watching ADDRESS SECONDS SERVICE…`, or a number with `NAME-%` for `NAME-0000` and so on.
//!
//! Prints, once all are known and again at the end: memory, connections' traffic, and how often something changed.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use consul::{Address, Client, Event, Question, Settings, Watches};
use dial::Resolver;
use smol::{LocalExecutor, Timer};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, seconds, names @ ..] = arguments.as_slice() else {
        return eprintln!("usage: watching ADDRESS SECONDS SERVICE…");
    };
    let Ok(address) = Address::new(address) else {
        return eprintln!("{address} is no address");
    };
    let seconds = Duration::from_secs(seconds.parse().unwrap_or(10));
    let numbered = |name: &String| match name.split_once('%') {
        None => vec![name.clone()],
        Some((stem, count)) => {
            let count = count.parse().unwrap_or(0);
            (0..count)
                .map(|number: u32| format!("{stem}{number:04}"))
                .collect()
        }
    };
    let services: Vec<String> = names.iter().flat_map(numbered).collect();
    let executor = Rc::new(LocalExecutor::new());
    let settings = Settings {
        addresses: vec![address],
        ..Settings::default()
    };
    let client = Rc::new(Client::new(settings, Rc::new(Resolver::of_system())));
    let watches = Watches::new(Rc::clone(&client), Rc::clone(&executor));
    println!("before: {}", memory());
    smol::block_on(executor.run(async {
        let begun = Instant::now();
        let (answers, failures) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let mut questions = vec![Question::Roots, Question::Gateways, Question::Services, Question::Resolvers];
        questions.extend(services.iter().map(|service| Question::Instances {
            service: service.clone(),
            datacenter: None,
            filter: String::new(),
        }));
        let count = questions.len();
        let kept: Vec<_> = questions
            .iter()
            .map(|question| {
                let (answers, failures) = (Rc::clone(&answers), Rc::clone(&failures));
                watches.watch(&Rc::new(question.clone()), move |event| match event {
                    Event::Answer(..) => answers.set(answers.get() + 1),
                    Event::Failed(error) => {
                        failures.set(failures.get() + 1);
                        println!("{error}");
                    }
                    Event::Recovered => {}
                })
            })
            .collect();
        drop(questions);
        while answers.get() < count {
            Timer::after(Duration::from_millis(5)).await;
        }
        let say = |when: &str| {
            let traffic = client.traffic();
            let (sent, received) = (traffic.sent(), traffic.received());
            let (answers, failures) = (answers.get(), failures.get());
            println!("{when}: {sent} B sent, {received} B received, {answers} answers, {failures} failures, {}", memory());
        };
        say(&format!("{count} known after {:?}", begun.elapsed()));
        let known = Instant::now();
        while known.elapsed() < seconds {
            Timer::after(seconds.min(Duration::from_secs(600))).await;
            say(&format!("{} s later", known.elapsed().as_secs()));
        }
        drop(kept);
    }));
}

fn memory() -> String {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let kept = rollup
        .lines()
        .filter(|line| line.starts_with("Anonymous:") || line.starts_with("Rss:"));
    kept.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join(", ")
}
