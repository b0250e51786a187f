//! A week of nodes' lives in minutes: nothing is written beyond the budget, and nothing grows.
//!
//! The processes are real, and so is the Consul behind a proxy (`warp.rs`); time is the test's, for all of their clocks. It goes from one
//! wait that is over to the next. Each day has an hour in which a service moves every minute, hours in which it moves now
//! and then, a link that is down, swallows everything, is down for long and comes and goes, another authority every other day, and
//! twelve hours in which nothing happens. A day by default; `LICTOR_WEEK_DAYS=7` makes it a week.

use std::net::{SocketAddr, TcpStream};
use std::time::{SystemTime, UNIX_EPOCH};

use support::backend::Backend;
use support::client::{echoes, try_echo, try_echoing};
use support::clock::WrongClock;
use support::heap::{Heap, Taken};
use support::lab::Gateway;
use support::wait::until;

use crate::edge::{Edge, Gone};
use crate::warp::{Link, Warp};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// What is written in a day in which nothing happens, at most.
const IDLE_BYTES: f64 = 64.0 * 1024.0;

/// After how many changes in the first hour a process has what it will keep.
const SETTLED: u64 = 10;

/// Connections that are made before: they bring all the TLS sessions that are kept for an upstream.
const CONNECTIONS_BEFORE: usize = 64;

/// How much more a process may have taken from the heap at the end than then, in pieces and in bytes, however long it ran: what
/// comes and goes, and happens to be there; and up to two roots more, which Consul lists for some days after each rotation.
const MORE_PIECES: u64 = 60;
const MORE_BYTES: u64 = 96 * 1024;

/// How much more memory it may have for that: pages with holes between what is taken, which the allocator keeps.
const MORE_RESIDENT_BYTES: u64 = 1 << 19;

/// Connections to Consul that wait for a request, at most, beside one for each question that is kept answered.
const IDLE_CONNECTIONS: usize = 4;

/// Flows through each node that stay open: through the gateway all the time, between sidecars from one rotation to after the next,
/// since they end when Consul no longer lists the authority that they began under.
const FLOWS: usize = 4;

/// How often the link comes and goes in a row, so that what each costs would show.
const FLAPS: u64 = 12;

struct Week {
    edge: Edge,
    warp: Warp,
    clock: WrongClock,
    /// When it began, and how long ago that is, in seconds.
    began: u64,
    past: u64,
    app: Backend,
    nodes: Vec<Gateway>,
    heaps: Vec<Heap>,
    /// Where web calls api, and where the gateway is called with which name.
    api: SocketAddr,
    gateway: (SocketAddr, String),
    flows: Vec<TcpStream>,
    mesh_flows: Vec<TcpStream>,
    moves: u16,
    steps: u64,
}

/// What a process has.
#[derive(Clone, Copy, Debug)]
struct Size {
    /// Resident memory but for pages of files, which the kernel reads again when it has dropped them.
    resident: u64,
    /// Of the heap, what is in use.
    taken: Taken,
    threads: u64,
    /// Descriptors that are no connections: files, listeners, and sockets that were connections until the link broke.
    others: usize,
    to_consul: usize,
    watches: usize,
}

#[test]
fn nothing_is_written_beyond_the_budget_and_nothing_grows() {
    let days = std::env::var("LICTOR_WEEK_DAYS").ok();
    let days: u64 = days.map_or(1, |days| days.parse().expect("a number of days"));
    Edge::with(Gone::Link, |edge| Week::begin(edge).live(days));
}

impl Week {
    fn begin(edge: Edge) -> Self {
        let began = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let clock = WrongClock::by(0);
        let warp = Warp::new(edge.asked().http(), edge.mesh.clone(), began);
        let app = Backend::echo();
        let (api, db) = (edge.address(), edge.address());
        let (web_in, api_in, gateway) = (edge.address(), edge.address(), edge.address());
        edge.register("web", app.address(), web_in, &[("api", api), ("db", db)]);
        edge.register("api", app.address(), api_in, &[]);
        edge.register("plain", app.address(), app.address(), &[]);
        edge.register_gateway("gateway-1", gateway);
        let name = format!("plain.default.dc1.internal.{}", edge.mesh.trust_domain());
        let mut week = Self {
            edge,
            warp,
            clock,
            began,
            past: 0,
            app,
            nodes: Vec::new(),
            heaps: Vec::new(),
            api,
            gateway: (gateway, name),
            flows: Vec::new(),
            mesh_flows: Vec::new(),
            moves: 0,
            steps: 0,
        };
        week.move_db();
        let kinds = [
            &["--sidecar-for", "web-1"][..],
            &["--sidecar-for", "api-1"],
            &["--gateway", "mesh"],
        ];
        for words in kinds {
            let node = Edge::node_of(week.warp.address(), words);
            let (heap, launch) = Heap::of(week.clock.passes_for(node.launch()));
            week.heaps.push(heap);
            week.nodes.push(Gateway::start(launch));
        }
        week.open_mesh_flows();
        for _ in 0..FLOWS {
            week.flows.push(until("a flow", || week.try_gateway()));
        }
        for _ in 0..CONNECTIONS_BEFORE {
            drop(until("a connection", || try_echo(week.api)));
        }
        week
    }

