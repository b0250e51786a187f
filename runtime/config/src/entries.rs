//! Config entries: what Consul keeps centrally, here given in files
//! (<https://developer.hashicorp.com/consul/docs/connect/config-entries>).
//!
//! Eight kinds are read, whole: a key that Consul does not have is an error, as it is for
//! `consul config write`.

use plan::names::same;

use crate::fields::{At, Read, record};
use crate::intentions::ServiceIntentions;
use crate::proxy_config::ProxyConfig;
use crate::resolver::ServiceResolver;
use crate::scalars::{Map, Opaque, words};
use crate::service::{
    Expose, MeshGatewayConfig, PassiveHealthCheck, ProxyMode, TransparentProxy, Upstream,
    UpstreamLimits,
};
use crate::splitter::{ServiceRouter, ServiceSplitter};
use crate::suggest::did_you_mean;
use crate::value::{Span, Value};

/// The entries of all files, each kind and name once.
#[derive(Clone, Debug, Default)]
pub struct ConfigEntries {
    /// `proxy-defaults`, of which there is one, named `global`.
    pub proxy_defaults: Option<ProxyDefaults>,
    /// `service-defaults`, one for a service.
    pub service_defaults: Vec<ServiceDefaults>,
    /// `service-resolver`, one for a service.
    pub service_resolvers: Vec<ServiceResolver>,
    /// `service-splitter`, one for a service.
    pub service_splitters: Vec<ServiceSplitter>,
    /// `service-router`, one for a service.
    pub service_routers: Vec<ServiceRouter>,
    /// `service-intentions`, one for a destination.
    pub service_intentions: Vec<ServiceIntentions>,
    /// `mesh`, of which there is one.
    pub mesh: Option<MeshEntry>,
    /// `exported-services`, one for an admin partition.
    pub exported_services: Vec<ExportedServices>,
}

impl ConfigEntries {
    /// The service-defaults of a service; names are compared without regard to case.
    #[must_use]
    pub fn service_defaults(&self, service: &str) -> Option<&ServiceDefaults> {
        self.service_defaults
            .iter()
            .find(|entry| is_named(entry.name.as_deref(), service))
    }

    /// The service-resolver of a service.
    #[must_use]
    pub fn service_resolver(&self, service: &str) -> Option<&ServiceResolver> {
        self.service_resolvers
            .iter()
            .find(|entry| is_named(entry.name.as_deref(), service))
    }

    /// The service-splitter of a service.
    #[must_use]
    pub fn service_splitter(&self, service: &str) -> Option<&ServiceSplitter> {
        let mut entries = self.service_splitters.iter();
        entries.find(|entry| is_named(entry.name.as_deref(), service))
    }

    /// The service-router of a service.
    #[must_use]
    pub fn service_router(&self, service: &str) -> Option<&ServiceRouter> {
        let mut entries = self.service_routers.iter();
        entries.find(|entry| is_named(entry.name.as_deref(), service))
    }
}

fn is_named(name: Option<&str>, wanted: &str) -> bool {
    name.is_some_and(|name| name.eq_ignore_ascii_case(wanted))
}

impl UpstreamConfiguration {
    /// The item of `Overrides` that is meant for this upstream.
    pub(crate) fn overriding(&self, upstream: &Upstream) -> Option<&UpstreamConfigItem> {
        let destination = upstream.destination_name.as_deref().unwrap_or_default();
        let text = |given: &Option<String>| given.clone().unwrap_or_default();
        self.overrides.iter().find(|item| {
            is_named(item.name.as_deref(), destination)
                && same(
                    &text(&item.namespace),
                    &text(&upstream.destination_namespace),
                )
                && text(&item.peer) == text(&upstream.destination_peer)
        })
    }
}

