//! Root and leaf are replaced every second while 200 flows talk and 50 new ones a second come and go
//! through two sidecars, and no flow fails.
//!
//! As in Consul, each new root is signed across by the one before, leaves carry that certificate, and
//! old roots stay trusted for a while: the one that the long-lived flows rest on to the end, the
//! others for a few rotations, so that roots are removed all the time too. What is not as in Consul:
//! everything else is thousands of times as fast.
//!
//! A quarter of a minute by default; `LICTOR_ROTATION_SECONDS=60` makes it the whole minute.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::authority::Authority;
use support::backend::Backend;
use support::client::{ending, patient};
use support::lab::{Gateway, TRUST_DOMAIN};
use support::pki::Mesh;
use support::sidecar::{SidecarFile, replace};

const EVERY: Duration = Duration::from_secs(1);
const LIVE_FLOWS: usize = 200;
const NEW_PER_SECOND: usize = 50;
/// Threads that talk on the live flows, and such that make new ones.
const TALKERS: usize = 4;
const CALLERS: usize = 5;
/// Rotations that a root stays trusted for.
const OVERLAP: usize = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// One side's certificates, replaced as Consul replaces them: roots first.
struct Certificates<'a> {
    side: &'a Gateway,
    file: &'a SidecarFile,
    service: &'static str,
}

impl Certificates<'_> {
    fn trust(&self, roots: &str) {
        replace(&self.file.file("roots.pem"), roots);
    }

    fn identify(&self, root: &Authority, cross: &str) {
        let leaf = root.leaf(self.service, "dc1");
        let chain = [leaf.certificate.as_str(), cross].concat();
        replace(&self.file.file("leaf.pem"), &chain);
        replace(&self.file.file("leaf.key"), &leaf.key);
    }
}

/// Changes files of both sides, and waits until each has read its own anew: neither may fall behind by more than one rotation,
/// or it would rightly refuse the other.
fn on_both(sides: &[Certificates<'_>], change: impl FnOnce()) {
    let marks: Vec<usize> = sides.iter().map(|it| it.side.lictor.log.mark()).collect();
    change();
    for (it, mark) in sides.iter().zip(marks) {
        it.side.lictor.log.event_after(mark, "reloaded", |_| true);
    }
}

/// What the two kinds of flows have come to.
#[derive(Default)]
struct Tally {
    stop: AtomicBool,
    exchanges: AtomicUsize,
    connections: AtomicUsize,
}

fn open(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    patient(&stream);
    Ok(stream)
}

fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes)?;
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back)?;
    assert!(back == bytes, "other bytes came back");
    Ok(())
}

/// Talks on all of these flows, again and again.
fn talk(flows: &mut [TcpStream], tally: &Tally) {
    while !tally.stop.load(Ordering::Relaxed) {
        for flow in flows.iter_mut() {
            let done = exchange(flow, &[7; 1000]);
            let count = tally.exchanges.fetch_add(1, Ordering::Relaxed);
            done.unwrap_or_else(|error| panic!("a live flow, at exchange {count}: {error}"));
        }
        thread::sleep(PAUSE);
    }
}

/// Makes connections at an even pace until told to stop.
fn call(address: SocketAddr, tally: &Tally) {
    let pace = Duration::from_secs(1) * CALLERS as u32 / NEW_PER_SECOND as u32;
    let mut next = Instant::now();
    while !tally.stop.load(Ordering::Relaxed) {
        thread::sleep(next.saturating_duration_since(Instant::now()));
        next += pace;
        let done = open(address).and_then(|mut stream| exchange(&mut stream, b"hello"));
        let count = tally.connections.fetch_add(1, Ordering::Relaxed);
        done.unwrap_or_else(|error| panic!("new connection {count}: {error}"));
    }
}

