//! Sessions, two at a time: handshakes that work and that must not, streams, and OpenSSL at the other end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod clocks;
mod forger;
mod handshake;
mod mesh;
mod openssl;
mod records;
mod refusals;
mod stranger;
mod stream;
