//! What is known of the mesh around a gateway: the input of [`crate::gateway::plan`].
//!
//! Whoever learns the mesh fills this in: the local file now, Consul later. It holds facts ("these instances, those
//! gateways"), never decisions. Addresses are already the ones to dial: the LAN address inside the datacenter, the
//! WAN address of everything outside it.

use alloc::{string::String, vec::Vec};
use core::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crate::{
    Address, Balance, Discovery, Endpoint, Identity, OutlierDetection, TcpKeepalive, TlsParameters,
    TrustBundle, chain::Chain, intentions::Intentions,
};

/// The mesh as one gateway sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mesh {
    /// The datacenter the gateway is in.
    pub datacenter: String,
    /// The trust domain of the mesh's certificates: `<cluster uuid>.consul`.
    pub trust_domain: String,
    /// The DNS domain in the names of servers (the agents' `domain`); `consul` unless changed.
    pub domain: String,
    /// The admin partition the gateway is in; empty or `default` for the default one.
    pub partition: String,
    /// The services of this datacenter and partition.
    pub services: Vec<Service>,
    /// The mesh gateways of this datacenter, by LAN address.
    pub gateways: Vec<Endpoint>,
    /// Who the services here are in TLS, by service name.
    pub identities: Vec<Identity>,
    /// The roots of this trust domain, and of peers'.
    pub trust: Vec<TrustBundle>,
    /// The other datacenters of the federation. This one is not among them.
    pub datacenters: Vec<RemoteDatacenter>,
    /// The other partitions of this datacenter.
    pub partitions: Vec<RemotePartition>,
    /// Consul's servers in this datacenter.
    pub servers: Vec<Server>,
    /// The peered clusters.
    pub peers: Vec<Peer>,
    /// Whether the control plane of peering goes through gateways (mesh entry
    /// `Peering.PeerThroughMeshGateways`).
    pub peer_through_mesh_gateways: bool,
}

/// A service and the instances that speak mesh TLS for it (its sidecars).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its namespace; empty for the default one.
    pub namespace: String,
    /// All its instances.
    pub endpoints: Vec<Endpoint>,
    /// Its subsets, each with its own instances.
    pub subsets: Vec<Subset>,
    /// The subset that the plain name means (service-resolver `DefaultSubset`); one of `subsets`.
    pub default_subset: Option<String>,
    /// How an instance is chosen.
    pub balance: Balance,
    /// The resolver's `ConnectTimeout`, where it has one.
    pub connect_timeout: Option<Duration>,
    /// Peers it is exported to, by our names for them.
    pub exported_to: Vec<String>,
    /// Its protocol (service-defaults); empty means `tcp`.
    pub protocol: String,
}

impl Service {
    /// What the plain name means: the default subset's instances if it has one, else all.
    #[must_use]
    pub fn plain(&self) -> &[Endpoint] {
        let subset = self
            .default_subset
            .as_ref()
            .and_then(|default| self.subsets.iter().find(|subset| subset.name == *default));
        subset.map_or(&self.endpoints, |subset| &subset.endpoints)
    }
}

/// Some of a service's instances, under a name (service-resolver `Subsets`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subset {
    /// Its name.
    pub name: String,
    /// Its instances.
    pub endpoints: Vec<Endpoint>,
}

/// Another datacenter of the federation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteDatacenter {
    /// Its name.
    pub name: String,
    /// Its mesh gateways, by WAN address.
    pub gateways: Vec<Endpoint>,
    /// Its services, by WAN address, as far as sidecars here reach them without a gateway. One that is reached through
    /// gateways may stand here for its health: with no healthy instance its gateways are not used.
    pub services: Vec<Service>,
}

/// Another partition of this datacenter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemotePartition {
    /// Its name.
    pub name: String,
    /// Its mesh gateways.
    pub gateways: Vec<Endpoint>,
}

/// A Consul server of this datacenter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its node name.
    pub node: String,
    /// Its RPC address (port 8300 unless changed).
    pub rpc: Endpoint,
    /// Its address for gRPC over TLS (port 8503), which peering dials; `None` for one that peers must not dial (a
    /// read replica, or one without that port).
    pub grpc_tls: Option<Endpoint>,
}

/// A peered cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Our name for it.
    pub name: String,
    /// Its name for us, which stands in the names of what it exports to us.
    pub name_there: String,
    /// Its trust domain.
    pub trust_domain: String,
    /// Its mesh gateways, by WAN address.
    pub gateways: Vec<Endpoint>,
    /// What it exports to us.
    pub imported: Vec<ImportedService>,
    /// The name of its servers (`server.<dc>.peering.<td>`) and where to reach them, if we dial it.
    pub control_plane: Option<PeerControlPlane>,
}

