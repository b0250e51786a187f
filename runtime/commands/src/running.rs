//! A process that runs: its tasks, what signals ask of it, and what the service manager hears.
//!
//! Everything that can fail at a start is done before ([`crate::run`]). From here on an error of a file, of Consul or of the service
//! manager is told, and changes nothing that is in force.

use std::{cell::RefCell, io, path::PathBuf, rc::Rc, time::Duration};

use config::{LogLevel, RuntimeSettings};
use plan::{Address, Plan};
use proxy::{Cause, Proxy};
use smol::{Async, LocalExecutor, Timer, future::or};
use sys::{
    inotify::Watch,
    notify::{self, Notifier},
    signals::{Signal, Signals},
};

use crate::{
    Exit, admin,
    learning::Learning,
    log,
    log::Log,
    memory::Memory,
    names::Names,
    outlook::{self, Outlook},
    reload,
};

/// A process with all that it needs, from the first Plan on.
pub(crate) struct Running {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) proxy: Rc<Proxy>,
    pub(crate) log: Rc<Log>,
    pub(crate) state: Rc<admin::State>,
    pub(crate) notifier: Notifier,
    pub(crate) names: RefCell<Names>,
    pub(crate) executor: Rc<LocalExecutor<'static>>,
    /// What the process runs by, as the files say it now.
    pub(crate) settings: RefCell<RuntimeSettings>,
    pub(crate) memory: Rc<Memory>,
    pub(crate) learning: Rc<Learning>,
    /// Certificates and keys that the files name: watched like the files.
    pub(crate) named: RefCell<Vec<PathBuf>>,
}

impl Running {
    /// Runs up to the end of the process, and says how it ends.
    pub(crate) async fn supervise(self: Rc<Self>, signals: Signals) -> io::Result<Exit> {
        self.names.borrow_mut().follow(&self.proxy, &self.executor);
        let signals = Async::new(signals)?;
        let this = Rc::clone(&self);
        self.executor
            .spawn(async move { this.end_log_periods().await })
            .detach();
        // Before anybody hears that we are ready, and changes a file.
        let watch = self.watch();
        let this = Rc::clone(&self);
        self.executor
            .spawn(async move { this.watch_files(watch).await })
            .detach();
        let this = Rc::clone(&self);
        self.executor
            .spawn(async move { this.memory.write(&this.log).await })
            .detach();
        let this = Rc::clone(&self);
        self.executor
            .spawn(async move {
                let is_true = || this.learning.lost_for().is_none();
                this.memory.confirm(&this.log, &is_true).await;
            })
            .detach();
        if let Some(interval) = notify::watchdog_interval() {
            let this = Rc::clone(&self);
            self.executor
                .spawn(async move { this.feed_watchdog(interval).await })
                .detach();
        }
        let resolver = Rc::clone(self.names.borrow().resolver());
        self.learning
            .start(&self.executor, &resolver, self.memory.clock());
        for index in 0..self.learning.count() {
            let this = Rc::clone(&self);
            let kept = async move {
                let learning = Rc::clone(&this.learning);
                learning
                    .keep(index, &this.log, &|| this.take_learned(), &|| {
                        this.say_how_long()
                    })
                    .await;
            };
            self.executor.spawn(kept).detach();
        }
        if self.is_alone() {
            self.say_how_long();
        }
        if self.is_alone() || self.learning.count() > 0 {
            let this = Rc::clone(&self);
            let again = async move { this.say_how_long_again().await };
            self.executor.spawn(again).detach();
        }
        if self.learning.is_complete() || self.memory.age().is_some() {
            self.get_ready();
        }

        let relay = async { self.proxy.run().await.map(|()| Exit::Software) };
        or(relay, self.obey(signals)).await
    }

    /// Puts what Consul said to work beside what the files say.
    fn take_learned(&self) -> Result<(), String> {
        let listened = self.proxy.listeners();
        let plan = self.learning.joined();
        self.proxy.apply(&plan).map_err(|unfit| unfit.to_string())?;
        self.names.borrow_mut().follow(&self.proxy, &self.executor);
        self.say_new_listeners(&listened);
        if self.learning.is_complete() {
            self.memory.remember(plan, &self.settings.borrow());
            self.get_ready();
        }
        Ok(())
    }

