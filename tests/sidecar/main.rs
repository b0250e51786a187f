//! What lictor does as a sidecar: the real binary with TLS (feature `sidecar`), real sockets, real
//! peers. One behaviour a file, each named for what is true if its tests pass.

mod alike;
mod balancing;
mod beside_envoy;
mod chains;
mod changes_bite;
mod check_tells;
mod clocks;
mod cut_off;
mod explain_tells;
mod failing_endpoints;
mod failover;
mod hostile_tls;
mod inbound;
mod intentions_decide;
mod kernel_tls;
mod left_unread;
mod limits_and_cost;
mod memory;
mod outbound;
mod peers;
mod resumption;
mod rotation;
mod unix_sockets;
mod without_tls;
mod wrong_certificates;
