//! The Plan: listeners, filter chains, clusters, endpoints.
//!
//! Pure data in the words of Envoy's configuration, which Consul uses too. It never says *why* a thing is so
//! (gateway modes, intentions' precedence, federation): that was decided by who made the Plan.
//!
//! A Plan is whole and never changes, and there are several at a time: the one in force, the next one, the one to be
//! remembered. What is large in them, clusters and chains, is therefore shared: a Plan that differs in one cluster has all the
//! others in common with the Plan it was made from, and whoever compares the two sees that by their addresses.

use alloc::{boxed::Box, rc::Rc, string::String, vec::Vec};
use core::{fmt, net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::intentions::Intentions;

/// Everything the data plane does, whole and immutable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The sockets to accept on, sorted by name.
    pub listeners: Vec<Listener>,
    /// The places to connect to, sorted by name, each name once. [`Plan::cluster`] relies on the order.
    pub clusters: Vec<Rc<Cluster>>,
    /// Who we are in TLS, each name once.
    pub identities: Vec<Identity>,
    /// Whom we trust in TLS, each trust domain once.
    pub trust: Vec<TrustBundle>,
}

impl Plan {
    /// The cluster of that name. Names are lower case.
    #[must_use]
    pub fn cluster(&self, name: &str) -> Option<&Cluster> {
        self.piece(name).map(Rc::as_ref)
    }

    /// The same, to be shared.
    #[must_use]
    pub fn piece(&self, name: &str) -> Option<&Rc<Cluster>> {
        let at = self
            .clusters
            .binary_search_by(|cluster| cluster.name.as_str().cmp(name));
        self.clusters.get(at.ok()?)
    }

    /// Takes clusters and chains from another Plan where they are the same, so that there is one copy of them.
    pub fn share(&mut self, with: &Self) {
        let mut others = with.clusters.iter().peekable();
        for cluster in &mut self.clusters {
            while others.next_if(|other| other.name < cluster.name).is_some() {}
            if let Some(other) = others.peek().filter(|other| **other == cluster) {
                *cluster = Rc::clone(other);
            }
        }
        for (listener, other) in self.listeners.iter_mut().zip(&with.listeners) {
            for (chain, other) in listener.chains.iter_mut().zip(&other.chains) {
                if chain == other {
                    *chain = Rc::clone(other);
                }
            }
        }
    }
}

/// Who we are in TLS: a certificate chain and its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// What chains and clusters call it: the service's name.
    pub name: String,
    /// The chain in PEM, leaf first.
    pub certificates: String,
    /// The leaf's key in PEM.
    pub key: Secret,
}

/// Whom we trust in TLS: the roots of one trust domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustBundle {
    /// The trust domain, lower case.
    pub trust_domain: String,
    /// Its roots in PEM; several while a root is rotated.
    pub roots: String,
}

/// Text that is never shown, and wiped when it is dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for whoever cannot do without.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// One socket to accept on, and what may come in through it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// `<purpose>:<address>:<port>`, as Consul names them: `default:0.0.0.0:8443`, `wan:[2001:db8::1]:443`; with the path
    /// instead, where it is a unix socket.
    pub name: String,
    /// The address to bind. `[::]` takes IPv4 too, unless another listener has the same port on `0.0.0.0`.
    pub address: Address,
    /// The mode of a unix socket (chmod(2)); `None` leaves it to the umask.
    pub mode: Option<u32>,
    /// What is looked at before a chain is chosen.
    pub inspect: Inspect,
    /// The chains, of which the best match wins: [`crate::matching`].
    pub chains: Vec<Rc<FilterChain>>,
}

/// What a listener looks at before it chooses a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Inspect {
    /// The ClientHello (Envoy's `tls_inspector`); what is not TLS is refused.
    ClientHello,
    /// Nothing: the first chain takes every connection as it comes. For applications, which speak first or wait.
    Nothing,
}

