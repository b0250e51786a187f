//! `lictor run`: everything wired together, from the first system call to the last.
//!
//! Order matters at the start: signals are blocked before the reactor's helper thread exists, listeners are bound before
//! the service manager hears that we are ready, and nothing that can fail is left for after that.

use std::{cell::RefCell, io, path::PathBuf, rc::Rc, time::Duration};

use config::{LogLevel, RuntimeSettings, Settings};
use proxy::{Cause, Observer, Proxy};
use smol::{Async, LocalExecutor, Timer, future::or};
use sys::{
    inotify::Watch,
    notify::{self, Notifier},
    signals::{self, Signal, Signals},
};

use crate::{Exit, admin, command::Run, log, log::Log, materials, names::Names, plans, reload};

/// Editors write a file in several steps; they are done well within this.
const SETTLE: Duration = Duration::from_millis(200);

/// How often it is tried to watch files that cannot be watched, such as in a folder that is gone.
const MENDED: Duration = Duration::from_secs(5);

/// Descriptors beside those of connections: listeners, pipes, files, the reactor's own.
const OTHER_DESCRIPTORS: u64 = 128;

pub(crate) fn run(arguments: &Run) -> Exit {
    let settings = match plans::load(&arguments.files) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    if !plans::has_work(&settings) {
        eprintln!(
            "lictor: nothing to run: no mesh gateway and no sidecar that can be run; lictor check says why"
        );
        return Exit::Config;
    }
    match start(settings, &arguments.files) {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("lictor: the system refused what is needed to run: {error}");
            Exit::Software
        }
    }
}

struct Running {
    files: Vec<PathBuf>,
    proxy: Rc<Proxy>,
    log: Rc<Log>,
    state: Rc<admin::State>,
    notifier: Notifier,
    names: RefCell<Names>,
    executor: Rc<LocalExecutor<'static>>,
    /// What the process runs by, as the files say it now.
    settings: RefCell<RuntimeSettings>,
    /// Certificates and keys that the files name: watched like the files.
    named: RefCell<Vec<PathBuf>>,
}

fn start(settings: Settings, files: &[PathBuf]) -> io::Result<Exit> {
    let signals = Signals::new(&[Signal::Hangup, Signal::Terminate, Signal::Interrupt])?;
    signals::ignore_sigpipe()?;
    let log = Rc::new(Log::new(settings.runtime.log));
    check_descriptors(&settings, &log);

    let seed = sys::random::seed()?;
    let observer: Rc<dyn Observer> = Rc::clone(&log) as _;
    let proxy = Rc::new(Proxy::new(plans::options(&settings), observer, seed)?);
    let plan = plans::plan(&settings);
    if let Err(unfit) = proxy.apply(&plan) {
        eprintln!("lictor: {}", materials::unfit(&settings, &unfit));
        return Ok(match unfit {
            proxy::Unfit::Tls(_) => Exit::Config,
            _ => Exit::Software,
        });
    }
    materials::warn(&settings, &plan, &log);
    for (name, address) in proxy.listeners() {
        log.info("listening", &[("name", &name), ("address", &address)]);
    }
    let executor = Rc::new(LocalExecutor::new());
    let state = Rc::new(admin::State::default());
    if let Some(address) = settings.runtime.admin {
        match admin::bind(address) {
            Ok(listener) => {
                let address = listener.get_ref().local_addr()?;
                log.info("listening", &[("name", &"admin"), ("address", &address)]);
                let (proxy, state) = (Rc::clone(&proxy), Rc::clone(&state));
                executor
                    .spawn(admin::serve(listener, Rc::clone(&executor), proxy, state))
                    .detach();
            }
            Err(error) => {
                eprintln!("lictor: cannot listen on {address} (admin): {error}");
                return Ok(Exit::Software);
            }
        }
    }
    let running = Rc::new(Running {
        files: files.to_vec(),
        proxy,
        log,
        state,
        notifier: Notifier::from_env()?,
        names: RefCell::new(Names::new()),
        executor: Rc::clone(&executor),
        settings: RefCell::new(settings.runtime),
        named: RefCell::new(settings.files),
    });
    smol::block_on(executor.run(running.supervise(signals)))
}

impl Running {
    async fn supervise(self: Rc<Self>, signals: Signals) -> io::Result<Exit> {
        self.names.borrow_mut().follow(&self.proxy, &self.executor);
        let signals = Async::new(signals)?;
        let this = Rc::clone(&self);
        self.executor
            .spawn(async move { this.end_log_periods().await })
            .detach();
        let this = Rc::clone(&self);
        self.executor
            .spawn(async move { this.watch_files().await })
            .detach();
        if let Some(interval) = notify::watchdog_interval() {
            let this = Rc::clone(&self);
            self.executor
                .spawn(async move { this.feed_watchdog(interval).await })
                .detach();
        }
        let status = self.status();
        self.log
            .info("ready", &[("listeners", &self.proxy.listeners().len())]);
        self.tell(self.notifier.ready(&status));

        let relay = async { self.proxy.run().await.map(|()| Exit::Software) };
        or(relay, self.obey(signals)).await
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
        self.tell(self.notifier.reloading());
        let listened = self.proxy.listeners();
        if let Some(settings) = reload::reload(&self.files, &self.proxy, &self.log, &self.state) {
            self.named.replace(settings.files);
            let before = self.settings.replace(settings.runtime);
            self.say_what_needs_a_restart(&before);
            self.names.borrow_mut().follow(&self.proxy, &self.executor);
            for (name, address) in self.proxy.listeners() {
                if listened.iter().all(|(_, known)| *known != address) {
                    self.log
                        .info("listening", &[("name", &name), ("address", &address)]);
                }
            }
        }
        self.tell(self.notifier.ready(&self.status()));
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
    async fn watch_files(&self) {
        let mut watch = self.watch();
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
        format!(
            "mesh gateway on {} listener(s)",
            self.proxy.listeners().len()
        )
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

/// A connection costs two descriptors. Fewer than the limit on connections needs is worth a line at the start.
fn check_descriptors(settings: &Settings, log: &Log) {
    let needed = 2 * u64::from(settings.runtime.limits.connections) + OTHER_DESCRIPTORS;
    let detail = "raise LimitNOFILE= or ulimit -n, or lower limits.connections";
    match sys::limits::raise_open_files() {
        Ok(files) => {
            if let Some(now) = files.now.filter(|now| *now < needed) {
                let fields: [log::Field<'_>; 3] = [
                    ("open_files", &now),
                    ("needed", &needed),
                    ("detail", &detail),
                ];
                log.line(LogLevel::Warn, "few_descriptors", &fields);
            }
        }
        Err(error) => {
            let fields: [log::Field<'_>; 2] = [("error", &error), ("detail", &detail)];
            log.line(LogLevel::Warn, "few_descriptors", &fields);
        }
    }
}
