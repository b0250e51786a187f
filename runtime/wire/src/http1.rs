//! The response of an HTTP/1.1 server, as a client reads it (RFC 9112).
//!
//! [`Responses`] turns the bytes of a connection into heads and pieces of bodies, one response after the other for as long
//! as the connection is kept. It never guesses where a body ends: what is framed in two ways, or in one that is not known,
//! is refused, since the bytes after it would be read as another response (section 11.2).

use core::fmt;

mod chunked;

use chunked::Chunked;

/// The longest head that is read. Consul's are a few hundred bytes, and those of proxies before it seldom a few thousand.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;

/// The most fields of a head.
pub const MAX_FIELDS: usize = 64;

/// Reads the responses of one connection.
#[derive(Clone, Debug, Default)]
pub struct Responses {
    state: State,
    /// Whether another request may be sent on the connection once this response is read.
    kept: bool,
}

#[derive(Clone, Debug, Default)]
enum State {
    /// Before a head, or within it.
    #[default]
    Head,
    /// Within a body of which so many bytes are to come.
    Length(u64),
    /// Within a body in chunks.
    Chunked(Chunked),
    /// Within a body that ends with the connection.
    UntilClose,
    /// Behind the body; the next call says so.
    Done,
}

/// What was read.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "lives from one call to the next; nothing is allocated here"
)]
pub enum Part<'a> {
    /// Nothing yet: more bytes must come, behind those that are there already and were not taken.
    More,
    /// The head of a response. Interim ones (1xx) are passed over.
    Head(Head<'a>),
    /// The next bytes of its body; never empty.
    Body(&'a [u8]),
    /// The response is whole. A connection that is not kept must be closed.
    End {
        /// Whether another request may be sent on it.
        kept: bool,
    },
}

/// The head of a response.
#[derive(Debug)]
pub struct Head<'a> {
    /// The status code, 200 to 999.
    pub status: u16,
    fields: heapless::Vec<(&'a str, &'a [u8]), MAX_FIELDS>,
}

impl<'a> Head<'a> {
    /// The first field of this name, in any case; `None` also when it is no text.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'a str> {
        let mut fields = self.fields.iter();
        let (_, value) = fields.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        core::str::from_utf8(value).ok()
    }

    /// How the body is framed, by section 6.3, and whether the connection is kept.
    fn framing(&self, minor: u8) -> Result<(State, bool), Error> {
        let mut length = None;
        let mut chunked = false;
        let mut kept = minor > 0;
        let mut closes = false;
        for (name, value) in &self.fields {
            if name.eq_ignore_ascii_case("content-length") {
                let value =
                    decimal(value).ok_or(Error::Framing("the Content-Length is no number"))?;
                if length.replace(value).is_some_and(|before| before != value) {
                    return Err(Error::Framing("there are two lengths"));
                }
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Error::Framing("the Transfer-Encoding is not one `chunked`"));
                }
                chunked = true;
            } else if name.eq_ignore_ascii_case("connection") {
                let has = |word: &[u8]| {
                    value
                        .split(|byte| *byte == b',')
                        .any(|given| given.trim_ascii().eq_ignore_ascii_case(word))
                };
                closes |= has(b"close");
                kept |= has(b"keep-alive");
            }
        }
        if chunked && (length.is_some() || minor == 0) {
            return Err(Error::Framing("it is said to be in chunks and also not"));
        }
        let state = match (self.status, length) {
            (204 | 304, _) | (_, Some(0)) => State::Done,
            _ if chunked => State::Chunked(Chunked::default()),
            (_, Some(length)) => State::Length(length),
            (_, None) => return Ok((State::UntilClose, false)),
        };
        Ok((state, kept && !closes))
    }
}

/// Why a response cannot be read. The connection is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// It does not begin like HTTP/1: another port, or TLS is wanted.
    NotHttp,
    /// The head is too long, or has too many fields.
    TooLong,
    /// The head breaks the grammar.
    Malformed,
    /// It cannot be said where the body ends.
    Framing(&'static str),
    /// The connection ended within the response.
    CutOff,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHttp => f.write_str(
                "what answers does not speak HTTP/1; is the port right, and is it https?",
            ),
            Self::TooLong => f.write_str(
                "the head of the response is longer than 16 KiB, or has more than 64 fields",
            ),
            Self::Malformed => f.write_str("the head of the response is malformed"),
            Self::Framing(why) => write!(f, "the end of the response cannot be told: {why}"),
            Self::CutOff => f.write_str("the connection ended within the response"),
        }
    }
}

