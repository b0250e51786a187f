//! Proxies that Consul configures: what it says is applied as a reload would be.
//!
//! Each proxy has a follower of its own, all share one client. What they learn is joined with what the files say into one Plan. An
//! error of Consul's changes nothing that is in force; it is told, once for each spell of trouble, with what can be checked.

use std::{
    cell::{Cell, OnceCell, RefCell},
    fmt::Write as _,
    rc::Rc,
    time::{Duration, Instant},
};

use config::{ConsulSettings, Definition, LogLevel};
use consul::{
    Assembled, Client, Entries, Follower, NotYet, Notice, Source, Watches, gateway::Gateway,
    registration::Fare, sidecar::Sidecar,
};
use dial::Resolver;
use plan::Plan;
use proxy::Clock;
use smol::{LocalExecutor, Timer, channel, future};

use crate::{
    command::Run,
    filled::filled,
    log::{Field, Log},
    plans, renewing,
    wanted::{self, Role, Wanted},
};

mod figures;

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

/// Servers that are there answer within this.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// Lines about trouble in one spell of it; after that Consul's end is known to be the matter.
const SHOWN: u32 = 5;

/// All proxies of the process that Consul configures.
pub(crate) struct Learning {
    proxies: Vec<Proxy>,
    settings: RefCell<consul::Settings>,
    /// The domain of the names of Consul's servers, as the files say it.
    domain: RefCell<String>,
    /// Whether what was registered is taken away at the end.
    deregisters: Cell<bool>,
    watches: OnceCell<Watches>,
    clock: OnceCell<Clock>,
    /// What the files say.
    local: RefCell<Plan>,
    /// What is remembered, while not all of it is known again.
    remembered: RefCell<Option<Plan>>,
}

struct Proxy {
    wanted: Wanted,
    follower: OnceCell<Follower>,
    learned: RefCell<Learned>,
    /// Whether what is in force has something from memory.
    filled: Cell<bool>,
}

#[derive(Default)]
struct Learned {
    /// What was learned last and can run.
    plan: Option<Plan>,
    /// How often something new was put to work, and how long after Consul's answer in all.
    changes: u64,
    took: Duration,
    /// What was said last of why something cannot run.
    said: Vec<String>,
    /// Why what was learned last could not be put to work.
    hindrance: Option<String>,
    /// Lines of this spell of trouble.
    shown: u32,
    /// Since when a question has had no current answer.
    troubled: Option<Instant>,
}

impl Learning {
    /// What a command line wants of Consul. Asks nothing yet.
    ///
    /// # Errors
    /// Why that cannot be.
    pub(crate) fn new(arguments: &Run) -> Result<Self, String> {
        let proxies = wanted::proxies(arguments)?.into_iter().map(|wanted| Proxy {
            wanted,
            follower: OnceCell::new(),
            learned: RefCell::default(),
            filled: Cell::default(),
        });
        Ok(Self {
            proxies: proxies.collect(),
            settings: RefCell::default(),
            domain: RefCell::default(),
            deregisters: Cell::new(false),
            watches: OnceCell::new(),
            clock: OnceCell::new(),
            local: RefCell::default(),
            remembered: RefCell::default(),
        })
    }

    /// Takes over where Consul is.
    ///
    /// # Errors
    /// What is wrong with that.
    pub(crate) fn find_consul(
        &self,
        arguments: &Run,
        given: Option<&ConsulSettings>,
        domain: &str,
        definitions: &[Definition],
    ) -> Result<(), String> {
        if self.count() > 0 {
            let settings = wanted::settings(arguments, given).map_err(|error| error.to_string())?;
            if arguments.register && !arguments.sidecar_for.is_empty() {
                if settings.node.is_some() {
                    return Err("--register: a service is registered at a local agent, which makes its checks".to_owned());
                }
                wanted::take_definitions(self.proxies.iter().map(|it| &it.wanted), definitions)?;
            }
            self.deregisters.set(arguments.deregister);
            self.settings.replace(settings);
            domain.clone_into(&mut self.domain.borrow_mut());
        }
        Ok(())
    }

