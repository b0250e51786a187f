//! What the scenarios share.
pub mod budget;
