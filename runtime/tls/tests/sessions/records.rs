//! Our records against rustls's, and against a peer whose records have the right keys and anything in them.

use std::io::{Cursor, Read as _, Write as _};

use proptest::prelude::*;
use rustls::{ClientConnection, Connection, ServerConnection, crypto::ring::default_provider};
use tls::{Error, Outgoing, Session, Step};

use crate::{
    forger::{ALERT, DATA, Forger, HANDSHAKE},
    mesh::{Authority, TD, client, options, server},
    stranger::{StrangeClient, StrangeServer},
};

/// A session of ours and rustls's own connection, established.
struct Beside {
    ours: Session,
    theirs: Connection,
    /// What ours has made and theirs has not read.
    down: Outgoing,
    got: Vec<u8>,
}

impl Beside {
    /// With the suite of this number in rustls's list, as the server or the client.
    fn new(suite: usize, is_server: bool) -> Self {
        let (root, mut provider) = (Authority::root("root"), default_provider());
        let suites = &mut provider.cipher_suites;
        suites.retain(|it| it.tls13().is_some() || format!("{it:?}").contains("ECDSA"));
        let suite = suites[suite % suites.len()];
        *suites = vec![suite];
        let version = match suite.tls13() {
            Some(_) => "TLSv1_3",
            None => "TLSv1_2",
        };
        let (ours, theirs) = if is_server {
            let web = root.leaf(TD, "web");
            let config = StrangeClient::with_provider(version, Some(&web), provider).0;
            let name = "a.test".try_into().unwrap();
            let theirs = ClientConnection::new(config.into(), name).unwrap();
            (server(&root, &options()).accept(), theirs.into())
        } else {
            let config = StrangeServer::with_provider(version, &root.leaf(TD, "db"), provider).0;
            let theirs = ServerConnection::new(config.into()).unwrap();
            let context = client(&root, &root.leaf(TD, "web"), &options());
            (context.connect(), theirs.into())
        };
        let mut beside = Self {
            ours: ours.unwrap(),
            theirs,
            down: Outgoing::new(),
            got: Vec::new(),
        };
        beside.theirs.set_buffer_limit(None);
        for _ in 0..6 {
            let up = beside.up();
            beside.give(&up);
            beside.take_down();
        }
        assert_eq!(beside.ours.step(), Step::Established);
        let negotiated = beside.ours.negotiated().unwrap().1;
        assert_eq!(negotiated, suite.suite());
        beside
    }

    /// What theirs has made.
    fn up(&mut self) -> Vec<u8> {
        let mut up = Vec::new();
        while self.theirs.wants_write() {
            self.theirs.write_tls(&mut up).unwrap();
        }
        up
    }

    /// Gives ours a read's worth: by the way without a copy, once that is open.
    fn give(&mut self, bytes: &[u8]) {
        if self.ours.step() == Step::Handshaking {
            let mut bytes = bytes.to_vec();
            let step = self.ours.receive(&mut bytes, &mut self.down, &mut |_| {});
            step.unwrap();
            return;
        }
        let mut buffer = vec![0xee; self.ours.room_in_front()];
        buffer.extend_from_slice(bytes);
        let count = self.ours.open(&mut buffer, &mut self.down).unwrap();
        self.got.extend_from_slice(&buffer[..count]);
    }

    fn take_down(&mut self) -> Vec<u8> {
        let (mut bytes, mut plain) = (Cursor::new(self.down.bytes()), Vec::new());
        while self.theirs.read_tls(&mut bytes).unwrap() > 0 {
            self.theirs.process_new_packets().unwrap();
            let mut piece = vec![0; 1 << 20];
            while let Ok(count @ 1..) = self.theirs.reader().read(&mut piece) {
                plain.extend_from_slice(&piece[..count]);
            }
        }
        self.down.clear();
        plain
    }

