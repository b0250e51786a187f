//! From answers to what a plan is made of. Pure functions.

pub mod authorization;
pub mod chains;
pub mod gateway_registration;
pub mod places;
pub mod sidecar_registration;