/// Rotates once a second; gives how often.
fn rotate(first: &Mesh, sides: &[Certificates<'_>], seconds: u64) -> usize {
    let rests_on = std::fs::read_to_string(first.root()).unwrap();
    let mut before = Authority::root(TRUST_DOMAIN, "pri-0.consul.ca.11111111.consul");
    let mut trusted = VecDeque::from([before.certificate.clone()]);
    let roots = [before.certificate.as_str(), &rests_on].concat();
    on_both(sides, || sides.iter().for_each(|side| side.trust(&roots)));
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(seconds) {
        count += 1;
        let name = format!("pri-{count}.consul.ca.11111111.consul");
        let root = Authority::root(TRUST_DOMAIN, &name);
        let cross = root.signed_by(&before);
        trusted.push_back(root.certificate.clone());
        if trusted.len() > OVERLAP {
            trusted.pop_front();
        }
        let roots: String = trusted.iter().chain([&rests_on]).map(|s| &**s).collect();
        on_both(sides, || {
            sides.iter().for_each(|side| side.trust(&roots));
            sides.iter().for_each(|side| side.identify(&root, &cross));
        });
        before = root;
        thread::sleep((start + EVERY * count).saturating_duration_since(Instant::now()));
    }
    count as usize
}

fn seconds() -> u64 {
    let named = std::env::var("LICTOR_ROTATION_SECONDS");
    named.map_or(15, |seconds| seconds.parse().expect("a number of seconds"))
}

#[test]
fn roots_and_leaves_that_change_every_second_fail_no_flow() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let app = Backend::echo();
    let api_file = SidecarFile::new(&mesh, "api", "dc1", app.address()).allows("web");
    let api = api_file.start();
    let web_file = SidecarFile::new(&mesh, "web", "dc1", app.address()).upstream("api", None);
    let web_file = web_file.instances("api", &[api.listener("public_listener")]);
    let web = web_file.start();
    let upstream = web.listener("api");
    let mut flows: Vec<TcpStream> = (0..LIVE_FLOWS).map(|_| open(upstream).unwrap()).collect();
    for flow in &mut flows {
        exchange(flow, b"hello").unwrap();
    }

    let sides = [(&api, &api_file, "api"), (&web, &web_file, "web")];
    let sides = sides.map(|(side, file, service)| Certificates {
        side,
        file,
        service,
    });
    let tally = Tally::default();
    let seconds = seconds();
    let start = Instant::now();
    let rotations = thread::scope(|scope| {
        for flows in flows.chunks_mut(LIVE_FLOWS / TALKERS) {
            scope.spawn(|| talk(flows, &tally));
        }
        for _ in 0..CALLERS {
            scope.spawn(|| call(upstream, &tally));
        }
        let rotations = rotate(&mesh, &sides, seconds);
        tally.stop.store(true, Ordering::Relaxed);
        rotations
    });

    let lasted = start.elapsed();
    let connections = tally.connections.load(Ordering::Relaxed);
    let exchanges = tally.exchanges.load(Ordering::Relaxed);
    eprintln!(
        "{rotations} rotations in {lasted:?}: {connections} new connections, {exchanges} exchanges on {LIVE_FLOWS} flows"
    );
    let least = NEW_PER_SECOND * usize::try_from(seconds).unwrap() * 9 / 10;
    assert!(connections >= least, "{connections} of {least} connections");
    assert!(exchanges >= LIVE_FLOWS * rotations, "the flows were idle");
    for side in [&api, &web] {
        took_note(side, rotations);
    }
    assert_eq!(app.accepted(), LIVE_FLOWS + connections);

    // The flows do rest on the first root, and the test would have seen them fail.
    sides[0].trust(&Authority::root(TRUST_DOMAIN, "pri-x.consul.ca").certificate);
    for flow in &mut flows {
        assert_eq!(ending(flow).1, b"");
    }
    api.wait_for_refused("trust_removed", u32::try_from(LIVE_FLOWS).unwrap());
}

/// A sidecar has taken over every rotation and refused nobody.
fn took_note(side: &Gateway, rotations: usize) {
    let stats = side.stats();
    assert_eq!(stats.refused_in_all(), 0.0, "{}", side.lictor.log.text());
    let reloads = stats.value("lictor_reloads_total{result=\"ok\"}");
    assert!(
        reloads >= rotations as f64,
        "{reloads} of {rotations} reloads"
    );
}