    /// Sends by the way without a copy, as much as fits; gives how much did.
    fn seal(&mut self, plaintext: &[u8]) -> usize {
        let slots = self.ours.slots(&mut self.down).unwrap();
        let mut rest = plaintext;
        for mut slot in slots {
            let (part, behind) = rest.split_at(slot.len().min(rest.len()));
            slot[..part.len()].copy_from_slice(part);
            rest = behind;
        }
        let count = plaintext.len() - rest.len();
        self.ours.seal(count, &mut self.down).unwrap();
        count
    }
}

#[derive(Clone, Debug)]
enum Act {
    Seal(usize),
    Encrypt(usize),
    Receive(usize, Vec<usize>),
    TheirNewKeys,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let size = prop_oneof![0..300_usize, 16_300..16_500_usize, 0..200_000_usize];
    let splits = prop::collection::vec(1..60_000_usize, 1..8);
    let act = prop_oneof![
        3 => size.clone().prop_map(Act::Seal),
        1 => size.clone().prop_map(Act::Encrypt),
        3 => (size, splits).prop_map(|(size, splits)| Act::Receive(size, splits)),
        1 => Just(Act::TheirNewKeys),
    ];
    prop::collection::vec(act, 1..12)
}

fn noise(bytes: usize, seed: usize) -> Vec<u8> {
    (0..bytes)
        .map(|at| (at * 7 + at / 251 + seed) as u8)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rustls_reads_ours_and_ours_reads_rustls(
        suite in 0..6_usize,
        is_server in any::<bool>(),
        acts in acts(),
    ) {
        let mut beside = Beside::new(suite, is_server);
        for (seed, act) in acts.into_iter().enumerate() {
            match act {
                Act::Seal(size) => {
                    let sent = noise(size, seed);
                    let count = beside.seal(&sent);
                    prop_assert_eq!(beside.take_down(), &sent[..count]);
                }
                Act::Encrypt(size) => {
                    let sent = noise(size, seed);
                    beside.ours.encrypt(&sent, &mut beside.down).unwrap();
                    prop_assert_eq!(beside.take_down(), sent);
                }
                Act::Receive(size, splits) => {
                    let sent = noise(size, seed);
                    beside.theirs.writer().write_all(&sent).unwrap();
                    let up = beside.up();
                    let (mut rest, mut splits) = (up.as_slice(), splits.into_iter().cycle());
                    while !rest.is_empty() {
                        let most = splits.next().unwrap().min(rest.len());
                        beside.give(&rest[..most]);
                        rest = &rest[most..];
                    }
                    prop_assert!(!beside.ours.is_partial());
                    prop_assert_eq!(std::mem::take(&mut beside.got), sent);
                }
                // TLS 1.2 has none.
                Act::TheirNewKeys => drop(beside.theirs.refresh_traffic_keys()),
            }
        }
        beside.theirs.send_close_notify();
        let up = beside.up();
        beside.give(&up);
        prop_assert_eq!(beside.ours.step(), Step::PeerClosed);
    }

    /// Whatever a record holds, the outcome is data, nothing, or an error, and the alert can be read.
    #[test]
    fn no_content_of_records_is_too_strange(
        records in prop::collection::vec(
            (
                prop_oneof![Just(ALERT), Just(HANDSHAKE), Just(DATA), any::<u8>()],
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..40),
                    (any::<u8>(), 0..9_u8).prop_map(|(kind, length)| {
                        [vec![kind, 0, 0, length], vec![1; usize::from(length)]].concat()
                    }),
                    Just(vec![24, 0, 0, 1, 0]),
                    Just(vec![24, 0, 0, 1, 1]),
                ],
                0..40_usize,
            ),
            1..20,
        ),
    ) {
        let (mut forger, mut ours) = forged();
        let (mut wire, mut sent, mut got) = (Outgoing::new(), Vec::new(), Vec::new());
        for (kind, content, zeros) in records {
            let mut record = forger.record(kind, &content, zeros);
            match ours.receive(&mut record, &mut wire, &mut |plain| got.extend_from_slice(plain)) {
                Ok(Step::PeerClosed) | Err(_) => break,
                Ok(_) if kind == DATA => sent.extend_from_slice(&content),
                // The next records would need keys that the forger does not make.
                Ok(_) if kind == HANDSHAKE && content.starts_with(&[24]) => break,
                Ok(_) => {}
            }
        }
        prop_assert_eq!(got, sent);
        for (kind, content) in forger.read(wire.bytes()) {
            prop_assert_eq!((kind, content.len()), (ALERT, 2));
        }
    }
}

