//! A body in chunks (RFC 9112 section 7.1). Extensions and trailers are passed over.

use super::{Error, prefix};

/// The longest line of a chunk's size or of a trailer, and all trailers together.
const MAX_LINES_BYTES: u16 = 4096;

#[derive(Clone, Debug, Default)]
pub(super) struct Chunked {
    state: State,
    /// How many bytes of lines have gone by since the last byte of the body.
    lines: u16,
}

#[derive(Clone, Debug)]
enum State {
    /// Within the size. `None` before its first digit.
    Size(Option<u64>),
    /// Behind the size, up to the end of its line.
    Extension(u64),
    /// Within the chunk.
    Data(u64),
    /// Behind the chunk, before its line end.
    DataEnd,
    /// At the start of a trailer, or of the empty line that ends all.
    Trailer,
    /// Within a trailer.
    InTrailer,
    Done,
}

impl Default for State {
    fn default() -> Self {
        Self::Size(None)
    }
}

impl Chunked {
    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Takes bytes up to the end of a piece of the body; the piece is empty when there is none among them.
    pub(super) fn next<'a>(&mut self, input: &'a [u8]) -> Result<(usize, &'a [u8]), Error> {
        let mut taken = 0;
        while let Some((&byte, _)) = input.get(taken..).and_then(<[u8]>::split_first) {
            if let State::Data(left) = &mut self.state {
                let (length, body) = prefix(input.get(taken..).unwrap_or_default(), *left);
                *left -= length as u64;
                if *left == 0 {
                    self.state = State::DataEnd;
                    self.lines = 0;
                }
                return Ok((taken + length, body));
            }
            if self.is_done() {
                break;
            }
            taken += 1;
            self.lines += 1;
            if self.lines > MAX_LINES_BYTES {
                return Err(Error::TooLong);
            }
            self.state = self.line_byte(byte)?;
        }
        Ok((taken, &[]))
    }

    /// A byte outside a chunk. A carriage return counts as part of the line end that follows.
    fn line_byte(&self, byte: u8) -> Result<State, Error> {
        const BROKEN: Error = Error::Framing("a chunk's size is broken");
        let behind = |size| {
            if size == 0 {
                State::Trailer
            } else {
                State::Data(size)
            }
        };
        Ok(match (&self.state, byte) {
            (State::Size(size), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).ok_or(BROKEN)?;
                let size = size.unwrap_or_default();
                let size = size.checked_mul(16).ok_or(BROKEN)? + u64::from(digit);
                State::Size(Some(size))
            }
            (State::Size(Some(size)), b'\n') => behind(*size),
            (State::Size(Some(size)), b'\r' | b';' | b' ' | b'\t') => State::Extension(*size),
            (State::Extension(size), b'\n') => behind(*size),
            (State::Extension(size), _) => State::Extension(*size),
            (State::DataEnd, b'\r') => State::DataEnd,
            (State::DataEnd, b'\n') => State::Size(None),
            (State::Trailer, b'\n') => State::Done,
            (State::InTrailer, b'\n') | (State::Trailer, b'\r') => State::Trailer,
            (State::Trailer | State::InTrailer, _) => State::InTrailer,
            _ => return Err(BROKEN),
        })
    }
}
