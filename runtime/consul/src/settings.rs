//! Where Consul is and how it is talked to.

use std::path::PathBuf;

use crate::{Address, TokenSource};

/// Where Consul is and how it is talked to. Always usable, apart from files that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Agents or servers in the order in which they are tried; at least one.
    pub addresses: Vec<Address>,
    /// The ACL token.
    pub token: TokenSource,
    /// For addresses with https.
    pub tls: TlsFiles,
    /// The most connections at a time, at least 4. Consul allows an address 200 by default (`http_max_conns_per_client`),
    /// and counts a connection that we give up until its query ends.
    pub connections: usize,
    /// The node of the catalog that stands for this machine, where servers are asked and no agent runs here. No agent may have
    /// the name.
    pub node: Option<String>,
}

impl Default for Settings {
    /// The local agent, as it is without configuration.
    fn default() -> Self {
        Self {
            addresses: vec![Address::default()],
            token: TokenSource::Anonymous,
            tls: TlsFiles::default(),
            connections: CONNECTIONS,
            node: None,
        }
    }
}

/// TLS to Consul, as `CONSUL_CACERT`, `CONSUL_CLIENT_CERT`, `CONSUL_CLIENT_KEY` and `CONSUL_TLS_SERVER_NAME` give it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The roots, PEM; needed for https.
    pub ca: Option<PathBuf>,
    /// Our certificate and its key, PEM.
    pub own: Option<(PathBuf, PathBuf)>,
    /// The name that Consul's certificate must be for; the host that is dialed unless given. Servers have
    /// `server.<datacenter>.consul`.
    pub server_name: Option<String>,
}

/// A sixth of what Consul allows: five crashes within one wait still leave room.
pub const CONNECTIONS: usize = 32;