fn forged() -> (Forger, Session) {
    let root = Authority::root("root");
    let mut ours = server(&root, &options()).accept().unwrap();
    let config = StrangeClient::new("TLSv1_3", Some(&root.leaf(TD, "web"))).0;
    (Forger::meet(config, &mut ours), ours)
}

/// The alert that comes of these records, and what we say; `None` without an error.
fn alert_of(make: impl FnOnce(&mut Forger) -> Vec<u8>) -> Option<(u8, String)> {
    let (mut forger, mut ours) = forged();
    let (mut bytes, mut wire) = (make(&mut forger), Outgoing::new());
    let error = ours
        .receive(&mut bytes, &mut wire, &mut |_| {})
        .err()?
        .to_string();
    assert!(
        ours.receive(&mut [], &mut wire, &mut |_| {}).is_err(),
        "an error is final"
    );
    let said = forger.read(wire.bytes());
    let alert = match said.as_slice() {
        [(ALERT, alert)] => alert[1],
        [] => 0,
        other => panic!("{other:?}"),
    };
    Some((alert, error))
}

// RFC 8446 section 6.
const UNEXPECTED_MESSAGE: u8 = 10;
const BAD_RECORD_MAC: u8 = 20;
const RECORD_OVERFLOW: u8 = 22;
const ILLEGAL_PARAMETER: u8 = 47;
const DECODE_ERROR: u8 = 50;

#[test]
fn what_is_wrong_is_told_by_its_alert() {
    type Make = fn(&mut Forger) -> Vec<u8>;
    let cases: &[(u8, &str, Make)] = &[
        (BAD_RECORD_MAC, "a changed byte", |it| {
            let mut record = it.record(DATA, b"x", 0);
            record[5] ^= 1;
            record
        }),
        (BAD_RECORD_MAC, "twice the same", |it| {
            it.record(DATA, b"x", 0).repeat(2)
        }),
        (BAD_RECORD_MAC, "less than a tag", |_| {
            vec![DATA, 3, 3, 0, 1, 0]
        }),
        (RECORD_OVERFLOW, "too much data", |it| {
            it.record(DATA, &[1; 16_385], 0)
        }),
        (RECORD_OVERFLOW, "too much padding", |it| {
            it.record(DATA, &[1; 16_384], 1)
        }),
        (RECORD_OVERFLOW, "a header that is enough", |_| {
            vec![DATA, 3, 3, 0x41, 1]
        }),
        (UNEXPECTED_MESSAGE, "a record not encrypted", |_| {
            vec![HANDSHAKE, 3, 3, 0, 1, 0]
        }),
        (UNEXPECTED_MESSAGE, "zeros alone", |it| {
            it.sealed(vec![0; 9])
        }),
        (UNEXPECTED_MESSAGE, "nothing at all", |it| {
            it.sealed(Vec::new())
        }),
        (UNEXPECTED_MESSAGE, "no kind that there is", |it| {
            it.record(99, b"x", 0)
        }),
        (UNEXPECTED_MESSAGE, "a handshake of nothing", |it| {
            it.record(HANDSHAKE, b"", 0)
        }),
        (UNEXPECTED_MESSAGE, "empty ones without end", |it| {
            (0..40).flat_map(|_| it.record(DATA, b"", 0)).collect()
        }),
        (UNEXPECTED_MESSAGE, "data in a message", |it| {
            [it.record(HANDSHAKE, &[24, 0], 0), it.record(DATA, b"x", 0)].concat()
        }),
        (UNEXPECTED_MESSAGE, "a message behind new keys", |it| {
            it.record(HANDSHAKE, &[24, 0, 0, 1, 0, 24, 0, 0, 1, 0], 0)
        }),
        (UNEXPECTED_MESSAGE, "a request for a certificate", |it| {
            it.record(HANDSHAKE, &[13, 0, 0, 3, 0, 0, 0], 0)
        }),
        (UNEXPECTED_MESSAGE, "a ticket from a client", |it| {
            it.record(HANDSHAKE, &[4, 0, 0, 1, 0], 0)
        }),
        (ILLEGAL_PARAMETER, "new keys of no kind", |it| {
            it.record(HANDSHAKE, &[24, 0, 0, 1, 2], 0)
        }),
        (ILLEGAL_PARAMETER, "an alert of no level", |it| {
            it.record(ALERT, &[3, 80], 0)
        }),
        (DECODE_ERROR, "new keys of no length", |it| {
            it.record(HANDSHAKE, &[24, 0, 0, 0], 0)
        }),
        (DECODE_ERROR, "a message too long", |it| {
            it.record(HANDSHAKE, &[24, 1, 0, 0], 0)
        }),
        (DECODE_ERROR, "half an alert", |it| {
            it.record(ALERT, &[2], 0)
        }),
        (DECODE_ERROR, "no TLS", |_| b"GET / HTTP/1.1\r\n".to_vec()),
        // Answered by nothing.
        (0, "a fatal alert", |it| it.record(ALERT, &[2, 80], 0)),
    ];
    for (alert, name, make) in cases {
        let (said, error) = alert_of(make).unwrap_or_else(|| panic!("{name}: no error"));
        assert_eq!(said, *alert, "{name}: {error}");
    }
}

