//! A bad network between two namespaces: packets are late, lost and out of order.
//!
//! The kernel's own `netem` (tc-netem(8)) does that where the kernel has it. Small kernels do not;
//! there two point-to-point devices are joined by a thread for each direction that treats packets the
//! same way. In both cases the TCP on either side is the kernel's.

use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{Read, Write};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::netns::{Namespace, ip};
use crate::tun;

/// What happens to packets, in each direction.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Of a hundred packets, how many are lost.
    pub lost: u64,
    /// Of a hundred packets, how many overtake those before them.
    pub overtake: u64,
    /// How long a packet is on its way.
    pub delay: Duration,
}

/// A link between two namespaces. It is gone when the value goes.
#[derive(Debug)]
pub struct Link {
    made_by: &'static str,
    over: Arc<AtomicBool>,
    dropped: Arc<AtomicU64>,
    directions: Vec<JoinHandle<()>>,
}

impl Link {
    /// Joins two namespaces, the first with the address `10.77.0.1`, the second with `10.77.0.2`.
    pub fn join(one: &Namespace, other: &Namespace, weather: Weather) -> Self {
        let link = match Self::netem(one, other, weather) {
            Some(link) => link,
            None => Self::emulated(one, other, weather),
        };
        for (namespace, own, far) in [(one, ONE, OTHER), (other, OTHER, ONE)] {
            namespace.ip(&["address", "add", own, "peer", far, "dev", DEVICE]);
            namespace.ip(&["link", "set", DEVICE, "mtu", "1500", "up"]);
        }
        link
    }

    /// The address of the first namespace on the link.
    pub const ONE: [u8; 4] = [10, 77, 0, 1];

    /// The address of the second.
    pub const OTHER: [u8; 4] = [10, 77, 0, 2];

    /// Who it is that loses and delays packets.
    pub fn made_by(&self) -> &'static str {
        self.made_by
    }

    /// How many packets were lost, if that is known here.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn netem(one: &Namespace, other: &Namespace, weather: Weather) -> Option<Self> {
        let (left, right) = (one.name(), other.name());
        ip(&[
            &["link", "add", DEVICE, "netns", left, "type", "veth"][..],
            &["peer", "name", DEVICE, "netns", right],
        ]
        .concat());
        for namespace in [left, right] {
            // Otherwise what is lost and delayed would be packets of 64 KiB, cut only on arrival.
            ip(&["-n", namespace, "link", "set", DEVICE, "gso_max_segs", "1"]);
            let delay = format!("{}ms", weather.delay.as_millis());
            let (lost, overtake) = (
                format!("{}%", weather.lost),
                format!("{}%", weather.overtake),
            );
            let mut tc = Command::new("tc");
            tc.args([
                "-n", namespace, "qdisc", "add", "dev", DEVICE, "root", "netem",
            ]);
            tc.args([
                "limit", "100000", "delay", &delay, "loss", &lost, "reorder", &overtake,
            ]);
            let output = tc.output();
            let output = output.expect("no `tc` on this machine: `./tests/run tools` installs it");
            let complaint = String::from_utf8_lossy(&output.stderr);
            if complaint.contains("qdisc kind is unknown") {
                ip(&["-n", left, "link", "del", DEVICE]);
                return None;
            }
            assert!(output.status.success(), "tc: {complaint}");
        }
        Some(Self::new(
            "tc netem",
            Vec::new(),
            Arc::default(),
            Arc::default(),
        ))
    }

    fn emulated(one: &Namespace, other: &Namespace, weather: Weather) -> Self {
        let device = |namespace: &Namespace| {
            let made = namespace.run(|| tun::device(DEVICE));
            made.expect("root may make a device, and every kernel that runs a VPN has TUN")
        };
        let (left, right) = (device(one), device(other));
        let (over, dropped) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let direction = |from: &File, to: &File, seed| {
            let from = from.try_clone().expect("a descriptor can be copied");
            let to = to.try_clone().expect("a descriptor can be copied");
            let (over, dropped) = (Arc::clone(&over), Arc::clone(&dropped));
            thread::spawn(move || carry(from, to, weather, seed, &over, &dropped))
        };
        let directions = vec![direction(&left, &right, 1), direction(&right, &left, 2)];
        Self::new(
            "two TUN devices, no netem in this kernel",
            directions,
            over,
            dropped,
        )
    }

    fn new(
        made_by: &'static str,
        directions: Vec<JoinHandle<()>>,
        over: Arc<AtomicBool>,
        dropped: Arc<AtomicU64>,
    ) -> Self {
        Self {
            made_by,
            over,
            dropped,
            directions,
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for direction in self.directions.drain(..) {
            let _ = direction.join();
        }
    }
}

