//! What the kernel says of a process: memory, threads, time, descriptors (proc(5)).

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

/// A look at one process; every method looks afresh.
#[derive(Clone, Copy, Debug)]
pub struct Proc(pub u32);

impl Proc {
    /// Resident memory, in bytes.
    ///
    /// Counted page by page: the sums in `status` are behind by as much as each processor or thread has not yet added to them.
    pub fn rss(self) -> u64 {
        self.mapped("Rss:") * KIB
    }

    /// The most resident memory that it ever had, in bytes.
    pub fn peak_rss(self) -> u64 {
        self.status("VmHWM:") * KIB
    }

    /// Resident memory that is no page of a file: heap and stacks, in bytes.
    pub fn rss_anon(self) -> u64 {
        self.mapped("Anonymous:") * KIB
    }

    /// How many threads it has.
    pub fn threads(self) -> u64 {
        self.status("Threads:")
    }

    /// Whether a signal has stopped it.
    pub fn is_stopped(self) -> bool {
        let stat = self.read("stat");
        stat.rsplit_once(')')
            .is_some_and(|(_, state)| state.starts_with(" T"))
    }

    /// How often any of its threads went to sleep of its own will, so how often one woke up.
    pub fn wake_ups(self) -> u64 {
        let tasks = fs::read_dir(self.path("task")).expect("the process runs");
        let of_task = |path: &Path| {
            let status = fs::read_to_string(path.join("status")).unwrap_or_default();
            number(&status, "voluntary_ctxt_switches:").unwrap_or(0)
        };
        tasks.flatten().map(|task| of_task(&task.path())).sum()
    }

    /// Processor time of all its threads, in user and in kernel mode.
    pub fn cpu(self) -> Duration {
        let stat = self.read("stat");
        let after_name = stat
            .rsplit_once(')')
            .expect("stat has a name in brackets")
            .1;
        let mut fields = after_name.split_whitespace().skip(11);
        let mut ticks = || {
            fields
                .next()
                .and_then(|t| t.parse::<u64>().ok())
                .expect("a number")
        };
        Duration::from_millis((ticks() + ticks()) * MILLISECONDS_PER_TICK)
    }

    /// How often these bytes stand in memory that it may write, whether that is in use or was.
    pub fn finds(self, bytes: &[u8]) -> usize {
        let memory = fs::File::open(self.path("mem")).expect("the process is ours");
        let maps = self.read("maps");
        let writable = maps.lines().filter(|line| line.contains(" rw"));
        let found = writable.filter_map(|line| {
            let (from, to) = line.split(' ').next()?.split_once('-')?;
            let from = u64::from_str_radix(from, 16).ok()?;
            let length = u64::from_str_radix(to, 16).ok()? - from;
            let mut all = vec![0; usize::try_from(length).ok()?];
            // What is a mapping of a device cannot be read.
            memory.read_exact_at(&mut all, from).ok()?;
            let stands = all.windows(bytes.len()).filter(|window| *window == bytes);
            Some(stands.count())
        });
        found.sum()
    }

    /// How long its first thread was ready to run and had no processor.
    pub fn waited(self) -> Duration {
        let schedstat = self.read("schedstat");
        let nanoseconds = schedstat.split(' ').nth(1).and_then(|it| it.parse().ok());
        Duration::from_nanos(nanoseconds.expect("a number"))
    }

    /// How many descriptors it has open.
    pub fn descriptors(self) -> usize {
        fs::read_dir(self.path("fd"))
            .expect("the process runs")
            .count()
    }

    /// Both ends of each of its TCP connections over IPv4, its own first, whatever state they are in.
    pub fn connections(self) -> Vec<(SocketAddr, SocketAddr)> {
        let descriptors = fs::read_dir(self.path("fd")).expect("the process runs");
        let own: Vec<String> = descriptors
            .flatten()
            .filter_map(|entry| fs::read_link(entry.path()).ok())
            .filter_map(|link| {
                let inode = link.to_str()?.strip_prefix("socket:[")?;
                Some(inode.trim_end_matches(']').to_owned())
            })
            .collect();
        let table = self.read("net/tcp");
        let connections = table.lines().skip(1).filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let is_own = own.iter().any(|inode| inode == words[9]);
            (is_own && words[3] != "0A").then(|| (address(words[1]), address(words[2])))
        });
        connections.collect()
    }

    /// The inodes of its sockets that listen on an IPv4 address: another socket has another inode.
    pub fn listening_inode(self, address: SocketAddr) -> Option<u64> {
        let SocketAddr::V4(v4) = address else {
            return None;
        };
        let local = format!(
            "{:08X}:{:04X}",
            u32::from_ne_bytes(v4.ip().octets()),
            v4.port()
        );
        let table = self.read("net/tcp");
        let line = table.lines().find(|line| {
            let mut words = line.split_whitespace().skip(1);
            words.next() == Some(&local) && words.nth(1) == Some("0A")
        })?;
        line.split_whitespace().nth(9)?.parse().ok()
    }

    fn status(self, key: &str) -> u64 {
        number(&self.read("status"), key).expect("status has the key")
    }

    fn mapped(self, key: &str) -> u64 {
        number(&self.read("smaps_rollup"), key).expect("smaps_rollup has the key")
    }

    fn read(self, file: &str) -> String {
        fs::read_to_string(self.path(file)).expect("the process runs")
    }

    fn path(self, file: &str) -> String {
        format!("/proc/{}/{file}", self.0)
    }
}

/// An address as `/proc/net/tcp` has it: the bytes of the IP address as this machine orders them, and the port.
fn address(written: &str) -> SocketAddr {
    let (ip, port) = written.split_once(':').expect("an address and a port");
    let ip = u32::from_str_radix(ip, 16)
        .expect("an address")
        .to_ne_bytes();
    let port = u16::from_str_radix(port, 16).expect("a port");
    SocketAddrV4::new(Ipv4Addr::from(ip), port).into()
}

fn number(status: &str, key: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(key))?;
    value.split_whitespace().next()?.parse().ok()
}

const KIB: u64 = 1024;

/// USER_HZ is 100 on every Linux that we run on (time(7)).
const MILLISECONDS_PER_TICK: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn this_process_can_be_looked_at() {
        let own = Proc(std::process::id());
        assert!(own.rss() > own.rss_anon() && own.rss_anon() > 0);
        assert!(own.threads() >= 1 && own.descriptors() > 2);
        let before = own.wake_ups();
        std::thread::sleep(Duration::from_millis(1));
        assert!(own.wake_ups() > before);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(own.listening_inode(address).is_some());
        drop(listener);
        assert_eq!(own.listening_inode(address), None);
    }

    #[test]
    fn connections_of_this_process_are_found_while_they_are_there() {
        let own = Proc(std::process::id());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let ends = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
        assert!(own.connections().contains(&ends));
        drop(stream);
        assert!(!own.connections().contains(&ends));
    }
}
