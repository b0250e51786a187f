//! What the real binary has taken from the heap and not given back, to the byte: a small library, preloaded, counts it.
//!
//! Resident memory says less: free pieces between others stay resident, and how many there are is chance. It needs a
//! C compiler, and a binary that is linked to glibc dynamically.

use std::fs;

use crate::preload::compile;
use crate::process::Launch;
use crate::temp::TempDir;

/// Where a lictor's heap is counted. It must live as long as that lictor.
#[derive(Debug)]
pub struct Heap(TempDir);

/// What is taken at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// How many pieces.
    pub pieces: u64,
    /// Their bytes, as they can be used.
    pub bytes: u64,
}

impl Heap {
    /// Counts the heap of what is launched.
    ///
    /// # Panics
    /// When there is no C compiler.
    pub fn of(launch: Launch) -> (Self, Launch) {
        let heap = Self(TempDir::new());
        let library = compile(&heap.0, "heap.c", include_str!("heap.c"));
        let counts = heap.0.write("counts", [0; 2 * NUMBER]);
        let launch = launch.preload(library).env("LICTOR_TEST_HEAP", counts);
        (heap, launch)
    }

    /// What is taken now.
    ///
    /// # Panics
    /// When nothing was counted.
    pub fn taken(&self) -> Taken {
        let counts = fs::read(self.0.file("counts")).expect("the counts are there");
        let mut numbers = counts.chunks_exact(NUMBER).map(|bytes| {
            let number = i64::from_ne_bytes(bytes.try_into().expect("its length is right"));
            u64::try_from(number).expect("no more is given back than was taken")
        });
        let mut next = || numbers.next().filter(|number| *number > 0);
        let taken = next().zip(next());
        let (pieces, bytes) = taken.expect("the library was loaded");
        Taken { pieces, bytes }
    }
}

/// Bytes of a number in the file.
const NUMBER: usize = 8;