/// What is done with the connections that a match selects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterChain {
    /// Which server names (SNI) select this chain.
    pub server_names: ServerNames,
    /// How TLS is terminated; `None` passes it on unopened.
    pub tls: Option<DownstreamTls>,
    /// Who may come in; needs `tls`, since it goes by the client's identity.
    pub authorization: Option<Intentions>,
    /// The most connections at a time through this chain.
    pub max_connections: Option<u32>,
    /// Where the bytes go.
    pub route: Route,
}

impl FilterChain {
    /// A chain that passes connections on as they are.
    #[must_use]
    pub fn passthrough(server_names: ServerNames, route: Route) -> Self {
        Self {
            server_names,
            tls: None,
            authorization: None,
            max_connections: None,
            route,
        }
    }
}

/// How a chain terminates TLS. A client certificate of a service of a trusted domain is always required.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownstreamTls {
    /// Which of the Plan's identities we show.
    pub identity: String,
    /// The trust domains whose clients may come in, each with its own roots.
    pub trust: Vec<String>,
    /// What is negotiated.
    pub parameters: TlsParameters,
}

/// How a cluster originates TLS. The server's name is never checked, its identity always is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamTls {
    /// Which of the Plan's identities we show.
    pub identity: String,
    /// The trust domain whose roots the server's chain must lead to.
    pub trust: String,
    /// The SNI to send.
    pub server_name: String,
    /// The SPIFFE IDs of which the server must have one.
    pub accepted: Vec<String>,
    /// What is negotiated.
    pub parameters: TlsParameters,
}

/// What is negotiated in TLS (the mesh config entry's `TLS`); empty means the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsParameters {
    /// `TLSMinVersion`: `TLSv1_2` or `TLSv1_3`.
    pub min_version: String,
    /// `TLSMaxVersion`.
    pub max_version: String,
    /// `CipherSuites`, of TLS 1.2, in OpenSSL's names.
    pub cipher_suites: Vec<String>,
}

/// The SNI condition of a filter chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerNames {
    /// Any name that no other chain matches, and none at all.
    Any,
    /// This name and no other.
    Exact(String),
    /// Any name that ends in `.` and this suffix, at any depth; not the suffix itself.
    Suffix(String),
}

impl fmt::Display for ServerNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any other name"),
            Self::Exact(name) => write!(f, "\"{name}\""),
            Self::Suffix(suffix) => write!(f, "\"*.{suffix}\""),
        }
    }
}

/// The end of a filter chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Route {
    /// To the cluster of this name (Envoy's `tcp_proxy`).
    Cluster(String),
    /// To the cluster whose name is the SNI; closed if there is none (Envoy's `sni_cluster`).
    SniCluster,
    /// To one of these clusters by chance, by weight; at least one weight is not 0 (Envoy's `weighted_clusters`).
    Weighted(Vec<(u32, String)>),
    /// Closed, for the reason given. Kept as a chain so that its traffic cannot fall through to a wider one.
    Refuse(String),
}

/// A set of endpoints that are as good as each other, and how to reach them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// The name, lower case; for services the SNI that clients send.
    pub name: String,
    /// What kind of traffic it carries.
    pub traffic: Traffic,
    /// Who may be connected to.
    pub endpoints: Vec<Endpoint>,
    /// The clusters that are used instead while this one has no usable endpoint, in this order (Envoy's aggregate
    /// cluster). Their own failover does not count.
    pub failover: Vec<String>,
    /// How hosts given by name become addresses.
    pub discovery: Discovery,
    /// How an endpoint is chosen.
    pub balance: Balance,
    /// How long a connection may take to be established, all endpoints tried included.
    pub connect_timeout: Duration,
    /// The most connections at a time; `None` leaves it to the limit of the process.
    pub max_connections: Option<u32>,
    /// The most connections at a time that are not established yet (Envoy's `max_pending_requests`); `None` is no limit.
    pub max_pending: Option<u32>,
    /// When an endpoint that fails is left out for a while; `None` never leaves one out.
    pub outlier_detection: Option<Box<OutlierDetection>>,
    /// Keepalive that differs from the process's default.
    pub keepalive: Option<Box<TcpKeepalive>>,
    /// How TLS is originated; `None` sends the bytes as they come.
    pub tls: Option<Box<UpstreamTls>>,
}

