//! Random bytes, fetched from the kernel some handshakes ahead.
//!
//! A handshake asks for a few bytes up to five times, and a call of the kernel takes as long for 4 of them as for 256. What
//! is handed out is wiped here first, so that no key can be read back from this memory. lictor never forks: nobody else
//! has the same bytes.

use std::sync::{Mutex, PoisonError};

use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::crypto::{GetRandomFailed, SecureRandom};
use zeroize::Zeroize as _;

/// The kernel's random numbers, as rustls asks for them.
#[derive(Debug)]
pub(crate) struct Random;

impl SecureRandom for Random {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        // There is one thread, so nobody ever waits.
        let mut ahead = AHEAD.lock().unwrap_or_else(PoisonError::into_inner);
        ahead.give(bytes, &mut |bytes| {
            SystemRandom::new().fill(bytes).map_err(|_| GetRandomFailed)
        })
    }
}

static AHEAD: Mutex<Ahead> = Mutex::new(Ahead {
    bytes: [0; AHEAD_BYTES],
    left: 0,
});

/// What getrandom(2) gives without being interrupted by a signal.
const AHEAD_BYTES: usize = 256;

struct Ahead {
    /// The first `left` are fresh, the others are zero.
    bytes: [u8; AHEAD_BYTES],
    /// 0 <= left <= `AHEAD_BYTES`.
    left: usize,
}

impl Ahead {
    fn give(
        &mut self,
        wanted: &mut [u8],
        fetch: &mut dyn FnMut(&mut [u8]) -> Result<(), GetRandomFailed>,
    ) -> Result<(), GetRandomFailed> {
        if wanted.len() > AHEAD_BYTES {
            return fetch(wanted);
        }
        if self.left < wanted.len() {
            // Should it fail, what it has written is not fresh.
            self.left = 0;
            fetch(&mut self.bytes)?;
            self.left = AHEAD_BYTES;
        }
        let rest = self.left - wanted.len();
        let given = self.bytes.get_mut(rest..self.left);
        let given = given.ok_or(GetRandomFailed)?;
        wanted.copy_from_slice(given);
        given.zeroize();
        self.left = rest;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts instead of being random, and how often it was asked.
    struct Counting(u32, u32);

    impl Counting {
        fn fetch(&mut self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
            self.1 += 1;
            for four in bytes.chunks_mut(4) {
                self.0 += 1;
                four.copy_from_slice(&self.0.to_be_bytes()[..four.len()]);
            }
            Ok(())
        }
    }

    fn empty() -> Ahead {
        Ahead {
            bytes: [0; AHEAD_BYTES],
            left: 0,
        }
    }

    #[test]
    fn no_byte_is_given_twice_and_none_stays() {
        let (mut ahead, mut kernel) = (empty(), Counting(0, 0));
        let mut seen = std::collections::BTreeSet::new();
        for round in 0..200 {
            let mut wanted = [0; 32];
            let wanted = &mut wanted[..if round % 3 == 0 { 4 } else { 32 }];
            ahead
                .give(wanted, &mut |bytes| kernel.fetch(bytes))
                .unwrap();
            for four in wanted.chunks(4) {
                assert!(seen.insert(four.to_vec()), "{four:?} was given before");
            }
            assert!(ahead.bytes[ahead.left..].iter().all(|&byte| byte == 0));
        }
        assert!((10..30).contains(&kernel.1), "{} calls", kernel.1);
    }

    #[test]
    fn much_is_fetched_on_its_own_and_exactly_all_is_given() {
        let (mut ahead, mut kernel) = (empty(), Counting(0, 0));
        for (length, calls) in [(AHEAD_BYTES, 1), (0, 1), (AHEAD_BYTES + 1, 2), (1, 3)] {
            let mut wanted = vec![0; length];
            ahead
                .give(&mut wanted, &mut |bytes| kernel.fetch(bytes))
                .unwrap();
            assert_eq!(kernel.1, calls, "{length}");
            assert!(wanted.chunks_exact(4).all(|four| four != [0; 4]));
        }
    }

    #[test]
    fn what_a_failed_call_left_is_never_given() {
        let (mut ahead, mut kernel) = (empty(), Counting(0, 0));
        let mut wanted = [0; 32];
        ahead
            .give(&mut wanted[..4], &mut |bytes| kernel.fetch(bytes))
            .unwrap();
        while ahead.left >= 32 {
            ahead
                .give(&mut wanted, &mut |bytes| kernel.fetch(bytes))
                .unwrap();
        }
        let mut failing = |bytes: &mut [u8]| {
            bytes.fill(7);
            Err(GetRandomFailed)
        };
        assert!(ahead.give(&mut wanted, &mut failing).is_err());
        assert!(ahead.give(&mut [0; 1], &mut failing).is_err());
        ahead
            .give(&mut wanted, &mut |bytes| kernel.fetch(bytes))
            .unwrap();
        assert!(wanted.chunks(4).all(|four| four != [7; 4]));
    }

    #[test]
    fn the_kernels_bytes_differ() {
        let mut fills = [[0; 32]; 40];
        for fill in &mut fills {
            Random.fill(fill).unwrap();
        }
        fills.sort_unstable();
        assert!(fills.windows(2).all(|two| two[0] != two[1]));
    }
}