/// One config entry.
#[derive(Clone, Debug)]
pub(crate) enum ConfigEntry {
    ProxyDefaults(Box<ProxyDefaults>),
    ServiceDefaults(Box<ServiceDefaults>),
    ServiceResolver(ServiceResolver),
    ServiceSplitter(ServiceSplitter),
    ServiceRouter(ServiceRouter),
    ServiceIntentions(ServiceIntentions),
    Mesh(MeshEntry),
    ExportedServices(ExportedServices),
}

const KINDS: [&str; 8] = [
    "proxy-defaults",
    "service-defaults",
    "service-resolver",
    "service-splitter",
    "service-router",
    "service-intentions",
    "mesh",
    "exported-services",
];

/// Kinds of Consul's that nothing here would honour: to accept them would be to ignore them.
const OTHER_KINDS: [&str; 11] = [
    "ingress-gateway",
    "terminating-gateway",
    "api-gateway",
    "http-route",
    "tcp-route",
    "inline-certificate",
    "file-system-certificate",
    "bound-api-gateway",
    "sameness-group",
    "jwt-provider",
    "control-plane-request-limit",
];

/// Reads an entry of the kind that its `Kind` says.
pub(crate) fn read_entry(
    kind: &str,
    kind_span: Span,
    value: &Value,
    at: &At<'_>,
) -> Option<ConfigEntry> {
    match kind.to_ascii_lowercase().as_str() {
        "proxy-defaults" => Read::read(value, at).map(ConfigEntry::ProxyDefaults),
        "service-defaults" => Read::read(value, at).map(ConfigEntry::ServiceDefaults),
        "service-resolver" => ServiceResolver::read(value, at).map(ConfigEntry::ServiceResolver),
        "service-splitter" => Read::read(value, at).map(ConfigEntry::ServiceSplitter),
        "service-router" => Read::read(value, at).map(ConfigEntry::ServiceRouter),
        "service-intentions" => {
            ServiceIntentions::read(value, at).map(ConfigEntry::ServiceIntentions)
        }
        "mesh" => MeshEntry::read(value, at).map(ConfigEntry::Mesh),
        "exported-services" => ExportedServices::read(value, at).map(ConfigEntry::ExportedServices),
        "connect-proxy" | "mesh-gateway" => at.key("Kind").refuse(
            kind_span,
            format!("'{kind}' is a kind of service; put the definition into service {{ }}"),
        ),
        other if OTHER_KINDS.contains(&other) => at.key("Kind").refuse(
            kind_span,
            format!("config entries of kind '{kind}' are not read by lictor; remove it"),
        ),
        _ => {
            let hint = did_you_mean(kind, KINDS.into_iter());
            let what = format!("'{kind}' is no kind of config entry{hint}");
            at.key("Kind").refuse(kind_span, what)
        }
    }
}

record! {
    /// `proxy-defaults`: what holds for all proxies.
    pub struct ProxyDefaults("proxy-defaults") {
        /// `proxy-defaults`.
        kind: Option<String>,
        /// `global`.
        name: Option<String>,
        /// The namespace.
        namespace: Option<String>,
        /// The admin partition.
        partition: Option<String>,
        /// Metadata.
        meta: Map<String>,
        /// Settings of proxies, free of Consul's schema.
        config: ProxyConfig,
        /// How applications reach their proxy.
        mode: ProxyMode,
        /// Settings of transparent mode.
        transparent_proxy: Option<TransparentProxy>,
        /// Whether proxies may accept traffic without mesh TLS.
        mutual_tls_mode: Option<String>,
        /// Through which gateways upstreams are reached.
        mesh_gateway: Option<MeshGatewayConfig>,
        /// Paths served without mesh TLS.
        expose: Option<Expose>,
        /// Access logs.
        access_logs: Option<AccessLogs>,
        /// Extensions of Envoy.
        envoy_extensions: Vec<Opaque>,
        /// In which order localities are preferred.
        prioritize_by_locality: Option<PrioritizeByLocality>,
        /// Failover settings of Enterprise.
        failover_policy: Option<Opaque>,
    }
    known { "create_index", "modify_index" }
}

