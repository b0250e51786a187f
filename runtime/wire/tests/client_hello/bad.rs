//! Each refusal by its name, and the odd hellos that are good.

use super::build::{Hello, alpn, handshake, records, sni, vector16};
use super::{complete, name};
use wire::client_hello::{
    MAX_CLIENT_HELLO_BYTES, MAX_FLIGHT_BYTES, MAX_RECORDS, Progress, Refusal, parse,
};

fn refused(hello: &Hello) -> Refusal {
    match parse(&hello.flight()) {
        Err(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn malformed(hello: &Hello) -> &'static str {
    match refused(hello) {
        Refusal::Malformed(what) => what,
        other => panic!("refused as {other:?}"),
    }
}

#[test]
fn a_hello_without_a_name_is_whole_and_has_none() {
    let bare = Hello {
        extensions: None,
        ..Hello::default()
    };
    for hello in [
        bare,
        Hello::default(),
        Hello::default().with(0, sni(&[(9, b"else")])),
    ] {
        assert_eq!(complete(&hello.flight()).server_name, None);
    }
}

#[test]
fn the_name_is_given_in_lower_case() {
    assert_eq!(
        name(&Hello::asking(b"Web.Default.DC1").flight()),
        "web.default.dc1"
    );
}

#[test]
fn odd_names_are_refused() {
    let long = [b'a'; 256];
    let odd: &[&[u8]] = &[
        b"",
        b"a b",
        b"a\0b",
        b"a~b",
        b"a.",
        b".a",
        b"a/b",
        b"a:1",
        b"[::1]",
        "é".as_bytes(),
        b"*.a",
        &long,
    ];
    for bytes in odd {
        assert_eq!(
            refused(&Hello::asking(bytes)),
            Refusal::OddServerName,
            "{bytes:?}"
        );
    }
}

#[test]
fn grease_ech_and_unknown_extensions_are_passed_over() {
    let hello = Hello::default()
        .with(0x0a0a, vec![])
        .with(0xfe0d, vec![0; 200])
        .with(0, sni(&[(0, b"outer.name")]))
        .with(0x1a1a, vec![0]);
    assert_eq!(name(&hello.flight()), "outer.name");
}

#[test]
fn the_host_name_is_found_among_names_of_other_types() {
    let list = sni(&[(1, b"\xff\xfe"), (0, b"web"), (2, b"")]);
    assert_eq!(name(&Hello::default().with(0, list).flight()), "web");
}

#[test]
fn two_host_names_are_refused() {
    let list = sni(&[(0, b"web"), (0, b"web")]);
    assert_eq!(
        malformed(&Hello::default().with(0, list)),
        "there are two host names in the SNI"
    );
    let twice = Hello::asking(b"web").with(0, sni(&[(0, b"db")]));
    assert_eq!(malformed(&twice), "an extension is there twice");
}

#[test]
fn duplicates_of_any_extension_are_refused() {
    let hello = Hello::asking(b"web")
        .with(77, vec![])
        .with(78, vec![])
        .with(77, vec![1]);
    assert_eq!(malformed(&hello), "an extension is there twice");
}

#[test]
fn more_extensions_than_a_client_sends_are_refused() {
    let many = |count| {
        (1..count).fold(Hello::asking(b"web"), |hello, kind| {
            hello.with(kind + 100, vec![])
        })
    };
    assert_eq!(name(&many(64).flight()), "web");
    assert_eq!(malformed(&many(65)), "there are more than 64 extensions");
}

#[test]
fn sni_lists_that_do_not_add_up_are_refused() {
    let good = sni(&[(0, b"web")]);
    let cases = [
        (vec![], "the SNI list runs past its extension"),
        (vec![0, 0], "the SNI list is empty"),
        ([&good[..], &[0]].concat(), "bytes follow the SNI list"),
        (
            good[..good.len() - 1].to_vec(),
            "the SNI list runs past its extension",
        ),
        (vector16(&[0]), "an SNI entry runs past its list"),
        (
            vector16(&[0, 0, 2, b'a']),
            "an SNI entry runs past its list",
        ),
    ];
    for (content, what) in cases {
        assert_eq!(malformed(&Hello::default().with(0, content)), what);
    }
}

#[test]
fn alpn_lists_that_do_not_add_up_are_refused() {
    let good = alpn(&["h2"]);
    let cases = [
        (vec![], "the ALPN list runs past its extension"),
        (vec![0, 0], "the ALPN list is empty"),
        ([&good[..], &[0]].concat(), "bytes follow the ALPN list"),
        (alpn(&[""]), "an ALPN name is empty"),
        (
            vector16(&[3, b'h', b'2']),
            "an ALPN name runs past its list",
        ),
    ];
    for (content, what) in cases {
        assert_eq!(malformed(&Hello::default().with(16, content)), what);
    }
}

#[test]
fn protocols_are_kept_up_to_the_first_that_does_not_fit() {
    let long = "x".repeat(120);
    let hello = complete(
        &Hello::default()
            .with(16, alpn(&["h2", &long, "h3", &long]))
            .flight(),
    );
    assert!(
        hello
            .alpn
            .iter()
            .eq([b"h2".as_slice(), long.as_bytes(), b"h3"])
    );
    assert_eq!(hello.alpn.offered(), 4);
    let hello = complete(
        &Hello::default()
            .with(16, alpn(&[&long, &long, "h2"]))
            .flight(),
    );
    assert!(hello.alpn.iter().eq([long.as_bytes()]));
    assert_eq!(hello.alpn.offered(), 3);
}

#[test]
fn fields_that_do_not_add_up_are_refused() {
    let session = Hello {
        session: vec![0; 33],
        ..Hello::default()
    };
    assert_eq!(
        malformed(&session),
        "the session id is longer than 32 bytes"
    );
    for suites in [vec![], vec![0x13]] {
        let hello = Hello {
            suites,
            ..Hello::default()
        };
        assert_eq!(
            malformed(&hello),
            "the cipher suites are not a list of pairs of bytes"
        );
    }
    let compression = Hello {
        compression: vec![],
        ..Hello::default()
    };
    assert_eq!(malformed(&compression), "there are no compression methods");
}

#[test]
fn a_hello_cut_short_with_matching_lengths_is_refused() {
    // Whatever is cut off the body, the headers say the message is whole: a refusal, but at the two ends that are good.
    let body = &Hello::asking(b"web").message()[4..];
    let bare = 2 + 32 + 33 + 4 + 2;
    for end in 0..body.len() {
        let result = parse(&records(&handshake(1, &body[..end]), &[]));
        assert_eq!(
            matches!(result, Err(Refusal::Malformed(_))),
            end != bare,
            "{end}: {result:?}"
        );
    }
    let longer = handshake(1, &[body, &[0]].concat());
    assert_eq!(
        parse(&records(&longer, &[])),
        Err(Refusal::Malformed("bytes follow the extensions"))
    );
}

#[test]
fn a_second_message_in_the_record_of_the_hello_is_refused() {
    let two = [Hello::asking(b"web").message(), vec![0]].concat();
    let excess = Err(Refusal::Malformed("bytes follow the hello in its record"));
    assert_eq!(parse(&records(&two, &[])), excess);
    assert_eq!(parse(&records(&two, &[10, 20])), excess);
}

#[test]
fn what_follows_in_records_of_its_own_is_not_looked_at() {
    let flight = [Hello::asking(b"web").flight(), b"early data, say".to_vec()].concat();
    assert_eq!(name(&flight), "web");
}

#[test]
fn a_record_of_another_type_inside_the_hello_is_refused() {
    let mut flight = records(&Hello::asking(b"web").message(), &[20]);
    flight[25] = 20;
    let what = "a record of another type interrupts the hello";
    assert_eq!(parse(&flight), Err(Refusal::Malformed(what)));
    flight[25..27].copy_from_slice(&[22, 2]);
    let what = "a record has a version that is not TLS";
    assert_eq!(parse(&flight), Err(Refusal::Malformed(what)));
}

#[test]
fn any_minor_version_of_the_record_is_accepted() {
    for minor in 0..=255 {
        let mut flight = Hello::asking(b"web").flight();
        flight[2] = minor;
        assert_eq!(name(&flight), "web");
    }
}

#[test]
fn a_hello_whose_own_version_is_not_tls_is_refused() {
    let mut flight = Hello::asking(b"web").flight();
    flight[9] = 2;
    assert_eq!(
        parse(&flight),
        Err(Refusal::Malformed(
            "the hello has a version that is not TLS"
        ))
    );
}

/// A hello whose message is exactly this long.
fn of_length(length: usize) -> Hello {
    let padded = |padding| Hello::asking(b"web").with(21, vec![0; padding]);
    padded(length - padded(0).message().len())
}

#[test]
fn the_longest_hello_in_the_most_records_is_read_and_fills_the_buffer() {
    let message = of_length(MAX_CLIENT_HELLO_BYTES).message();
    assert_eq!(message.len(), MAX_CLIENT_HELLO_BYTES);
    let flight = records(&message, &[256; MAX_RECORDS - 1]);
    assert_eq!(flight.len(), MAX_FLIGHT_BYTES);
    assert_eq!(name(&flight), "web");
    assert_eq!(
        parse(&flight[..MAX_FLIGHT_BYTES - 1]),
        Ok(Progress::NeedMore)
    );

    let longer = of_length(MAX_CLIENT_HELLO_BYTES + 1).message();
    assert_eq!(parse(&records(&longer, &[256])), Err(Refusal::TooLong));
}

#[test]
fn one_record_more_than_the_most_is_refused() {
    let message = Hello::asking(b"web").message();
    assert_eq!(name(&records(&message, &[1; MAX_RECORDS - 1])), "web");
    assert_eq!(
        parse(&records(&message, &[1; MAX_RECORDS])),
        Err(Refusal::TooFragmented)
    );
}

#[test]
fn refusals_say_what_to_check() {
    let refusals = [
        Refusal::Malformed("x"),
        Refusal::NotClientHello,
        Refusal::NotTls,
        Refusal::OddServerName,
        Refusal::TooFragmented,
        Refusal::TooLong,
    ];
    for refusal in refusals {
        assert!(refusal.to_string().contains("check "), "{refusal}");
    }
    let fragmented = Refusal::TooFragmented.to_string();
    assert!(fragmented.contains(&format!("more than {MAX_RECORDS} records")));
}
