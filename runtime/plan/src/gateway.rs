//! The routing table of a mesh gateway.
//!
//! Turns what is known of the mesh into listeners, chains and clusters, by the rules by which Consul configures
//! Envoy as a mesh gateway (`agent/xds/listeners.go` `makeMeshGatewayListener`, `clusters.go`, `endpoints.go`). In order:
//!
//! | purpose | server name | cluster |
//! |---|---|---|
//! | a service exported to a peer | `<svc>.<ns>.<ap>.<peer>.external.<td>` | `exported~<service SNI>` |
//! | another datacenter | `*.<dc>.internal.<td>` | its gateways |
//! | another partition | `*.<ap>.<dc>.internal-v1.<td>` | its gateways |
//! | servers of another datacenter (WAN federation) | `*.server.<dc>.<domain>` | its gateways |
//! | a server here (WAN federation) | `<node>.server.<dc>.<domain>` | that server |
//! | servers here, for peers' control planes | `server.<dc>.peering.<td>` | the servers' gRPC ports |
//! | servers of a peer that we dial | the peer's server name | where they are |
//! | everything else | any | the cluster of that very name, or closed |
//!
//! Services here and their subsets, `server.<dc>.<domain>` without a node, and services imported from peers are
//! reached by the last row. A gateway never applies redirects or failover: the client's proxy did.

use alloc::{boxed::Box, format, rc::Rc, string::String, vec, vec::Vec};

use crate::order::sort_by_name;
use crate::{
    Address, Balance, Cluster, Endpoint, FilterChain, Inspect, Listener, Plan, Route, ServerNames,
    Traffic, bind,
    mesh::{GatewayRegistration, Mesh, Peer, Service},
    names::{self, is_default},
};

/// The Plan of that gateway in that mesh.
#[must_use]
pub fn plan(gateway: &GatewayRegistration, mesh: &Mesh) -> Plan {
    let mut table = Table::new(gateway, mesh);
    table.exported_services();
    table.other_datacenters();
    table.other_partitions();
    if gateway.wan_federation {
        table.wan_federation();
    }
    if mesh.peer_through_mesh_gateways {
        table.peering_control_plane();
    }
    for service in &mesh.services {
        table.service(service);
    }
    table.imported_services();
    table.finish()
}

/// The clusters of a service and of its subsets, as [`plan`] has them. For whoever takes up what became of one service among
/// thousands; those for peers that it is exported to are not among them.
#[must_use]
pub fn service_clusters(
    gateway: &GatewayRegistration,
    mesh: &Mesh,
    service: &Service,
) -> Vec<Cluster> {
    let mut table = Table::new(gateway, mesh);
    table.service(service);
    table.clusters
}

struct Table<'a> {
    gateway: &'a GatewayRegistration,
    mesh: &'a Mesh,
    chains: Vec<Rc<FilterChain>>,
    clusters: Vec<Cluster>,
}

impl<'a> Table<'a> {
    fn new(gateway: &'a GatewayRegistration, mesh: &'a Mesh) -> Self {
        Self {
            gateway,
            mesh,
            chains: Vec::new(),
            clusters: Vec::new(),
        }
    }

    fn exported_services(&mut self) {
        for service in self
            .mesh
            .services
            .iter()
            .filter(|service| !service.endpoints.is_empty())
        {
            if service.exported_to.is_empty() {
                continue;
            }
            let cluster = names::exported_cluster(&self.service_name(service, None));
            let route = match service.protocol.as_str() {
                "" | "tcp" => Route::Cluster(cluster.clone()),
                // Consul's gateway terminates these; passing the bytes on would skip what it checks.
                other => Route::Refuse(format!(
                    "service {} has protocol {other}, which the exporting gateway must terminate; set it to tcp",
                    service.name
                )),
            };
            for peer in &service.exported_to {
                let (name, namespace, partition) =
                    (&service.name, &service.namespace, &self.mesh.partition);
                let sni = names::peered_service(
                    name,
                    namespace,
                    partition,
                    peer,
                    &self.mesh.trust_domain,
                );
                let chain = FilterChain::passthrough(ServerNames::Exact(sni), route.clone());
                self.chains.push(Rc::new(chain));
            }
            if matches!(route, Route::Cluster(_)) {
                self.service_cluster(cluster, service, service.plain());
            }
        }
    }

    fn other_datacenters(&mut self) {
        for datacenter in &self.mesh.datacenters {
            let name = names::datacenter(&datacenter.name, "", &self.mesh.trust_domain);
            self.chain(ServerNames::Suffix(name.clone()), &name);
            self.remote_cluster(name, Traffic::Service, datacenter.gateways.clone());
        }
    }

    fn other_partitions(&mut self) {
        for partition in &self.mesh.partitions {
            let (datacenter, trust_domain) = (&self.mesh.datacenter, &self.mesh.trust_domain);
            let name = names::datacenter(datacenter, &partition.name, trust_domain);
            self.chain(ServerNames::Suffix(name.clone()), &name);
            self.remote_cluster(name, Traffic::Service, partition.gateways.clone());
        }
    }

