//! What lictor learns from a real Consul: Debian's 1.8.7, or the one that `LICTOR_CONSUL` names.
//!
//! `LICTOR_CONSUL=$(tests/peers/consul) cargo test -p lictor-tests --test consul`

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that is wrong fails"
)]

mod agentless;
mod asking;
mod beside_envoy;
mod chains;
mod churn;
mod few_connections;
mod gateways;
mod ground;
mod outages;
mod reaching;
mod registered;
mod registered_from_files;
mod rights;
mod sidecars;
mod two_thousand_services;
mod wan_federation;
mod watches_survive;
