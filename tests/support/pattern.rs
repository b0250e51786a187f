//! A long stream of bytes that both ends know, so that what arrives can be held against what was
//! sent, byte for byte and without keeping either: stricter than comparing hashes, and it says where.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use crate::backend::Backend;
use crate::hello::read_hello;

/// The stream of one seed: each word of eight bytes is a mix of the seed and its place (SplitMix64).
#[derive(Clone, Copy, Debug)]
pub struct Pattern(pub u64);

impl Pattern {
    /// The bytes from `at` on.
    pub fn fill(self, at: u64, bytes: &mut [u8]) {
        let lead = usize::try_from(at.wrapping_neg() % WORD)
            .unwrap_or(0)
            .min(bytes.len());
        let (first, rest) = bytes.split_at_mut(lead);
        let word = self.word(at / WORD);
        first.copy_from_slice(&word[word.len() - first.len()..][..first.len()]);
        if lead > 0 && at % WORD + (lead as u64) < WORD {
            let from = (at % WORD) as usize;
            first.copy_from_slice(&word[from..from + lead]);
        }
        let start = at.div_ceil(WORD);
        for (index, part) in (start..).zip(rest.chunks_mut(WORD as usize)) {
            part.copy_from_slice(&self.word(index)[..part.len()]);
        }
    }

    /// Sends the first `length` bytes.
    ///
    /// # Errors
    /// Of the writer.
    pub fn send(self, to: &mut impl Write, length: u64) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        let mut sent = 0;
        while sent < length {
            let part = (length - sent).min(BUFFER as u64);
            let chunk = &mut buffer[..part as usize];
            self.fill(sent, chunk);
            to.write_all(chunk)?;
            sent += part;
        }
        Ok(())
    }

    /// Reads `length` bytes and holds them against the stream.
    ///
    /// # Errors
    /// Of the reader, or when it ends too early.
    ///
    /// # Panics
    /// When the bytes are others.
    pub fn receive(self, from: &mut impl Read, length: u64) -> io::Result<()> {
        let (mut buffer, mut expected) = (vec![0; BUFFER], vec![0; BUFFER]);
        let mut received = 0;
        while received < length {
            let part = (length - received).min(BUFFER as u64) as usize;
            let read = from.read(&mut buffer[..part])?;
            if read == 0 {
                let text = format!("ended after {received} of {length} bytes");
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
            self.fill(received, &mut expected[..read]);
            assert!(
                buffer[..read] == expected[..read],
                "other bytes after {received}"
            );
            received += read as u64;
        }
        Ok(())
    }

    fn word(self, index: u64) -> [u8; WORD as usize] {
        let mut z = self
            .0
            .wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).to_le_bytes()
    }
}

/// Sends `length` bytes of one stream while it receives as many of another, both ways at full speed.
/// Each direction is finished after its last byte, whatever still comes in the other.
///
/// # Errors
/// Of the connection.
///
/// # Panics
/// When other bytes arrive, or more.
pub fn exchange(
    stream: &TcpStream,
    sends: Pattern,
    receives: Pattern,
    length: u64,
) -> io::Result<()> {
    exchange_until(stream, sends, receives, length, Finishes::WhenSent)
}

/// The same, but a side finishes only when it has received all, too, so that nothing is under way
/// when the connection ends.
///
/// # Errors
/// Of the connection.
///
/// # Panics
/// When other bytes arrive, or more.
pub fn exchange_then_finish(
    stream: &TcpStream,
    sends: Pattern,
    receives: Pattern,
    length: u64,
) -> io::Result<()> {
    exchange_until(stream, sends, receives, length, Finishes::WhenReceived)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finishes {
    WhenSent,
    WhenReceived,
}

fn exchange_until(
    stream: &TcpStream,
    sends: Pattern,
    receives: Pattern,
    length: u64,
    finishes: Finishes,
) -> io::Result<()> {
    thread::scope(|scope| {
        let sender = scope.spawn(move || {
            let mut to = stream;
            sends.send(&mut to, length)?;
            match finishes {
                Finishes::WhenSent => stream.shutdown(Shutdown::Write),
                Finishes::WhenReceived => Ok(()),
            }
        });
        let mut from = stream;
        receives.receive(&mut from, length)?;
        let sent = sender.join();
        sent.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        if finishes == Finishes::WhenReceived {
            stream.shutdown(Shutdown::Write)?;
        }
        assert_eq!(from.read(&mut [0])?, 0, "more bytes than were sent");
        Ok(())
    })
}

/// A service that exchanges streams with each client after the ClientHello, and its word on each.
#[derive(Debug)]
pub struct Exchanger {
    backend: Backend,
    results: Receiver<io::Result<()>>,
}

impl Exchanger {
    /// At an address, with `length` bytes each way, as [`exchange`] does.
    pub fn at(
        address: impl Into<SocketAddr>,
        sends: Pattern,
        receives: Pattern,
        length: u64,
    ) -> Self {
        Self::new(address.into(), sends, receives, length, Finishes::WhenSent)
    }

    /// The same, as [`exchange_then_finish`] does.
    pub fn finishing_last_at(
        address: impl Into<SocketAddr>,
        sends: Pattern,
        receives: Pattern,
        length: u64,
    ) -> Self {
        let finishes = Finishes::WhenReceived;
        Self::new(address.into(), sends, receives, length, finishes)
    }

    fn new(
        address: SocketAddr,
        sends: Pattern,
        receives: Pattern,
        length: u64,
        finishes: Finishes,
    ) -> Self {
        let (tell, results) = channel();
        let serve = move |mut stream: TcpStream| {
            stream
                .set_read_timeout(Some(PATIENCE))
                .expect("a timeout can be set");
            read_hello(&mut stream);
            let result = exchange_until(&stream, sends, receives, length, finishes);
            tell.send(result).expect("the test waits for the result");
        };
        Self {
            backend: Backend::at(address, serve),
            results,
        }
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.backend.address()
    }

    /// Waits until so many exchanges are done, and well. What a client has sent has not arrived
    /// before the service says so.
    ///
    /// # Panics
    /// When one was not, or takes too long.
    pub fn wait_for(&self, count: usize) {
        for _ in 0..count {
            let result = self
                .results
                .recv_timeout(PATIENCE)
                .expect("an exchange that ends");
            result.expect("the service's end of the exchange");
        }
    }
}

/// A pause that is longer than this, even in a bad network, is a flow that hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

const WORD: u64 = 8;

/// Large enough that a test spends its time in the kernel.
const BUFFER: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_the_same_however_it_is_cut() {
        let mut whole = [0; 100];
        Pattern(7).fill(0, &mut whole);
        for (from, to) in [
            (0, 100),
            (1, 3),
            (3, 8),
            (5, 9),
            (7, 64),
            (8, 16),
            (13, 100),
            (9, 9),
        ] {
            let mut part = vec![0; to - from];
            Pattern(7).fill(from as u64, &mut part);
            assert_eq!(part, whole[from..to], "{from}..{to}");
        }
    }

    #[test]
    fn a_changed_byte_and_an_early_end_are_noticed() {
        let mut bytes = Vec::new();
        Pattern(1).send(&mut bytes, 70_000).unwrap();
        assert!(Pattern(1).receive(&mut bytes.as_slice(), 70_000).is_ok());
        assert!(Pattern(1).receive(&mut bytes.as_slice(), 70_001).is_err());
        bytes[69_999] ^= 1;
        let changed = std::panic::catch_unwind(|| Pattern(1).receive(&mut &bytes[..], 70_000));
        assert!(changed.is_err());
    }
}
