//! What costs nothing must cost nothing: memory per idle flow, threads, wake-ups, resident memory.
//!
//! The bounds are those of the target's budget file, for the release build.

use std::thread;
use std::time::Duration;

use support::backend::Holder;
use support::budget::budget;
use support::client::greet;
use support::lab::{GatewayFile, sni};
use support::process::many_descriptors;
use support::wait;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// User memory that one more idle flow may take, in bytes.
const PER_IDLE_FLOW: u64 = 512;

#[test]
fn an_idle_flow_takes_half_a_kibibyte_at_most() {
    let _guard = many_descriptors();
    const FLOWS: u32 = 5000;
    const AT_A_TIME: u32 = 50;
    let holder = Holder::start();
    let file = GatewayFile::new("dc1").service("web", &[holder.address()]);
    let gateway = file.limit("connections = 6000").start();
    let name = sni("web", "dc1");
    let mut clients = Vec::new();
    // No more at a time than the service's queue takes: flows that still wait to be connected are not idle, and what
    // they took would be counted, since freed memory stays with the process.
    let mut open = |count: u32| {
        for _ in 0..count / AT_A_TIME {
            clients.extend((0..AT_A_TIME).map(|_| greet(gateway.address(), &name)));
            wait::until_true("the flows", || holder.held() == clients.len());
        }
    };
    // The first flows also pay for what all share.
    open(AT_A_TIME);
    let before = gateway.lictor.proc().rss_anon();
    open(FLOWS);
    gateway.wait_for_active(FLOWS + AT_A_TIME);
    let grown = gateway.lictor.proc().rss_anon().saturating_sub(before);
    let each = grown / u64::from(FLOWS);
    println!("{each} bytes of user memory for an idle flow");
    assert!(each <= PER_IDLE_FLOW, "{each} bytes for an idle flow");
}

#[test]
fn an_idle_gateway_never_wakes_up() {
    let holder = Holder::start();
    let gateway = GatewayFile::new("dc1")
        .service("web", &[holder.address()])
        .start();
    let _clients: Vec<_> = (0..20)
        .map(|_| greet(gateway.address(), &sni("web", "dc1")))
        .collect();
    wait::until_true("all flows", || holder.held() == 20);
    gateway.wait_for_active(20);
    let proc = gateway.lictor.proc();
    // What setting up left behind may still tick off once: wait until it is quiet, then watch.
    let quiet = Duration::from_millis(1500);
    wait::until_true("a gateway that is quiet", || {
        let before = proc.wake_ups();
        thread::sleep(quiet);
        proc.wake_ups() == before
    });
    let (wake_ups, cpu) = (proc.wake_ups(), proc.cpu());
    thread::sleep(2 * quiet);
    assert_eq!(
        (proc.wake_ups(), proc.cpu()),
        (wake_ups, cpu),
        "an idle gateway woke up"
    );
}

#[test]
fn a_gateway_keeps_to_its_threads_and_its_memory() {
    let holder = Holder::start();
    let gateway = GatewayFile::new("dc1")
        .service("web", &[holder.address()])
        .start();
    let proc = gateway.lictor.proc();
    let (rss, anon) = (proc.rss() / 1024, proc.rss_anon() / 1024);
    println!("idle: {rss} KiB resident, {anon} KiB of it anonymous");
    assert!(rss <= budget(TARGET, "idle_rss_kib"), "{rss} KiB resident");
    assert!(
        anon <= budget(TARGET, "idle_anon_kib"),
        "{anon} KiB of anonymous memory"
    );
    let _clients: Vec<_> = (0..20)
        .map(|_| greet(gateway.address(), &sni("web", "dc1")))
        .collect();
    wait::until_true("all flows", || holder.held() == 20);
    assert!(
        proc.threads() <= budget(TARGET, "threads"),
        "{} threads",
        proc.threads()
    );
}