#[test]
fn what_is_odd_and_right_is_taken() {
    type Make = fn(&mut Forger) -> Vec<u8>;
    let cases: &[(&str, Make)] = &[
        ("all that a record holds", |it| {
            it.record(DATA, &[1; 16_384], 0)
        }),
        ("padding to the limit", |it| {
            it.record(DATA, &[1; 100], 16_284)
        }),
        ("empty records", |it| {
            let empty: Vec<u8> = (0..30).flat_map(|_| it.record(DATA, b"", 3)).collect();
            [empty, it.record(DATA, b"x", 0), it.record(DATA, b"", 0)].concat()
        }),
        ("a message in parts", |it| {
            let parts: [&[u8]; 4] = [&[24], &[0, 0], &[1], &[1]];
            parts
                .iter()
                .flat_map(|part| it.record(HANDSHAKE, part, 0))
                .collect()
        }),
        ("a warning that a user left", |it| {
            it.record(ALERT, &[1, 90], 0)
        }),
        ("a record that is not whole", |it| {
            it.record(DATA, b"x", 0)[..20].to_vec()
        }),
    ];
    for (name, make) in cases {
        assert_eq!(alert_of(make), None, "{name}");
    }
}

/// New keys are ours to make when they are asked for, before our next data, once however often they are asked for.
#[test]
fn new_keys_are_answered_by_new_keys() {
    let (mut forger, mut ours) = forged();
    let mut wire = Outgoing::new();
    let mut asks = forger.record(HANDSHAKE, &[24, 0, 0, 1, 1], 0);
    ours.receive(&mut asks, &mut wire, &mut |_| {}).unwrap();
    assert!(
        wire.is_empty(),
        "nothing goes out before there is something to say"
    );
    ours.encrypt(b"x", &mut wire).unwrap();
    // The update itself is under the old keys, and 5 + 5 + 1 + 16 bytes.
    let said = forger.read(&wire.bytes()[..27]);
    assert_eq!(said, [(HANDSHAKE, vec![24, 0, 0, 1, 0])]);
    assert_eq!(wire.len(), 27 + 5 + 1 + 1 + 16);
    let before = wire.len();
    ours.encrypt(b"x", &mut wire).unwrap();
    assert_eq!(wire.len() - before, 23);
    // What is still under the keys of before is not ours any more.
    let mut old = forger.record(DATA, b"x", 0);
    let error = ours.receive(&mut old, &mut wire, &mut |_| {}).unwrap_err();
    assert!(matches!(
        error,
        Error::PeerProtocol(rustls::Error::DecryptError)
    ));
}