/// What a cluster carries, where it makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Traffic {
    /// Between services: the idle timeout applies.
    Service,
    /// Between Consul's servers (WAN federation, peering): long-lived streams that may be silent for hours, never
    /// timed out for being idle.
    ControlPlane,
}

/// How hosts given by name become addresses. Addresses given as such need none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Discovery {
    /// Every address of every name is an endpoint.
    StrictDns,
    /// Only the first usable name counts, and one of its addresses at a time (Envoy's `LOGICAL_DNS`).
    LogicalDns,
}

/// How an endpoint is chosen among the usable ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Balance {
    /// In turn, by weight.
    RoundRobin,
    /// The one with the fewest connections for its weight, out of this many drawn by chance.
    LeastRequest {
        /// How many are drawn; Envoy's default is 2.
        choices: u8,
    },
    /// By chance, by weight.
    Random,
    /// By the client's address, so that one client keeps its endpoint for as long as that can be used.
    RingHash,
    /// The same, by another of Consul's names.
    Maglev,
}

/// Passive health checks, in Envoy's words
/// (<https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/cluster/v3/outlier_detection.proto>). For TCP a failure is
/// an endpoint that could not be connected, TLS included; Envoy counts those as 5xx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutlierDetection {
    /// Failures in a row after which an endpoint is left out; 0 never leaves one out.
    pub consecutive_5xx: u32,
    /// After this time without another ejection an endpoint's count of ejections is one less.
    pub interval: Duration,
    /// For how long an endpoint is left out, times the count of its ejections.
    pub base_ejection_time: Duration,
    /// For how long it is left out at most.
    pub max_ejection_time: Duration,
    /// How many of the endpoints may be left out at a time, in percent; one always may.
    pub max_ejection_percent: u32,
    /// How likely it is left out after that many failures, in percent.
    pub enforcing_consecutive_5xx: u32,
}

/// What an operator gave of passive health checks, by Consul's words; what is missing is Envoy's default.
#[derive(Clone, Copy, Debug, Default)]
pub struct PassiveHealthCheck {
    /// `max_failures`; 0 says nothing.
    pub max_failures: Option<u32>,
    /// `interval`; zero says nothing.
    pub interval: Option<Duration>,
    /// `base_ejection_time`; zero says nothing.
    pub base_ejection_time: Option<Duration>,
    /// `max_ejection_percent`.
    pub max_ejection_percent: Option<u32>,
    /// `enforcing_consecutive_5xx`.
    pub enforcing_consecutive_5xx: Option<u32>,
}

impl From<PassiveHealthCheck> for OutlierDetection {
    fn from(given: PassiveHealthCheck) -> Self {
        let default = Self::default();
        let percent = |given: Option<u32>, default: u32| given.unwrap_or(default).min(100);
        let time = |given: Option<Duration>, default| {
            given.filter(|time| !time.is_zero()).unwrap_or(default)
        };
        let base = time(given.base_ejection_time, default.base_ejection_time);
        let failures = given.max_failures.filter(|count| *count > 0);
        Self {
            consecutive_5xx: failures.unwrap_or(default.consecutive_5xx),
            interval: time(given.interval, default.interval),
            base_ejection_time: base,
            max_ejection_time: default.max_ejection_time.max(base),
            max_ejection_percent: percent(given.max_ejection_percent, default.max_ejection_percent),
            enforcing_consecutive_5xx: percent(
                given.enforcing_consecutive_5xx,
                default.enforcing_consecutive_5xx,
            ),
        }
    }
}

impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            consecutive_5xx: 5,
            interval: Duration::from_secs(10),
            base_ejection_time: Duration::from_secs(30),
            max_ejection_time: Duration::from_secs(300),
            max_ejection_percent: 10,
            enforcing_consecutive_5xx: 100,
        }
    }
}

/// Where something listens or is connected to, once all names are resolved.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Address {
    /// An IP address and port.
    Inet(SocketAddr),
    /// A unix socket of this machine, by its absolute path (unix(7)).
    Unix(Box<str>),
}