    /// How many proxies there are.
    pub(crate) fn count(&self) -> usize {
        self.proxies.len()
    }

    /// Begins to ask, if there is anything to.
    pub(crate) fn start(
        &self,
        executor: &Rc<LocalExecutor<'static>>,
        resolver: &Rc<Resolver>,
        clock: &Clock,
    ) {
        if self.count() > 0 {
            let client = Client::new(self.settings.take(), Rc::clone(resolver));
            let client = with_clock(client, clock);
            self.clock.get_or_init(|| clock.clone());
            self.watches
                .get_or_init(|| Watches::new(Rc::new(client), Rc::clone(executor)));
        }
    }

    /// Whether something is known of every proxy, and nothing is taken from memory any more.
    pub(crate) fn is_complete(&self) -> bool {
        let mut proxies = self.proxies.iter();
        proxies.all(|proxy| proxy.learned.borrow().plan.is_some() && !proxy.filled.get())
    }

    /// Notes what is remembered, which what is not known yet is taken from.
    pub(crate) fn start_from(&self, remembered: Plan) {
        self.remembered.replace(Some(remembered));
    }

    /// Whether all questions have an answer.
    fn is_whole(&self) -> bool {
        let mut proxies = self.proxies.iter();
        proxies.all(|proxy| {
            let mut follower = proxy.follower.get().into_iter();
            proxy.learned.borrow().plan.is_some()
                && follower.all(|it| it.troubles() == 0 && it.is_settled())
        })
    }

    /// Notes what the files say, which what is learned is joined with.
    pub(crate) fn set_local(&self, local: &Plan) {
        if self.count() > 0 {
            self.local.replace(local.clone());
        }
    }

    /// What the files say and what was learned.
    pub(crate) fn joined(&self) -> Plan {
        self.beside(&self.local.borrow(), &Plan::clone)
    }

    /// Calls `with` with this Plan and what was learned, joined.
    pub(crate) fn beside<T>(&self, local: &Plan, with: &dyn Fn(&Plan) -> T) -> T {
        if self.count() == 0 {
            return with(local);
        }
        let learned = self
            .proxies
            .iter()
            .map(|proxy| proxy.learned.borrow().plan.clone());
        let joined = plans::join(std::iter::once(local.clone()).chain(learned.flatten()));
        if self.remembered.borrow().is_some() && self.is_whole() {
            self.remembered.take();
        }
        let remembered = self.remembered.borrow();
        for proxy in &self.proxies {
            proxy.filled.set(remembered.is_some());
        }
        match &*remembered {
            Some(remembered) => with(&filled(joined, remembered)),
            None => with(&joined),
        }
    }

    /// How long ago the first question was lost that has no current answer.
    pub(crate) fn lost_for(&self) -> Option<Duration> {
        let troubled = self.proxies.iter();
        let since = troubled.filter_map(|proxy| proxy.learned.borrow().troubled);
        since.min().map(|since| since.elapsed())
    }

    /// Keeps one proxy current. `apply` takes up what is known then, and says what hinders it; `turned` is called when Consul
    /// was lost, and when it is back.
    pub(crate) async fn keep(
        &self,
        index: usize,
        log: &Log,
        apply: &dyn Fn() -> Result<(), String>,
        turned: &dyn Fn(),
    ) {
        let (Some(proxy), Some(watches)) = (self.proxies.get(index), self.watches.get()) else {
            return;
        };
        let (told, fared) = channel::bounded(1);
        let register = async {
            if let Some(register) = proxy.wanted.register.get() {
                register
                    .keep(watches, watches.client().node(), |fare| {
                        proxy.fares(&fare, log);
                        // Once is enough.
                        let _ = told.try_send(());
                    })
                    .await;
            }
            future::pending().await
        };
        let follow = async {
            // What is not registered yet would be told as missing; what cannot be may be there already.
            if proxy.wanted.register.get().is_some() {
                let _ = fared.recv().await;
            }
            let domain = self.domain.borrow().clone();
            let source = proxy.source(watches.client(), &domain, log, turned).await;
            proxy.follow(source, watches, log, apply, turned).await;
        };
        let renew = renewing::keep(
            &proxy.follower,
            &proxy.wanted,
            watches,
            self.clock.get(),
            log,
        );
        future::or(register, future::or(follow, renew)).await;
    }

