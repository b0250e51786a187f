//! The stream of an established session: pieces of any size, closing, key updates, nonsense.

use proptest::prelude::*;
use tls::{Error, Outgoing, Session, Step};

use crate::{
    mesh::{Authority, End, Pair, TD, client, id, only, options, rsa_key, server, uri},
    stranger::StrangeClient,
};

const VERSIONS: [&str; 2] = ["TLSv1_2", "TLSv1_3"];

fn pair(version: &str) -> Pair {
    let root = Authority::root("root");
    let options = only(version);
    Pair::new(
        &client(&root, &root.leaf(TD, "web"), &options),
        &server(&root, &options),
    )
}

fn established(version: &str) -> Pair {
    let mut pair = pair(version);
    pair.settle();
    pair.assert_talks();
    pair
}

fn noise(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 7 + at / 251) as u8).collect()
}

#[test]
fn a_handshake_and_data_byte_by_byte() {
    for version in VERSIONS {
        let mut pair = pair(version);
        pair.settle_in(&mut |_| 1);
        assert_eq!(pair.server.result, Ok(Step::Established), "{version}");
        let sent = noise(40_000);
        pair.client.encrypt(&sent);
        pair.server.encrypt(&sent);
        pair.settle_in(&mut |_| 1);
        assert_eq!(pair.server.plain, sent);
        assert_eq!(pair.client.plain, sent);
        assert!(!pair.server.session.is_partial());
        assert!(!pair.client.session.is_partial());
    }
}

#[test]
fn many_records_go_out_in_one_call() {
    for version in VERSIONS {
        let mut pair = established(version);
        let sent = noise(200_000);
        pair.client.encrypt(&sent);
        let wire = pair.client.take_wire();
        let records = 200_000_usize.div_ceil(16_384);
        assert!(wire.len() <= sent.len() + records * 29, "{}", wire.len());
        pair.server.receive(&wire);
        assert_eq!(pair.server.plain, sent);
        pair.client.encrypt(b"");
        assert!(pair.client.take_wire().is_empty());
    }
}

/// Whoever decides whether the peer may talk decides before any of its data is out.
#[test]
fn data_that_comes_with_the_end_of_the_handshake_waits() {
    for version in VERSIONS {
        let mut pair = pair(version);
        // Up to the client's last flight, in which its data travels too.
        loop {
            let up = pair.client.take_wire();
            let done = pair.client.result == Ok(Step::Established);
            if done {
                pair.client.encrypt(b"early bird");
            }
            let more = [up, pair.client.take_wire()].concat();
            pair.server.receive(&more);
            if pair.server.result == Ok(Step::Established) {
                break;
            }
            let down = pair.server.take_wire();
            pair.client.receive(&down);
        }
        if version == "TLSv1_3" {
            assert_eq!(pair.server.plain, b"");
            assert!(pair.server.session.peer().is_some());
            // Writing first loses nothing.
            pair.server.encrypt(b"banner");
            pair.server.receive(&[]);
            assert_eq!(pair.server.plain, b"early bird");
            pair.settle();
            assert_eq!(pair.client.plain, b"banner");
        }
        assert!(!pair.server.session.is_partial());
    }
}

#[test]
fn either_end_may_close_first_and_the_other_goes_on() {
    for version in VERSIONS {
        let mut pair = established(version);
        pair.client.session.close(&mut pair.client.wire).unwrap();
        pair.client.session.close(&mut pair.client.wire).unwrap();
        assert!(
            pair.client
                .session
                .encrypt(b"x", &mut Outgoing::new())
                .is_err()
        );
        assert_eq!(
            pair.server.session.end_of_stream(),
            Err(Error::PeerTruncated)
        );
        pair.settle();
        assert_eq!(pair.server.result, Ok(Step::PeerClosed), "{version}");
        assert_eq!(pair.server.session.end_of_stream(), Ok(()));
        assert_eq!(pair.client.result, Ok(Step::Established));

        pair.server.encrypt(b"the rest");
        pair.server.session.close(&mut pair.server.wire).unwrap();
        pair.settle();
        assert_eq!(pair.client.plain, b"the rest");
        assert_eq!(pair.client.result, Ok(Step::PeerClosed));
    }
}

