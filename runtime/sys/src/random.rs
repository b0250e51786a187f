//! Chance from the kernel.
//!
//! Gives seeds for balancing, jitter and DNS query ids. Never gives key material, and never waits:
//! early in the boot of a small board the kernel's pool may take minutes to fill, and getrandom(2)
//! would wait for it, while a gateway that is told to start should start. Then /dev/urandom is
//! asked, which answers with the best it has.

use std::fs::File;
use std::io::{self, Read as _};

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

/// A random number for seeding a generator. Never blocks.
///
/// # Errors
/// When the kernel has no getrandom(2) that answers now and /dev/urandom cannot be read either.
pub fn seed() -> io::Result<u64> {
    let mut seed = [0_u8; 8];
    // Up to 256 bytes come whole or not at all.
    match getrandom(&mut seed, GetRandomFlags::NONBLOCK) {
        Ok(_) => {}
        Err(Errno::AGAIN | Errno::NOSYS) => File::open("/dev/urandom")?.read_exact(&mut seed)?,
        Err(error) => return Err(error.into()),
    }
    Ok(u64::from_ne_bytes(seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ_and_use_every_byte() {
        let seeds: Vec<u64> = (0..64).map(|_| seed().unwrap()).collect();
        let (mut ones, mut zeroes) = (0, 0);
        for seed in &seeds {
            ones |= seed;
            zeroes |= !seed;
        }
        // A bit that never changes over 64 draws has a chance of 2^-63.
        assert_eq!((ones, zeroes), (u64::MAX, u64::MAX));
    }
}
