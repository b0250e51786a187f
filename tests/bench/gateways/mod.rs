//! The gateways that are compared, one file each; `sidecars` has those that are compared as sidecars.
//!
//! A new peer is a file with a type that implements `Gateway` and a line in `chosen`. Each is given
//! one thread, one route (`client_hello::SNI` to the backend) and otherwise its own defaults, except
//! for limits that 5,000 flows would run into.

pub(crate) mod envoy;
mod haproxy;
mod lictor;
mod nginx;

use crate::{options::Options, sidecars};
use std::{io, net::SocketAddr, path::PathBuf, process::Command};

/// A program that routes connections by SNI.
pub(crate) trait Gateway {
    /// As in `--only` and in the table's head.
    fn name(&self) -> &'static str;

    /// What the program says of its version, in one line.
    fn version(&self) -> io::Result<String>;

    /// Writes the configuration and gives the commands that run in the foreground, in the order in
    /// which they are to start: one of a gateway, two of a pair of sidecars.
    fn commands(&self, place: &Place) -> io::Result<Vec<Command>>;
}

/// Where a gateway runs.
pub(crate) struct Place {
    /// An existing directory of its own.
    pub(crate) directory: PathBuf,
    /// Where it is to accept connections.
    pub(crate) listen: SocketAddr,
    /// Where it is to route them to.
    pub(crate) backend: SocketAddr,
    /// For a pair of sidecars: where the one that is called accepts the other's connections.
    pub(crate) between: SocketAddr,
    /// For a pair of sidecars: whether a TLS session may be resumed.
    pub(crate) resumes: bool,
}

/// The gateways that the options name, in that order.
pub(crate) fn chosen(options: &Options) -> io::Result<Vec<Box<dyn Gateway>>> {
    if options.sidecars {
        return sidecars::chosen(options);
    }
    options
        .only
        .iter()
        .map(|name| -> io::Result<Box<dyn Gateway>> {
            Ok(match name.as_str() {
                "lictor" => Box::new(lictor::Lictor {
                    binary: options.lictor.clone(),
                }),
                "haproxy" => Box::new(haproxy::HaProxy),
                "nginx" => Box::new(nginx::Nginx),
                "envoy" => Box::new(envoy::Envoy {
                    binary: options.envoy.clone(),
                }),
                _ => return Err(io::Error::other(format!("no gateway is called {name}"))),
            })
        })
        .collect()
}

/// The first line that the command prints, on whichever stream.
pub(crate) fn first_line(mut command: Command) -> io::Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| {
        io::Error::other(format!(
            "{program}: {error} (tests/bench/run installs the peers)"
        ))
    })?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    Ok(text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default()
        .to_owned())
}
