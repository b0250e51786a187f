//! Limits and times of the data plane: what an operator may set, already checked.

use std::time::Duration;

use sys::socket::TcpOptions;

/// How the data plane behaves, apart from the Plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The most connections at a time. Further ones are reset at once.
    pub connections: usize,
    /// The most connections of one source address that have not yet sent a whole ClientHello.
    pub handshakes_per_source: u32,
    /// The most TLS sessions that a listener keeps for clients that come again; with 0 nobody's are kept.
    pub tls_sessions: usize,
    /// How long a client may take to send its ClientHello.
    pub client_hello_timeout: Duration,
    /// How long a flow between services may carry nothing; zero is for ever. Control-plane names have no such limit.
    pub idle_timeout: Duration,
    /// Options of every socket.
    pub tcp: TcpOptions,
    /// Whether the kernel may do the TLS of flows (kTLS), where it offers to.
    #[cfg(feature = "ktls")]
    pub kernel_tls: bool,
    /// Whether the opening and the end of each connection are events.
    pub access_log: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connections: 4096,
            handshakes_per_source: 256,
            tls_sessions: 256,
            client_hello_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(3600),
            tcp: TcpOptions {
                keepalive_time: Some(Duration::from_secs(60)),
                keepalive_interval: Duration::from_secs(10),
                keepalive_probes: 6,
                user_timeout: Duration::from_secs(120),
            },
            #[cfg(feature = "ktls")]
            kernel_tls: false,
            access_log: false,
        }
    }
}
