//! The demo: two datacenters on this host, and a request from an app in one to an app in the other,
//! through a sidecar and a gateway on either side.
//!
//! `cargo run --release --bin demo` builds the real binary, makes a throw-away CA, starts the binary
//! in every role from the files in `configs/demo/`, an app in dc2 and clients in dc1, and shows what
//! each of them does as it does it. It ends with 0 and a verdict, or with 1 and what went wrong.
//! `--stay` keeps all of it up and says what to try.
//!
//! Nothing leaves the loopback interface. Nothing waits by the clock: a proxy says when it is ready.

mod acts;
mod app;
mod binary;
mod client;
mod failure;
mod pki;
mod proxy;
mod screen;
mod stage;
mod tour;

use std::process::ExitCode;

use screen::Screen;

/// Keeps the trust domain of `configs/demo/` in one place.
const TRUST_DOMAIN: &str = "11111111-2222-3333-4444-555555555555.consul";

/// The name that sidecars ask a gateway for, as Consul forms it: service, namespace, datacenter.
fn server_name(service: &str, datacenter: &str) -> String {
    format!("{service}.default.{datacenter}.internal.{TRUST_DOMAIN}")
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let after = match arguments.as_slice() {
        [] => tour::After::Stop,
        ["--stay"] => tour::After::Stay,
        ["--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(64);
        }
    };
    let screen = Screen::new();
    match tour::run(&screen, after) {
        Ok(verdict) => {
            screen.verdict(&verdict);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            screen.failure(&failure);
            ExitCode::FAILURE
        }
    }
}

const USAGE: &str = "\
cargo run --release --bin demo [-- --stay]

Shows requests from datacenter dc1 to a service in dc2 through sidecars and mesh gateways.

  --stay    keep everything up, show what comes, and say what to try; Ctrl-C ends it

LICTOR_BIN names the lictor to use; without it the one of this repository is built.";
