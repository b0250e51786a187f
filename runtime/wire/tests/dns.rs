//! Responses against a builder that writes records the plain way, and against noise.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use wire::dns::{
    Answer, Edns, Error, Family, HostName, MAX_ADDRESSES, MAX_ALIASES, Query, hosts, resolv_conf,
};

const ID: u16 = 0x1234;

fn query(name: &str, family: Family) -> Query {
    Query::new(ID, &HostName::new(name).unwrap(), family)
}

/// A name without compression.
fn name(text: &str) -> Vec<u8> {
    let labels = text.split('.').filter(|label| !label.is_empty());
    let mut out = labels
        .flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat())
        .collect::<Vec<u8>>();
    out.push(0);
    out
}

fn record(owner: &[u8], kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut out = owner.to_vec();
    out.extend(kind.to_be_bytes());
    out.extend(1_u16.to_be_bytes());
    out.extend(ttl.to_be_bytes());
    out.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    out.extend(data);
    out
}

fn a(owner: &str, ttl: u32, last: u8) -> Vec<u8> {
    record(&name(owner), 1, ttl, &[10, 0, 0, last])
}

fn cname(owner: &str, ttl: u32, target: &str) -> Vec<u8> {
    record(&name(owner), 5, ttl, &name(target))
}

/// A response with these flags to a question for the A records of `asked`.
fn with_flags(flags: u16, asked: &str, records: &[Vec<u8>]) -> Vec<u8> {
    let mut out = ID.to_be_bytes().to_vec();
    out.extend(flags.to_be_bytes());
    out.extend([0, 1]);
    out.extend(u16::try_from(records.len()).unwrap().to_be_bytes());
    out.extend([0; 4]);
    out.extend(name(asked));
    out.extend([0, 1, 0, 1]);
    out.extend(records.concat());
    out
}

fn response(asked: &str, records: &[Vec<u8>]) -> Vec<u8> {
    with_flags(0x8180, asked, records)
}

fn read(records: &[Vec<u8>]) -> Result<(Vec<String>, u32), Error> {
    let Answer {
        addresses,
        ttl_seconds,
    } = query("gw", Family::V4).read(&response("gw", records))?;
    Ok((
        addresses.iter().map(IpAddr::to_string).collect(),
        ttl_seconds,
    ))
}

#[test]
fn addresses_come_in_order_with_the_least_ttl() {
    let answer = read(&[a("gw", 60, 1), a("GW", 30, 2), a("other", 1, 3)]);
    assert_eq!(answer, Ok((vec!["10.0.0.1".into(), "10.0.0.2".into()], 30)));
}

#[test]
fn ipv6_addresses_are_read_when_they_were_asked_for() {
    let mut bytes = response(
        "gw",
        &[a("gw", 9, 1), record(&name("gw"), 28, 7, &[0x20; 16])],
    );
    let question = 12 + name("gw").len();
    bytes[question + 1] = 28;
    let answer = query("gw", Family::V6).read(&bytes).unwrap();
    assert_eq!(answer.addresses, [IpAddr::V6(Ipv6Addr::from([0x20; 16]))]);
    assert_eq!(answer.ttl_seconds, 7);
}

#[test]
fn aliases_are_followed_in_any_order_and_their_ttl_counts() {
    let mut records = [
        cname("gw", 50, "b.example"),
        cname("B.example", 20, "c"),
        a("c", 60, 1),
    ];
    for _ in 0..3 {
        records.rotate_left(1);
        assert_eq!(read(&records), Ok((vec!["10.0.0.1".into()], 20)));
    }
}

#[test]
fn an_alias_may_be_compressed() {
    // The target is `x` and a pointer to the name in the question.
    let alias = record(&[0xc0, 12], 5, 5, b"\x01x\xc0\x0c");
    assert_eq!(
        read(&[alias, a("x.gw", 9, 1)]),
        Ok((vec!["10.0.0.1".into()], 5))
    );
}

#[test]
fn an_alias_that_does_not_end_with_its_record_is_refused() {
    let alias = record(&name("gw"), 5, 5, b"\x01x\0\0");
    let what = "an alias does not end where its record does";
    assert_eq!(read(&[alias]), Err(Error::Malformed(what)));
}

#[test]
fn rings_and_long_chains_of_aliases_end() {
    assert_eq!(read(&[cname("gw", 1, "gw")]), Err(Error::TooManyAliases));
    let chain = |length: usize| {
        let mut records = vec![cname("gw", 1, "n1")];
        records.extend((1..length).map(|n| cname(&format!("n{n}"), 1, &format!("n{}", n + 1))));
        records.push(a(&format!("n{length}"), 1, 1));
        records
    };
    assert!(read(&chain(MAX_ALIASES)).is_ok());
    assert_eq!(read(&chain(MAX_ALIASES + 1)), Err(Error::TooManyAliases));
    assert!(
        Error::TooManyAliases
            .to_string()
            .contains(&format!("more than {MAX_ALIASES} "))
    );
}

#[test]
fn a_name_without_addresses_has_none() {
    assert_eq!(read(&[]), Err(Error::NoAddress));
    assert_eq!(
        read(&[cname("gw", 1, "b"), a("c", 1, 1)]),
        Err(Error::NoAddress)
    );
    let mut other_class = a("gw", 1, 1);
    other_class[7] = 3;
    assert_eq!(read(&[other_class]), Err(Error::NoAddress));
}

