//! What is sent arrives: long transfers in both directions at once, every byte held against the known
//! stream, small messages between them undisturbed.

use std::thread;

use support::backend::Backend;
use support::client::{assert_echo, echoing, greet};
use support::lab::{GatewayFile, sni};
use support::pattern::{Exchanger, Pattern, exchange};
use support::wait;

const TO_SERVICE: Pattern = Pattern(11);
const TO_CLIENT: Pattern = Pattern(12);
const LENGTH: u64 = 64 << 20;

#[test]
fn sixty_four_mebibytes_each_way_on_each_of_four_flows() {
    let bulk = Exchanger::at(([127, 0, 0, 1], 0), TO_CLIENT, TO_SERVICE, LENGTH);
    let small = Backend::echo();
    let file = GatewayFile::new("dc1").service("bulk", &[bulk.address()]);
    let gateway = file
        .service("small", &[small.address()])
        .log("access = true")
        .start();
    let address = gateway.address();
    let transfers: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(move || {
                let client = greet(address, &sni("bulk", "dc1"));
                exchange(&client, TO_SERVICE, TO_CLIENT, LENGTH).unwrap();
            })
        })
        .collect();
    let mut client = echoing(address, &sni("small", "dc1"));
    for size in [1_usize, 100, 1024, 16_384, 65_536, 100_000].repeat(20) {
        assert_echo(&mut client, &vec![size.to_le_bytes()[0]; size]);
    }
    for transfer in transfers {
        transfer.join().unwrap();
    }
    bulk.wait_for(4);
    gateway.wait_for_active(1);
    wait::until_true("four ends in the log", || {
        gateway.lictor.log.events("closed").len() == 4
    });
    let closed = gateway.lictor.log.events("closed");
    for event in closed {
        assert_eq!(event.field("received"), LENGTH.to_string());
        assert_eq!(event.field("how"), "finished");
    }
}
