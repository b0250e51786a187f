//! The mesh from Consul: what its HTTP API says becomes the vocabulary of a plan, and stays current.
//!
//! Talks HTTP/1.1 to a local agent or to the servers (<https://developer.hashicorp.com/consul/api-docs>), of any Consul
//! from 1.8 on, by blocking queries (<https://developer.hashicorp.com/consul/api-docs/features/blocking>).
//!
//! An error is never an empty answer: whatever goes wrong, the last good answer stays in force.
#![forbid(unsafe_code)]

pub mod answers;
pub mod assemble;
pub mod explain;
pub mod gateway;
mod json;
mod known;
mod question;
pub mod sidecar;
mod source;
pub mod times;

pub use json::NotUnderstood;
pub use known::{Known, News};
pub use question::{ChainQuestion, Question, Waiting};
pub use source::{Assembled, NotYet, Registered, Source};
