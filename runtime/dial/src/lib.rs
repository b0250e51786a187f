//! Names to addresses.
//!
//! [`Resolver`] asks the nameservers of `/etc/resolv.conf` for the addresses of a host, and keeps
//! asking for as long as a name is watched ([`Resolver::watch`]). It never calls the C library's
//! resolver, which blocks the thread that calls it, and never keeps a cache of its own: who watches
//! a name has its addresses.
//!
//! A host is given by name here. An address needs no resolver, and a [`wire::dns::HostName`] cannot
//! be one.
//!
//! # Implementation
//!
//! Everything runs on the caller's thread and executor; nothing is `Send`. A resolution takes two
//! sockets for as long as it lasts, one for each family; at most 64 are under way at a time. A
//! watched name costs one timer between resolutions. The files are read anew for each resolution,
//! which is rare and takes some ten microseconds: so a change of them is in force at once, and
//! their text takes no memory in between.

mod answer;
mod config;
mod error;
mod exchange;
mod resolver;
mod watch;

#[cfg(test)]
mod tests;

pub use answer::Answer;
pub use config::{Config, Pace};
pub use error::{Error, Failure};
pub use resolver::Resolver;
pub use watch::Update;