    fn try_gateway(&self) -> Option<TcpStream> {
        try_echoing(self.gateway.0, &self.gateway.1)
    }

    fn open_mesh_flows(&mut self) {
        let open = || until("a flow", || try_echo(self.api));
        self.mesh_flows = (0..FLOWS).map(|_| open()).collect();
    }

    fn live(mut self, days: u64) {
        let mut sizes = None;
        for day in 0..days {
            let at = |hour: u64| day * DAY + hour * HOUR;
            self.pass_to(at(1));
            if day % 2 == 0 {
                self.edge.rotate();
                self.warp.look();
                self.pass(MINUTE);
                self.warp.rotate(self.edge.mesh.clone());
                self.pass(MINUTE);
                self.open_mesh_flows();
            }
            self.move_now_and_then(at(3));
            self.pass_to(at(4));
            let before = self.sum("lictor_state_writes_total{result=\"ok\"}");
            for change in 0..60 {
                self.move_db();
                self.pass(MINUTE);
                if (day, change) == (0, SETTLED) {
                    sizes = Some(self.sizes());
                }
            }
            let storm = self.each_more("lictor_state_writes_total{result=\"ok\"}", &before);
            println!("day {day}: writes in an hour of sixty changes: {storm:?}");
            // Ten that a quiet time leaves, ten for the hour, and the time.
            assert!(storm.iter().all(|writes| *writes <= 21.0), "{storm:?}");

            self.break_link(Link::Down, 20 * MINUTE);
            self.move_now_and_then(at(6));
            self.break_link(Link::Silent, 30 * MINUTE);
            self.move_now_and_then(at(8));
            self.break_link(Link::Down, 2 * HOUR);
            for _ in 0..FLAPS {
                self.break_link(Link::Down, MINUTE);
            }
            self.move_now_and_then(at(12));

            // What was pending has been written by now.
            let before = self.sum("lictor_state_bytes_total");
            self.pass_to(at(24));
            let idle = self.each_more("lictor_state_bytes_total", &before);
            println!("day {day}: bytes written in twelve idle hours: {idle:?}");
            assert!(
                idle.iter().all(|bytes| 2.0 * bytes <= IDLE_BYTES),
                "{idle:?}"
            );
            self.recover();
            self.sizes()
                .iter()
                .for_each(|size| println!("day {day}: {size:?}"));
        }
        let (first, last) = (sizes.expect("a day at least"), self.sizes());
        for (first, last) in first.iter().zip(&last) {
            println!("after some changes {first:?}\nat the end {last:?}");
            assert!(last.taken.pieces <= first.taken.pieces + MORE_PIECES);
            assert!(last.taken.bytes <= first.taken.bytes + MORE_BYTES);
            assert!(last.resident <= first.resident + MORE_RESIDENT_BYTES);
            assert_eq!((last.threads, last.watches), (first.threads, first.watches));
            let fixed = first.others.min(last.others);
            let to_consul = last.to_consul + last.others - fixed;
            assert!(to_consul <= last.watches + IDLE_CONNECTIONS);
        }
        // Each node remembers what it ran: all of that was for this.
        let writes = self.sum("lictor_state_writes_total{result=\"ok\"}");
        let bytes = self.sum("lictor_state_bytes_total");
        println!(
            "{days} day(s) in {} steps: writes {writes:?}, bytes {bytes:?}, {} leaves issued",
            self.steps,
            self.warp.leaves()
        );
        let refused: Vec<f64> = self
            .nodes
            .iter()
            .map(|node| node.stats().refused_in_all())
            .collect();
        assert!(refused.iter().all(|refused| *refused < 0.5), "{refused:?}");
        let hours = f64::from(u32::try_from(24 * days).unwrap());
        let most = 10.0 + 10.0 * hours + hours / 6.0 + 1.0;
        assert!(writes.iter().all(|writes| (1.0..most).contains(writes)));
    }