record! {
    /// `AccessLogs { … }`.
    pub struct AccessLogs("access logs") {
        /// Whether there are any.
        enabled: bool,
        /// Whether to leave out connections that no chain took.
        disable_listener_logs: bool,
        /// `stdout`, `stderr` or `file`.
        r#type: Option<String>,
        /// The file.
        path: Option<String>,
        /// The format, as JSON.
        json_format: Option<String>,
        /// The format, as text.
        text_format: Option<String>,
    }
}

record! {
    /// `PrioritizeByLocality { … }`.
    pub struct PrioritizeByLocality("prioritize by locality") {
        /// `failover` or `none`.
        mode: Option<String>,
    }
}

words! {
    /// How connections are spread over the threads of an inbound listener.
    pub enum BalanceConnections {
        /// By the kernel.
        #[default]
        Unset = "",
        /// Evenly.
        ExactBalance = "exact_balance",
    }
}

record! {
    /// `service-defaults`: what holds for one service.
    pub struct ServiceDefaults("service-defaults") {
        /// `service-defaults`.
        kind: Option<String>,
        /// The service.
        name: Option<String>,
        /// The service's namespace.
        namespace: Option<String>,
        /// The service's admin partition.
        partition: Option<String>,
        /// Metadata.
        meta: Map<String>,
        /// The service's protocol; `tcp` unless given.
        protocol: Option<String>,
        /// How applications reach their proxy.
        mode: ProxyMode,
        /// How inbound connections are balanced.
        balance_inbound_connections: BalanceConnections,
        /// Whether proxies may accept traffic without mesh TLS.
        mutual_tls_mode: Option<String>,
        /// Settings of transparent mode.
        transparent_proxy: Option<TransparentProxy>,
        /// Through which gateways upstreams are reached.
        mesh_gateway: Option<MeshGatewayConfig>,
        /// Paths served without mesh TLS.
        expose: Option<Expose>,
        /// A name outside the mesh that the service is reached by.
        external_sni: Option<String>,
        /// Settings of the service's upstreams.
        upstream_config: Option<UpstreamConfiguration>,
        /// Addresses outside the mesh that the service stands for.
        destination: Option<Destination>,
        /// The most inbound connections.
        max_inbound_connections: Option<u32>,
        /// How long connecting to the application may take, in milliseconds.
        local_connect_timeout_ms: Option<u32>,
        /// How long the application may take to answer, in milliseconds.
        local_request_timeout_ms: Option<u32>,
        /// Extensions of Envoy.
        envoy_extensions: Vec<Opaque>,
        /// Limits on requests.
        rate_limits: Option<Opaque>,
    }
    known { "create_index", "modify_index" }
}

record! {
    /// `UpstreamConfig { … }` of service-defaults.
    pub struct UpstreamConfiguration("upstream config") {
        /// For single upstreams.
        overrides: Vec<UpstreamConfigItem>,
        /// For all the others.
        defaults: Option<UpstreamConfigItem>,
    }
}

record! {
    /// Settings of one upstream, or of all.
    pub struct UpstreamConfigItem("an upstream config") {
        /// The upstream, in `Overrides`.
        name: Option<String>,
        /// Its namespace.
        namespace: Option<String>,
        /// Its admin partition.
        partition: Option<String>,
        /// The peer that exports it.
        peer: Option<String>,
        /// Its protocol.
        protocol: Option<String>,
        /// How long connecting may take, in milliseconds.
        connect_timeout_ms: Option<u32>,
        /// Through which gateways it is reached.
        mesh_gateway: Option<MeshGatewayConfig>,
        /// How inbound connections are balanced.
        balance_outbound_connections: BalanceConnections,
        /// Limits of its connections.
        limits: Option<UpstreamLimits>,
        /// When an endpoint is left out.
        passive_health_check: Option<PassiveHealthCheck>,
        /// A listener of Envoy, instead of all of this.
        envoy_listener_json: Option<String>,
        /// A cluster of Envoy, instead of all of this.
        envoy_cluster_json: Option<String>,
    }
}

