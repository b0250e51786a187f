//! What the proxy does, as pure data and pure functions.
//!
//! The [`Plan`] is the value everything else turns on: sources make one (the local file, later Consul), the data
//! plane runs one, the store keeps one. A [`mesh::Mesh`] is what is known of the mesh around a gateway, and
//! [`gateway::plan`] turns it into a Plan by the rules Consul applies when it configures Envoy as a mesh gateway.
//!
//! # Implementation
//!
//! No I/O, no clock, no async, no globals: `no_std` with `alloc`. A Plan is compared by value, so that the same
//! content means that nothing happens. Names are kept lower case, since DNS names, SNI and trust domains are
//! compared without regard to case (RFC 4343, RFC 6066 section 3).

#![no_std]

extern crate alloc;

pub mod balance;
pub mod bind;
pub mod chain;
pub mod duration;
pub mod explain;
pub mod gateway;
pub mod intentions;
pub mod matching;
pub mod mesh;
mod model;
pub mod names;
pub mod order;
pub mod quote;
mod rendezvous;
pub mod sidecar;
pub mod spiffe;
pub mod upstreams;

pub use model::{
    Address, Balance, Cluster, Discovery, DownstreamTls, Endpoint, EndpointAddress, FilterChain,
    Health, Identity, Inspect, Listener, OutlierDetection, PassiveHealthCheck, Plan, Route, Secret,
    ServerNames, TcpKeepalive, TlsParameters, Traffic, TrustBundle, UpstreamTls,
};