    /// Whether what runs goes on without whoever says what it should be.
    fn is_alone(&self) -> bool {
        self.memory.age().is_some() || self.learning.lost_for().is_some()
    }

    /// Says for how long it goes on without them, and what then; or, once they are there again, that they are.
    fn say_how_long(&self) {
        if self.is_alone() {
            let outlook = Outlook::of(&self.proxy, self.memory.clock());
            self.log
                .line(LogLevel::Warn, "on_its_own", &[("detail", &outlook)]);
        }
        if self.state.ready.get() {
            self.tell(self.notifier.status(&self.status()));
        }
    }

    async fn say_how_long_again(&self) {
        let mut said = 0;
        let mut was_over = false;
        loop {
            Timer::after(HOUR).await;
            let is_over = Outlook::of(&self.proxy, self.memory.clock()).is_over();
            said = if self.is_alone() { said + 1 } else { 0 };
            if said > 0 && (said % HOURS_BETWEEN == 0 || is_over != was_over) {
                self.say_how_long();
            } else if said > 0 && self.state.ready.get() {
                self.tell(self.notifier.status(&self.status()));
            }
            was_over = is_over;
        }
    }

    /// Says once that everything is there.
    fn get_ready(&self) {
        if self.state.ready.replace(true) {
            return;
        }
        let listeners = self.proxy.listeners().len();
        self.log.info("ready", &[("listeners", &listeners)]);
        sys::memory::give_back();
        self.tell(self.notifier.ready(&self.status()));
    }

    fn say_new_listeners(&self, before: &[(String, Address)]) {
        for (name, address) in self.proxy.listeners() {
            if before.iter().all(|(_, known)| *known != address) {
                self.log
                    .info("listening", &[("name", &name), ("address", &address)]);
            }
        }
    }

    /// Does what signals ask for, up to the end of the process.
    async fn obey(&self, signals: Async<Signals>) -> io::Result<Exit> {
        loop {
            match next(&signals).await? {
                Signal::Hangup => self.reload(),
                Signal::Terminate | Signal::Interrupt => break,
                _ => {}
            }
        }
        let deadline = self.settings.borrow().timeouts.drain;
        self.state.draining.set(true);
        self.learning.stop();
        self.proxy.drain();
        let connections = self.proxy.connections();
        self.tell(
            self.notifier
                .stopping(&format!("finishing {connections} connections")),
        );
        self.log.info(
            "draining",
            &[
                ("connections", &connections),
                ("seconds", &log::Seconds(deadline)),
            ],
        );
        // Boxed: it is large, and would stand on the stack from the start.
        Box::pin(self.learning.leave()).await;

        let finished = async {
            self.proxy.drained().await;
            Ok(())
        };
        let late = async {
            Timer::after(deadline).await;
            Ok(())
        };
        let again = async {
            loop {
                if next(&signals).await? != Signal::Hangup {
                    return Ok(());
                }
            }
        };
        let ended: io::Result<()> = or(finished, or(late, again)).await;
        ended?;
        let cut = self.proxy.connections();
        self.proxy.cut_all(Cause::DrainDeadline);
        self.log.end_period();
        self.log.info("stopped", &[("cut", &cut)]);
        Ok(Exit::Ok)
    }

    fn reload(&self) {
        // Who has said that it ends is not reloading or ready again.
        let tells = !self.state.draining.get();
        if tells {
            self.tell(self.notifier.reloading());
        }
        let listened = self.proxy.listeners();
        let reloaded = reload::reload(
            &self.files,
            &self.learning,
            &self.proxy,
            self.memory.clock(),
            &self.log,
            &self.state,
        );
        if let Some(job) = reloaded {
            self.learning.set_local(&job.plan);
            if self.learning.is_complete() {
                let whole = self.learning.beside(&job.plan, &Plan::clone);
                self.memory.remember(whole, &job.runtime);
            }
            self.named.replace(job.named);
            let before = self.settings.replace(job.runtime);
            self.say_what_needs_a_restart(&before);
            self.names.borrow_mut().follow(&self.proxy, &self.executor);
            self.say_new_listeners(&listened);
        }
        if tells && self.state.ready.get() {
            sys::memory::give_back();
            self.tell(self.notifier.ready(&self.status()));
        }
    }