    /// Asks nothing more.
    pub(crate) fn stop(&self) {
        if let Some(watches) = self.watches.get() {
            watches.stop();
        }
    }

    /// Says that the proxies end, where no agent finds out, or takes their registrations away if told to.
    pub(crate) async fn leave(&self) {
        let Some(client) = self.watches.get().map(Watches::client) else {
            return;
        };
        let all = async {
            let registered = self.proxies.iter().map(|proxy| &proxy.wanted.register);
            for register in registered.filter_map(OnceCell::get) {
                // The end does not wait for who cannot be told.
                let _ = match client.node() {
                    Some(node) => register.leave(client, node).await,
                    None if self.deregisters.get() => register.end(client).await,
                    None => Ok(()),
                };
            }
        };
        let late = async {
            Timer::after(LEAVE_WITHIN).await;
        };
        future::or(all, late).await;
    }

    /// What Consul said of the upstreams of that name.
    pub(crate) async fn explain(&self, upstream: &str) -> String {
        let mut text = String::new();
        for proxy in &self.proxies {
            let Some(follower) = proxy.follower.get() else {
                continue;
            };
            let service = follower.with_source(|source| match source {
                Source::Sidecar(sidecar) => sidecar.registered().map(|it| it.proxy.service.clone()),
                Source::Gateway(_) => None,
            });
            let entries = match (service, self.watches.get()) {
                (Some(service), Some(watches)) => Entries::ask(watches.client(), &service).await,
                _ => Entries::default(),
            };
            follower.with_source(|source| {
                if let Source::Sidecar(sidecar) = source {
                    text.push_str(&consul::explain::upstream(sidecar, upstream, &entries));
                }
            });
            follower.questions(|question, trouble| {
                if let Some(trouble) = trouble {
                    let _ = writeln!(
                        text,
                        "{}: {}: {trouble}",
                        proxy.wanted.name,
                        question.path()
                    );
                }
            });
        }
        text
    }
}

/// Consul's certificates have dates like those of the mesh.
#[cfg(feature = "sidecar")]
fn with_clock(client: Client, clock: &Clock) -> Client {
    client.with_clock(clock.clone())
}

/// Without TLS there are no dates.
#[cfg(not(feature = "sidecar"))]
fn with_clock(client: Client, _: &Clock) -> Client {
    client
}

impl Proxy {
    async fn follow(
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
    fn fares(&self, fare: &Fare, log: &Log) {
        match fare {
            Fare::Made => log.info("registered", &[("proxy", &self.wanted.name)]),
            Fare::Failed(error) => {
                let fields: [Field<'_>; 2] = [("proxy", &self.wanted.name), ("error", error)];
                log.line(LogLevel::Warn, "register_failed", &fields);
            }
        }
    }

    /// The source, once it is known under which ID the proxy is registered.
    async fn source(&self, client: &Client, domain: &str, log: &Log, turned: &dyn Fn()) -> Source {
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
        if let Some(before) = &self.learned.borrow().plan {
            if *before == plan && !self.filled.get() {
                return;
            }
            plan.share(before);
        }
        let (listeners, clusters) = (plan.listeners.len(), plan.clusters.len());
        let before = self.learned.borrow_mut().plan.replace(plan);
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