#[test]
fn data_close_and_bytes_behind_it_in_one_read() {
    for version in VERSIONS {
        let mut pair = established(version);
        pair.client.encrypt(b"last words");
        pair.client.session.close(&mut pair.client.wire).unwrap();
        let wire = [pair.client.take_wire(), b"whatever".to_vec()].concat();
        pair.server.receive(&wire);
        assert_eq!(pair.server.result, Ok(Step::PeerClosed));
        assert_eq!(pair.server.plain, b"last words");
        assert!(!pair.server.session.is_partial());
    }
}

/// rustls's own client as the other end: it can be told to renew its keys, and to offer protocols.
#[test]
fn key_updates_and_alpn_offers_are_taken() {
    let root = Authority::root("root");
    for (version, updates) in [("TLSv1_2", 0), ("TLSv1_3", 3)] {
        let mut config = StrangeClient::new(version, Some(&root.leaf(TD, "web"))).0;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let name = "a.test".try_into().unwrap();
        let mut theirs = rustls::ClientConnection::new(config.into(), name).unwrap();
        let mut ours = End::new(server(&root, &options()).accept().unwrap());
        exchange(&mut theirs, &mut ours);
        assert_eq!(*ours.peer().unwrap(), id(TD, "web"));
        assert_eq!(theirs.alpn_protocol(), None);
        for _ in 0..updates {
            theirs.refresh_traffic_keys().unwrap();
            std::io::Write::write_all(&mut theirs.writer(), b"after").unwrap();
            exchange(&mut theirs, &mut ours);
            ours.encrypt(b"answer");
            exchange(&mut theirs, &mut ours);
            let mut answer = [0; 6];
            std::io::Read::read_exact(&mut theirs.reader(), &mut answer).unwrap();
            assert_eq!(&answer, b"answer");
        }
        assert_eq!(ours.plain, b"after".repeat(updates));
    }
}

fn exchange(theirs: &mut rustls::ClientConnection, ours: &mut End) {
    loop {
        let mut up = Vec::new();
        while theirs.wants_write() {
            theirs.write_tls(&mut up).unwrap();
        }
        let down = ours.take_wire();
        if up.is_empty() && down.is_empty() {
            return;
        }
        ours.receive(&up);
        ours.receive(&[]);
        ours.result.clone().unwrap();
        let mut down = down.as_slice();
        while !down.is_empty() {
            theirs.read_tls(&mut down).unwrap();
            theirs.process_new_packets().unwrap();
        }
    }
}

#[test]
fn a_changed_byte_is_an_error_and_an_alert() {
    for version in VERSIONS {
        let mut pair = established(version);
        pair.client.encrypt(b"hello");
        let mut wire = pair.client.take_wire();
        *wire.last_mut().unwrap() ^= 1;
        pair.server.receive(&wire);
        assert!(matches!(pair.server.result, Err(Error::PeerProtocol(_))));
        let alert = pair.server.take_wire();
        pair.client.receive(&alert);
        assert!(
            pair.client.error().contains("BadRecordMac"),
            "{}",
            pair.client.error()
        );
        // Nothing works any more, and nothing panics.
        let session = &mut pair.server.session;
        assert!(session.encrypt(b"x", &mut Outgoing::new()).is_err());
        assert!(
            session
                .receive(&mut [], &mut Outgoing::new(), &mut |_| {})
                .is_err()
        );
        assert!(session.close(&mut Outgoing::new()).is_ok());
    }
}

#[test]
fn a_session_is_small() {
    assert!(size_of::<Session>() <= 80, "{}", size_of::<Session>());
    assert!(
        size_of::<Result<Step, Error>>() <= 64,
        "{}",
        size_of::<Result<Step, Error>>()
    );
}

#[test]
fn a_message_without_end_is_refused() {
    let root = Authority::root("root");
    let mut session = server(&root, &options()).accept().unwrap();
    let mut wire = Outgoing::new();
    // A ClientHello of 16 MiB, in whole records.
    let mut record = [&[22, 3, 1, 0x40, 0][..], &[0; 16_384]].concat();
    record[5..9].copy_from_slice(&[1, 0xff, 0xff, 0xff]);
    let mut fed = 0;
    let error = loop {
        fed += record.len();
        match session.receive(&mut record.clone(), &mut wire, &mut |_| {}) {
            Ok(_) => assert!(fed < 300_000),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, Error::PeerProtocol(_) | Error::PeerTooLong),
        "{error}"
    );
}

