//! A first flight: no panic, and the same result in pieces as at once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::client_hello::{MAX_FLIGHT_BYTES, Progress, ServerName, parse};

fuzz_target!(|bytes: &[u8]| {
    let whole = parse(bytes);
    // Every byte of a small hello, a few hundred places in a large one.
    let step = 1 + bytes.len() / 500;
    let decided = (0..=bytes.len())
        .step_by(step)
        .find_map(|end| match parse(&bytes[..end]) {
            Ok(Progress::NeedMore) => None,
            decided => Some(decided),
        });
    assert_eq!(decided.unwrap_or_else(|| whole.clone()), whole);

    match whole {
        Ok(Progress::NeedMore) => assert!(bytes.len() < MAX_FLIGHT_BYTES),
        Ok(Progress::Complete(hello)) => {
            if let Some(name) = hello.server_name {
                assert_eq!(ServerName::new([name.as_str().as_bytes()]), Ok(name));
            }
            assert!(hello.alpn.iter().all(|protocol| !protocol.is_empty()));
            assert!(hello.alpn.iter().count() <= usize::from(hello.alpn.offered()));
        }
        Err(refusal) => assert!(!refusal.to_string().is_empty()),
    }
});
