//! `service-resolver`: subsets, redirects and failover of a service
//! (<https://developer.hashicorp.com/consul/docs/connect/config-entries/service-resolver>).

use crate::fields::record;
use crate::scalars::{ConsulDuration, Map, Opaque};
use crate::stanza::BalancePolicy;

record! {
    /// How instances of a service are found.
    pub struct ServiceResolver("service-resolver") {
        /// `service-resolver`.
        kind: Option<String>,
        /// The service.
        name: Option<String>,
        /// The service's namespace.
        namespace: Option<String>,
        /// The service's admin partition.
        partition: Option<String>,
        /// Metadata.
        meta: Map<String>,
        /// The subset that the plain name means.
        default_subset: Option<String>,
        /// The subsets, by name.
        subsets: Map<ResolverSubset>,
        /// Where all traffic goes instead.
        redirect: Option<ResolverRedirect>,
        /// Where traffic goes when there is no healthy instance, by subset or `*`.
        failover: Map<ResolverFailover>,
        /// How long connecting may take.
        connect_timeout: Option<ConsulDuration>,
        /// How long a request may take.
        request_timeout: Option<ConsulDuration>,
        /// How an instance is chosen.
        load_balancer: Option<LoadBalancer>,
        /// In which order localities are preferred.
        prioritize_by_locality: Option<Opaque>,
    }
    known { "create_index", "modify_index" }
}

record! {
    /// One of `Subsets`.
    pub struct ResolverSubset("a subset") {
        /// Which instances belong to it.
        filter: Option<String>,
        /// Whether instances with a warning are left out.
        only_passing: bool,
    }
}

record! {
    /// `Redirect { … }`.
    pub struct ResolverRedirect("redirect") {
        /// The service.
        service: Option<String>,
        /// Its subset.
        service_subset: Option<String>,
        /// Its namespace.
        namespace: Option<String>,
        /// Its admin partition.
        partition: Option<String>,
        /// Its datacenter.
        datacenter: Option<String>,
        /// The peer that exports it.
        peer: Option<String>,
        /// A sameness group.
        sameness_group: Option<String>,
    }
}

record! {
    /// One of `Failover`.
    pub struct ResolverFailover("failover") {
        /// The service.
        service: Option<String>,
        /// Its subset.
        service_subset: Option<String>,
        /// Its namespace.
        namespace: Option<String>,
        /// A sameness group.
        sameness_group: Option<String>,
        /// The datacenters, in order.
        datacenters: Vec<String>,
        /// The targets, in order, instead of all of the above.
        targets: Vec<FailoverTarget>,
        /// In which order they are tried.
        policy: Option<Opaque>,
    }
}

record! {
    /// One of `Targets`.
    pub struct FailoverTarget("a failover target") {
        /// The service.
        service: Option<String>,
        /// Its subset.
        service_subset: Option<String>,
        /// Its namespace.
        namespace: Option<String>,
        /// Its admin partition.
        partition: Option<String>,
        /// Its datacenter.
        datacenter: Option<String>,
        /// The peer that exports it.
        peer: Option<String>,
    }
}

record! {
    /// `LoadBalancer { … }`.
    pub struct LoadBalancer("load balancer") {
        /// Round robin unless given.
        policy: Option<BalancePolicy>,
        /// For `ring_hash`.
        ring_hash_config: Option<RingHashConfig>,
        /// For `least_request`.
        least_request_config: Option<LeastRequestConfig>,
        /// What is hashed, for `ring_hash` and `maglev`. Over TCP it is the address of the client, whatever is said.
        hash_policies: Vec<HashPolicy>,
    }
}

record! {
    /// `RingHashConfig { … }`.
    pub struct RingHashConfig("ring hash config") {
        /// The fewest places on the ring. There is none here: the choice is as even as on an endless ring.
        minimum_ring_size: Option<u32>,
        /// The most places on the ring.
        maximum_ring_size: Option<u32>,
    }
}

record! {
    /// `LeastRequestConfig { … }`.
    pub struct LeastRequestConfig("least request config") {
        /// How many endpoints are drawn.
        choice_count: Option<u8>,
    }
}

record! {
    /// One of `HashPolicies`.
    pub struct HashPolicy("a hash policy") {
        /// `header`, `cookie` or `query_parameter`.
        field: Option<String>,
        /// Its name.
        field_value: Option<String>,
        /// The cookie that is made.
        cookie_config: Option<Opaque>,
        /// Whether the address of the client is hashed.
        source_ip: bool,
        /// Whether to stop when there is a hash.
        terminal: bool,
    }
}
