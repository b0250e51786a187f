//! A flood of refusals does not flood the log: the first of each cause are shown, the rest summed up.

use std::io::Write;

use support::backend::Backend;
use support::client::{assert_refused, connect, greet};
use support::lab::{GatewayFile, sni};
use support::wait;

#[test]
fn a_flood_of_one_cause_is_summed_up_and_hides_no_other_cause() {
    let app = Backend::echo();
    let gateway = GatewayFile::new("dc1")
        .service("web", &[app.address()])
        .start();
    const FLOOD: u32 = 500;
    for _ in 0..FLOOD {
        let mut client = connect(gateway.address());
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        assert_refused(&mut client);
    }
    gateway.wait_for_refused("not_tls", FLOOD);
    assert_refused(&mut greet(gateway.address(), &sni("other", "dc1")));
    let log = &gateway.lictor.log;
    log.wait_for_event("refused", |event| {
        event.field("cause") == "unknown_server_name"
    });

    let told = || {
        let events = log.events("refused");
        let of_cause = events
            .iter()
            .filter(|event| event.field("cause") == "not_tls");
        of_cause
            .map(|event| event.field("suppressed").parse().unwrap_or(1))
            .sum::<u32>()
    };
    wait::until_true("every refusal is in the log, alone or in a sum", || {
        told() == FLOOD
    });
    let lines = log.events("refused").len();
    assert!(
        lines < 50,
        "{lines} lines for {FLOOD} refusals of one cause"
    );
}
