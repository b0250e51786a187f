//! lictor: a sidecar proxy and mesh gateway for Consul service mesh in one small binary.
//!
//! Nothing is here but the way in. The level at which the last crate is optimised is the linked whole's, and the rest is
//! smaller at another one: see `[profile.release]` in the workspace's `Cargo.toml`.

use std::process::ExitCode;

fn main() -> ExitCode {
    commands::main()
}
