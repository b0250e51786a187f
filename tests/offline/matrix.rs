//! Every cell of the offline matrix, and the README's table of it.
//!
//! A node of each kind for each cell, all of them real, learns from a real Consul; that is taken away, the clock is set, and half of
//! the nodes lose their power. What new and open connections do then is written down. A leaf that has ended is one
//! of three days, eighty hours later: for the node's clock, where that is right, and for the peers', which have leaves of that time.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use support::backend::Backend;
use support::client::{echoes, try_echo, try_echoing};
use support::clock::WrongClock;
use support::lab::Gateway;
use support::sidecar::SidecarFile;
use support::wait::until;

use crate::edge::{Edge, Gone, Node};
use crate::table::{Case, Lasting, Seen, Shows, table};

const HOUR: i64 = 3600;
const YEAR: i64 = 365 * 24 * HOUR;

/// When leaves of three days have ended.
const LATER: i64 = 80 * HOUR;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
const BEGIN: &str = "<!-- what works without Consul: a test makes this table -->\n";
const END: &str = "<!-- the end of what works without Consul -->\n";

#[test]
fn every_cell_is_as_the_readme_says() {
    let mut seen = Vec::new();
    std::thread::scope(|scope| {
        let labs = [Gone::Agent, Gone::Servers, Gone::Link]
            .map(|gone| scope.spawn(move || (gone, Edge::with(gone, cells))));
        for lab in labs {
            let (gone, cells) = lab
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            seen.extend(cells.into_iter().map(|(case, seen)| (gone, case, seen)));
        }
    });
    assert_eq!(seen.len(), 72);
    let table = table(&seen);
    let readme = std::fs::read_to_string(README).unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("the table's place");
    let (written, after) = rest.split_once(END).expect("the table's end");
    if std::env::var_os("LICTOR_WRITE_TABLE").is_some() {
        std::fs::write(README, [before, BEGIN, &table, END, after].concat()).unwrap();
        return;
    }
    assert!(
        written == table,
        "README.md says:\n{written}\nwhat was seen is:\n{table}\n\
         if that is right: LICTOR_WRITE_TABLE=1 tests/run offline"
    );
}

/// The peers of nodes at one time: a service that sidecars call, and a caller of all of them.
struct Peers {
    running: Vec<(&'static str, SidecarFile, Gateway)>,
    clock: WrongClock,
}

impl Peers {
    /// Eighty hours pass for them, and they get new leaves meanwhile.
    fn grow_older(&self, edge: &Edge) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let issued = now.as_secs() + u64::try_from(LATER - HOUR).unwrap();
        self.clock.set(LATER);
        for (name, file, peer) in &self.running {
            file.identify(&edge.mesh.leaf_of(issued, name, "dc1"));
            let mark = peer.lictor.log.mark();
            peer.lictor.reload();
            peer.lictor.log.event_after(mark, "reloaded", |_| true);
        }
    }
}

/// A node and what it is tried by.
struct Subject {
    case: Case,
    node: Node,
    clock: WrongClock,
    lictor: Option<Gateway>,
    /// Where connections go out, and come in; of a gateway both are its own.
    out: SocketAddr,
    into: SocketAddr,
    open: Vec<TcpStream>,
}

fn cells(mut edge: Edge) -> Vec<(Case, Seen)> {
    let app = Backend::echo();
    // Behind gateways, instead of a sidecar: they look no further than the server name.
    edge.register("plain", app.address(), app.address(), &[]);
    let right = WrongClock::by(0);
    let mut peers = ["api", "later"].map(|name| peers(&edge, &app, name, &right));
    let mut subjects: Vec<Subject> = Case::all()
        .enumerate()
        .map(|(number, case)| subject(&edge, &app, number, case, &right))
        .collect();
    for (peers, leaf_ended) in peers.iter_mut().zip([false, true]) {
        call_all(&edge, &app, peers, leaf_ended, &mut subjects);
    }
    let name = format!("plain.default.dc1.internal.{}", edge.mesh.trust_domain());
    for subject in &mut subjects {
        subject.learn(&name);
    }
    edge.cut();
    for subject in &mut subjects {
        subject.meet_its_case();
    }
    peers[1].grow_older(&edge);
    let mut seen: Vec<(Case, Seen)> = subjects
        .iter_mut()
        .map(|subject| (subject.case, subject.try_all(&name)))
        .collect();
    for (subject, (_, seen)) in subjects.iter().zip(&mut seen) {
        subject
            .clock
            .set(if subject.case.leaf_ended { LATER } else { 0 });
        seen.once_right = subject.new_ones(&name) == (true, true);
    }
    drop(peers);
    seen
}

