//! The data plane: accept, classify, pick an endpoint, relay.
//!
//! A [`Proxy`] runs a Plan. Connections are told apart by the server name of their ClientHello, which is read and never
//! altered, and are forwarded unopened. What cannot be placed is refused, counted and explained: nothing falls
//! through to somewhere else.
//!
//! # Implementation
//!
//! Two gears on one thread. The async gear does what is rare: it waits for the reactor, resolves names, and is where
//! callers apply a new Plan. The relay gear does the rest: every connection, from its acceptance on, is a slot of one
//! fixed table, moved by one edge-triggered epoll set which the reactor sees as a single descriptor. So a connection
//! costs no task and no registration with the reactor, an idle one costs its slot and nothing else, and a half-open one
//! even less. While there is traffic the set is polled directly and the reactor is left alone.
//!
//! Costs: two descriptors and less than 300 bytes per connection; no allocation while bytes move, but for bytes that cannot
//! go on; six system calls to set a connection up beside what the kernel makes of it, two per message of up to 64 KiB.

mod accept;
mod chain;
mod cluster;
mod clusters;
mod dialing;
mod engine;
mod event;
mod failover;
mod flow;
mod half;
mod half_tls;
#[cfg(feature = "ktls")]
mod in_kernel;
mod opening;
mod options;
mod outliers;
mod proxy;
mod relaying;
mod reserve;
mod sealing;
mod slab;
mod table;
mod token;
mod unusable;
mod wheel;

#[cfg(feature = "tls")]
mod materials;
#[cfg(feature = "tls")]
mod secure;
#[cfg(feature = "tls")]
pub(crate) use ::tls;

// Without the feature the same words are there and nothing can be said with them: a Plan with TLS is refused.
#[cfg(not(feature = "tls"))]
#[path = "without_tls/secure.rs"]
mod secure;
#[cfg(not(feature = "tls"))]
#[path = "without_tls/tls.rs"]
mod tls;

pub use event::{Cause, Counters, Downstream, End, Event, Observer};
pub use options::Options;
pub use proxy::{Applied, Proxy, Unfit};
pub use secure::{doubtful_identities, good_until, unusable_parts};
pub use tls::Clock;
pub use unusable::{Part, Unusable};
