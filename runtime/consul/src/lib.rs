//! The mesh from Consul: what its HTTP API says becomes the vocabulary of a plan, and stays current.
//!
//! Talks HTTP/1.1 to a local agent or to the servers (<https://developer.hashicorp.com/consul/api-docs>), of any Consul
//! from 1.8 on, by blocking queries (<https://developer.hashicorp.com/consul/api-docs/features/blocking>).
//!
//! An error is never an empty answer: whatever goes wrong, the last good answer stays in force.
//!
//! [`Client`] sends requests, [`Watches`] keeps questions answered, [`Kept`] keeps a proxy registered.
//!
//! # Implementation
//!
//! Everything runs on the caller's thread and executor; nothing is `Send`. A watch costs its path, its listener and some 100
//! bytes; a query that blocks costs a connection, a task of about a kilobyte and a buffer of 1.5 KB, and there are never more
//! connections than the budget.
#![forbid(unsafe_code)]

mod address;
pub mod answers;
pub mod assemble;
mod client;
mod connection;
mod environment;
mod error;
pub mod explain;
mod follow;
pub mod gateway;
mod json;
mod kept;
mod known;
mod levels;
mod listed;
mod merge;
mod question;
pub mod registration;
pub mod renewal;
pub mod rights;
mod secure;
mod settings;
pub mod sidecar;
mod source;
pub mod times;
mod token;
mod watch;

pub use address::{Address, Host, Scheme};
pub use client::{Client, Request};
pub use connection::{About, Traffic};
pub use error::Error;
pub use follow::{Follower, Notice};
pub use json::NotUnderstood;
pub use kept::{Fare, Kept};
pub use known::{Known, News};
pub use levels::Entries;
pub use question::{ChainQuestion, Question, Waiting};
pub use settings::{CONNECTIONS, Settings, TlsFiles};
pub use source::{Assembled, NotYet, Registered, Source};
pub use token::TokenSource;
pub use watch::{Event, Watch, Watches};
