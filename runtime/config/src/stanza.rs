//! `lictor { … }`: what is lictor's own, and the mesh around it where there is no Consul to ask.
//!
//! Every field is optional here and may stand in any of the files; [`crate::mesh`] and
//! [`crate::runtime`] join the stanzas and check them. Every map may be written as labelled blocks
//! (`service "api" { … }`) or as one map under the plural (`services = { api = { … } }`).

use std::time::Duration;

use crate::address::{Address, EndpointItem};
use crate::consul::ConsulStanza;
use crate::fields::record;
use crate::scalars::{Map, OwnAndOthers, Secret, Spot, words};

record! {
    /// `lictor { … }`.
    pub(crate) struct Stanza("lictor") {
        /// The own datacenter, and the other ones: `datacenter "dc2" { … }`.
        datacenter: OwnAndOthers<DatacenterStanza>,
        /// The other datacenters.
        datacenters: Map<DatacenterStanza>,
        /// The own admin partition, and the other ones of the datacenter: `partition "ap2" { … }`.
        partition: OwnAndOthers<PartitionStanza>,
        /// The other admin partitions.
        partitions: Map<PartitionStanza>,
        /// The trust domain: `<cluster uuid>.consul`.
        trust_domain: Option<Spot<String>>,
        /// Consul's DNS domain.
        domain: Option<Spot<String>>,
        /// Where state is kept.
        state_dir: Option<Spot<String>>,
        /// Whether certificates and keys are kept there too.
        remember_identities: Option<Spot<bool>>,
        /// Where the admin endpoint listens.
        admin: Option<Spot<Option<plan::Address>>>,
        /// Where Consul is.
        consul: Option<ConsulStanza>,
        /// Logging.
        log: Option<LogStanza>,
        /// Limits.
        limits: Option<LimitsStanza>,
        /// Timeouts.
        timeouts: Option<TimeoutsStanza>,
        /// Settings of connections.
        tcp: Option<TcpStanza>,
        /// The mesh gateways of this datacenter, by LAN address.
        gateways: Vec<EndpointItem>,
        /// The roots of the trust domain: files or PEM text.
        roots: Vec<Spot<Secret>>,
        /// Who the services here are: `identity "web" { … }`.
        identity: Map<IdentityStanza>,
        /// The same.
        identities: Map<IdentityStanza>,
        /// What holds for a caller that no intention names.
        default_intention_policy: Option<Spot<IntentionPolicy>>,
        /// Services of this datacenter and partition.
        service: Map<ServiceStanza>,
        /// The same.
        services: Map<ServiceStanza>,
        /// Consul's servers of this datacenter.
        server: Map<ServerStanza>,
        /// The same.
        servers: Map<ServerStanza>,
        /// Peered clusters.
        peer: Map<PeerStanza>,
        /// The same.
        peers: Map<PeerStanza>,
        /// Whether the control plane of peering goes through the gateways.
        peer_through_mesh_gateways: Option<Spot<bool>>,
    }
}

words! {
    /// How much is logged.
    pub enum LogLevel {
        /// What stops the gateway from working.
        Error = "error",
        /// What a person should look at.
        Warn = "warn" | "warning",
        /// What happens.
        #[default]
        Info = "info",
        /// How it happens.
        Debug = "debug",
    }
}

