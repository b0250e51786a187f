//! Properties over built hellos, damaged hellos and noise.

use super::build::{Hello, alpn, records, sni};
use super::{complete, one_by_one};
use proptest::prelude::*;
use wire::client_hello::{Progress, Refusal, parse};

fn hellos() -> impl Strategy<Value = Hello> {
    let extensions = proptest::collection::btree_map(
        (20_u16..).prop_filter("not one that is read", |kind| *kind != 16),
        proptest::collection::vec(any::<u8>(), 0..40),
        0..6,
    );
    (proptest::collection::vec(any::<u8>(), 0..=32), extensions).prop_map(
        |(session, extensions)| Hello {
            session,
            extensions: Some(extensions.into_iter().collect()),
            ..Hello::default()
        },
    )
}

fn names() -> impl Strategy<Value = String> {
    "[A-Za-z0-9_-]{1,60}(\\.[A-Za-z0-9_-]{1,30}){0,5}"
}

/// Record lengths, small ones so that headers fall into every field.
fn cuts() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(1_usize..60, 0..40)
}

proptest! {
    #[test]
    fn what_was_built_is_read(
        hello in hellos(),
        name in names(),
        protocols in proptest::collection::vec("[!-~]{1,20}", 1..5),
        at in any::<prop::sample::Index>(),
        cuts in cuts(),
    ) {
        let mut hello = hello.with(16, alpn(&protocols));
        let list = hello.extensions.as_mut().unwrap();
        list.insert(at.index(list.len() + 1), (0, sni(&[(0, name.as_bytes())])));

        let read = complete(&records(&hello.message(), &cuts));
        prop_assert_eq!(read.server_name.unwrap().to_string(), name.to_ascii_lowercase());
        prop_assert!(read.alpn.iter().eq(protocols.iter().map(String::as_bytes)));
        prop_assert_eq!(usize::from(read.alpn.offered()), protocols.len());
    }

    #[test]
    fn a_hello_is_whole_at_its_last_byte_wherever_it_is_split(
        name in names(),
        cuts in cuts(),
        tail in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let flight = records(&Hello::asking(name.as_bytes()).message(), &cuts);
        let whole = parse(&[&flight[..], &tail].concat());
        prop_assert!(matches!(whole, Ok(Progress::Complete(_))));
        prop_assert_eq!(one_by_one(&flight), (flight.len(), whole));
    }

    #[test]
    fn damage_is_read_the_same_byte_by_byte_as_at_once(
        name in names(),
        cuts in cuts(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut flight = records(&Hello::asking(name.as_bytes()).message(), &cuts);
        for (at, byte) in damage {
            let at = at.index(flight.len());
            flight[at] = byte;
        }
        prop_assert_eq!(one_by_one(&flight).1, parse(&flight));
    }

    #[test]
    fn noise_behind_a_good_start_is_read_the_same_byte_by_byte_as_at_once(
        start in 0_usize..20,
        noise in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let flight = Hello::asking(b"web").flight();
        let bytes = [&flight[..start], &noise].concat();
        prop_assert_eq!(one_by_one(&bytes).1, parse(&bytes));
    }

    #[test]
    fn what_does_not_start_as_tls_is_refused_at_once(first in any::<u8>(), noise in any::<[u8; 4]>()) {
        prop_assume!(first != 22);
        prop_assert_eq!(parse(&[first]), Err(Refusal::NotTls));
        prop_assert_eq!(parse(&[&[first], &noise[..]].concat()), Err(Refusal::NotTls));
    }
}
