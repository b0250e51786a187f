//! Mesh TLS: identities, trust, verification by SPIFFE ID, and sessions.
//!
//! A context is everything one side of a listener or cluster needs: [`ServerContext`] for connections that come in,
//! [`ClientContext`] for those that go out. It makes [`Session`]s, which turn bytes into bytes and do no I/O. Whatever
//! changes (roots, leaf, intentions) makes a new context, and with it new caches: nothing that was learnt under the
//! old ones, be it a session to resume or a chain that was verified, outlives them.
//!
//! Identity is always checked and names never are: the certificate of a peer must be an X.509-SVID
//! (<https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md>) whose chain leads to the roots of the trust
//! domain it names.
//!
//! Consul itself is no part of the mesh: [`WebClient`] connects to its HTTPS API, by names.
//!
//! # Implementation
//!
//! Handshakes are rustls's with ring, through rustls's unbuffered API; the records of an established session are made and
//! opened here, with ring's ciphers, without a copy or an allocation. A context costs 10 to 30 KB of heap, most of it
//! caches; an idle session about 3 KB, of which the peer's certificates and the keys are most, and no buffer. No thread, no
//! clock of its own, no file, no environment variable, no key log. Early data (0-RTT) is neither sent nor taken: it can be
//! replayed. Secrets that keys are made of are wiped when they go; ring does not wipe the keys.

// The tests' mesh names the crate from outside.
#[cfg(test)]
extern crate self as tls;

mod clock;
mod contexts;
mod control;
mod der;
mod error;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod exchange;
mod handshake;
mod identity;
#[cfg(feature = "ktls")]
mod kernel;
mod keys;
mod leaf;
mod options;
mod outgoing;
mod pem;
mod provider;
mod random;
mod refusal;
mod session;
mod suites;
mod tickets;
mod traffic;
mod trust;
mod verify;
mod web;

pub use clock::Clock;
pub use contexts::{ClientContext, ServerContext};
pub use error::{Error, Side};
pub use identity::Identity;
pub use leaf::{Flaw, Validity};
pub use options::{Options, Versions};
pub use outgoing::Outgoing;
pub use provider::AesSupport;
pub use refusal::Refusal;
pub use session::{Session, Step};
pub use suites::Tls12Suites;
pub use trust::{Roots, TrustBundle};
pub use web::{WebClient, WebName, WebStream};