    /// Some settings belong to sockets and tables that are made once.
    fn say_what_needs_a_restart(&self, before: &RuntimeSettings) {
        let now = self.settings.borrow();
        let fixed = [
            ("admin", before.admin != now.admin),
            (
                "limits.connections",
                before.limits.connections != now.limits.connections,
            ),
            ("state_dir", before.state_dir != now.state_dir),
            (
                "limits.tls_sessions",
                before.limits.tls_sessions != now.limits.tls_sessions,
            ),
            ("tcp", before.tcp != now.tcp),
        ];
        for (key, _) in fixed.iter().filter(|(_, changed)| *changed) {
            let detail = "changed in the files; takes effect at the next start";
            self.log.line(
                LogLevel::Warn,
                "restart_needed",
                &[("key", key), ("detail", &detail)],
            );
        }
    }

    /// Reloads when a file changes. A watch follows links as they were, so each change makes a new one: before the
    /// files are read, so that no change falls in between.
    async fn watch_files(&self, mut watch: io::Result<Async<Watch>>) {
        loop {
            let changed = async {
                let watch = std::mem::replace(&mut watch, Err(io::ErrorKind::Other.into()))?;
                loop {
                    watch.readable().await?;
                    if watch.get_ref().drain()? {
                        return io::Result::Ok(());
                    }
                }
            };
            match changed.await {
                Ok(()) => drop(Timer::after(SETTLE).await),
                Err(error) => {
                    let detail =
                        "changed files are not noticed until this is mended; send SIGHUP to reload";
                    let fields: [log::Field<'_>; 2] = [("error", &error), ("detail", &detail)];
                    self.log.line(LogLevel::Warn, "watch_failed", &fields);
                    while self.watch().is_err() {
                        Timer::after(MENDED).await;
                    }
                }
            }
            loop {
                watch = self.watch();
                let named = self.named.borrow().clone();
                self.reload();
                if *self.named.borrow() == named {
                    break;
                }
            }
        }
    }

    /// A watch on every file that matters now.
    fn watch(&self) -> io::Result<Async<Watch>> {
        let mut watched = self.files.clone();
        watched.extend(self.named.borrow().iter().cloned());
        Async::new(Watch::new(&watched)?)
    }

    async fn end_log_periods(&self) {
        loop {
            self.log.period_begun().await;
            Timer::after(log::PERIOD).await;
            self.log.end_period();
        }
    }

    /// Tells the service manager that the loop turns, twice in each interval (sd_watchdog_enabled(3)).
    async fn feed_watchdog(&self, interval: Duration) {
        loop {
            Timer::after(interval / 2).await;
            self.tell(self.notifier.watchdog());
        }
    }

    fn status(&self) -> String {
        outlook::line(&self.proxy, &self.memory, &self.learning)
    }

    /// A service manager that does not listen is worth a line, and no more.
    fn tell(&self, told: io::Result<()>) {
        if let Err(error) = told {
            self.log
                .line(LogLevel::Warn, "notify_failed", &[("error", &error)]);
        }
    }
}

async fn next(signals: &Async<Signals>) -> io::Result<Signal> {
    loop {
        if let Some(signal) = signals.get_ref().read()? {
            return Ok(signal);
        }
        signals.readable().await?;
    }
}

/// Editors write a file in several steps; they are done well within this.
const SETTLE: Duration = Duration::from_millis(200);

/// How often it is tried to watch files that cannot be watched, such as in a folder that is gone.
const MENDED: Duration = Duration::from_secs(5);

/// How often the service manager hears how long it goes on by itself, while it does.
const HOUR: Duration = Duration::from_secs(3600);

/// And after how many of these the log does.
const HOURS_BETWEEN: u32 = 6;