words! {
    /// How a line of the log looks.
    pub enum LogFormat {
        /// For a person.
        #[default]
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

record! {
    /// `log { … }`.
    pub(crate) struct LogStanza("log") {
        /// How much.
        level: Option<LogLevel>,
        /// In which form.
        format: Option<LogFormat>,
        /// Whether there is a line for every connection.
        access: Option<bool>,
    }
}

record! {
    /// `limits { … }`.
    pub(crate) struct LimitsStanza("limits") {
        /// Connections at a time.
        connections: Option<Spot<u32>>,
        /// Handshakes at a time from one address.
        handshakes_per_source: Option<Spot<u32>>,
        /// TLS sessions kept for resumption.
        tls_sessions: Option<Spot<u32>>,
    }
}

record! {
    /// `timeouts { … }`.
    pub(crate) struct TimeoutsStanza("timeouts") {
        /// For the whole ClientHello.
        client_hello: Option<Spot<Duration>>,
        /// For connecting to an endpoint.
        connect: Option<Spot<Duration>>,
        /// For flows to end when the process stops.
        drain: Option<Spot<Duration>>,
        /// Without a byte in either direction; 0 is never.
        idle: Option<Spot<Duration>>,
    }
}

record! {
    /// `tcp { … }`.
    pub(crate) struct TcpStanza("tcp") {
        /// Silence before the first keepalive probe.
        keepalive_time: Option<Spot<Duration>>,
        /// Between probes.
        keepalive_interval: Option<Spot<Duration>>,
        /// Probes without an answer before the connection is dead.
        keepalive_probes: Option<Spot<u32>>,
        /// How long sent bytes may stay unacknowledged (`TCP_USER_TIMEOUT`).
        user_timeout: Option<Spot<Duration>>,
        /// Whether the kernel may do the TLS of flows (kTLS).
        kernel_tls: Option<Spot<bool>>,
    }
}

words! {
    /// What holds for a caller that no intention names.
    pub(crate) enum IntentionPolicy {
        /// It may not connect.
        #[default]
        Deny = "deny",
        /// It may connect.
        Allow = "allow",
    }
}

record! {
    /// `identity "web" { … }`.
    pub(crate) struct IdentityStanza("an identity") {
        /// The certificate and its chain, leaf first: a file or PEM text.
        certificate: Option<Spot<Secret>>,
        /// The key of the certificate: a file or PEM text.
        key: Option<Spot<Secret>>,
    }
}

words! {
    /// How an instance is chosen.
    pub enum BalancePolicy {
        /// In turn.
        #[default]
        RoundRobin = "" | "round_robin",
        /// The one with the fewest connections.
        LeastRequest = "least_request",
        /// By chance.
        Random = "random",
        /// By the client's address.
        RingHash = "ring_hash",
        /// The same.
        Maglev = "maglev",
    }
}

record! {
    /// `service "api" { … }`.
    pub(crate) struct ServiceStanza("a service") {
        /// Its name, where the label is not: two services of one name in two namespaces.
        name: Option<String>,
        /// Its namespace.
        namespace: Option<String>,
        /// Where its instances' sidecars listen.
        endpoints: Vec<EndpointItem>,
        /// How long connecting may take.
        connect_timeout: Option<Spot<Duration>>,
        /// How an instance is chosen.
        balance: Option<BalancePolicy>,
        /// Its protocol; `tcp` unless given.
        protocol: Option<String>,
        /// Its subsets.
        subset: Map<SubsetStanza>,
        /// The same.
        subsets: Map<SubsetStanza>,
        /// The subset that the plain name means.
        default_subset: Option<Spot<String>>,
        /// Peers it is exported to.
        exported_to: Vec<String>,
    }
}

record! {
    /// `subset "v1" { … }`.
    pub(crate) struct SubsetStanza("a subset") {
        /// Where its instances' sidecars listen.
        endpoints: Vec<EndpointItem>,
    }
}

record! {
    /// `datacenter "dc2" { … }`.
    pub(crate) struct DatacenterStanza("a datacenter") {
        /// Its mesh gateways, by WAN address.
        gateways: Vec<EndpointItem>,
        /// Its services, by WAN address, for sidecars here that reach them without a gateway.
        service: Map<ServiceStanza>,
        /// The same.
        services: Map<ServiceStanza>,
    }
}

record! {
    /// `partition "ap2" { … }`.
    pub(crate) struct PartitionStanza("a partition") {
        /// Its mesh gateways.
        gateways: Vec<EndpointItem>,
    }
}

record! {
    /// `server "dc1-srv-1" { … }`.
    pub(crate) struct ServerStanza("a server") {
        /// Its RPC address.
        address: Option<Address>,
        /// Its port for gRPC over TLS, which peers dial.
        grpc_tls_port: Option<u16>,
        /// Whether it is a read replica, which peers must not dial.
        read_replica: bool,
    }
}

record! {
    /// `peer "cluster-01" { … }`.
    pub(crate) struct PeerStanza("a peer") {
        /// Its trust domain.
        trust_domain: Option<Spot<String>>,
        /// The roots of its trust domain: files or PEM text.
        roots: Vec<Spot<Secret>>,
        /// Its datacenter, by its own name, which is part of its services' identities.
        datacenter: Option<String>,
        /// Its name for this cluster.
        name_there: Option<String>,
        /// Its mesh gateways, by WAN address.
        gateways: Vec<EndpointItem>,
        /// What it exports to this cluster.
        service: Map<ImportedStanza>,
        /// The same.
        services: Map<ImportedStanza>,
        /// The name of its servers: `server.<dc>.peering.<trust domain>`.
        server_name: Option<Spot<String>>,
        /// Where its servers, or the gateways before them, are reached.
        servers: Vec<EndpointItem>,
    }
}

record! {
    /// `service "billing" { … }` of a peer.
    pub(crate) struct ImportedStanza("an imported service") {
        /// Its name there, where the label is not.
        name: Option<String>,
        /// Its namespace there.
        namespace: Option<String>,
        /// Its admin partition there.
        partition: Option<String>,
    }
}
