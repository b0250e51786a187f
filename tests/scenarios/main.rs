//! What lictor does for the world: the real binary, real sockets, real peers. One behaviour a file,
//! each named for what is true if its tests pass.

mod admin_waits;
mod any_client_hello;
mod backpressure;
mod bad_network;
mod beside_envoy;
mod binds;
mod blobs;
mod cold_start;
mod commands;
mod connection_limits;
mod dead_upstreams;
mod descriptor_exhaustion;
mod drain;
mod endings;
mod half_open_flood;
mod host_names;
mod idle_cost;
mod idle_timeout;
mod interfaces;
mod json_log;
mod large_transfers;
mod memory;
mod mutual_tls;
mod refusal_log_is_bounded;
mod refusals;
mod reload;
#[path = "../../runtime/store/tests/remembered/resealed.rs"]
mod resealed;