impl core::error::Error for Error {}

impl Responses {
    /// Before the first response.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads on. `input` is everything that has come and was not taken yet; gives how many of its bytes are taken now,
    /// and what they were. A head is taken whole, so up to [`MAX_HEAD_BYTES`] must be kept; of a body nothing need be.
    ///
    /// # Errors
    ///
    /// The response cannot be read.
    pub fn next<'a>(&mut self, input: &'a [u8]) -> Result<(usize, Part<'a>), Error> {
        match &mut self.state {
            State::Head => self.head(input),
            State::Length(left) => {
                let (taken, body) = prefix(input, *left);
                *left -= taken as u64;
                if *left == 0 {
                    self.state = State::Done;
                }
                Ok((taken, piece(body)))
            }
            State::Chunked(chunked) => {
                let (taken, body) = chunked.next(input)?;
                if chunked.is_done() {
                    self.state = State::Done;
                    if body.is_empty() {
                        let (_, end) = self.next(&[])?;
                        return Ok((taken, end));
                    }
                }
                Ok((taken, piece(body)))
            }
            State::UntilClose => Ok((input.len(), piece(input))),
            State::Done => {
                self.state = State::Head;
                Ok((0, Part::End { kept: self.kept }))
            }
        }
    }

    /// The peer sends nothing more. True when that ends a response, false when none had begun.
    ///
    /// # Errors
    ///
    /// A response is cut off; `unread` is what was not taken.
    pub fn closed(&mut self, unread: &[u8]) -> Result<bool, Error> {
        match self.state {
            State::UntilClose | State::Done => Ok(true),
            State::Head if unread.is_empty() => Ok(false),
            _ => Err(Error::CutOff),
        }
    }

    fn head<'a>(&mut self, input: &'a [u8]) -> Result<(usize, Part<'a>), Error> {
        let mut skipped = 0;
        loop {
            let rest = input.get(skipped..).unwrap_or_default();
            let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
            let mut response = httparse::Response::new(&mut fields);
            let length = match response.parse(rest) {
                Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD_BYTES => length,
                Ok(httparse::Status::Partial) if rest.len() < MAX_HEAD_BYTES => {
                    return Ok((skipped, Part::More));
                }
                Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(Error::TooLong),
                Err(_) if !begins_like_http(rest) => return Err(Error::NotHttp),
                Err(_) => return Err(Error::Malformed),
            };
            let (Some(status), Some(minor)) = (response.code, response.version) else {
                return Err(Error::Malformed);
            };
            match status {
                // The request asked for no other protocol.
                101 => return Err(Error::Malformed),
                100..=199 => skipped += length,
                200.. => {
                    let fields = response
                        .headers
                        .iter()
                        .map(|field| (field.name, field.value))
                        .collect();
                    let head = Head { status, fields };
                    (self.state, self.kept) = head.framing(minor)?;
                    return Ok((skipped + length, Part::Head(head)));
                }
                _ => return Err(Error::Malformed),
            }
        }
    }
}

fn begins_like_http(input: &[u8]) -> bool {
    let most = input.len().min(HTTP.len());
    input.get(..most) == HTTP.get(..most)
}

fn piece(body: &[u8]) -> Part<'_> {
    if body.is_empty() {
        Part::More
    } else {
        Part::Body(body)
    }
}

/// At most so many bytes of the input, and how many.
fn prefix(input: &[u8], most: u64) -> (usize, &[u8]) {
    let most = usize::try_from(most).unwrap_or(usize::MAX).min(input.len());
    (most, input.get(..most).unwrap_or_default())
}

fn decimal(text: &[u8]) -> Option<u64> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    core::str::from_utf8(text).ok()?.parse().ok()
}

const HTTP: &[u8] = b"HTTP/1.";
