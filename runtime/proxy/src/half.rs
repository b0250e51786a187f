//! One direction of a forwarded connection.
//!
//! ```text
//!            recv/send through the scratch buffer
//!   copying ──────────────────────────────────────► copying
//!      │  128 KiB in large reads in a row, and a pipe to be had
//!      ▼
//!   splicing ── source dry, little moved ──► copying
//!
//!   end of stream: what is held goes first, then the end is passed on
//! ```
//!
//! A read shorter than asked ends the turn without a second call to learn that there is nothing more: with
//! edge-triggered events, more data is another event; so is the end of the stream, which `hung_up` remembers.

use std::os::fd::BorrowedFd;

use sys::{
    pipe::Pipe,
    socket::{self, Moved},
};

use crate::reserve::Reserve;
use crate::tls::Error as TlsError;

/// The most bytes of one direction moved in a turn; then other flows have theirs.
const TURN_BYTES: usize = 2 * 1024 * 1024;

/// A read of this size or more is a large one.
pub(crate) const LARGE_READ: usize = 16 * 1024;

/// This much in large reads in a row makes a flow splice.
const EAGER_BYTES: u32 = 128 * 1024;

/// What a direction came to in a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing more can be moved until an event says so.
    Idle,
    /// There is more, but others must have their turn.
    Again,
    /// The source has ended and all of it has gone on: the end can be passed on.
    Finished,
}

/// Which side broke: was reset, as a rule.
#[derive(Debug)]
pub(crate) enum Broken {
    Source,
    Destination,
    /// The source's TLS says so, and why.
    SourceTls(Box<TlsError>),
}

#[derive(Debug, Default)]
pub(crate) enum Held {
    #[default]
    Nothing,
    /// Bytes that the destination had no room for, from `at` on.
    Bytes(Box<Leftover>),
    /// TLS's bytes that nobody waits for: they go in front of the next that are sent.
    Front(Box<Leftover>),
    /// The flow splices.
    Pipe(Box<Pipe>),
}

#[derive(Debug)]
pub(crate) struct Leftover {
    pub(crate) bytes: Vec<u8>,
    at: usize,
}

/// The state of one direction.
#[derive(Debug, Default)]
pub(crate) struct Half {
    pub(crate) held: Held,
    /// Bytes given to the destination.
    pub(crate) carried: u64,
    /// Bytes in large reads in a row, up to `EAGER_BYTES`. With TLS more than none is enough: the next read may be as large.
    pub(crate) eager: u32,
    /// The destination had no room: its next "writable" is news.
    pub(crate) blocked: bool,
    /// The source will send no more than what it has sent.
    pub(crate) hung_up: bool,
    /// The end of the source's stream was read.
    pub(crate) ended: bool,
    /// The end was passed on.
    pub(crate) finished: bool,
    /// It stands in the queue for another turn.
    pub(crate) queued: bool,
}

impl Half {
    /// Whether bytes wait for room.
    pub(crate) fn holds(&self) -> bool {
        !matches!(self.held, Held::Nothing | Held::Front(_))
    }

    /// Whether there is what no event will tell of, in a direction that is new: an end, or bytes that wait for room.
    pub(crate) fn is_due(&mut self) -> bool {
        self.hung_up || self.ended || self.holds()
    }

    /// Keeps bytes until there are others to send, in a direction that is new.
    pub(crate) fn put_in_front(&mut self, bytes: Vec<u8>, reserve: &mut Reserve) {
        if !bytes.is_empty() {
            reserve.note_held(bytes.len());
            self.held = Held::Front(Box::new(Leftover { bytes, at: 0 }));
        }
    }

    /// What was put in front is to go now; false if there is nothing.
    pub(crate) fn hurry(&mut self) -> bool {
        match std::mem::take(&mut self.held) {
            Held::Front(front) => {
                self.held = Held::Bytes(front);
                self.blocked = true;
            }
            held => {
                self.held = held;
                return false;
            }
        }
        true
    }

    /// Keeps bytes that are to go before any that are read later; behind those that are held already.
    pub(crate) fn hold(&mut self, bytes: Vec<u8>, reserve: &mut Reserve) {
        if bytes.is_empty() {
            return;
        }
        self.hurry();
        self.blocked = true;
        reserve.note_held(bytes.len());
        match &mut self.held {
            Held::Bytes(leftover) => leftover.bytes.extend(bytes),
            // A flow that splices has no bytes of ours: nothing is put before what is in its pipe.
            Held::Nothing | Held::Front(_) | Held::Pipe(_) => {
                self.held = Held::Bytes(Box::new(Leftover { bytes, at: 0 }));
            }
        }
    }

    /// Moves what can be moved.
    pub(crate) fn pump(
        &mut self,
        source: BorrowedFd<'_>,
        destination: BorrowedFd<'_>,
        reserve: &mut Reserve,
    ) -> Result<Turn, Broken> {
        let start = self.carried;
        loop {
            if !self.give_held(destination, reserve)? {
                self.blocked = true;
                return Ok(Turn::Idle);
            }
            self.blocked = false;
            if self.ended {
                self.release(reserve);
                return Ok(Turn::Finished);
            }
            let moved = self.carried.saturating_sub(start);
            if moved >= TURN_BYTES as u64 {
                return Ok(Turn::Again);
            }
            let more = if matches!(self.held, Held::Pipe(_)) {
                self.splice(source, moved, reserve)?
            } else if reserve.has_room() {
                self.copy(source, destination, reserve)?
            } else {
                self.copy_without_holding(source, destination, reserve)?
            };
            if !more && !self.ended {
                return Ok(Turn::Idle);
            }
        }
    }