record! {
    /// `Destination { … }` of service-defaults.
    pub struct Destination("destination") {
        /// IP addresses and host names.
        addresses: Vec<String>,
        /// The port.
        port: Option<u16>,
    }
}

record! {
    /// `mesh`: what holds for the whole mesh.
    pub struct MeshEntry("mesh") {
        /// `mesh`.
        kind: Option<String>,
        /// `mesh`.
        name: Option<String>,
        /// The namespace.
        namespace: Option<String>,
        /// The admin partition.
        partition: Option<String>,
        /// Metadata.
        meta: Map<String>,
        /// Transparent mode.
        transparent_proxy: Option<MeshTransparentProxy>,
        /// Whether proxies may be told to accept traffic without mesh TLS.
        allow_enabling_permissive_mutual_tls: bool,
        /// Versions and ciphers of TLS.
        tls: Option<MeshTls>,
        /// HTTP.
        http: Option<MeshHttp>,
        /// Peering.
        peering: Option<MeshPeering>,
        /// Whether certificates and intentions must match more than a name.
        validate_clusters: bool,
    }
    known { "create_index", "modify_index" }
}

record! {
    /// `TransparentProxy { … }` of the mesh entry.
    pub struct MeshTransparentProxy("transparent proxy") {
        /// Whether only destinations in the mesh may be reached.
        mesh_destinations_only: bool,
    }
}

record! {
    /// `TLS { … }` of the mesh entry.
    pub struct MeshTls("tls") {
        /// For connections that come in.
        incoming: Option<MeshTlsDirection>,
        /// For connections that go out.
        outgoing: Option<MeshTlsDirection>,
    }
}

record! {
    /// `Incoming { … }` and `Outgoing { … }`.
    pub struct MeshTlsDirection("tls settings") {
        /// The lowest version.
        tls_min_version: Option<String>,
        /// The highest version.
        tls_max_version: Option<String>,
        /// The cipher suites of TLS 1.2.
        cipher_suites: Vec<String>,
    }
}

record! {
    /// `HTTP { … }` of the mesh entry.
    pub struct MeshHttp("http") {
        /// Whether the details of client certificates are kept from services.
        sanitize_x_forwarded_client_cert: bool,
        /// How requests are normalized.
        incoming: Option<Opaque>,
    }
}

record! {
    /// `Peering { … }` of the mesh entry.
    pub struct MeshPeering("peering") {
        /// Whether the control plane of peering goes through mesh gateways.
        peer_through_mesh_gateways: bool,
    }
}

record! {
    /// `exported-services`: what other partitions and peers may reach.
    pub struct ExportedServices("exported-services") {
        /// `exported-services`.
        kind: Option<String>,
        /// The admin partition that exports.
        name: Option<String>,
        /// The same.
        partition: Option<String>,
        /// Metadata.
        meta: Map<String>,
        /// What is exported.
        services: Vec<ExportedService>,
    }
    known { "create_index", "modify_index" }
}

record! {
    /// An item of `Services`.
    pub struct ExportedService("an exported service") {
        /// The service, or `*` for all of the namespace.
        name: Option<String>,
        /// Its namespace, or `*` for all.
        namespace: Option<String>,
        /// To whom.
        consumers: Vec<ServiceConsumer>,
    }
}

record! {
    /// An item of `Consumers`.
    pub struct ServiceConsumer("a consumer") {
        /// An admin partition of this datacenter.
        partition: Option<String>,
        /// A peer.
        peer: Option<String>,
        /// The old name of `Peer`.
        peer_name: Option<String>,
        /// A sameness group.
        sameness_group: Option<String>,
    }
}