impl Address {
    /// The IP address and port, unless it is a unix socket.
    #[must_use]
    pub fn inet(&self) -> Option<SocketAddr> {
        match self {
            Self::Inet(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Inet(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Unix(path) => f.write_str(path),
        }
    }
}

/// One place to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Where.
    pub address: EndpointAddress,
    /// Its share of the connections, relative to the others; at least 1.
    pub weight: u16,
    /// Whether it is thought to work.
    pub health: Health,
}

/// An address as it was given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EndpointAddress {
    /// An IP address and port.
    Socket(SocketAddr),
    /// A host name to resolve, and a port.
    Host {
        /// The name, lower case, without a trailing dot.
        name: String,
        /// The port.
        port: u16,
    },
    /// A unix socket of this machine, by its absolute path.
    Unix(Box<str>),
}

impl From<Address> for EndpointAddress {
    fn from(address: Address) -> Self {
        match address {
            Address::Inet(address) => Self::Socket(address),
            Address::Unix(path) => Self::Unix(path),
        }
    }
}

impl fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Host { name, port } => write!(f, "{name}:{port}"),
            Self::Unix(path) => f.write_str(path),
        }
    }
}

/// Whether an endpoint is thought to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Health {
    /// Its checks pass, or nothing is known against it.
    Healthy,
    /// A check is critical. Used only when no endpoint of the cluster is healthy, nor any of its failover: a wrong health
    /// report must not cut a datacenter off.
    Unhealthy,
}

/// TCP keepalive (tcp(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpKeepalive {
    /// Silence before the first probe (`TCP_KEEPIDLE`), whole seconds.
    pub time: Duration,
    /// Between probes (`TCP_KEEPINTVL`), whole seconds.
    pub interval: Duration,
    /// Probes without an answer before the connection is dead (`TCP_KEEPCNT`).
    pub probes: u32,
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn cluster(name: &str, max_connections: Option<u32>) -> Rc<Cluster> {
        Rc::new(Cluster {
            name: name.to_string(),
            traffic: Traffic::Service,
            endpoints: Vec::new(),
            failover: Vec::new(),
            discovery: Discovery::StrictDns,
            balance: Balance::RoundRobin,
            connect_timeout: Duration::from_secs(5),
            max_connections,
            max_pending: None,
            outlier_detection: None,
            keepalive: None,
            tls: None,
        })
    }

    #[test]
    fn a_plan_shares_with_another_what_they_have_in_common() {
        let with = |clusters: &[(&str, u32)]| {
            let clusters = clusters.iter();
            Plan {
                clusters: clusters
                    .map(|(name, most)| cluster(name, Some(*most)))
                    .collect(),
                ..Plan::default()
            }
        };
        let before = with(&[("a", 1), ("b", 1), ("d", 1), ("e", 1)]);
        let mut after = with(&[("b", 1), ("c", 1), ("d", 2), ("e", 1)]);
        let expected = after.clone();
        after.share(&before);
        assert_eq!(after, expected);
        let shared = after.clusters.iter().map(|cluster| {
            let mut before = before.clusters.iter();
            before.any(|other| Rc::ptr_eq(cluster, other))
        });
        assert_eq!(shared.collect::<Vec<_>>(), [true, false, false, true]);
    }

    #[test]
    fn what_a_passive_health_check_leaves_open_is_envoys_default() {
        let none = PassiveHealthCheck::default();
        assert_eq!(OutlierDetection::from(none), OutlierDetection::default());
        let zeros = PassiveHealthCheck {
            max_failures: Some(0),
            interval: Some(Duration::ZERO),
            base_ejection_time: Some(Duration::ZERO),
            ..none
        };
        assert_eq!(OutlierDetection::from(zeros), OutlierDetection::default());
    }

    #[test]
    fn an_endpoint_may_stay_ejected_for_the_base_time_at_least() {
        let long = Duration::from_secs(3600);
        let detection = OutlierDetection::from(PassiveHealthCheck {
            base_ejection_time: Some(long),
            max_ejection_percent: Some(250),
            ..PassiveHealthCheck::default()
        });
        assert_eq!(detection.max_ejection_time, long);
        assert_eq!(detection.max_ejection_percent, 100);
    }
}