/// A service that a peer exports to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedService {
    /// Its name at the peer.
    pub name: String,
    /// Its namespace at the peer; empty for the default one.
    pub namespace: String,
    /// Its partition at the peer; empty for the default one.
    pub partition: String,
    /// The SPIFFE IDs of which it has one, as the peer tells; none where they are not known, and then only gateways,
    /// which look at no certificate, can pass connections on to it.
    pub identities: Vec<String>,
}

/// Where the servers of a peer that we dial are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerControlPlane {
    /// The SNI our servers send.
    pub server_name: String,
    /// Its gateways or servers.
    pub endpoints: Vec<Endpoint>,
}

/// How a gateway was registered: where it listens and how it connects.
///
/// The fields are those of a service definition of kind `mesh-gateway` and of its `proxy.config`
/// (<https://developer.hashicorp.com/consul/docs/connect/proxies/envoy#gateway-options>).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayRegistration {
    /// The service name, `mesh-gateway` as a rule.
    pub name: String,
    /// The service address; `None` listens on all addresses.
    pub address: Option<IpAddr>,
    /// The service port.
    pub port: u16,
    /// `tagged_addresses`, in their order: `lan`, `wan` and any other, those that are IP addresses.
    pub tagged_addresses: Vec<BindAddress>,
    /// `envoy_gateway_no_default_bind`: do not listen on the service address.
    pub no_default_bind: bool,
    /// `envoy_gateway_bind_tagged_addresses`: listen on the tagged addresses.
    pub bind_tagged_addresses: bool,
    /// `envoy_gateway_bind_addresses`: listen on these too.
    pub bind_addresses: Vec<BindAddress>,
    /// Service meta `consul-wan-federation` is `1`: servers of other datacenters are reached through here.
    pub wan_federation: bool,
    /// `connect_timeout_ms`; Consul's default is 5 s.
    pub connect_timeout: Duration,
    /// `envoy_gateway_remote_tcp_enable_keepalive` and its parts, for connections to other gateways.
    pub remote_keepalive: Option<TcpKeepalive>,
    /// `envoy_dns_discovery_type`.
    pub discovery: Discovery,
    /// The most connections to one cluster (service-defaults of the gateway's own name,
    /// `UpstreamConfig.Defaults.Limits.MaxConnections`).
    pub max_connections: Option<u32>,
}

/// A named address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindAddress {
    /// What it is for: `lan`, `wan`, or a name of the operator's.
    pub name: String,
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
}

/// How a sidecar was registered: for whom it stands, where it listens and what it reaches.
///
/// The fields are those of a service definition of kind `connect-proxy`
/// (<https://developer.hashicorp.com/consul/docs/connect/proxies/proxy-config-reference>).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SidecarRegistration {
    /// Its ID on the node.
    pub id: String,
    /// The service it stands for (`destination_service_name`), whose identity it shows.
    pub service: String,
    /// That service's namespace; empty for the default one.
    pub namespace: String,
    /// Where other proxies connect.
    pub public: SocketAddr,
    /// Where the service itself listens (`local_service_address` and `_port`, or `local_service_socket_path`).
    pub local_app: Address,
    /// `local_connect_timeout_ms`; Consul's default is 5 s.
    pub local_connect_timeout: Duration,
    /// `max_inbound_connections`.
    pub max_inbound_connections: Option<u32>,
    /// Who may call the service.
    pub intentions: Intentions,
    /// What it reaches.
    pub upstreams: Vec<Upstream>,
    /// The peers that its service is exported to, by our names for them: whose services may call it, if intentions
    /// let them.
    pub peers: Vec<String>,
    /// TLS with clients (mesh entry `TLS.Incoming`).
    pub incoming: TlsParameters,
    /// TLS with servers (mesh entry `TLS.Outgoing`).
    pub outgoing: TlsParameters,
}

/// One service that a sidecar reaches for its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// What it is called, as Consul calls it: `<service>`, `<service>?dc=<datacenter>`, `<service>?peer=<peer>`.
    pub name: String,
    /// Where its connections go.
    pub chain: Chain,
    /// Where the application connects (`local_bind_address` and `_port`, or `local_bind_socket_path`).
    pub listen: Address,
    /// `local_bind_socket_mode`.
    pub socket_mode: Option<u32>,
    /// For the whole of connecting, TLS included, where the chain says nothing; Consul's default is 5 s.
    pub connect_timeout: Duration,
    /// `limits.max_connections`, for each target.
    pub max_connections: Option<u32>,
    /// `limits.max_pending_requests`, for each target: connections that wait to be connected.
    pub max_pending: Option<u32>,
    /// `passive_health_check`; without one Consul lets Envoy's defaults hold.
    pub outlier_detection: Option<OutlierDetection>,
}

/// A mesh gateway mode, decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// `none`: the instances themselves.
    Direct,
    /// `local`: the gateways here.
    LocalGateway,
    /// `remote`: the gateways there.
    RemoteGateway,
}