#[test]
fn addresses_past_the_bound_are_left_out() {
    let records = (0..40).map(|n| a("gw", 5, n)).collect::<Vec<_>>();
    assert_eq!(read(&records).unwrap().0.len(), MAX_ADDRESSES);
}

#[test]
fn an_address_of_another_length_is_refused() {
    let what = "an address record has another length";
    for data in [&[10, 0, 0][..], &[10, 0, 0, 1, 1]] {
        assert_eq!(
            read(&[record(&name("gw"), 1, 5, data)]),
            Err(Error::Malformed(what))
        );
    }
}

#[test]
fn a_ttl_with_the_high_bit_counts_as_zero() {
    assert_eq!(read(&[a("gw", 0x8000_0000, 1)]).unwrap().1, 0);
    assert_eq!(read(&[a("gw", 0x7fff_ffff, 1)]).unwrap().1, 0x7fff_ffff);
}

#[test]
fn what_belongs_to_another_query_is_stray() {
    let good = response("gw", &[a("gw", 5, 1)]);
    let broken = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        query("gw", Family::V4).read(&bytes)
    };
    let question = 12 + name("gw").len();
    // The id, then QR, then the opcode, then the name, the type and the class that were asked for.
    let places = [
        (1, 0x35),
        (2, 0x01),
        (2, 0x91),
        (13, b'h'),
        (question + 1, 28),
        (question + 3, 3),
    ];
    for (at, byte) in places {
        assert!(matches!(broken(at, byte), Err(Error::Stray(_))), "{at}");
    }
    assert!(broken(13, b'G').is_ok());
}

#[test]
fn failures_of_the_server_are_told_apart() {
    let answer = |flags| query("gw", Family::V4).read(&with_flags(flags, "gw", &[a("gw", 5, 1)]));
    assert_eq!(answer(0x8183), Err(Error::NoSuchName));
    assert_eq!(answer(0x8182), Err(Error::ServerFailure(2)));
    assert_eq!(answer(0x8185), Err(Error::ServerFailure(5)));
    assert_eq!(answer(0x8380), Err(Error::Truncated));
}

#[test]
fn a_failure_may_come_as_a_bare_header_but_an_answer_may_not() {
    let header = |code: u8| [&[0x12, 0x34, 0x81, 0x80 | code][..], &[0; 8]].concat();
    assert_eq!(
        query("gw", Family::V4).read(&header(1)),
        Err(Error::ServerFailure(1))
    );
    assert!(matches!(
        query("gw", Family::V4).read(&header(0)),
        Err(Error::Malformed(_))
    ));
}

fn names() -> impl Strategy<Value = String> {
    "[A-Za-z_-][A-Za-z0-9_-]{0,20}(\\.[A-Za-z_-][A-Za-z0-9_-]{0,20}){0,4}"
}

proptest! {
    #[test]
    fn the_question_is_repeated_and_the_answer_read(
        id in any::<u16>(),
        host in names(),
        octets in proptest::collection::vec(any::<[u8; 4]>(), 1..16),
        ttl in 0..0x8000_0000_u32,
    ) {
        let query = Query::new(id, &HostName::new(&host).unwrap(), Family::V4);
        // A server keeps the question and adds records that point to its name.
        let mut bytes = query.message(Edns::Omitted).to_vec();
        bytes[2] |= 0x80;
        bytes[7] = u8::try_from(octets.len()).unwrap();
        for data in &octets {
            bytes.extend(record(&[0xc0, 12], 1, ttl, data));
        }
        let answer = query.read(&bytes).unwrap();
        prop_assert!(answer.addresses.iter().eq(octets.iter().map(|o| IpAddr::V4(Ipv4Addr::from(*o))).collect::<Vec<_>>().iter()));
        prop_assert_eq!(answer.ttl_seconds, ttl);
    }

    #[test]
    fn a_response_cut_anywhere_is_an_error(end in any::<prop::sample::Index>()) {
        let bytes = response("gw", &[cname("gw", 50, "b"), a("b", 60, 1)]);
        let result = query("gw", Family::V4).read(&bytes[..end.index(bytes.len())]);
        prop_assert!(matches!(result, Err(Error::Malformed(_))));
    }

    #[test]
    fn damage_and_noise_cause_no_panic(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        noise in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut bytes = response("gw", &[cname("gw", 50, "b"), a("b", 60, 1)]);
        for (at, byte) in damage {
            let at = at.index(bytes.len() - 6) + 6;
            bytes[at] = byte;
        }
        bytes.extend(&noise);
        if let Ok(answer) = query("gw", Family::V4).read(&bytes) {
            prop_assert!(!answer.addresses.is_empty());
        }
    }

    #[test]
    fn any_text_of_resolv_conf_gives_something_usable(text in "(nameserver|options|search|[a-z:0-9.%# \n\t;]){0,60}") {
        let conf = resolv_conf::parse(&text);
        prop_assert!(!conf.nameservers.is_empty());
        prop_assert!((1..=30).contains(&conf.timeout_seconds) && (1..=5).contains(&conf.attempts));
    }

    #[test]
    fn an_entry_of_hosts_is_found_among_others(
        host in names(),
        address in any::<[u8; 4]>(),
        before in "([ -~]{0,30}\n){0,4}",
    ) {
        let address = IpAddr::V4(Ipv4Addr::from(address));
        let text = format!("{before}{address} other {host}\n");
        prop_assert!(hosts::lookup(&text, &HostName::new(&host).unwrap()).contains(&address));
    }
}
