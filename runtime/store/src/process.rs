//! How a process runs, apart from the Plan: what a blob must say so that a device needs no file beside it.

use core::time::Duration;

use plan::{Address, TcpKeepalive};
use serde::{Deserialize, Serialize};

/// The settings of a process, all of them checked by who made them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Where the admin endpoint listens.
    pub admin: Option<Address>,
    /// Where state is kept.
    pub state_dir: String,
    /// Whether certificates and keys are remembered.
    pub remember_identities: bool,
    /// Logging.
    pub log: LogForm,
    /// The most connections at a time.
    pub connections: u32,
    /// The most handshakes at a time from one address.
    pub handshakes_per_source: u32,
    /// The most TLS sessions kept by each listener.
    pub tls_sessions: u32,
    /// For the whole ClientHello.
    pub client_hello: Duration,
    /// For connecting to an endpoint, where the Plan does not say.
    pub connect: Duration,
    /// For flows to end when the process stops.
    pub drain: Duration,
    /// Without a byte in either direction; `None` is never.
    pub idle: Option<Duration>,
    /// Settings of connections.
    pub tcp: Tcp,
}

/// The log: how much and in which form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogForm {
    /// 0 is errors only, each next number a level more.
    pub level: u8,
    /// Whether lines are JSON.
    pub json: bool,
    /// Whether there is a line for every connection.
    pub access: bool,
}

/// Settings of connections, in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tcp {
    /// Keepalive; `None` leaves it off.
    pub keepalive: Option<TcpKeepalive>,
    /// `TCP_USER_TIMEOUT`; `None` leaves it to the kernel.
    pub user_timeout: Option<Duration>,
}
