//! Service definitions as they stand in the file, every field optional
//! (<https://developer.hashicorp.com/consul/docs/services/configuration/services-configuration-reference>).
//!
//! Nothing is decided here: [`crate::registration`] expands and checks them.

use crate::fields::record;
use crate::mode::GatewayMode;
use crate::proxy_config::{ProxyConfig, UpstreamConfig};
use crate::scalars::{ConsulDuration, Map, Secret, words};

words! {
    /// What a service is (`kind`).
    pub enum ServiceKind {
        /// No kind: an application.
        #[default]
        Typical = "" | "typical",
        /// A sidecar.
        ConnectProxy = "connect-proxy",
        /// A mesh gateway.
        MeshGateway = "mesh-gateway",
        /// Consul's ingress gateway.
        IngressGateway = "ingress-gateway",
        /// Consul's terminating gateway.
        TerminatingGateway = "terminating-gateway",
        /// Consul's API gateway.
        ApiGateway = "api-gateway",
    }
}

record! {
    /// `service { … }`, an item of `services`, or `connect { sidecar_service { … } }`.
    pub struct ServiceDefinition("a service definition") {
        /// Its name.
        name: Option<String>,
        /// Its ID on the node; the name unless given.
        id: Option<String>,
        /// What it is.
        kind: ServiceKind,
        /// Where it listens; the node's address unless given.
        address: Option<String>,
        /// The port it listens on.
        port: Option<u16>,
        /// Its tags.
        tags: Vec<String>,
        /// Its metadata.
        meta: Map<String>,
        /// Addresses for different networks: `lan`, `wan` and the operator's own.
        tagged_addresses: Map<TaggedAddress>,
        /// Its share of the traffic.
        weights: Option<Weights>,
        /// The ACL token it is registered with.
        token: Option<Secret>,
        /// Its namespace.
        namespace: Option<String>,
        /// Its admin partition.
        partition: Option<String>,
        /// How it takes part in the mesh.
        connect: Option<Connect>,
        /// The proxy's settings, for kinds that are proxies.
        proxy: Option<ProxySettings>,
    }
    known {
        "check", "checks", "enable_tag_override", "socket_path", "locality", "ports",
        "default_token",
    }
}

record! {
    /// An address under a name.
    pub struct TaggedAddress("a tagged address") {
        /// An IP address or a host name.
        address: Option<String>,
        /// The port; the service's unless given.
        port: Option<u16>,
    }
}

record! {
    /// `weights { … }`.
    pub struct Weights("weights") {
        /// While all checks pass.
        passing: Option<u16>,
        /// While a check warns.
        warning: Option<u16>,
    }
}

record! {
    /// `connect { … }`.
    pub struct Connect("connect") {
        /// Whether the service speaks mesh TLS itself.
        native: bool,
        /// The sidecar to register along with the service.
        sidecar_service: Option<Box<ServiceDefinition>>,
    }
    known { "proxy" }
}

record! {
    /// `mesh_gateway { … }`.
    pub struct MeshGatewayConfig("mesh_gateway") {
        /// Through which gateways traffic goes.
        mode: Option<GatewayMode>,
    }
}

record! {
    /// `proxy { … }`
    /// (<https://developer.hashicorp.com/consul/docs/connect/proxies/proxy-config-reference>).
    pub struct ProxySettings("proxy") {
        /// The service it stands for.
        destination_service_name: Option<String>,
        /// The instance it stands for.
        destination_service_id: Option<String>,
        /// Where that instance listens; 127.0.0.1 unless given.
        local_service_address: Option<String>,
        /// The port that instance listens on.
        local_service_port: Option<u16>,
        /// The socket that instance listens on, instead of address and port.
        local_service_socket_path: Option<String>,
        /// `direct` or `transparent`.
        mode: ProxyMode,
        /// Settings of the proxy itself, free of Consul's schema.
        config: ProxyConfig,
        /// The services it reaches for its own.
        upstreams: Vec<Upstream>,
        /// Through which gateways it reaches them.
        mesh_gateway: Option<MeshGatewayConfig>,
        /// Paths served without mesh TLS.
        expose: Option<Expose>,
        /// Settings of transparent mode.
        transparent_proxy: Option<TransparentProxy>,
    }
    known { "envoy_extensions", "access_logs", "mutual_tls_mode" }
}

