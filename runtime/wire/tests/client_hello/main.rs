//! The ClientHello parser against hellos of real clients, against a builder, and against noise.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod bad;
mod build;
mod properties;
mod real;

use wire::client_hello::{ClientHello, MAX_FLIGHT_BYTES, Progress, Refusal, parse};

/// The hello in `bytes`, which must be whole.
fn complete(bytes: &[u8]) -> ClientHello {
    match parse(bytes) {
        Ok(Progress::Complete(hello)) => hello,
        other => panic!("not a whole hello: {other:?}"),
    }
}

/// The server name in `bytes`, or an empty text.
fn name(bytes: &[u8]) -> String {
    complete(bytes)
        .server_name
        .map(|name| name.to_string())
        .unwrap_or_default()
}

/// The first result that is not `NeedMore` when the bytes come one at a time, and after how many of them.
fn one_by_one(bytes: &[u8]) -> (usize, Result<Progress, Refusal>) {
    for end in 0..=bytes.len() {
        match parse(&bytes[..end]) {
            Ok(Progress::NeedMore) => assert!(end < MAX_FLIGHT_BYTES),
            decided => return (end, decided),
        }
    }
    (bytes.len(), Ok(Progress::NeedMore))
}
