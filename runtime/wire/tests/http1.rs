//! Responses of an HTTP/1.1 server, wherever the stream is cut.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that is wrong fails"
)]

use proptest::prelude::*;
use wire::http1::{Error, MAX_HEAD_BYTES, Part, Responses};

/// What was read of one response.
#[derive(Debug, Default, PartialEq)]
struct Response {
    status: u16,
    index: Option<String>,
    body: Vec<u8>,
    kept: bool,
}

/// The responses of a stream that comes in pieces of this length and then ends.
fn read(stream: &[u8], length: usize) -> Result<Vec<Response>, Error> {
    let mut responses = Responses::new();
    let (mut done, mut unread) = (Vec::new(), Vec::new());
    let mut now = Response::default();
    for piece in stream.chunks(length) {
        unread.extend_from_slice(piece);
        loop {
            let mut step = || {
                let (taken, part) = responses.next(&unread)?;
                let more = match part {
                    Part::More => taken == 0,
                    Part::Head(head) => {
                        now.status = head.status;
                        now.index = head.field("x-consul-index").map(str::to_owned);
                        false
                    }
                    Part::Body(body) => {
                        assert!(!body.is_empty());
                        now.body.extend_from_slice(body);
                        false
                    }
                    Part::End { kept } => {
                        now.kept = kept;
                        done.push(std::mem::take(&mut now));
                        false
                    }
                };
                Ok((taken, more))
            };
            let (taken, more) = step()?;
            unread.drain(..taken);
            if more {
                break;
            }
        }
    }
    if responses.closed(&unread)? {
        done.push(now);
    }
    Ok(done)
}

/// Reads it in one piece and in small ones, byte by byte unless it is long, which must give the same. A head is read anew
/// with each piece, so the work grows with the square of its length.
fn both(stream: &str) -> Result<Vec<Response>, Error> {
    let whole = read(stream.as_bytes(), stream.len().max(1));
    let piece = 1 + stream.len() / 1024;
    assert_eq!(read(stream.as_bytes(), piece), whole, "{stream:?}");
    whole
}

fn bodies(stream: &str) -> Vec<(u16, String, bool)> {
    let responses = both(stream).unwrap();
    let text = |body: Vec<u8>| String::from_utf8(body).unwrap();
    responses
        .into_iter()
        .map(|response| (response.status, text(response.body), response.kept))
        .collect()
}

#[test]
fn a_length_a_chunked_body_and_an_empty_one_follow_each_other() {
    let stream = "HTTP/1.1 200 OK\r\nX-Consul-Index: 7\r\nContent-Length: 2\r\n\r\n[]\
        HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\ntransfer-encoding: Chunked\r\n\r\n\
        5;x=\"y\"\r\nunkno\r\n0003 \r\nwn!\r\n0\r\nTrailer: 1\r\n\r\n\
        HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, Close\r\n\r\n";
    let expected = [
        (200, "[]", true),
        (404, "unknown!", true),
        (204, "", true),
        (200, "", false),
    ];
    assert_eq!(
        bodies(stream),
        expected.map(|(status, body, kept)| (status, body.to_owned(), kept))
    );
    assert_eq!(both(stream).unwrap()[0].index.as_deref(), Some("7"));
}

#[test]
fn a_body_without_a_length_ends_with_the_connection() {
    assert_eq!(
        bodies("HTTP/1.0 200 OK\r\n\r\nall of it"),
        [(200, "all of it".to_owned(), false)]
    );
    assert_eq!(
        bodies("HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\nx"),
        [(200, "x".to_owned(), true)]
    );
    assert_eq!(
        bodies("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx"),
        [(200, "x".to_owned(), false)]
    );
    // Who says that it closes does, whatever else it says (RFC 9112 section 9.3).
    for fields in ["close\r\nConnection: keep-alive", "keep-alive, close"] {
        assert_eq!(
            bodies(&format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: {fields}\r\n\r\nx"
            )),
            [(200, "x".to_owned(), false)]
        );
    }
}

#[test]
fn a_body_that_is_framed_in_two_ways_is_refused() {
    for fields in [
        "Content-Length: 1\r\nTransfer-Encoding: chunked",
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: +1",
        "Content-Length: 99999999999999999999",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ] {
        let stream = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n1\r\nx\r\n0\r\n\r\n");
        assert!(matches!(both(&stream), Err(Error::Framing(_))), "{fields}");
    }
    assert_eq!(
        bodies("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx").len(),
        1
    );
}

#[test]
fn broken_chunks_are_refused() {
    for body in [
        "x\r\n",
        "\r\n",
        "1\r\nab\r\n",
        "10000000000000000\r\n",
        "-1\r\n",
        ";\r\n",
    ] {
        let stream = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        assert!(matches!(both(&stream), Err(Error::Framing(_))), "{body:?}");
    }
    let long = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;{}\r\n",
        "x".repeat(5000)
    );
    assert_eq!(both(&long), Err(Error::TooLong));
}

#[test]
fn what_is_cut_off_is_no_response() {
    let whole = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n";
    for length in 1..whole.len() {
        assert_eq!(both(&whole[..length]), Err(Error::CutOff), "{length}");
    }
    assert_eq!(both("").unwrap(), []);
}

#[test]
fn heads_have_a_bound_and_a_beginning() {
    let head = |length: usize| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: {}\r\n\r\n",
            "y".repeat(length)
        )
    };
    let room = MAX_HEAD_BYTES - head(0).len();
    assert!(both(&head(room)).is_ok());
    assert_eq!(both(&head(room + 1)), Err(Error::TooLong));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(65));
    assert_eq!(both(&many), Err(Error::TooLong));
    // What a TLS server says to a plain request, and what another protocol does.
    assert_eq!(both("\x15\x03\x01\x00\x02\x02\x16"), Err(Error::NotHttp));
    assert_eq!(both("SSH-2.0-x\r\n"), Err(Error::NotHttp));
    assert_eq!(both("HTTP/1.1 2x0 OK\r\n\r\n"), Err(Error::Malformed));
    assert_eq!(
        both("HTTP/1.1 101 Switching\r\n\r\n"),
        Err(Error::Malformed)
    );
}

proptest! {
    #[test]
    fn bodies_come_whole_however_they_are_framed_and_cut(
        bodies in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..200), 0_usize..40), 1..5),
        length in 1_usize..80,
    ) {
        let mut stream = Vec::new();
        for (body, chunk) in &bodies {
            if *chunk == 0 {
                stream.extend(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).bytes());
                stream.extend(body);
            } else {
                stream.extend(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                for piece in body.chunks(*chunk) {
                    stream.extend(format!("{:X}\r\n", piece.len()).bytes());
                    stream.extend(piece);
                    stream.extend(b"\r\n");
                }
                stream.extend(b"0\r\n\r\n");
            }
        }
        let got = read(&stream, length).unwrap();
        prop_assert!(got.iter().all(|response| response.kept));
        let got: Vec<_> = got.into_iter().map(|response| response.body).collect();
        prop_assert_eq!(got, bodies.into_iter().map(|(body, _)| body).collect::<Vec<_>>());
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), length in 1_usize..30) {
        let _ = read(&bytes, length);
        let framed = [&b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"[..], &bytes].concat();
        let _ = read(&framed, length);
    }
}
