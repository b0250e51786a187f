//! What the data plane tells of itself: events for the log, counters for the metrics.
//!
//! Events borrow everything, so that one which nobody writes down costs next to nothing. Counters are plain cells: one
//! thread runs all our code.

use std::{
    cell::Cell,
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use plan::{Address, spiffe::SpiffeId};

/// Why a connection was refused, or cut before its peers were done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The process's limit on connections.
    ConnectionLimit,
    /// The limit on connections of one source, or of all, that have not sent their ClientHello.
    HandshakeLimit,
    /// The cluster's limit on connections.
    ClusterLimit,
    /// The cluster's limit on connections that are being made.
    PendingLimit,
    /// The first bytes are not TLS.
    NotTls,
    /// A ClientHello that breaks TLS's rules.
    MalformedClientHello,
    /// A ClientHello longer than anyone needs.
    ClientHelloTooLong,
    /// No whole ClientHello within the time.
    ClientHelloTimeout,
    /// A ClientHello without a server name.
    NoServerName,
    /// A server name of characters that no name in the mesh has.
    OddServerName,
    /// A server name that leads nowhere.
    UnknownServerName,
    /// A chain that is there to refuse.
    ChainRefuses,
    /// The cluster has no endpoints.
    NoEndpoints,
    /// The names of the cluster's endpoints have no addresses.
    NameResolution,
    /// TLS with the client could not be set up: its certificate, as a rule.
    TlsHandshake,
    /// No intention lets the client's service in.
    IntentionDenied,
    /// The chain's limit on connections.
    InboundLimit,
    /// TLS with the upstream could not be set up: its certificate or ours, as a rule.
    UpstreamTls,
    /// A new Plan does not trust the peer of the connection any more.
    TrustRemoved,
    /// Every endpoint that was tried failed.
    ConnectFailed,
    /// No endpoint answered within the connect timeout.
    ConnectTimeout,
    /// The client left before an endpoint was connected.
    ClientGone,
    /// A new Plan has no place for the connection any more.
    ClusterRemoved,
    /// Nothing was carried for the idle timeout.
    IdleTimeout,
    /// The process ends and the time to finish is over.
    DrainDeadline,
}

impl Cause {
    /// All of them, in the order of the metrics.
    pub const ALL: [Self; 25] = [
        Self::ConnectionLimit,
        Self::HandshakeLimit,
        Self::ClusterLimit,
        Self::PendingLimit,
        Self::NotTls,
        Self::MalformedClientHello,
        Self::ClientHelloTooLong,
        Self::ClientHelloTimeout,
        Self::NoServerName,
        Self::OddServerName,
        Self::UnknownServerName,
        Self::ChainRefuses,
        Self::NoEndpoints,
        Self::NameResolution,
        Self::TlsHandshake,
        Self::IntentionDenied,
        Self::InboundLimit,
        Self::UpstreamTls,
        Self::TrustRemoved,
        Self::ConnectFailed,
        Self::ConnectTimeout,
        Self::ClientGone,
        Self::ClusterRemoved,
        Self::IdleTimeout,
        Self::DrainDeadline,
    ];

    /// Its name in logs and metrics; never changes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ConnectionLimit => "connection_limit",
            Self::HandshakeLimit => "handshake_limit",
            Self::ClusterLimit => "cluster_limit",
            Self::PendingLimit => "pending_limit",
            Self::NotTls => "not_tls",
            Self::MalformedClientHello => "malformed_client_hello",
            Self::ClientHelloTooLong => "client_hello_too_long",
            Self::ClientHelloTimeout => "client_hello_timeout",
            Self::NoServerName => "no_server_name",
            Self::OddServerName => "odd_server_name",
            Self::UnknownServerName => "unknown_server_name",
            Self::ChainRefuses => "chain_refuses",
            Self::NoEndpoints => "no_endpoints",
            Self::NameResolution => "name_resolution",
            Self::TlsHandshake => "tls_handshake",
            Self::IntentionDenied => "intention_denied",
            Self::InboundLimit => "inbound_limit",
            Self::UpstreamTls => "upstream_tls",
            Self::TrustRemoved => "trust_removed",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectTimeout => "connect_timeout",
            Self::ClientGone => "client_gone",
            Self::ClusterRemoved => "cluster_removed",
            Self::IdleTimeout => "idle_timeout",
            Self::DrainDeadline => "drain_deadline",
        }
    }
}

/// How a connection that was forwarded came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Both sides had sent all they wanted.
    Finished,
    /// The client's side broke off.
    ClientReset,
    /// The upstream's side broke off.
    UpstreamReset,
    /// We cut it.
    Cut(Cause),
}

impl End {
    /// Its name in logs; never changes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::ClientReset => "client_reset",
            Self::UpstreamReset => "upstream_reset",
            Self::Cut(cause) => cause.name(),
        }
    }
}

/// Who connected to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Downstream {
    /// From this address.
    Inet(SocketAddr),
    /// A process of this machine, through a unix socket.
    Local,
}

