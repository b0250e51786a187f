//! The responses of a connection: no panic, and the same bodies in pieces as at once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::http1::{Error, Part, Responses};

/// Statuses and bodies up to the end or the error.
fn read(stream: &[u8], length: usize) -> (Vec<u16>, Vec<u8>, Option<Error>) {
    let (mut statuses, mut bodies) = (Vec::new(), Vec::new());
    let mut responses = Responses::new();
    let mut taken = 0;
    let mut end = 0;
    loop {
        match responses.next(&stream[taken..end]) {
            Ok((length, part)) => {
                taken += length;
                match part {
                    Part::Head(head) => statuses.push(head.status),
                    Part::Body(body) => bodies.extend_from_slice(body),
                    Part::End { .. } => bodies.push(0),
                    Part::More if length > 0 => {}
                    Part::More if end == stream.len() => break,
                    Part::More => end = stream.len().min(end + length.max(1)),
                }
            }
            Err(error) => return (statuses, bodies, Some(error)),
        }
        if end < stream.len() && taken == end {
            end = stream.len().min(end + length);
        }
    }
    (statuses, bodies, responses.closed(&stream[taken..]).err())
}

fuzz_target!(|bytes: &[u8]| {
    let whole = read(bytes, bytes.len().max(1));
    assert_eq!(read(bytes, 1), whole);
});