    /// Only gateways of the default partition carry the servers' traffic, as in Consul.
    fn wan_federation(&mut self) {
        if !is_default(&self.mesh.partition) {
            return;
        }
        for datacenter in &self.mesh.datacenters {
            let name = names::server(None, &datacenter.name, &self.mesh.domain);
            self.chain(ServerNames::Suffix(name.clone()), &name);
            self.remote_cluster(name, Traffic::ControlPlane, datacenter.gateways.clone());
        }
        for server in &self.mesh.servers {
            let name = names::server(Some(&server.node), &self.mesh.datacenter, &self.mesh.domain);
            self.chain(ServerNames::Exact(name.clone()), &name);
            self.cluster(name, Traffic::ControlPlane, vec![server.rpc.clone()]);
        }
        let name = names::server(None, &self.mesh.datacenter, &self.mesh.domain);
        let all = self
            .mesh
            .servers
            .iter()
            .map(|server| server.rpc.clone())
            .collect();
        self.cluster(name, Traffic::ControlPlane, all);
    }

    fn peering_control_plane(&mut self) {
        let dialable: Vec<Endpoint> = self
            .mesh
            .servers
            .iter()
            .filter_map(|server| server.grpc_tls.clone())
            .collect();
        if !dialable.is_empty() {
            let name = names::peering_server(&self.mesh.datacenter, &self.mesh.trust_domain);
            self.chain(ServerNames::Exact(name.clone()), &name);
            self.cluster(name, Traffic::ControlPlane, dialable);
        }
        if !is_default(&self.mesh.partition) {
            return;
        }
        for servers in self
            .mesh
            .peers
            .iter()
            .filter_map(|peer| peer.control_plane.as_ref())
        {
            let name = servers.server_name.to_ascii_lowercase();
            self.chain(ServerNames::Exact(name.clone()), &name);
            self.remote_cluster(name, Traffic::ControlPlane, servers.endpoints.clone());
        }
    }

    fn service(&mut self, service: &Service) {
        let name = self.service_name(service, None);
        self.service_cluster(name, service, service.plain());
        for subset in &service.subsets {
            let name = self.service_name(service, Some(&subset.name));
            self.service_cluster(name, service, &subset.endpoints);
        }
    }

    fn imported_services(&mut self) {
        for peer in &self.mesh.peers {
            let Peer {
                name_there,
                trust_domain,
                ..
            } = peer;
            for service in &peer.imported {
                let (namespace, partition) = (&service.namespace, &service.partition);
                let name = names::peered_service(
                    &service.name,
                    namespace,
                    partition,
                    name_there,
                    trust_domain,
                );
                self.remote_cluster(name, Traffic::Service, peer.gateways.clone());
            }
        }
    }

    fn finish(mut self) -> Plan {
        let any = FilterChain::passthrough(ServerNames::Any, Route::SniCluster);
        self.chains.push(Rc::new(any));
        // A name twice is the same fact from two places; the first, more particular one stands.
        sort_by_name(&mut self.clusters, |cluster| &cluster.name);
        self.clusters
            .dedup_by(|later, first| later.name == first.name);
        let chains = self.chains;
        let listen = |(name, address)| Listener {
            name,
            address: Address::Inet(address),
            mode: None,
            inspect: Inspect::ClientHello,
            chains: chains.clone(),
        };
        Plan {
            listeners: bind::addresses(self.gateway)
                .into_iter()
                .map(listen)
                .collect(),
            clusters: self.clusters.into_iter().map(Rc::new).collect(),
            ..Plan::default()
        }
    }

    fn service_name(&self, service: &Service, subset: Option<&str>) -> String {
        let Mesh {
            partition,
            datacenter,
            trust_domain,
            ..
        } = self.mesh;
        names::service(
            subset,
            &service.name,
            &service.namespace,
            partition,
            datacenter,
            trust_domain,
        )
    }

    fn chain(&mut self, server_names: ServerNames, cluster: &str) {
        let route = Route::Cluster(String::from(cluster));
        let chain = FilterChain::passthrough(server_names, route);
        self.chains.push(Rc::new(chain));
    }

    fn service_cluster(&mut self, name: String, service: &Service, endpoints: &[Endpoint]) {
        self.cluster(name, Traffic::Service, endpoints.to_vec());
        if let Some(cluster) = self.clusters.last_mut() {
            // A gateway sees other proxies, not the clients that a hash is meant for.
            cluster.balance = match service.balance {
                Balance::RingHash | Balance::Maglev => Balance::RoundRobin,
                other => other,
            };
            cluster.connect_timeout = service
                .connect_timeout
                .unwrap_or(self.gateway.connect_timeout);
        }
    }

    fn remote_cluster(&mut self, name: String, traffic: Traffic, endpoints: Vec<Endpoint>) {
        self.cluster(name, traffic, endpoints);
        if let Some(cluster) = self.clusters.last_mut() {
            cluster.keepalive = self.gateway.remote_keepalive.map(Box::new);
        }
    }

    fn cluster(&mut self, name: String, traffic: Traffic, endpoints: Vec<Endpoint>) {
        self.clusters.push(Cluster {
            name,
            traffic,
            endpoints,
            failover: Vec::new(),
            discovery: self.gateway.discovery,
            balance: Balance::RoundRobin,
            connect_timeout: self.gateway.connect_timeout,
            max_connections: self.gateway.max_connections,
            max_pending: None,
            outlier_detection: None,
            keepalive: None,
            tls: None,
        });
    }
}

#[cfg(test)]
#[path = "gateway_tests.rs"]
pub(crate) mod tests;
