//! A gateway's process: started, looked at through /proc, ended by its id.
//!
//! CPU time is the scheduler's own count in nanoseconds of every thread of the process and its
//! children (`/proc/PID/task/TID/schedstat`, first field), not the ticks of `/proc/PID/stat`. A thread
//! that ends takes its time with it; no gateway here ends any while it is measured.

use crate::{
    client,
    client_hello::Order,
    cores::Cores,
    gateways::Place,
    reaper::{self, Reaper},
};
use rustix::{
    io::Errno,
    process::{Pid, Resource, Rlimit, getrlimit, setrlimit},
};
use std::{
    fs::{self, File},
    io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A gateway that routes connections.
pub(crate) struct Running {
    child: Child,
    /// Where it accepts connections.
    pub(crate) address: SocketAddr,
    /// From exec to the first reply of the backend through it.
    pub(crate) start_time: Duration,
    log: PathBuf,
}

/// What `/proc` tells of a process and its children.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// CPU time of all threads.
    pub(crate) cpu: Duration,
    /// Resident memory in KiB, shared pages of the binary and libraries included.
    pub(crate) rss: u64,
    /// Anonymous resident memory in KiB: heap and stacks.
    pub(crate) anonymous: u64,
    pub(crate) threads: u64,
    /// Times a thread went to sleep, and so was woken.
    pub(crate) sleeps: u64,
}

impl Running {
    /// Starts the command, waits until a connection is routed, at most `START_TIMEOUT`, and confines
    /// it to its processor.
    pub(crate) fn start(
        mut command: Command,
        place: &Place,
        cores: &Cores,
        reaper: &mut Reaper,
    ) -> io::Result<Self> {
        let log = place.directory.join("log");
        let file = File::create(&log)?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        cores.release_caller()?;
        let begun = Instant::now();
        let child = command.spawn()?;
        reaper.started(child.id())?;
        let mut running = Self {
            child,
            address: place.listen,
            start_time: Duration::ZERO,
            log,
        };
        loop {
            match client::open_flow(place.listen, Order::Echo) {
                Ok(_) => break,
                Err(_) if begun.elapsed() < START_TIMEOUT => thread::sleep(START_PROBE),
                Err(error) => {
                    let words = running.last_words();
                    running.end(reaper)?;
                    return Err(io::Error::other(format!("{error}\n{words}")));
                }
            }
        }
        running.start_time = begun.elapsed();
        each_task(running.child.id(), &mut |task| {
            let id = task.file_name().and_then(|id| id.to_str()?.parse().ok());
            id.and_then(Pid::from_raw)
                .map_or(Ok(()), |thread| cores.confine_gateway(thread))
        })?;
        cores.confine_caller()?;
        Ok(running)
    }

    /// Ends the process by its id.
    pub(crate) fn end(&mut self, reaper: &mut Reaper) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        reaper.ended(self.child.id())
    }

    /// CPU time used until now.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        let mut cpu = Duration::ZERO;
        each_task(self.child.id(), &mut |task| {
            cpu += cpu_of(task)?;
            Ok(())
        })?;
        Ok(cpu)
    }

    /// Everything that `/proc` tells.
    pub(crate) fn usage(&self) -> io::Result<Usage> {
        let mut usage = Usage::default();
        each_task(self.child.id(), &mut |task| {
            usage.cpu += cpu_of(task)?;
            usage.threads += 1;
            let status = fs::read_to_string(task.join("status"))?;
            usage.sleeps += field(&status, "voluntary_ctxt_switches:");
            Ok(())
        })?;
        each_process(self.child.id(), &mut |process| {
            let memory = fs::read_to_string(process.join("smaps_rollup"))?;
            usage.rss += field(&memory, "Rss:");
            usage.anonymous += field(&memory, "Anonymous:");
            Ok(())
        })?;
        Ok(usage)
    }

    /// The end of what the process printed, to explain a failure.
    pub(crate) fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let tail = text
            .get(text.len().saturating_sub(LAST_WORDS_BYTES)..)
            .unwrap_or_default();
        String::from_utf8_lossy(tail).into_owned()
    }
}

