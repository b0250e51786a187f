//! Hostile blobs take no more memory than their size allows. By itself, since it counts what the whole process allocates.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    missing_docs,
    reason = "a test says by a panic that something is wrong, and uses a part of what the others share"
)]

use std::alloc::System;

use proptest::prelude::*;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use store::{MAX_RATIO, Meta, Remembered, open, seal};

#[path = "remembered/resealed.rs"]
mod resealed;
#[path = "remembered/sample.rs"]
mod sample;

use resealed::resealed;
use sample::everything;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Opens hostile bytes, and gives how much memory it took for each of them.
fn memory_for(blob: &[u8]) -> usize {
    let region = Region::new(ALLOCATOR);
    let _ = open::<Remembered>(blob);
    let change = region.change();
    change.bytes_allocated + usize::try_from(change.bytes_reallocated).unwrap_or(0)
}

proptest! {
    #[test]
    fn hostile_values_cost_no_more_than_their_size_allows(
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        declared in prop::option::of(any::<u32>()),
    ) {
        let mut blob = seal(&Meta::default(), &everything()).unwrap().to_vec();
        let value = 40 + 2;
        if let Some(declared) = declared {
            blob[value..value + 4].copy_from_slice(&declared.to_le_bytes());
        }
        for (place, byte) in places {
            let at = value + 4 + place.index(blob.len() - value - 4);
            blob[at] = byte;
        }
        let blob = resealed(&blob);
        // The unpacked value, what a Plan takes in memory for each of its bytes, and what serde makes room for ahead:
        // 1 MiB at most for each list within a list.
        let most = blob.len() * MAX_RATIO * 8 + 4 * (1 << 20);
        prop_assert!(memory_for(&blob) <= most, "{} bytes for {}", memory_for(&blob), blob.len());
    }

}
