//! What the scenario tests, the demo and the benchmark share: the real binary, its peers, and the
//! ground that they meet on.

pub mod admin;
pub mod authority;
pub mod backend;
pub mod budget;
pub mod client;
pub mod clock;
pub mod consul;
pub mod dns;
pub mod envoy;
pub mod envoy_sidecar;
pub mod flawed;
pub mod heap;
pub mod hello;
pub mod instances;
pub mod lab;
pub mod link;
pub mod log;
pub mod netns;
pub mod openssl;
pub mod pattern;
pub mod pki;
mod preload;
pub mod proc;
pub mod process;
pub mod sidecar;
pub mod temp;
mod tun;
pub mod wait;
