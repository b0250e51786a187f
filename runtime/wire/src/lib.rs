//! Bytes to types and back, without I/O.
//!
//! Every parser here is a pure function over bytes or text that somebody else wrote: a peer on the network, or a file
//! of the system. It is bounded in time and in space, it gives a value or a refusal, and it never panics.
//!
//! - [`client_hello`]: the first TLS flight of a connection, as much of it as routing by SNI needs.
//! - [`http1`]: responses, as a client of Consul's HTTP API reads them.
//! - [`json_elements`]: a long JSON document in pieces, while it streams in.
//! - [`dns`]: the question and answer of a stub resolver, and the system's `resolv.conf` and `hosts`.
//!
//! # Implementation
//!
//! Nothing is allocated: what is kept of the input is copied into `heapless` containers whose bounds are constants
//! beside the type. The parsers of streams keep a few words of state between calls, the others none; the caller owns the
//! buffers and the clock.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod client_hello;
pub mod dns;
pub mod http1;
pub mod json_elements;
