//! A gateway's process, or the two of a pair of sidecars: started, looked at through /proc, ended by its id.
//!
//! CPU time is the scheduler's own count in nanoseconds of every thread of the process and its
//! children (`/proc/PID/task/TID/schedstat`, first field), not the ticks of `/proc/PID/stat`. A thread
//! that ends takes its time with it; of a process that ends threads (stunnel) it is the ticks that
//! count.

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
    /// In the order in which they were started.
    children: Vec<Child>,
    /// Where it accepts connections.
    pub(crate) address: SocketAddr,
    /// From exec to the first reply of the backend through it.
    pub(crate) start_time: Duration,
    /// Whether the TLS sessions of a pair of sidecars are resumed.
    pub(crate) resumes: bool,
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
    /// Starts the commands, waits until a connection is routed, at most `START_TIMEOUT`, and confines
    /// it to its processor.
    pub(crate) fn start(
        commands: Vec<Command>,
        place: &Place,
        cores: &Cores,
        reaper: &mut Reaper,
    ) -> io::Result<Self> {
        let log = place.directory.join("log");
        let file = File::create(&log)?;
        cores.release_caller()?;
        let begun = Instant::now();
        let mut running = Self {
            children: Vec::new(),
            address: place.listen,
            start_time: Duration::ZERO,
            resumes: place.resumes,
            log,
        };
        for mut command in commands {
            command.stdin(Stdio::null());
            let child = command
                .stdout(file.try_clone()?)
                .stderr(file.try_clone()?)
                .spawn()?;
            reaper.started(child.id())?;
            running.children.push(child);
        }
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
        running.each_task(&mut |task| {
            let id = task.file_name().and_then(|id| id.to_str()?.parse().ok());
            id.and_then(Pid::from_raw)
                .map_or(Ok(()), |thread| cores.confine_gateway(thread))
        })?;
        cores.confine_caller()?;
        Ok(running)
    }

    /// Ends the processes by their ids.
    pub(crate) fn end(&mut self, reaper: &mut Reaper) -> io::Result<()> {
        for child in &mut self.children {
            child.kill()?;
            child.wait()?;
            reaper.ended(child.id())?;
        }
        Ok(())
    }

    /// CPU time used until now.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        let mut cpu = Duration::ZERO;
        for child in &self.children {
            each_process(child.id(), &mut |process| {
                let mut living = Duration::ZERO;
                each_thread(process, &mut |task| {
                    living += cpu_of(task)?;
                    Ok(())
                })?;
                cpu += living.max(ticks_of(process)?);
                Ok(())
            })?;
        }
        Ok(cpu)
    }

    /// Everything that `/proc` tells.
    pub(crate) fn usage(&self) -> io::Result<Usage> {
        let mut usage = Usage::default();
        self.each_task(&mut |task| {
            usage.cpu += cpu_of(task)?;
            usage.threads += 1;
            let status = fs::read_to_string(task.join("status"))?;
            usage.sleeps += field(&status, "voluntary_ctxt_switches:");
            Ok(())
        })?;
        for child in &self.children {
            let memory = memory_of(child)?;
            usage.rss += memory.rss;
            usage.anonymous += memory.anonymous;
        }
        Ok(usage)
    }

    /// Resident memory in KiB of the process that clients talk to: of a pair, the one that calls.
    pub(crate) fn rss_of_the_calling(&self) -> io::Result<u64> {
        self.children
            .last()
            .map_or(Ok(0), |child| Ok(memory_of(child)?.rss))
    }

    fn each_task(&self, look: &mut dyn FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
        for child in &self.children {
            each_task(child.id(), look)?;
        }
        Ok(())
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

/// Two loopback ports that nobody listens on, below the range that outgoing connections take theirs
/// from: between this look and the gateway's bind no connection of the load can take them.
pub(crate) fn free_addresses() -> io::Result<[SocketAddr; 2]> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    let outgoing = range
        .split_whitespace()
        .next()
        .and_then(|first| first.parse::<u16>().ok());
    let highest = outgoing.unwrap_or(32_768).max(LOWEST_PORT + 1);
    let span = u32::from(highest - LOWEST_PORT);
    let begin = std::process::id() % span;
    // Bound until both are found.
    let mut first: Option<TcpListener> = None;
    for step in 0..span {
        let offset = u16::try_from((begin + step) % span).unwrap_or(0);
        let address = SocketAddr::from(([127, 0, 0, 1], LOWEST_PORT + offset));
        if let Ok(listener) = TcpListener::bind(address) {
            match first {
                Some(first) => return Ok([first.local_addr()?, listener.local_addr()?]),
                None => first = Some(listener),
            }
        }
    }
    Err(io::Error::other("no two free ports on 127.0.0.1"))
}

/// The memory of a process and its descendants.
fn memory_of(child: &Child) -> io::Result<Usage> {
    let mut usage = Usage::default();
    each_process(child.id(), &mut |process| {
        let memory = fs::read_to_string(process.join("smaps_rollup"))?;
        usage.rss += field(&memory, "Rss:");
        usage.anonymous += field(&memory, "Anonymous:");
        Ok(())
    })?;
    Ok(usage)
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
    each_process(id, &mut |process| each_thread(process, look))
}

fn each_thread(process: &Path, look: &mut dyn FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    for task in fs::read_dir(process.join("task"))? {
        look(&task?.path()).or_else(gone)?;
    }
    Ok(())
}

/// A thread or a child that ended between being listed and being looked at is no error.
fn gone<T: Default>(error: io::Error) -> io::Result<T> {
    match Errno::from_io_error(&error) {
        Some(Errno::NOENT | Errno::SRCH) => Ok(T::default()),
        _ => Err(error),
    }
}

/// User and system time in ticks, of threads that have ended too (proc_pid_stat(5), fields 14 and 15).
fn ticks_of(process: &Path) -> io::Result<Duration> {
    let text = fs::read_to_string(process.join("stat"))?;
    let fields = text.rsplit(") ").next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_secs(ticks) / TICKS_PER_SECOND)
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

/// What Linux counts for programs on every architecture that lictor runs on (`USER_HZ`).
const TICKS_PER_SECOND: u32 = 100;

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
        let ticks = ticks_of(Path::new("/proc/self")).unwrap();
        assert!(ticks >= Duration::from_millis(10), "{ticks:?}");
    }
}
