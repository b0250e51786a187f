//! What is remembered, seen from outside: sizes, round trips, slots under power cuts, the format of each version.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test says by a panic that something is wrong"
)]

mod blobs;
mod golden;
mod power_cut;
mod resealed;
mod sample;
mod simulated;
mod slots;
