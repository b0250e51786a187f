//! `lictor run`: everything wired together, from the first system call to the last.
//!
//! Order matters at the start: signals are blocked before the reactor's helper thread exists, listeners are bound before
//! the service manager hears that we are ready, and nothing that can fail is left for after that.

use std::{cell::RefCell, io, rc::Rc};

use config::{LogFormat, LogLevel, LogSettings};
use plan::Address;
use proxy::{Observer, Proxy};
use smol::LocalExecutor;
use sys::{
    notify::Notifier,
    signals::{self, Signal, Signals},
    unix::SocketFile,
};

use crate::{
    Exit, admin,
    command::Run,
    job::Job,
    learning::Learning,
    log::Log,
    materials,
    memory::{self, Memory},
    names::Names,
    plans,
    running::Running,
    shortage,
};

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
    let (job, stale) = match job {
        Ok(job) => (job, false),
        Err(unusable) => match memory.recall(&log, &unusable) {
            Some(job) => (job, true),
            None => {
                eprintln!("{unusable}");
                return Ok(Exit::Config);
            }
        },
    };
    let definitions = (!stale).then_some(&*job.definitions);
    if let Err(why) = learning.find_consul(job.consul.as_ref(), &job.domain, definitions) {
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
    let (job, stale) = match apply_first(job, stale, &proxy, &memory, &learning, &log) {
        Ok(applied) => applied,
        Err(exit) => return Ok(exit),
    };
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
    let told = admin::Told {
        proxy: Rc::clone(&proxy),
        state: Rc::clone(&state),
        memory: Rc::clone(&memory),
        learning: Rc::clone(&learning),
        files: files.as_slice().into(),
    };
    let admin_file = match &runtime.admin {
        Some(address) => match serve_admin(address, told, &executor, &log) {
            Ok(file) => file,
            Err(error) => {
                eprintln!("lictor: cannot listen on {address} (admin): {error}");
                return Ok(Exit::Software);
            }
        },
        None => None,
    };
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
    });
    let ended = smol::block_on(executor.run(running.supervise(signals)));
    drop(admin_file);
    ended
}

/// Puts to work what a job says; what is remembered instead, while Consul has not answered, or where the certificates cannot be
/// used. Gives what the process runs by then, and whether that is from memory.
fn apply_first(
    mut job: Job,
    mut stale: bool,
    proxy: &Proxy,
    memory: &Memory,
    learning: &Learning,
    log: &Log,
) -> Result<(Job, bool), Exit> {
    // Consul may not be there: until it has answered, what it said before is run.
    let consul = !stale && learning.count() > 0;
    let before = consul.then(|| memory.recall(log, &"Consul has not answered yet"));
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
        && let Some(recalled) = memory.recall(log, &materials::unfit(&job.origins, unfit))
    {
        // A certificate that was replaced in halves: what was remembered is whole.
        (job, stale) = (recalled, true);
        proxy.set_options(plans::options(&job.runtime));
        applied = proxy.apply(&job.plan);
    }
    if let Err(unfit) = applied {
        eprintln!("lictor: {}", materials::unfit(&job.origins, &unfit));
        return Err(match unfit {
            proxy::Unfit::Tls(_) => Exit::Config,
            _ => Exit::Software,
        });
    }
    Ok((job, stale))
}

/// Listens where the admin endpoint is to be, and answers there. What it gives keeps the file of a unix socket.
fn serve_admin(
    address: &Address,
    told: admin::Told,
    executor: &Rc<LocalExecutor<'static>>,
    log: &Log,
) -> io::Result<Option<SocketFile>> {
    let (listener, address, file) = admin::Endpoint::bind(address)?;
    log.info("listening", &[("name", &"admin"), ("address", &address)]);
    let serve = admin::serve(listener, Rc::clone(executor), told);
    executor.spawn(serve).detach();
    Ok(file)
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
