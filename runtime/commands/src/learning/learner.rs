//! One proxy that Consul configures: what is learned of it becomes a Plan that is in force, and what hinders that is said.

use std::{
    cell::{Cell, OnceCell, RefCell},
    time::{Duration, Instant},
};

use config::LogLevel;
use consul::{
    Assembled, Client, Fare, Follower, NotYet, Notice, Source, Watches, gateway::Gateway,
    sidecar::Sidecar,
};
use plan::Plan;
use smol::{Timer, future};

use crate::{
    log::{Field, Log},
    wanted::{self, Role, Wanted},
};

/// One proxy, and what is known of it.
pub(super) struct Learner {
    pub(super) wanted: Wanted,
    pub(super) follower: OnceCell<Follower>,
    pub(super) learned: RefCell<Learned>,
    /// Whether what is in force has something from memory.
    pub(super) filled: Cell<bool>,
}

/// What was learned of it.
#[derive(Default)]
pub(super) struct Learned {
    /// What was learned last and can run.
    pub(super) plan: Option<Plan>,
    /// How often something new was put to work, and how long after Consul's answer in all.
    pub(super) changes: u64,
    pub(super) took: Duration,
    /// What was said last of why something cannot run.
    said: Vec<String>,
    /// Why what was learned last could not be put to work.
    hindrance: Option<String>,
    /// Lines of this spell of trouble.
    shown: u32,
    /// Since when a question has had no current answer.
    pub(super) troubled: Option<Instant>,
}

