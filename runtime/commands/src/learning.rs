//! Proxies that Consul configures: what it says is applied as a reload would be.
//!
//! Each proxy has a follower of its own, all share one client. What they learn is joined with what the files say into one Plan. An
//! error of Consul's changes nothing that is in force; it is told, once for each spell of trouble, with what can be checked.

use std::{
    cell::{OnceCell, RefCell},
    fmt::Write as _,
    rc::Rc,
    time::Duration,
};

use config::{ConsulSettings, Definition};
use consul::{Client, Entries, Kept, Source, Watches};
use dial::Resolver;
use plan::Plan;
use proxy::Clock;
use smol::{LocalExecutor, Timer, channel, future};

use crate::{command::Run, filled::filled, log::Log, plans, renewing, wanted};
use learner::Learner;

mod figures;
mod learner;
mod registering;

/// Servers that are there answer within this.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// All proxies of the process that Consul configures.
pub(crate) struct Learning {
    arguments: Run,
    proxies: Vec<Learner>,
    settings: RefCell<consul::Settings>,
    /// The domain of the names of Consul's servers, as the files say it.
    domain: RefCell<String>,
    watches: OnceCell<Watches>,
    clock: OnceCell<Clock>,
    /// What the files say.
    local: RefCell<Plan>,
    /// What is remembered, while not all of it is known again.
    remembered: RefCell<Option<Plan>>,
}

impl Learning {
    /// What a command line wants of Consul. Asks nothing yet.
    ///
    /// # Errors
    /// Why that cannot be.
    pub(crate) fn new(arguments: &Run) -> Result<Self, String> {
        let proxies = wanted::proxies(arguments)?.into_iter().map(Learner::new);
        Ok(Self {
            arguments: arguments.clone(),
            proxies: proxies.collect(),
            settings: RefCell::default(),
            domain: RefCell::default(),
            watches: OnceCell::new(),
            clock: OnceCell::new(),
            local: RefCell::default(),
            remembered: RefCell::default(),
        })
    }

    /// Takes over where Consul is, and what is registered there; of services later, while it is not known what the files say.
    ///
    /// # Errors
    /// What is wrong with that.
    pub(crate) fn find_consul(
        &self,
        given: Option<&ConsulSettings>,
        domain: &str,
        definitions: Option<&[Definition]>,
    ) -> Result<(), String> {
        if self.count() > 0 {
            let arguments = &self.arguments;
            let settings = wanted::settings(arguments, given).map_err(|error| error.to_string())?;
            if arguments.register && !arguments.sidecar_for.is_empty() && settings.node.is_some() {
                return Err(
                    "--register: a service is registered at a local agent, which makes its checks"
                        .to_owned(),
                );
            }
            if let Some(definitions) = definitions {
                self.register(self.registrations(definitions)?);
            }
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
            let (register, node) = (&proxy.wanted.register, watches.client().node());
            register
                .keep(watches, node, |fare| {
                    proxy.fares(&fare, log);
                    // Once is enough.
                    let _ = told.try_send(());
                })
                .await;
            future::pending().await
        };
        let follow = async {
            // What is not registered yet would be told as missing; what cannot be may be there already.
            if proxy.wanted.register.what().is_some() {
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
            for register in registered.filter_map(Kept::what) {
                // The end does not wait for who cannot be told.
                let _ = match client.node() {
                    Some(node) => register.leave(client, node).await,
                    None if self.arguments.deregister => register.end(client).await,
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
