//! What this process remembers for the next one: the state directory at work.
//!
//! What is run is handed to [`Memory::remember`] after it is in force, and written as soon as the write budget lets it; what comes
//! in between replaces it. [`Memory::recall`] gives what the process before this one ran from the same source, for when that
//! source cannot be used. A directory that is missing, in use by another process, or failing stops nothing: it is said once, with what
//! is lost by it.

use std::{
    cell::{Cell, RefCell},
    fmt,
    future::poll_fn,
    io,
    path::{Path, PathBuf},
    task::{Poll, Waker},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use config::{LogLevel, RuntimeSettings};
use plan::Plan;
use proxy::Clock;
use smol::Timer;
use store::{Budget, Content, Identities, Meta, Moment, OnDisk, Remembered, Slots, Written};
use sys::directory::Directory;

use crate::{
    job::Job,
    log::{Field, Log, Rfc3339},
    process,
};

/// How often it is written down that the Plan is still what its source says: four times a day, some 50 bytes each.
const CONFIRM: Duration = Duration::from_secs(6 * 3600);

/// The first time, for a node that is switched on for some minutes a day.
const FIRST_CONFIRM: Duration = Duration::from_secs(60);

/// When this binary was built, in seconds since 1970.
const BUILT: &str = env!("LICTOR_BUILT");

/// No clock that is right shows a time before this file was written: 2026-01-01, in seconds since 1970.
const SANE: u64 = 1_767_225_600;

/// Where the installers of most systems make a directory for state (Filesystem Hierarchy Standard, section 5.8).
const USUAL: &str = "/var/lib/lictor";

/// The memory of a process.
pub(crate) struct Memory {
    disk: Option<OnDisk>,
    directory: PathBuf,
    lost: Option<Lost>,
    /// Where what is run comes from.
    source: String,
    pending: RefCell<Option<Pending>>,
    waker: RefCell<Option<Waker>>,
    start: Instant,
    /// Whether what is run now is from memory, and since when it is not known to be true; 0 if unknown.
    stale: Cell<Option<u64>>,
    /// The time that certificates are held against.
    clock: Clock,
    last_error: RefCell<String>,
    pub(crate) counts: Counts,
}

/// What the admin endpoint tells of it.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) writes: Cell<u64>,
    pub(crate) bytes: Cell<u64>,
    pub(crate) failures: Cell<u64>,
    pub(crate) generation: Cell<u64>,
}

struct Pending {
    remembered: Remembered,
    identities: Identities,
}

/// What is not remembered, and why.
enum Lost {
    Directory(io::Error),
    InUse,
    Volatile,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(error) => write!(
                f,
                "nothing is remembered over a restart: {error}; make the directory, or name another with state_dir"
            ),
            Self::InUse => f.write_str(
                "nothing is remembered over a restart: another process has the directory; name another with state_dir",
            ),
            Self::Volatile => f.write_str(
                "the directory is in memory: what is remembered is lost when the machine restarts",
            ),
        }
    }
}

impl Memory {
    /// The memory in the state directory, of what comes from this source.
    pub(crate) fn open(directory: &Path, source: String) -> Self {
        let opened = Directory::open(directory).map_err(Lost::Directory);
        let opened = opened.and_then(|directory| match directory.lock() {
            Ok(false) => Err(Lost::InUse),
            // A file system without locks can be used; two processes would only overwrite each other's blobs.
            Ok(true) | Err(_) => Ok(directory),
        });
        let (disk, lost) = match opened {
            Ok(directory) if directory.is_volatile().unwrap_or(false) => {
                (Some(OnDisk(directory)), Some(Lost::Volatile))
            }
            Ok(directory) => (Some(OnDisk(directory)), None),
            Err(lost) => (None, Some(lost)),
        };
        let proven = disk.as_ref().and_then(|disk| {
            let (_, moment) = Slots::<_, Moment>::new(disk).recall().newest?;
            Some(moment.proven)
        });
        let floor = proven.unwrap_or(0).max(BUILT.parse().unwrap_or(SANE));
        Self {
            disk,
            directory: directory.to_owned(),
            lost,
            source,
            pending: RefCell::default(),
            waker: RefCell::default(),
            start: Instant::now(),
            stale: Cell::default(),
            clock: Clock::system().with_floor(floor),
            last_error: RefCell::default(),
            counts: Counts::default(),
        }
    }

