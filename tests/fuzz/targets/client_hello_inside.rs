//! The inside of a hello whose outer lengths are right, which chance seldom gives: no panic, and the same result in one
//! record as in several.
//!
//! The first byte says how deep the rest lies (the extensions, the content of the SNI, of the ALPN, the name itself),
//! the second how long the records are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::client_hello::{Progress, Refusal, ServerName, parse};

fuzz_target!(|bytes: &[u8]| {
    let [depth, record, content @ ..] = bytes else {
        return;
    };
    let extensions = match depth % 4 {
        0 => content.to_vec(),
        1 => extension(0, content),
        2 => extension(16, content),
        _ => extension(0, &vector(&[&[0], &vector(content)[..]].concat())),
    };
    // Version and random, no session, one cipher suite, no compression.
    let body = [
        &[3; 34][..],
        &[0, 0, 2, 0x13, 1, 1, 0],
        &vector(&extensions),
    ]
    .concat();
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
    let message = [&[1], &length[1..], &body].concat();

    let whole = parse(&records(&message, 1 << 14));
    assert_ne!(whole, Ok(Progress::NeedMore));
    let pieces = parse(&records(&message, 1 + usize::from(*record)));
    if pieces != Err(Refusal::TooFragmented) {
        assert_eq!(pieces, whole);
    }

    if depth % 4 == 3 && !content.is_empty() {
        let Ok(Progress::Complete(hello)) = whole else {
            assert_eq!(whole, Err(Refusal::OddServerName));
            return;
        };
        assert_eq!(hello.server_name, ServerName::new([content]).ok());
    }
});

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector(content)].concat()
}

fn vector(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes()[..], content].concat()
}

fn records(message: &[u8], length: usize) -> Vec<u8> {
    message
        .chunks(length)
        .flat_map(|part| [&[22, 3, 1], &vector(part)[..]].concat())
        .collect()
}