/// Nearly the longest message that there may be, of a client whose records hold so many bytes each.
fn offer_chain_of_64_kib(version: &str, record: usize) -> Result<Step, Error> {
    let root = Authority::root("root");
    let rsa = root.leaf_of(rsa_key(), &uri(TD, "web"), |_| {});
    let more: Vec<_> = (0..95).map(|_| rsa.chain.as_str()).collect();
    let leaf = rsa.clone().with(&more);
    let mut config = StrangeClient::new(version, Some(&leaf)).0;
    config.max_fragment_size = Some(record + 5);
    let name = "a.test".try_into().unwrap();
    let mut theirs = rustls::ClientConnection::new(config.into(), name).unwrap();
    let mut ours = End::new(server(&root, &options()).accept().unwrap());
    while ours.result == Ok(Step::Handshaking) {
        let mut up = Vec::new();
        while theirs.wants_write() {
            theirs.write_tls(&mut up).unwrap();
        }
        for part in up.chunks(16 * 1024) {
            ours.receive(part);
        }
        let down = ours.take_wire();
        let mut down = down.as_slice();
        while !down.is_empty() {
            theirs.read_tls(&mut down).unwrap();
            theirs.process_new_packets().unwrap();
        }
    }
    ours.result
}

#[test]
fn a_long_chain_fits_in_the_smallest_records_that_make_sense_and_in_no_smaller() {
    for version in VERSIONS {
        // Without the byte that TLS 1.3 adds, by which it counts too.
        for record in [64 - 1, 512, 16_384] {
            let result = offer_chain_of_64_kib(version, record);
            assert_eq!(result, Ok(Step::Established), "{version} {record}");
        }
    }
    let result = offer_chain_of_64_kib("TLSv1_3", 27);
    assert_eq!(result, Err(Error::PeerTooLong));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_split_gives_the_same_stream(
        sizes in prop::collection::vec(1..3_000_usize, 1..40),
        writes in prop::collection::vec(0..40_000_usize, 1..6),
        tls13 in any::<bool>(),
    ) {
        let mut pair = pair(VERSIONS[usize::from(tls13)]);
        let mut sizes = sizes.iter().copied().cycle();
        let mut size = move |_| sizes.next().unwrap();
        pair.settle_in(&mut size);
        prop_assert_eq!(pair.server.result.clone(), Ok(Step::Established));
        let mut sent = Vec::new();
        for count in writes {
            let bytes = noise(count);
            pair.client.encrypt(&bytes);
            sent.extend_from_slice(&bytes);
        }
        pair.client.session.close(&mut pair.client.wire).unwrap();
        pair.settle_in(&mut size);
        prop_assert_eq!(&pair.server.plain, &sent);
        prop_assert_eq!(pair.server.result, Ok(Step::PeerClosed));
    }

    #[test]
    fn garbage_never_panics(
        garbage in prop::collection::vec(any::<u8>(), 1..400),
        header in any::<bool>(),
        skip in 0..2_000_usize,
        tls13 in any::<bool>(),
        split in 1..400_usize,
    ) {
        let mut pair = pair(VERSIONS[usize::from(tls13)]);
        let mut bytes = garbage;
        if header {
            let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
            bytes.splice(0..0, [22 + u8::from(skip > 1_000), 3, 3, length[0], length[1]]);
        }
        // The handshake goes well for a while, then the garbage comes, to both.
        let mut left = skip;
        for _ in 0..4 {
            let (up, down) = (pair.client.take_wire(), pair.server.take_wire());
            for (wire, end) in [(up, &mut pair.server), (down, &mut pair.client)] {
                let good = wire.len().min(left);
                left -= good;
                end.receive(&wire[..good]);
                if good < wire.len() {
                    for part in bytes.chunks(split) {
                        end.receive(part);
                    }
                }
            }
        }
        let _ = pair.server.session.encrypt(b"x", &mut Outgoing::new());
        let _ = pair.client.session.close(&mut Outgoing::new());
    }
}