impl Learner {
    /// One of which nothing is known.
    pub(super) fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            follower: OnceCell::new(),
            learned: RefCell::default(),
            filled: Cell::default(),
        }
    }

    /// Learns for as long as it is polled.
    pub(super) async fn follow(
        &self,
        source: Source,
        watches: &Watches,
        log: &Log,
        apply: &dyn Fn() -> Result<(), String>,
        turned: &dyn Fn(),
    ) {
        let follower = self
            .follower
            .get_or_init(|| Follower::new(source, watches.clone()));
        // Since when there is something to give back.
        let untidy: Cell<Option<Instant>> = Cell::default();
        loop {
            // A port that was taken may be free by now.
            let hindered = self.learned.borrow().hindrance.is_some();
            let again = async {
                if untidy.get().is_some() {
                    Timer::after(QUIET).await;
                    sys::memory::give_back();
                    untidy.set(None);
                }
                if hindered {
                    Timer::after(MOST_RETRY).await;
                    return Vec::new();
                }
                future::pending().await
            };
            for notice in future::or(follower.next(), again).await {
                self.tell(&notice, log, turned);
            }
            // To refuse everyone for a moment at the start would be worse than to start a moment later, and so would it be to
            // remember a part; and thousands of services are put together once.
            if self.learned.borrow().plan.is_none() && !follower.is_settled() {
                continue;
            }
            let made = Instant::now();
            match follower.assembled() {
                Ok(Assembled::Sidecar(sidecar))
                    if sidecar.is_provisional
                        && follower.troubles() == 0
                        && self.learned.borrow().plan.is_none() => {}
                Ok(assembled) => self.take(assembled, follower.take_up(), log, apply),
                // What is in force goes on, if something is: a cluster that was made anew is not whole yet.
                Err(why @ NotYet::Awaits(_)) if self.learned.borrow().plan.is_some() => {
                    self.say(vec![why.to_string()], "proxy_waits", log);
                }
                Err(NotYet::Awaits(_)) => {}
                Err(NotYet::Unusable(why)) => self.say(vec![why], "proxy_refused", log),
            }
            Timer::after((made.elapsed() * PACE).min(MOST_PACE)).await;
            let since = untidy.get().unwrap_or(made);
            untidy.set(Some(since));
            if since.elapsed() > GIVE_BACK {
                sys::memory::give_back();
                untidy.set(None);
            }
        }
    }

    /// Says how registering fares.
    pub(super) fn fares(&self, fare: &Fare, log: &Log) {
        match fare {
            Fare::Made => log.info("registered", &[("proxy", &self.wanted.name)]),
            Fare::Failed(error) => {
                let fields: [Field<'_>; 2] = [("proxy", &self.wanted.name), ("error", error)];
                log.line(LogLevel::Warn, "register_failed", &fields);
            }
        }
    }

    /// The source, once it is known under which ID the proxy is registered.
    pub(super) async fn source(
        &self,
        client: &Client,
        domain: &str,
        log: &Log,
        turned: &dyn Fn(),
    ) -> Source {
        let mut pause = FIRST_RETRY;
        let registered = loop {
            match self.wanted.registered(client).await {
                Ok(registered) => break registered,
                Err(why) => {
                    let lost = Notice::Lost(wanted::listing(client), why);
                    self.tell(&lost, log, turned);
                }
            }
            Timer::after(pause).await;
            pause = (pause * 2).min(MOST_RETRY);
        };
        self.tell(&Notice::Back, log, turned);
        match self.wanted.role {
            Role::Sidecar => Source::Sidecar(Sidecar::new(registered)),
            Role::Gateway => Source::Gateway(Gateway::new(registered, domain)),
        }
    }

    /// Puts what was learned to work; the first answer of it came at `heard`.
    fn take(
        &self,
        assembled: Assembled,
        heard: Option<Instant>,
        log: &Log,
        apply: &dyn Fn() -> Result<(), String>,
    ) {
        if let Assembled::Sidecar(sidecar) = &assembled {
            let refused = sidecar.refused.iter();
            let why = refused.map(|(upstream, why)| format!("upstream {upstream}: {why}"));
            self.say(why.collect(), "upstream_refused", log);
        }
        let mut plan = assembled.plan();
        let mut learned = self.learned.borrow_mut();
        if let Some(before) = &learned.plan {
            if *before == plan && !self.filled.get() {
                // What could not be put to work is not wanted any more.
                learned.hindrance = None;
                return;
            }
            plan.share(before);
        }
        let (listeners, clusters) = (plan.listeners.len(), plan.clusters.len());
        let before = learned.plan.replace(plan);
        drop(learned);
        match apply() {
            Ok(()) => {
                let mut learned = self.learned.borrow_mut();
                learned.hindrance = None;
                let took = heard.map_or(Duration::ZERO, |heard| heard.elapsed());
                learned.changes += 1;
                learned.took += took;
                let took = took.as_micros();
                let fields: [Field<'_>; 4] = [
                    ("proxy", &self.wanted.name),
                    ("listeners", &listeners),
                    ("clusters", &clusters),
                    ("microseconds", &took),
                ];
                log.info("learned", &fields);
            }
            Err(error) => {
                let mut learned = self.learned.borrow_mut();
                learned.plan = before;
                if learned.hindrance.as_ref() != Some(&error) {
                    let detail = "what was in force goes on; it is tried again";
                    let fields: [Field<'_>; 3] = [
                        ("proxy", &self.wanted.name),
                        ("error", &error),
                        ("detail", &detail),
                    ];
                    log.line(LogLevel::Error, "learned_refused", &fields);
                }
                learned.hindrance = Some(error);
            }
        }
    }

    /// Says what was not said before.
    fn say(&self, lines: Vec<String>, event: &str, log: &Log) {
        let before = std::mem::replace(&mut self.learned.borrow_mut().said, lines);
        for line in self
            .learned
            .borrow()
            .said
            .iter()
            .filter(|line| !before.contains(line))
        {
            let fields: [Field<'_>; 2] = [("proxy", &self.wanted.name), ("detail", line)];
            log.line(LogLevel::Warn, event, &fields);
        }
    }

    fn tell(&self, notice: &Notice, log: &Log, turned: &dyn Fn()) {
        let mut learned = self.learned.borrow_mut();
        let before = learned.troubled;
        match notice {
            Notice::Lost(question, why) => {
                learned.troubled = before.or_else(|| Some(Instant::now()));
                learned.shown += 1;
                if learned.shown <= SHOWN {
                    // Nothing is, before Consul has answered for the first time.
                    let stays = if learned.plan.is_some() {
                        "; what it said last stays in force"
                    } else {
                        ""
                    };
                    let why = format_args!("{why}{stays}");
                    let fields: [Field<'_>; 3] = [
                        ("proxy", &self.wanted.name),
                        ("question", question),
                        ("detail", &why),
                    ];
                    log.line(LogLevel::Warn, "consul_lost", &fields);
                }
            }
            Notice::Back => {
                if before.is_some() {
                    let suppressed = learned.shown.saturating_sub(SHOWN);
                    let fields: [Field<'_>; 2] =
                        [("proxy", &self.wanted.name), ("suppressed", &suppressed)];
                    log.info("consul_back", &fields);
                }
                learned.troubled = None;
                learned.shown = 0;
            }
        }
        let is_turn = before.is_some() != learned.troubled.is_some();
        drop(learned);
        if is_turn {
            turned();
        }
    }
}

/// The first answer after a pause is taken up at once. Others that come with it share the next Plan: the pause is so many times
/// what the last Plan took, and no longer than this, so that a burst does not take up all of a small machine's time.
const PACE: u32 = 4;
const MOST_PACE: Duration = Duration::from_millis(50);

/// What a change leaves behind, free places in the heap and code that nothing else runs, is given back when no other follows for
/// this long, and while they follow each other as often as this.
const QUIET: Duration = Duration::from_millis(250);
const GIVE_BACK: Duration = Duration::from_secs(10);

/// Until it is known under which ID a proxy is registered, it is asked after these times.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const MOST_RETRY: Duration = Duration::from_secs(10);

/// Lines about trouble in one spell of it; after that Consul's end is known to be the matter.
const SHOWN: u32 = 5;
