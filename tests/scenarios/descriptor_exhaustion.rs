//! Without descriptors for more connections, accepting pauses: the flows that are there go on, nothing
//! spins, and accepting goes on once there are descriptors again.

use std::thread;
use std::time::Duration;

use support::backend::Backend;
use support::client::{assert_echo, echoing, greet};
use support::lab::{Gateway, GatewayFile, sni};
use support::process::Launch;
use support::wait;

#[test]
fn accepting_pauses_and_recovers_and_nothing_spins() {
    let app = Backend::echo();
    let file = GatewayFile::new("dc1").service("web", &[app.address()]);
    let gateway = Gateway::start(Launch::new(&file.to_string()).descriptors(64));
    let name = sni("web", "dc1");
    let mut established = echoing(gateway.address(), &name);

    // More than there are descriptors for; the rest waits in the kernel's queue.
    let flood: Vec<_> = (0..100).map(|_| greet(gateway.address(), &name)).collect();
    gateway.lictor.log.wait_for("accept_paused");
    let proc = gateway.lictor.proc();
    let before = proc.cpu();
    for _ in 0..20 {
        assert_echo(&mut established, b"still here");
        thread::sleep(Duration::from_millis(50));
    }
    let spent = proc.cpu() - before;
    assert!(
        spent <= Duration::from_millis(200),
        "{spent:?} of processor time in a second"
    );

    drop(flood);
    gateway.lictor.log.wait_for("accept_resumed");
    assert_echo(&mut established, b"still here");
    echoing(gateway.address(), &name);
    // However long it lasted, it was one pause.
    assert_eq!(gateway.lictor.log.events("accept_paused").len(), 1);
    wait::until_true("the pause in the metrics", || {
        gateway.stats().value("lictor_accept_paused_total") >= 1.0
    });
}