/// Raises the soft limit of open files to the hard one, for this process and what it starts.
pub(crate) fn raise_descriptor_limit(needed: u64) -> io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )?;
    match maximum {
        Some(maximum) if maximum < needed => Err(io::Error::other(format!(
            "the limit of open files is {maximum}, {needed} are needed (ulimit -Hn)"
        ))),
        _ => Ok(()),
    }
}

/// A fresh directory for configurations and logs; the reaper removes it.
pub(crate) fn scratch_directory() -> io::Result<PathBuf> {
    let directory = std::env::temp_dir().join(format!("lictor-bench-{}", std::process::id()));
    fs::create_dir(&directory)?;
    File::create(directory.join(reaper::MARK))?;
    Ok(directory)
}

/// A loopback port that nobody listens on, below the range that outgoing connections take theirs
/// from: between this look and the gateway's bind no connection of the load can take it.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    let outgoing = range
        .split_whitespace()
        .next()
        .and_then(|first| first.parse::<u16>().ok());
    let highest = outgoing.unwrap_or(32_768).max(LOWEST_PORT + 1);
    let span = u32::from(highest - LOWEST_PORT);
    let begin = std::process::id() % span;
    for step in 0..span {
        let offset = u16::try_from((begin + step) % span).unwrap_or(0);
        let address = SocketAddr::from(([127, 0, 0, 1], LOWEST_PORT + offset));
        if let Ok(listener) = TcpListener::bind(address) {
            return listener.local_addr();
        }
    }
    Err(io::Error::other("no free port on 127.0.0.1"))
}

/// Calls `look` with `/proc/PID` of the process and of all its descendants.
fn each_process(id: u32, look: &mut dyn FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    let process = PathBuf::from(format!("/proc/{id}"));
    look(&process)?;
    for task in fs::read_dir(process.join("task"))? {
        let children = fs::read_to_string(task?.path().join("children")).or_else(gone)?;
        for child in children.split_whitespace().filter_map(|id| id.parse().ok()) {
            each_process(child, look).or_else(gone)?;
        }
    }
    Ok(())
}

/// Calls `look` with `/proc/PID/task/TID` of every thread of the process and its descendants.
fn each_task(id: u32, look: &mut dyn FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    each_process(id, &mut |process| {
        for task in fs::read_dir(process.join("task"))? {
            look(&task?.path()).or_else(gone)?;
        }
        Ok(())
    })
}

/// A thread or a child that ended between being listed and being looked at is no error.
fn gone<T: Default>(error: io::Error) -> io::Result<T> {
    match Errno::from_io_error(&error) {
        Some(Errno::NOENT | Errno::SRCH) => Ok(T::default()),
        _ => Err(error),
    }
}

fn cpu_of(task: &Path) -> io::Result<Duration> {
    let text = fs::read_to_string(task.join("schedstat"))?;
    let nanoseconds = text
        .split_whitespace()
        .next()
        .and_then(|first| first.parse().ok());
    nanoseconds
        .map(Duration::from_nanos)
        .ok_or_else(|| io::Error::other("this kernel counts no CPU time in schedstat"))
}

/// The number after `name` at the start of a line, or 0.
fn field(text: &str, name: &str) -> u64 {
    let rest = text.lines().find_map(|line| line.strip_prefix(name));
    rest.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// The slowest peer needs a tenth of a second on a quiet machine.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// The resolution of the start time.
const START_PROBE: Duration = Duration::from_micros(100);

/// Ports below are other services' habitual ones.
const LOWEST_PORT: u16 = 20_000;

/// Enough for a configuration error.
const LAST_WORDS_BYTES: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_only_at_the_start_of_a_line() {
        let status = "nonvoluntary_ctxt_switches:\t7\nvoluntary_ctxt_switches:\t42\nRss:  9 kB\n";
        assert_eq!(field(status, "voluntary_ctxt_switches:"), 42);
        assert_eq!(field(status, "Rss:"), 9);
        assert_eq!(field(status, "Swap:"), 0);
    }

    #[test]
    fn a_busy_thread_is_counted() {
        let cpu = || cpu_of(Path::new("/proc/thread-self")).unwrap();
        let before = cpu();
        let busy_until = Instant::now() + Duration::from_millis(60);
        while Instant::now() < busy_until {
            std::hint::spin_loop();
        }
        assert!(cpu() - before > Duration::from_millis(1));
    }
}
