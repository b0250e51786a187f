//! What flows borrow while bytes move: one scratch buffer, pipes, and room for bytes that cannot go on yet.
//!
//! All of it is bounded. When no pipe is left, bytes are copied; when no room is left, bytes stay in the kernel's
//! receive buffer, and the sender learns of it by TCP's window. Nothing waits for anything here.

use crate::tls::Outgoing;
use sys::pipe::Pipe;

/// Read at a time when copying. A TLS record is 16 KiB; four of them make one call worth its while.
const SCRATCH_BYTES: usize = 64 * 1024;

/// A pipe's size. Measured: pipes of 64 KiB lose much of what splice gains.
const PIPE_BYTES: usize = 1024 * 1024;

/// How many pipes there may be. A pipe is held only while it has bytes in it, so few flows need one at a time; and 16 MiB is
/// a quarter of the kernel's default share for a user without privileges.
const MAX_PIPES: usize = 16;

/// A record of TLS 1.3 as bulk comes in: a multiple of it read ends where a record ends.
const RECORD_BYTES: usize = 5 + 16 * 1024 + 1 + 16;

/// Records read at a time. Measured between two sidecars, against 4: 8 move a sixth more bytes for the same time, 16 a twentieth more
/// than 8, for twice the memory.
const RECORDS: usize = 8;

/// As many when the room for held bytes is used up: one, behind one that is not whole.
const CROWDED_RECORDS: usize = 2;

/// How many bytes all flows together may hold outside the kernel.
const MAX_HELD_BYTES: usize = 1024 * 1024;

/// The common store of the flows.
#[derive(Debug)]
pub(crate) struct Reserve {
    pub(crate) scratch: Box<[u8]>,
    /// TLS records of one turn as they were read, and then their plaintext. Empty until TLS is first read.
    pub(crate) plain: Vec<u8>,
    /// TLS records of one turn, for the side that the bytes go to.
    pub(crate) records: Outgoing,
    idle_pipes: Vec<Pipe>,
    /// Pipes in being, idle or lent; at most `MAX_PIPES`.
    pipes: usize,
    /// 0 <= held <= `MAX_HELD_BYTES`.
    held: usize,
}

impl Reserve {
    pub(crate) fn new() -> Self {
        Self {
            scratch: vec![0; SCRATCH_BYTES].into(),
            plain: Vec::new(),
            records: Outgoing::new(),
            idle_pipes: Vec::new(),
            pipes: 0,
            held: 0,
        }
    }

    /// An empty pipe, if one can be had.
    pub(crate) fn pipe(&mut self) -> Option<Pipe> {
        if let Some(pipe) = self.idle_pipes.pop() {
            return Some(pipe);
        }
        if self.pipes >= MAX_PIPES {
            return None;
        }
        let pipe = Pipe::new(PIPE_BYTES).ok()?;
        self.pipes += 1;
        Some(pipe)
    }

    /// Takes a pipe back. One that is not empty holds bytes of a flow that broke, and goes.
    pub(crate) fn give_back(&mut self, pipe: Pipe) {
        if pipe.held() == 0 {
            self.idle_pipes.push(pipe);
        } else {
            self.pipes = self.pipes.saturating_sub(1);
        }
    }

    /// Whether a whole scratch buffer could be kept for a flow.
    pub(crate) fn has_room(&self) -> bool {
        self.held + self.scratch.len() <= MAX_HELD_BYTES
    }

    /// Whether all records of a read could be kept for a flow.
    pub(crate) fn has_room_for_records(&self) -> bool {
        self.held + RECORDS * RECORD_BYTES <= MAX_HELD_BYTES
    }

    /// Where records are read to, which must be held whole if they cannot go on: many while there is room, one after that.
    pub(crate) fn room_for_records(&mut self) -> &mut [u8] {
        let most = if self.has_room_for_records() {
            RECORDS
        } else {
            CROWDED_RECORDS
        };
        if self.plain.is_empty() {
            self.plain = vec![0; RECORDS * RECORD_BYTES];
        }
        self.plain
            .get_mut(..most * RECORD_BYTES)
            .unwrap_or_default()
    }

    pub(crate) fn note_held(&mut self, bytes: usize) {
        self.held += bytes;
    }

    pub(crate) fn note_released(&mut self, bytes: usize) {
        self.held = self.held.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_are_bounded_and_used_again() {
        let mut reserve = Reserve::new();
        let lent: Vec<Pipe> = std::iter::from_fn(|| reserve.pipe()).collect();
        assert!((1..=MAX_PIPES).contains(&lent.len()));
        assert!(reserve.pipe().is_none());
        for pipe in lent {
            reserve.give_back(pipe);
        }
        assert!(reserve.pipe().is_some());
    }

    #[test]
    fn held_bytes_are_bounded() {
        let mut reserve = Reserve::new();
        while reserve.has_room() {
            reserve.note_held(SCRATCH_BYTES);
        }
        assert!(reserve.held <= MAX_HELD_BYTES);
        reserve.note_released(SCRATCH_BYTES);
        assert!(reserve.has_room());
    }
}
