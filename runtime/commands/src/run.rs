//! `lictor run`: everything wired together, from the first system call to the last.
//!
//! Order matters at the start: signals are blocked before the reactor's helper thread exists, listeners are bound before
//! the service manager hears that we are ready, and nothing that can fail is left for after that.

use std::{
    cell::{Cell, RefCell},
    io,
    path::PathBuf,
    rc::Rc,
    time::Duration,
};

use config::{LogFormat, LogLevel, LogSettings, RuntimeSettings};
use plan::{Address, Plan};
use proxy::{Cause, Observer, Proxy};
use smol::{Async, LocalExecutor, Timer, future::or};
use sys::{
    inotify::Watch,
    notify::{self, Notifier},
    signals::{self, Signal, Signals},
};

use crate::{
    Exit, admin,
    command::Run,
    job::Job,
    learning::Learning,
    log,
    log::Log,
    materials,
    memory::{self, Memory},
    names::Names,
    outlook::{self, Outlook},
    plans, reload, shortage,
};

/// Editors write a file in several steps; they are done well within this.
const SETTLE: Duration = Duration::from_millis(200);

/// How often it is tried to watch files that cannot be watched, such as in a folder that is gone.
const MENDED: Duration = Duration::from_secs(5);

/// How often the service manager hears how long it goes on by itself, while it does.
const HOUR: Duration = Duration::from_secs(3600);

/// And after how many of these the log does.
const HOURS_BETWEEN: u32 = 6;

/// The log until it is known what the log should be like.
const UNCONFIGURED: LogSettings = LogSettings {
    level: LogLevel::Info,
    format: LogFormat::Text,
    access: false,
};

