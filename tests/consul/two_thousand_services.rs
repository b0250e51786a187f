//! A gateway of two thousand services: what it takes to learn them and to know them, and how soon a change is in force.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use support::backend::Backend;
use support::budget::budget;
use support::client::greet;
use support::consul::Agent;
use support::log::Event;
use support::proc::Proc;
use support::process::binary;
use support::wait;

use crate::ground::{register_gateway, start};

const SERVICES: usize = 2000;

/// Services that move, one after the other.
const CHANGES: usize = 60;

/// Between two changes: what is watched over together is not read through more often.
const APART: Duration = Duration::from_millis(400);

/// A node has as many instances as this.
const ON_A_NODE: usize = 50;

/// Threads that register, since each registration waits for Consul's disk.
const AT_A_TIME: usize = 4;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// From Consul's answer until the change is in force: the middle one, and the slowest, without what it may have waited for a processor
/// that other programs had.
const IN_FORCE: Duration = Duration::from_millis(50);
const IN_FORCE_AT_WORST: Duration = Duration::from_millis(500);

/// Registers an instance of a service and its sidecar, which listens there.
fn register(agent: &Agent, number: usize, sidecar: SocketAddr) {
    let (name, node) = (format!("service-{number:04}"), number / ON_A_NODE);
    let (ip, port) = (sidecar.ip(), sidecar.port());
    for service in [
        format!(r#""ID":"{name}-1","Service":"{name}","Address":"{ip}","Port":8080"#),
        format!(
            r#""Kind":"connect-proxy","ID":"{name}-1-sidecar-proxy","Service":"{name}-sidecar-proxy","Address":"{ip}","Port":{port},
            "Proxy":{{"DestinationServiceName":"{name}","DestinationServiceID":"{name}-1","LocalServicePort":8080}}"#
        ),
    ] {
        let body = format!(
            r#"{{"Node":"node-{node:03}","Address":"10.8.0.{}","SkipNodeUpdate":true,"Service":{{{service}}}}}"#,
            node + 1
        );
        agent.put("/v1/catalog/register", &body);
    }
}

/// Registers all of them; those that are to move at this address, the others at one of their own.
fn register_all(agent: &Agent, moving: SocketAddr) {
    thread::scope(|scope| {
        for first in 0..AT_A_TIME {
            scope.spawn(move || {
                for number in (first..SERVICES).step_by(AT_A_TIME) {
                    let [high, low] = u16::try_from(number).expect("few").to_be_bytes();
                    let elsewhere = SocketAddr::from(([10, 9, high, low], 20_000));
                    register(
                        agent,
                        number,
                        if moves(number) { moving } else { elsewhere },
                    );
                }
            });
        }
    });
}

fn moves(number: usize) -> bool {
    number.is_multiple_of(SERVICES / CHANGES)
}

/// One that tells which it is, to whoever connects.
fn backend(letter: u8) -> Backend {
    Backend::start(move |mut stream| {
        let _ = stream.write_all(&[letter]);
        let _ = stream.read(&mut [0; 1024]);
    })
}

/// Which of the backends a new connection to a service gets.
fn reached(gateway: SocketAddr, server_name: &str) -> Option<u8> {
    let mut letter = [0];
    greet(gateway, server_name).read_exact(&mut letter).ok()?;
    Some(letter[0])
}

/// Says what was measured: the middle one, which it gives, and the slowest but one in a hundred.
fn summary(what: &str, times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    let nth = |per_cent: usize| times[(times.len() * per_cent / 100).min(times.len() - 1)];
    let (median, p99) = (nth(50), nth(99));
    println!("{what}: median {median:?}, p99 {p99:?}");
    median
}

/// Says what memory it has, and sees that it comes down to what it may have at rest.
fn memory(when: &str, proc: Proc) {
    let kib = [proc.rss(), proc.rss_anon(), proc.peak_rss()].map(|bytes| bytes / 1024);
    let [resident, anonymous, peak] = kib;
    println!(
        "{when}: {resident} KiB resident, {anonymous} of it anonymous, {peak} at the most so far"
    );
    if is_release() {
        let most = budget(TARGET, "two_thousand_services_rss_kib");
        wait::until_true(&format!("{most} KiB resident at most"), || {
            proc.rss() / 1024 <= most
        });
        let most = budget(TARGET, "two_thousand_services_peak_kib");
        assert!(peak <= most, "{peak} of {most} KiB");
    }
}

/// Whether it is a release build that is tested: others are many times as large.
fn is_release() -> bool {
    let size = std::fs::metadata(binary()).expect("it is there").len();
    size < 2 * budget(TARGET, "binary_bytes")
}

#[test]
fn are_known_in_little_memory_and_a_change_of_one_is_in_force_at_once() {
    let agent = Agent::server();
    let (old, new) = (backend(b'a'), backend(b'b'));
    register_all(&agent, old.address());
    register_gateway(&agent);
    let roots = agent.get("/v1/agent/connect/ca/roots");
    let domain = roots["TrustDomain"].as_str().expect("a trust domain");

    let begun = Instant::now();
    let gateway = start(&agent, &["--gateway", "mesh"]);
    println!("all learned after {:?}", begun.elapsed());
    let (log, proc) = (&gateway.lictor.log, gateway.lictor.proc());
    let clusters = |event: &Event| event.field("clusters").parse().unwrap_or(0);
    // Once, and as a whole.
    assert!(clusters(&log.wait_for("learned")) >= SERVICES);
    log.wait_for("remembered");
    let address = gateway.listener("lan");

    memory("when all are known", proc);
    let (mut to_flow, mut in_force, mut connections) = (Vec::new(), Vec::new(), 0);
    let mut slowest = Duration::ZERO;
    for number in (0..SERVICES).filter(|number| moves(*number)) {
        let name = format!("service-{number:04}.default.dc1.internal.{domain}");
        assert_eq!(reached(address, &name), Some(b'a'), "{name}");
        let (mark, waited) = (log.mark(), proc.waited());
        let begun = Instant::now();
        register(&agent, number, new.address());
        wait::until_true("the new instance", || reached(address, &name) == Some(b'b'));
        to_flow.push(begun.elapsed());
        let learned = log.event_after(mark, "learned", |_| true);
        let micros = learned.field("microseconds").parse().expect("a number");
        let waited = proc.waited() - waited;
        let took = Duration::from_micros(micros);
        slowest = slowest.max(took.saturating_sub(waited));
        in_force.push(took);
        connections = connections.max(agent.connections());
        thread::sleep(APART);
    }
    summary(
        "from a change to the first connection to the new instance",
        &mut to_flow,
    );
    let median = summary("from Consul's answer to being in force", &mut in_force);
    println!(
        "connections to Consul: {connections}; processor time: {:?}",
        proc.cpu()
    );
    memory("after the changes", proc);

    assert!(in_force.len() >= 50);
    assert!(
        median <= IN_FORCE && slowest <= IN_FORCE_AT_WORST,
        "{median:?} {slowest:?}"
    );
    assert!(connections <= consul::CONNECTIONS, "{connections}");
}
