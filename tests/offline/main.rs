//! Nodes on their own: what works without Consul, what is taken up when it is back, and a week of it.
//!
//! `LICTOR_CONSUL=$(tests/peers/consul) cargo test -p lictor-tests --test offline`; needs root, for network namespaces.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that is wrong fails"
)]

mod back;
mod edge;
mod flash;
mod matrix;
mod table;
mod warp;
mod week;