pub(crate) fn run(arguments: &Run) -> Exit {
    sys::memory::keep_large_apart();
    let learning = match Learning::new(arguments) {
        Ok(learning) => learning,
        Err(why) => {
            eprintln!("lictor: {why}");
            return Exit::Usage;
        }
    };
    if arguments.files.is_empty() && learning.count() == 0 {
        eprintln!("lictor: no configuration file given; try configs/gateway-dc1.hcl");
        return Exit::Usage;
    }
    match start(arguments, learning) {
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
    memory: Rc<Memory>,
    learning: Rc<Learning>,
    is_ready: Cell<bool>,
    /// Certificates and keys that the files name: watched like the files.
    named: RefCell<Vec<PathBuf>>,
}

fn start(arguments: &Run, learning: Learning) -> io::Result<Exit> {
    let signals = Signals::new(&[Signal::Hangup, Signal::Terminate, Signal::Interrupt])?;
    signals::ignore_sigpipe()?;
    let files = &arguments.files;
    let job = Job::of(files, learning.count() > 0);
    let given = job.as_ref().ok().map(|job| job.runtime.state_dir.as_path());
    let directory = arguments.state_dir.clone();
    let memory = Rc::new(Memory::open(
        &directory.unwrap_or_else(|| memory::directory(given)),
        memory::source(files) + &wanted_of_consul(arguments),
    ));
    let log = Rc::new(Log::new(match &job {
        Ok(job) => job.runtime.log,
        Err(_) => UNCONFIGURED,
    }));
    let (mut job, mut stale) = match job {
        Ok(job) => (job, false),
        Err(unusable) => match memory.recall(&log, &unusable) {
            Some(job) => (job, true),
            None => {
                eprintln!("{unusable}");
                return Ok(Exit::Config);
            }
        },
    };
    if let Err(why) = learning.find_consul(
        arguments,
        job.consul.as_ref(),
        &job.domain,
        &job.definitions,
    ) {
        eprintln!("lictor: {why}");
        return Ok(Exit::Config);
    }
    let seed = sys::random::seed()?;
    let observer: Rc<dyn Observer> = Rc::clone(&log) as _;
    let proxy = Rc::new(Proxy::new(
        plans::options(&job.runtime),
        memory.clock().clone(),
        observer,
        seed,
    )?);
    // Consul may not be there: until it has answered, what it said before is run.
    let consul = !stale && learning.count() > 0;
    let before = consul.then(|| memory.recall(&log, &"Consul has not answered yet"));
    let mut applied = match before.flatten() {
        Some(before) => {
            let applied = proxy.apply(&before.plan);
            if applied.is_ok() {
                learning.start_from(before.plan);
            }
            applied
        }
        None => proxy.apply(&job.plan),
    };
    if applied.is_err() && consul && memory.age().is_some() {
        memory.go_on_without();
        applied = proxy.apply(&job.plan);
    }
    if let Err(unfit @ proxy::Unfit::Tls(_)) = &applied
        && !stale
        && let Some(recalled) = memory.recall(&log, &materials::unfit(&job.origins, unfit))
    {
        // A certificate that was replaced in halves: what was remembered is whole.
        (job, stale) = (recalled, true);
        proxy.set_options(plans::options(&job.runtime));
        applied = proxy.apply(&job.plan);
    }
    if let Err(unfit) = applied {
        eprintln!("lictor: {}", materials::unfit(&job.origins, &unfit));
        return Ok(match unfit {
            proxy::Unfit::Tls(_) => Exit::Config,
            _ => Exit::Software,
        });
    }
    materials::warn(&job, memory.clock(), &log);
    log.set(job.runtime.log);
    shortage::descriptors(&job.runtime, &log);
    shortage::kernel_tls(&job.runtime, &log);
    memory.say_what_is_lost(&log);
    memory.say_if_the_clock_is_wrong(&log);
    let Job {
        plan,
        runtime,
        named,
        ..
    } = job;
    let learning = Rc::new(learning);
    learning.set_local(&plan);
    if !stale && learning.count() == 0 {
        memory.remember(plan, &runtime);
    }
    for (name, address) in proxy.listeners() {
        log.info("listening", &[("name", &name), ("address", &address)]);
    }
    let executor = Rc::new(LocalExecutor::new());
    let state = Rc::new(admin::State {
        kernel_tls: sys::ktls::is_offered(),
        ..admin::State::default()
    });
    let mut admin_file = None;
    if let Some(address) = &runtime.admin {
        match admin::Endpoint::bind(address) {
            Ok((listener, address, file)) => {
                admin_file = file;
                log.info("listening", &[("name", &"admin"), ("address", &address)]);
                let told = admin::Told {
                    proxy: Rc::clone(&proxy),
                    state: Rc::clone(&state),
                    memory: Rc::clone(&memory),
                    learning: Rc::clone(&learning),
                    files: files.as_slice().into(),
                };
                executor
                    .spawn(admin::serve(listener, Rc::clone(&executor), told))
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
        settings: RefCell::new(runtime),
        named: RefCell::new(named),
        memory,
        learning,
        is_ready: Cell::new(false),
    });
    let ended = smol::block_on(executor.run(running.supervise(signals)));
    drop(admin_file);
    ended
}

impl Running {
    async fn supervise(self: Rc<Self>, signals: Signals) -> io::Result<Exit> {
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
        if self.is_ready.get() {
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
            } else if said > 0 && self.is_ready.get() {
                self.tell(self.notifier.status(&self.status()));
            }
            was_over = is_over;
        }
    }

    /// Says once that everything is there.
    fn get_ready(&self) {
        if self.is_ready.replace(true) {
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
        if tells && self.is_ready.get() {
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

/// Which proxies Consul is asked for: a part of where a Plan comes from.
fn wanted_of_consul(arguments: &Run) -> String {
    let Run {
        sidecar_for,
        proxy_id,
        gateway,
        ..
    } = arguments;
    let mut wanted = String::new();
    let sidecars = sidecar_for.iter().map(|id| (" --sidecar-for ", id));
    let proxy = proxy_id.iter().map(|id| (" --proxy-id ", id));
    let gateway = gateway.iter().map(|kind| (" --gateway ", kind));
    for (option, value) in sidecars.chain(proxy).chain(gateway) {
        wanted.push_str(option);
        wanted.push_str(value);
    }
    wanted
}

async fn next(signals: &Async<Signals>) -> io::Result<Signal> {
    loop {
        if let Some(signal) = signals.get_ref().read()? {
            return Ok(signal);
        }
        signals.readable().await?;
    }
}
