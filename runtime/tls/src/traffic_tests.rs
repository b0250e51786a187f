//! Keys that are used up, with a limit that can be reached.

#[path = "../tests/sessions/mesh.rs"]
#[allow(dead_code, reason = "these tests use some of it")]
mod mesh;

use crate::{Outgoing, Session, Step};
use mesh::{Authority, Pair, TD, client, only, server};

fn established(version: &str) -> Pair {
    let root = Authority::root("root");
    let options = only(version);
    let client = client(&root, &root.leaf(TD, "web"), &options);
    let mut pair = Pair::shake(&client, &server(&root, &options));
    pair.assert_talks();
    pair
}

/// The client may make so many records more with its keys.
fn wears_out(pair: &mut Pair, records: u64) {
    let traffic = pair.client.session.traffic();
    traffic.limit = traffic.sealing.sequence() + records;
}

#[test]
fn keys_are_renewed_before_they_are_used_up() {
    let mut pair = established("TLSv1_3");
    let sent: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
    for round in 0..20 {
        wears_out(&mut pair, round % 4);
        if round % 2 == 0 {
            pair.client.encrypt(&sent);
        } else {
            seal(&mut pair.client.session, &mut pair.client.wire, &sent);
        }
        // It is asked to do as much, and does before it says anything.
        pair.server.encrypt(b"answer");
        pair.settle();
        assert_eq!(pair.server.result, Ok(Step::Established));
        assert!(pair.server.plain.len() > 100_000 && sent.starts_with(&pair.server.plain));
        assert!(pair.client.session.traffic().sealing.sequence() < 40);
        pair.server.plain.clear();
    }
    assert_eq!(pair.client.plain, b"answer".repeat(20));
}

/// Sends by the way without a copy, as much as fits.
fn seal(session: &mut Session, wire: &mut Outgoing, plaintext: &[u8]) {
    let (mut rest, slots) = (plaintext, session.slots(wire).unwrap());
    for mut slot in slots {
        let (part, behind) = rest.split_at(slot.len().min(rest.len()));
        slot[..part.len()].copy_from_slice(part);
        rest = behind;
    }
    let count = plaintext.len() - rest.len();
    session.seal(count, wire).unwrap();
}

#[test]
fn with_tls_12_a_session_ends_when_its_keys_are_used_up() {
    let mut pair = established("TLSv1_2");
    wears_out(&mut pair, 2);
    pair.client.encrypt(&[7; 20_000]);
    let session = &mut pair.client.session;
    assert!(session.encrypt(b"x", &mut pair.client.wire).is_err());
    assert!(session.encrypt(b"x", &mut pair.client.wire).is_err());
    pair.settle();
    assert_eq!(pair.server.plain, [7; 20_000]);
    assert_eq!(pair.server.result, Ok(Step::PeerClosed));
}