/// A service of this name that takes calls, with a leaf of its time.
fn peers(edge: &Edge, app: &Backend, name: &'static str, right: &WrongClock) -> Peers {
    let clock = right.another();
    let file = SidecarFile::new(&edge.mesh, name, "dc1", app.address());
    let file = file.stanza("default_intention_policy = \"allow\"");
    let api = Gateway::start(clock.worn_by(file.launch()));
    edge.register(name, app.address(), api.listener("public_listener"), &[]);
    Peers {
        running: vec![(name, file, api)],
        clock,
    }
}

fn subject(edge: &Edge, app: &Backend, number: usize, case: Case, right: &WrongClock) -> Subject {
    let (out, into) = (edge.address(), edge.address());
    let (node, out) = if case.is_gateway {
        let id = format!("gateway-{number}");
        edge.register_gateway(&id, into);
        (edge.node(&["--gateway", "mesh", "--proxy-id", &id]), into)
    } else {
        let called = if case.leaf_ended { "later" } else { "api" };
        let service = format!("web-{number}");
        edge.register(&service, app.address(), into, &[(called, out)]);
        (edge.node(&["--sidecar-for", &format!("{service}-1")]), out)
    };
    Subject {
        case,
        node,
        clock: right.another(),
        lictor: None,
        out,
        into,
        open: Vec::new(),
    }
}

/// Starts a caller of all sidecars whose peers these are, and lets them be called through it.
fn call_all(
    edge: &Edge,
    app: &Backend,
    peers: &mut Peers,
    leaf_ended: bool,
    subjects: &mut [Subject],
) {
    let of_these =
        |subject: &&mut Subject| !subject.case.is_gateway && subject.case.leaf_ended == leaf_ended;
    let mut file = SidecarFile::new(&edge.mesh, "caller", "dc1", app.address());
    let mut names = Vec::new();
    for subject in subjects.iter_mut().filter(of_these) {
        let name = subject.service();
        file = file.upstream(&name, None).instances(&name, &[subject.into]);
        names.push(name);
    }
    let caller = Gateway::start(peers.clock.worn_by(file.launch()));
    for (subject, name) in subjects.iter_mut().filter(of_these).zip(names) {
        subject.into = caller.listener(&name);
    }
    peers.running.push(("caller", file, caller));
}

impl Subject {
    /// The service whose sidecar it is.
    fn service(&self) -> String {
        let number = Case::all().position(|case| case == self.case);
        format!("web-{}", number.expect("it is one of them"))
    }

    /// Runs for the first time, until it is known that all is remembered and works.
    fn learn(&mut self, name: &str) {
        let lictor = self.node.start(&self.clock);
        lictor.lictor.log.wait_for("remembered");
        let ways = if self.case.is_gateway { 1 } else { 2 };
        let open = [self.out, self.into].into_iter().take(ways);
        let open = open.map(|way| until("a first connection", || self.connect(way, name)));
        self.open = open.collect();
        self.lictor = Some(lictor);
    }

    fn connect(&self, way: SocketAddr, name: &str) -> Option<TcpStream> {
        if self.case.is_gateway {
            try_echoing(way, name)
        } else {
            try_echo(way)
        }
    }

    /// Its clock becomes what it is to be; without power meanwhile, if it is to be restarted.
    fn meet_its_case(&mut self) {
        if self.case.restarted {
            self.open.clear();
            self.lictor = None;
        }
        let world = if self.case.leaf_ended { LATER } else { 0 };
        self.clock.set(match self.case.clock {
            Shows::Right => world,
            Shows::In1970 => WrongClock::to_1970(),
            Shows::Ahead => world + YEAR,
        });
        if self.case.restarted {
            let lictor = self.node.start(&self.clock);
            assert!(lictor.stats().value("lictor_plan_stale") > 0.5);
            self.lictor = Some(lictor);
        }
    }

    fn try_all(&mut self, name: &str) -> Seen {
        let (out, into) = self.new_ones(name);
        let open = (!self.case.restarted).then(|| self.open.iter_mut().all(echoes));
        let lictor = self.lictor.as_ref().expect("it runs");
        let (_, status) = lictor.admin().get("/status");
        Seen {
            out,
            into,
            open,
            lasting: Lasting::read(&status),
            once_right: false,
        }
    }

    /// Whether new connections get through, out and in. One that fails is tried again: a busy machine is not what this is about.
    fn new_ones(&self, name: &str) -> (bool, bool) {
        let works = |way: SocketAddr| {
            (0..TRIES).any(|number| {
                if number > 0 {
                    std::thread::sleep(PAUSE);
                }
                self.connect(way, name).is_some()
            })
        };
        (works(self.out), works(self.into))
    }
}

const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(50);