    /// Says what will be lost, if anything.
    pub(crate) fn say_what_is_lost(&self, log: &Log) {
        let Some(lost) = &self.lost else { return };
        let fields: [Field<'_>; 2] = [("directory", &self.directory.display()), ("detail", lost)];
        log.line(LogLevel::Warn, "not_remembering", &fields);
    }

    /// What is not remembered, and why; `None` if all is.
    pub(crate) fn lost(&self) -> Option<&dyn fmt::Display> {
        self.lost.as_ref().map(|lost| lost as _)
    }

    /// The time that certificates are held against: what was proven before, and when this binary was built, has passed.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Says when the system's clock shows a time that has passed before.
    pub(crate) fn say_if_the_clock_is_wrong(&self, log: &Log) {
        if self.clock.is_behind() {
            let floor = Rfc3339::of(self.clock.floor());
            let detail = "the clock is behind a time that has passed for certain: certificates are held against that";
            let fields: [Field<'_>; 2] = [("floor", &floor), ("detail", &detail)];
            log.line(LogLevel::Warn, "clock_behind", &fields);
        }
    }

    /// What the process before this one ran, if it came from the same source, which cannot be used now for the reason given.
    pub(crate) fn recall(&self, log: &Log, reason: &dyn fmt::Display) -> Option<Job> {
        let (meta, remembered) = self.newest::<Remembered>(log)?;
        if meta.source != self.source {
            let detail = "what is remembered comes from elsewhere, and is not used";
            let fields: [Field<'_>; 2] = [("source", &meta.source), ("detail", &detail)];
            log.line(LogLevel::Warn, "not_recalled", &fields);
            return None;
        }
        let identities = if remembered.process.remember_identities {
            self.newest::<Identities>(log)
        } else {
            None
        };
        let confirmed = self.newest::<Moment>(log);
        let confirmed = confirmed.map_or(0, |(_, moment)| moment.confirmed);
        self.stale.set(Some(meta.learned.max(confirmed)));
        self.counts.generation.set(meta.generation);
        if let Some(age) = self.age() {
            let detail = "running what was remembered until this is mended";
            let reason = reason.to_string();
            let fields: [Field<'_>; 4] = [
                ("generation", &meta.generation),
                ("age", &age),
                ("error", &reason.trim_end()),
                ("detail", &detail),
            ];
            log.line(LogLevel::Error, "recalled", &fields);
        }
        let identities = identities.map_or_else(Identities::default, |(_, identities)| identities);
        Some(Job::remembered(remembered, identities))
    }

    fn newest<T: Content>(&self, log: &Log) -> Option<(Meta, T)> {
        let recalled = Slots::<_, T>::new(self.disk.as_ref()?).recall();
        for trouble in &recalled.trouble {
            log.line(LogLevel::Warn, "slot_unusable", &[("detail", trouble)]);
        }
        recalled.newest
    }

    /// Remembers what is in force now, as its source says it.
    pub(crate) fn remember(&self, mut plan: Plan, runtime: &RuntimeSettings) {
        self.stale.set(None);
        if self.disk.is_none() {
            return;
        }
        let identities = Identities(std::mem::take(&mut plan.identities));
        *self.pending.borrow_mut() = Some(Pending {
            remembered: Remembered {
                plan,
                process: process::recorded(runtime),
            },
            identities,
        });
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// What was recalled could not be run.
    pub(crate) fn go_on_without(&self) {
        self.stale.set(None);
    }

    /// How old what is run is, if it is from memory.
    pub(crate) fn age(&self) -> Option<Age> {
        let (since, now) = (self.stale.get()?, now());
        let known = since >= SANE && now >= since;
        Some(Age(known.then(|| Duration::from_secs(now - since))))
    }

    /// Whether something waits to be written.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending.borrow().is_some()
    }

    /// Writes what is to be remembered, as often as the budget lets it.
    pub(crate) async fn write(&self, log: &Log) {
        let mut budget = Budget::default();
        loop {
            poll_fn(|context| {
                if self.is_pending() {
                    return Poll::Ready(());
                }
                *self.waker.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            })
            .await;
            let now = self.start.elapsed();
            let next = budget.next(now);
            if next > now {
                Timer::after(next - now).await;
            }
            if self.flush(log) {
                // Encoding takes several times what the blob has, and code that nothing else needs.
                sys::memory::give_back();
                budget.spend(self.start.elapsed());
            }
        }
    }

    /// Writes down now and then what time it is for certain, and that the Plan is still true, where `is_true` says so.
    pub(crate) async fn confirm(&self, log: &Log, is_true: &dyn Fn() -> bool) {
        let mut next = FIRST_CONFIRM;
        loop {
            Timer::after(next).await;
            next = CONFIRM;
            let known = self.newest::<Moment>(log).map(|(_, moment)| moment);
            let known = known.unwrap_or_default();
            let mut moment = known;
            if self.stale.get().is_none() && is_true() && now() >= SANE {
                moment.confirmed = now();
            }
            moment.proven = known.proven.max(self.clock.proven().unwrap_or(0));
            let news = |new: u64, old: u64| new.saturating_sub(old) >= CONFIRM.as_secs() / 2;
            // A clock that was set back must not keep the old time for ever.
            let set_back = moment.confirmed < known.confirmed;
            if set_back
                || news(moment.confirmed, known.confirmed)
                || news(moment.proven, known.proven)
            {
                self.keep(log, &moment);
            }
        }
    }

    /// Writes what is pending; whether the disk was asked to.
    fn flush(&self, log: &Log) -> bool {
        let Some(pending) = self.pending.take() else {
            return false;
        };
        // The keys first: a Plan without them is of less use than they are without it.
        let identities = if pending.remembered.process.remember_identities {
            self.keep(log, &pending.identities)
        } else {
            self.forget_identities(log)
        };
        let plan = self.keep(log, &pending.remembered);
        if [identities, plan].contains(&Kept::Failed) && !self.is_pending() {
            *self.pending.borrow_mut() = Some(pending);
        }
        identities != Kept::Already || plan != Kept::Already
    }

    fn keep<T: Content + Default + PartialEq>(&self, log: &Log, content: &T) -> Kept {
        let Some(disk) = &self.disk else {
            return Kept::Already;
        };
        let slots = Slots::new(disk);
        if *content == T::default() && slots.recall().newest.is_none() {
            return Kept::Already;
        }
        let learned = Some(now()).filter(|now| *now >= SANE).unwrap_or(0);
        match slots.remember(learned, &self.source, content) {
            Ok(Written::Unchanged) => Kept::Already,
            Ok(Written::Bytes {
                generation,
                bytes,
                kept_aside,
            }) => {
                self.counts.writes.set(self.counts.writes.get() + 1);
                let written = u64::try_from(bytes).unwrap_or(u64::MAX);
                self.counts.bytes.set(self.counts.bytes.get() + written);
                if T::KIND == Remembered::KIND {
                    self.counts.generation.set(generation);
                    let fields: [Field<'_>; 2] = [("generation", &generation), ("bytes", &bytes)];
                    log.info("remembered", &fields);
                }
                if let Some(name) = kept_aside {
                    let detail = "a newer lictor wrote it; it is not overwritten";
                    let fields: [Field<'_>; 2] = [("file", &name), ("detail", &detail)];
                    log.line(LogLevel::Warn, "kept_aside", &fields);
                }
                self.last_error.borrow_mut().clear();
                Kept::Written
            }
            Err(error) => self.failed(log, &error),
        }
    }

    fn forget_identities(&self, log: &Log) -> Kept {
        let Some(disk) = &self.disk else {
            return Kept::Already;
        };
        match Slots::<_, Identities>::new(disk).forget() {
            Ok(true) => Kept::Written,
            Ok(false) => Kept::Already,
            Err(error) => self.failed(log, &error),
        }
    }

    fn failed(&self, log: &Log, error: &store::Error) -> Kept {
        self.counts.failures.set(self.counts.failures.get() + 1);
        let error = error.to_string();
        // The same again and again is one line.
        if *self.last_error.borrow() != error {
            let detail = "what was remembered before still is; it is tried again";
            let fields: [Field<'_>; 2] = [("error", &error), ("detail", &detail)];
            log.line(LogLevel::Warn, "not_remembered", &fields);
            self.last_error.replace(error);
        }
        Kept::Failed
    }
}

/// What became of something to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// It is on the disk already, or there is no disk.
    Already,
    Written,
    Failed,
}

/// How old something is; unknown if no clock was right when it was learned, or none is now.
pub(crate) struct Age(pub(crate) Option<Duration>);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(age) = self.0 else {
            return f.write_str("of unknown age");
        };
        write!(f, "{} old", Hours(age))
    }
}

/// How long something takes, in hours and minutes.
pub(crate) struct Hours(pub(crate) Duration);

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.0.as_secs() / 60;
        write!(f, "{}h{}m", minutes / 60, minutes % 60)
    }
}

/// The state directory: the one that the configuration gives; where that says nothing else than what is usual, the one that the
/// service manager made (`StateDirectory=` of systemd.exec(5)), if it did.
pub(crate) fn directory(given: Option<&Path>) -> PathBuf {
    if let Some(given) = given.filter(|given| *given != Path::new(USUAL)) {
        return given.to_owned();
    }
    let made = std::env::var_os("STATE_DIRECTORY").filter(|made| !made.is_empty());
    made.map_or_else(|| PathBuf::from(USUAL), PathBuf::from)
}

/// The name of a source: the same files, wherever the process was started from.
pub(crate) fn source(files: &[PathBuf]) -> String {
    let names = files.iter().map(|file| {
        let path = std::path::absolute(file).unwrap_or_else(|_| file.clone());
        path.display().to_string()
    });
    names.collect::<Vec<String>>().join(" ")
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
