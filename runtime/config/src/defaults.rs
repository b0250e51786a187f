//! What holds where a file says nothing.

use std::time::Duration;

use plan::TcpKeepalive;

/// Consul's DNS domain (the agents' `domain`).
pub(crate) const DOMAIN: &str = "consul";
/// Consul's name of the partition when none is given.
pub(crate) const PARTITION: &str = "default";

/// Where a gateway keeps what it learned; the place for it in the Filesystem Hierarchy Standard.
pub(crate) const STATE_DIR: &str = "/var/lib/lictor";

/// Connections at a time: each costs some hundred bytes while idle and two descriptors, and 4096
/// fit the usual limit of descriptors once raised to its hard bound.
pub(crate) const MAX_CONNECTIONS: u32 = 4096;
/// Handshakes at a time from one address: enough for a datacenter behind one NAT, too few for one
/// host to take every slot.
pub(crate) const MAX_HANDSHAKES_PER_SOURCE: u32 = 256;
/// TLS sessions kept by a listener: a resumed handshake takes half the time of a full one, and each kept costs
/// about 1.5 KB, once used.
pub(crate) const TLS_SESSIONS: u32 = 256;

/// For the whole ClientHello: three retransmissions on a slow link, less than Envoy's 15 s.
pub(crate) const CLIENT_HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// For connecting to an endpoint; Consul's default (`connect_timeout_ms`).
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For flows to end by themselves when the process stops; within systemd's 90 s.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Without a byte in either direction; Envoy's default for TCP.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);

/// The kernel's own keepalive (tcp(7)).
pub(crate) const KERNEL_KEEPALIVE: TcpKeepalive = TcpKeepalive {
    time: Duration::from_secs(7200),
    interval: Duration::from_secs(75),
    probes: 9,
};

/// The first port Consul gives to a sidecar that names none (`sidecar_min_port`).
pub(crate) const SIDECAR_MIN_PORT: u16 = 21000;
/// The last one (`sidecar_max_port`).
pub(crate) const SIDECAR_MAX_PORT: u16 = 21255;

/// Endpoints that `least_request` draws; Envoy's default.
pub(crate) const LEAST_REQUEST_CHOICES: u8 = 2;
