//! From recorded answers to plans: a Consul that is played back, and what a sidecar and a gateway make of it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test says by a panic that something is wrong"
)]

mod gateway;
mod one_at_a_time;
mod playback;
mod sidecar;