words! {
    /// How applications reach the proxy (`proxy.mode`).
    pub enum ProxyMode {
        /// By the upstreams' local addresses.
        #[default]
        Direct = "" | "direct",
        /// By redirection of the host's traffic.
        Transparent = "transparent",
    }
}

record! {
    /// `transparent_proxy { … }`.
    pub struct TransparentProxy("transparent_proxy") {
        /// Where redirected traffic arrives.
        outbound_listener_port: Option<u16>,
        /// Whether instances may be dialed past their virtual address.
        dialed_directly: bool,
    }
}

words! {
    /// What an upstream's name names (`destination_type`).
    pub enum DestinationType {
        /// A service.
        #[default]
        Service = "" | "service",
        /// A prepared query.
        PreparedQuery = "prepared_query",
    }
}

record! {
    /// An item of `proxy.upstreams`.
    pub struct Upstream("an upstream") {
        /// The service it leads to.
        destination_name: Option<String>,
        /// Whether that is a service or a prepared query.
        destination_type: DestinationType,
        /// That service's namespace.
        destination_namespace: Option<String>,
        /// That service's admin partition.
        destination_partition: Option<String>,
        /// The peer that exports it.
        destination_peer: Option<String>,
        /// That service's datacenter; the proxy's own unless given.
        datacenter: Option<String>,
        /// Where the application connects; 127.0.0.1 unless given.
        local_bind_address: Option<String>,
        /// The port the application connects to.
        local_bind_port: Option<u16>,
        /// The socket the application connects to, instead of address and port.
        local_bind_socket_path: Option<String>,
        /// The mode of that socket, in octal.
        local_bind_socket_mode: Option<String>,
        /// Settings of the proxy for this upstream, free of Consul's schema.
        config: UpstreamConfig,
        /// Through which gateways it is reached.
        mesh_gateway: Option<MeshGatewayConfig>,
    }
    known { "centrally_configured", "ingress_hosts" }
}

record! {
    /// `expose { … }`.
    pub struct Expose("expose") {
        /// Whether the paths of the service's HTTP checks are exposed.
        checks: bool,
        /// Exposed paths.
        paths: Vec<ExposedPath>,
    }
}

record! {
    /// An item of `expose.paths`.
    pub struct ExposedPath("an exposed path") {
        /// Where the proxy listens for it.
        listener_port: Option<u16>,
        /// The HTTP path.
        path: Option<String>,
        /// Where the service serves it.
        local_path_port: Option<u16>,
        /// `http` or `http2`.
        protocol: Option<String>,
    }
}

record! {
    /// `Limits { … }` of an upstream's configuration.
    pub struct UpstreamLimits("limits") {
        /// The most connections at a time.
        max_connections: Option<u32>,
        /// The most connections that wait to be connected: what a request is over TCP.
        max_pending_requests: Option<u32>,
        /// The most requests at a time; over TCP `max_connections` says it all.
        max_concurrent_requests: Option<u32>,
    }
}

record! {
    /// `PassiveHealthCheck { … }` of an upstream's configuration.
    pub struct PassiveHealthCheck("passive health check") {
        /// How often failures are looked at.
        interval: Option<ConsulDuration>,
        /// Failures in a row after which an endpoint is left out.
        max_failures: Option<u32>,
        /// How likely an endpoint is left out then, in percent.
        enforcing_consecutive_5xx: Option<u32>,
        /// How much of the endpoints may be left out, in percent.
        max_ejection_percent: Option<u32>,
        /// For how long an endpoint is left out at first.
        base_ejection_time: Option<ConsulDuration>,
    }
}