    /// Gives out what is held; false when the destination has no room for all of it.
    pub(crate) fn give_held(
        &mut self,
        destination: BorrowedFd<'_>,
        reserve: &mut Reserve,
    ) -> Result<bool, Broken> {
        match &mut self.held {
            Held::Nothing | Held::Front(_) => {}
            Held::Bytes(leftover) => {
                while let Some(rest) = leftover
                    .bytes
                    .get(leftover.at..)
                    .filter(|rest| !rest.is_empty())
                {
                    match socket::send(destination, rest).map_err(|_| Broken::Destination)? {
                        Moved::Bytes(count) => {
                            leftover.at += count;
                            self.carried += count as u64;
                        }
                        Moved::WouldBlock | Moved::End => return Ok(false),
                    }
                }
                reserve.note_released(leftover.bytes.len());
                self.held = Held::Nothing;
            }
            Held::Pipe(pipe) => {
                while pipe.held() > 0 {
                    match pipe.give_to(destination).map_err(|_| Broken::Destination)? {
                        Moved::Bytes(count) => self.carried += count as u64,
                        Moved::WouldBlock | Moved::End => return Ok(false),
                    }
                }
            }
        }
        Ok(true)
    }

    /// Takes into the pipe what the source has; false when it has nothing, and then the pipe goes back.
    fn splice(
        &mut self,
        source: BorrowedFd<'_>,
        moved: u64,
        reserve: &mut Reserve,
    ) -> Result<bool, Broken> {
        let Held::Pipe(pipe) = &mut self.held else {
            return Ok(false);
        };
        match pipe.take_from(source).map_err(|_| Broken::Source)? {
            Moved::Bytes(_) => Ok(true),
            Moved::End => {
                self.ended = true;
                Ok(true)
            }
            Moved::WouldBlock => {
                if moved < LARGE_READ as u64 {
                    self.eager = 0;
                }
                self.release(reserve);
                Ok(false)
            }
        }
    }

    /// Copies one read's worth; false when the source has no more for now.
    fn copy(
        &mut self,
        source: BorrowedFd<'_>,
        destination: BorrowedFd<'_>,
        reserve: &mut Reserve,
    ) -> Result<bool, Broken> {
        if self.eager >= EAGER_BYTES
            && let Some(pipe) = reserve.pipe()
        {
            self.held = Held::Pipe(Box::new(pipe));
            return Ok(true);
        }
        let count =
            match socket::receive(source, &mut reserve.scratch).map_err(|_| Broken::Source)? {
                Moved::Bytes(count) => count,
                Moved::End => {
                    self.ended = true;
                    return Ok(true);
                }
                Moved::WouldBlock => return Ok(false),
            };
        self.eager = if count >= LARGE_READ {
            self.eager.saturating_add(count as u32)
        } else {
            0
        };
        let full = count == reserve.scratch.len();
        let sent = {
            let bytes = reserve.scratch.get(..count).unwrap_or_default();
            match socket::send(destination, bytes).map_err(|_| Broken::Destination)? {
                Moved::Bytes(sent) => sent,
                Moved::WouldBlock | Moved::End => 0,
            }
        };
        self.carried += sent as u64;
        if sent < count {
            let rest = reserve
                .scratch
                .get(sent..count)
                .unwrap_or_default()
                .to_vec();
            self.hold(rest, reserve);
            return Ok(true);
        }
        Ok(full || self.hung_up)
    }

    /// As [`Half::copy`], but takes from the source only what the destination has taken already.
    fn copy_without_holding(
        &mut self,
        source: BorrowedFd<'_>,
        destination: BorrowedFd<'_>,
        reserve: &mut Reserve,
    ) -> Result<bool, Broken> {
        let count = match socket::peek(source, &mut reserve.scratch).map_err(|_| Broken::Source)? {
            Moved::Bytes(count) => count,
            Moved::End => {
                self.ended = true;
                return Ok(true);
            }
            Moved::WouldBlock => return Ok(false),
        };
        let bytes = reserve.scratch.get(..count).unwrap_or_default();
        let Moved::Bytes(sent) =
            socket::send(destination, bytes).map_err(|_| Broken::Destination)?
        else {
            self.blocked = true;
            return Ok(false);
        };
        self.carried += sent as u64;
        let taken = reserve.scratch.get_mut(..sent).unwrap_or_default();
        socket::discard(source, taken).map_err(|_| Broken::Source)?;
        if sent < count {
            self.blocked = true;
            return Ok(false);
        }
        Ok(count == reserve.scratch.len() || self.hung_up)
    }

    /// Gives back what was borrowed.
    pub(crate) fn release(&mut self, reserve: &mut Reserve) {
        match std::mem::take(&mut self.held) {
            Held::Nothing => {}
            Held::Bytes(leftover) | Held::Front(leftover) => {
                reserve.note_released(leftover.bytes.len());
            }
            Held::Pipe(pipe) => reserve.give_back(*pipe),
        }
    }
}

#[cfg(test)]
#[path = "half_tests.rs"]
mod tests;
