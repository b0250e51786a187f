//! What Consul answers, as types: only the fields that a proxy goes by.
//!
//! One function per endpoint, from bytes to a value. What a newer Consul adds is skipped, what an older one leaves out is as
//! Go's zero value: empty, 0, false.

pub mod authority;
pub mod catalog;
pub mod chain;
pub mod defaults;
pub mod instances;
pub mod intentions;
pub mod mesh;
pub mod service;