impl Downstream {
    /// The address that limits by source go by.
    pub(crate) fn ip(self) -> IpAddr {
        match self {
            Self::Inet(address) => address.ip(),
            Self::Local => IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }
}

impl fmt::Display for Downstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Local => f.write_str("local"),
        }
    }
}

/// One thing that happened.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A connection was refused, or a handshake with an endpoint was given up.
    Refused {
        /// Why.
        cause: Cause,
        /// Who.
        client: Downstream,
        /// Through which listener.
        listener: &'a str,
        /// The server name, if one was understood.
        server_name: Option<&'a str>,
        /// What an operator can check.
        detail: fmt::Arguments<'a>,
    },
    /// A connection is being forwarded. Only with the access log.
    Opened {
        /// Who.
        client: Downstream,
        /// Who it has proven to be, where TLS with it is terminated.
        identity: Option<&'a SpiffeId>,
        /// The name it asked for.
        server_name: &'a str,
        /// The cluster it leads to.
        cluster: &'a str,
        /// The endpoint.
        upstream: &'a Address,
    },
    /// A forwarded connection has ended. Only with the access log, or when we cut it.
    Closed {
        /// Who.
        client: Downstream,
        /// The name it asked for, if it was kept.
        server_name: Option<&'a str>,
        /// The cluster it led to.
        cluster: &'a str,
        /// The endpoint.
        upstream: &'a Address,
        /// Bytes from the client to the upstream.
        sent: u64,
        /// Bytes from the upstream to the client.
        received: u64,
        /// How long it was open.
        lasted: Duration,
        /// How it ended.
        end: End,
    },
    /// The process has no descriptors or memory left for new connections; those that wait in the queue wait on.
    AcceptPaused {
        /// What the kernel said.
        error: &'a std::io::Error,
    },
    /// New connections are accepted again.
    AcceptResumed,
    /// New connections of a route go to another of its clusters than before.
    FailedOver {
        /// The cluster of the route.
        cluster: &'a str,
        /// The cluster that they go to now.
        to: &'a str,
        /// Whether that is the route's own again.
        back: bool,
    },
    /// An endpoint has failed too often and is left out.
    EndpointEjected {
        /// Its cluster.
        cluster: &'a str,
        /// The endpoint.
        endpoint: &'a Address,
        /// For how long.
        lasting: Duration,
    },
    /// An endpoint is left out no more.
    EndpointReturned {
        /// Its cluster.
        cluster: &'a str,
        /// The endpoint.
        endpoint: &'a Address,
    },
    /// A name has other addresses than before.
    NameResolved {
        /// The name.
        name: &'a str,
        /// How many addresses it has.
        addresses: usize,
    },
    /// A name could not be resolved. What was known of it goes on to be used.
    NameFailed {
        /// The name.
        name: &'a str,
        /// Why, and what to check.
        error: fmt::Arguments<'a>,
    },
}

/// Who is told of events. Called between system calls of the data path: it must not block or call back.
pub trait Observer {
    /// Something happened.
    fn observe(&self, event: &Event<'_>);
}

/// Numbers that only grow, and a few that are states.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections accepted.
    pub accepted: Cell<u64>,
    /// Connections that are being forwarded or about to be.
    pub active: Cell<u64>,
    /// Of these, the ones that have not sent a whole ClientHello.
    pub handshaking: Cell<u64>,
    /// Bytes from clients to upstreams, of connections that have ended.
    pub sent: Cell<u64>,
    /// Bytes from upstreams to clients, of connections that have ended.
    pub received: Cell<u64>,
    /// Attempts to connect to an endpoint that failed.
    pub connect_failures: Cell<u64>,
    /// How often an endpoint was left out for its failures.
    pub ejections: Cell<u64>,
    /// How often a connection went to a cluster of a failover.
    pub failovers: Cell<u64>,
    /// How often accepting paused for want of descriptors or memory.
    pub accept_pauses: Cell<u64>,
    /// Connections whose TLS the kernel did.
    #[cfg(feature = "ktls")]
    pub kernel_tls: Cell<u64>,
    causes: [Cell<u64>; Cause::ALL.len()],
}

impl Counters {
    /// How many connections were refused or cut for a cause.
    #[must_use]
    pub fn refused(&self, cause: Cause) -> u64 {
        self.causes.get(cause as usize).map_or(0, Cell::get)
    }

    pub(crate) fn refuse(&self, cause: Cause) {
        if let Some(counter) = self.causes.get(cause as usize) {
            add(counter, 1);
        }
    }
}

pub(crate) fn add(counter: &Cell<u64>, amount: u64) {
    counter.set(counter.get().wrapping_add(amount));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_its_place_and_its_name() {
        let counters = Counters::default();
        for (at, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, at);
            counters.refuse(cause);
            assert_eq!(counters.refused(cause), 1, "{}", cause.name());
        }
        let mut names: Vec<&str> = Cause::ALL.iter().map(|cause| cause.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Cause::ALL.len());
    }
}