/// One direction: reads packets, loses some, and hands on each when its time has come.
fn carry(
    mut from: File,
    mut to: File,
    weather: Weather,
    seed: u64,
    over: &AtomicBool,
    dropped: &AtomicU64,
) {
    let mut dice = Dice(seed);
    let mut waiting: BinaryHeap<Packet> = BinaryHeap::new();
    let mut buffer = [0; 2048];
    let mut number = 0;
    while !over.load(Ordering::Relaxed) {
        let now = Instant::now();
        while waiting.peek().is_some_and(|packet| packet.due <= now) {
            let packet = waiting.pop().expect("there is one");
            // A device that is not up yet, or no longer, takes none: lost like any other.
            let _ = to.write(&packet.bytes);
        }
        let next = waiting
            .peek()
            .map_or(IDLE, |packet| packet.due.saturating_duration_since(now));
        let timeout = Timespec::try_from(next.min(IDLE)).expect("a short time");
        let mut readable = [PollFd::new(&from, PollFlags::IN)];
        let _ = poll(&mut readable, Some(&timeout));
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if dice.hundred() < weather.lost {
                dropped.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            // One that overtakes has half the way; netem gives it none, which is harsher on TCP and
            // no more likely on a real path.
            let way = if dice.hundred() < weather.overtake {
                weather.delay / 2
            } else {
                weather.delay
            };
            number += 1;
            let bytes = buffer[..length].to_vec();
            waiting.push(Packet {
                due: Instant::now() + way,
                number,
                bytes,
            });
        }
    }
}

/// A packet on its way; the greatest is the one that is due first.
#[derive(PartialEq, Eq)]
struct Packet {
    due: Instant,
    number: u64,
    bytes: Vec<u8>,
}

impl Ord for Packet {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.due, other.number).cmp(&(self.due, self.number))
    }
}

impl PartialOrd for Packet {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The same luck in every run (xorshift64*).
struct Dice(u64);

impl Dice {
    fn hundred(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % 100
    }
}

/// The device's name in both namespaces.
const DEVICE: &str = "wan";
const ONE: &str = "10.77.0.1";
const OTHER: &str = "10.77.0.2";

/// The longest sleep of a direction, after which it looks whether the test is over.
const IDLE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{SocketAddr, TcpListener, TcpStream};

    #[test]
    fn a_link_delays_loses_and_still_carries_all_bytes() {
        let (one, other) = (Namespace::new(), Namespace::new());
        let weather = Weather {
            lost: 5,
            overtake: 10,
            delay: Duration::from_millis(20),
        };
        let _link = Link::join(&one, &other, weather);
        let listener = other
            .run(|| TcpListener::bind(SocketAddr::from((Link::OTHER, 0))))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let started = Instant::now();
        let mut client = one.run(|| TcpStream::connect(address)).unwrap();
        assert!(started.elapsed() >= 2 * weather.delay - Duration::from_millis(12));
        let sent = thread::spawn(move || crate::pattern::Pattern(3).send(&mut client, 300_000));
        let (mut server, _) = listener.accept().unwrap();
        crate::pattern::Pattern(3)
            .receive(&mut server, 300_000)
            .unwrap();
        sent.join().unwrap().unwrap();
    }
}