    /// Lets time pass up to this long after the beginning, in steps from one end of a wait to the next.
    fn pass_to(&mut self, until: u64) {
        while self.past < until {
            let now = self.began + self.past;
            let next = self
                .warp
                .next()
                .map_or(MINUTE, |next| next.saturating_sub(now));
            self.step(next.clamp(2, (until - self.past).max(2)) - 1);
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.pass_to(self.past + seconds);
    }

    fn step(&mut self, seconds: u64) {
        self.past += seconds;
        self.steps += 1;
        self.warp.pass(self.began + self.past);
        self.let_them_notice();
        // Who was answered asks again after a short pause, which is over then.
        self.past += 1;
        self.warp.tick();
        self.let_them_notice();
        for flow in self.flows.iter_mut().chain(&mut self.mesh_flows) {
            assert!(echoes(flow), "an open connection, {} s on", self.past);
        }
        if self.steps.is_multiple_of(8) {
            drop(until("a new connection", || try_echo(self.api)));
            drop(until("a new connection", || self.try_gateway()));
        }
    }

    fn let_them_notice(&self) {
        self.clock.set(i64::try_from(self.past).unwrap());
        for _ in 0..2 {
            for node in &self.nodes {
                // It wakes up, sees what time it is, and does what is due.
                assert_eq!(node.admin().get("/ready").0, 200);
            }
            self.warp.wait_for_calm();
        }
    }

    /// A service that web and the gateway know is somewhere else from now on.
    fn move_db(&mut self) {
        self.moves += 1;
        let port = 30_000 + self.moves % 7;
        let sidecar = SocketAddr::from(([127, 9, 0, 2], port));
        self.edge.register("db", self.app.address(), sidecar, &[]);
        until("the catalog to know", || {
            let found = self.edge.asked().get("/v1/health/connect/db");
            (found[0]["Service"]["Port"] == port).then_some(())
        });
        self.warp.look();
    }

    fn move_now_and_then(&mut self, until: u64) {
        while self.past < until {
            self.move_db();
            self.pass(HOUR.min(until - self.past));
        }
    }

    fn break_link(&mut self, link: Link, seconds: u64) {
        self.warp.set_link(link);
        self.pass(seconds / 2);
        // What changes meanwhile is learned later.
        self.move_db();
        self.pass(seconds / 2);
        self.warp.set_link(Link::Up);
        self.pass(2 * MINUTE);
    }

    /// All is as Consul says it, some minutes after everything.
    fn recover(&mut self) {
        let lost = "lictor_consul_lost_seconds";
        for _ in 0..10 {
            if self.sum(lost).iter().all(|lost| *lost < 0.5) {
                return;
            }
            self.pass(MINUTE);
        }
        panic!("Consul stays lost: {:?}", self.sum(lost));
    }

    fn sum(&self, name: &str) -> Vec<f64> {
        self.nodes
            .iter()
            .map(|node| node.stats().value(name))
            .collect()
    }

    fn each_more(&self, name: &str, before: &[f64]) -> Vec<f64> {
        let now = self.sum(name);
        now.iter()
            .zip(before)
            .map(|(now, before)| now - before)
            .collect()
    }

    fn sizes(&self) -> Vec<Size> {
        let nodes = self.nodes.iter().zip(&self.heaps);
        nodes.map(|(node, heap)| self.size(node, heap)).collect()
    }

    fn size(&self, node: &Gateway, heap: &Heap) -> Size {
        let process = node.lictor.proc();
        let watches = node.stats().value("lictor_consul_watches{state=\"all\"}");
        // What was closed here may take a moment to be closed there.
        let (connections, to_consul) = until("no flow but those that stay", || {
            let connections = process.connections();
            let consul = connections
                .iter()
                .filter(|(_, peer)| *peer == self.warp.address());
            let to_consul = consul.count();
            (connections.len() - to_consul == 2 * FLOWS).then_some((connections.len(), to_consul))
        });
        Size {
            resident: process.rss_anon(),
            taken: heap.taken(),
            threads: process.threads(),
            others: process.descriptors() - connections,
            to_consul,
            watches: format!("{watches:.0}").parse().expect("a whole number"),
        }
    }
}
