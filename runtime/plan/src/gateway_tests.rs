//! What a gateway routes where, against the tables of Consul's own documentation and source.

use alloc::string::ToString;
use core::time::Duration;

use super::*;
use crate::{
    Discovery, EndpointAddress, Health,
    matching::ServerNameTable,
    mesh::{ImportedService, PeerControlPlane, RemoteDatacenter, RemotePartition, Server, Subset},
};

const TD: &str = "11111111-2222-3333-4444-555555555555.consul";
const PEER_TD: &str = "1c053652-8512-4373-90cf-5a7f6263a994.consul";

pub(crate) fn registration() -> GatewayRegistration {
    GatewayRegistration {
        name: "mesh-gateway".to_string(),
        address: None,
        port: 8443,
        tagged_addresses: Vec::new(),
        no_default_bind: false,
        bind_tagged_addresses: false,
        bind_addresses: Vec::new(),
        wan_federation: false,
        connect_timeout: Duration::from_secs(5),
        remote_keepalive: None,
        discovery: Discovery::StrictDns,
        max_connections: None,
    }
}

pub(crate) fn endpoint(address: &str) -> Endpoint {
    Endpoint {
        address: EndpointAddress::Socket(address.parse().expect("an address")),
        weight: 1,
        health: Health::Healthy,
    }
}

pub(crate) fn mesh() -> Mesh {
    let api = Service {
        name: "api".to_string(),
        namespace: String::new(),
        endpoints: vec![endpoint("10.0.0.1:21000"), endpoint("10.0.0.2:21000")],
        subsets: vec![Subset {
            name: "v2".to_string(),
            endpoints: vec![endpoint("10.0.0.2:21000")],
        }],
        default_subset: None,
        balance: Balance::RoundRobin,
        connect_timeout: Some(Duration::from_secs(7)),
        exported_to: vec!["cluster-02".to_string()],
        protocol: String::new(),
    };
    Mesh {
        datacenter: "dc1".to_string(),
        trust_domain: TD.to_string(),
        domain: "consul".to_string(),
        partition: String::new(),
        services: vec![api],
        gateways: vec![endpoint("10.0.0.9:8443")],
        identities: Vec::new(),
        trust: Vec::new(),
        datacenters: vec![RemoteDatacenter {
            services: Vec::new(),
            name: "dc2".to_string(),
            gateways: vec![endpoint("198.18.0.2:443")],
        }],
        partitions: vec![RemotePartition {
            name: "ap2".to_string(),
            gateways: vec![endpoint("10.0.9.9:8443")],
        }],
        servers: vec![
            Server {
                node: "srv-1".to_string(),
                rpc: endpoint("10.0.0.21:8300"),
                grpc_tls: Some(endpoint("10.0.0.21:8503")),
            },
            Server {
                node: "replica".to_string(),
                rpc: endpoint("10.0.0.22:8300"),
                grpc_tls: None,
            },
        ],
        peers: vec![Peer {
            name: "cluster-02".to_string(),
            name_there: "cluster-01".to_string(),
            trust_domain: PEER_TD.to_string(),
            gateways: vec![endpoint("198.18.0.3:443")],
            imported: vec![ImportedService {
                name: "billing".to_string(),
                namespace: String::new(),
                partition: String::new(),
                identities: vec![format!("spiffe://{PEER_TD}/ns/default/dc/dc9/svc/billing")],
            }],
            control_plane: Some(PeerControlPlane {
                server_name: "server.dc9.peering.1c053652-8512-4373-90cf-5a7f6263a994.consul"
                    .to_string(),
                endpoints: vec![endpoint("198.18.0.3:443")],
            }),
        }],
        peer_through_mesh_gateways: false,
    }
}

/// The addresses that a server name leads to, or nothing if it is closed.
fn leads_to(plan: &Plan, name: &str) -> Vec<String> {
    let chains = &plan.listeners[0].chains;
    let chain = ServerNameTable::new(chains)
        .find(name)
        .map(|at| &chains[at]);
    let cluster = match chain.map(|chain| &chain.route) {
        Some(Route::Cluster(cluster)) => plan.cluster(cluster),
        Some(Route::SniCluster) => plan.cluster(name),
        Some(Route::Weighted(_) | Route::Refuse(_)) | None => None,
    };
    cluster.map_or_else(Vec::new, |cluster| {
        cluster
            .endpoints
            .iter()
            .map(|endpoint| endpoint.address.to_string())
            .collect()
    })
}

fn td(name: &str) -> String {
    format!("{name}.{TD}")
}

#[test]
fn services_and_subsets_lead_to_their_instances() {
    let plan = plan(&registration(), &mesh());
    let both = ["10.0.0.1:21000", "10.0.0.2:21000"];
    assert_eq!(leads_to(&plan, &td("api.default.dc1.internal")), both);
    assert_eq!(
        leads_to(&plan, &td("v2.api.default.dc1.internal")),
        ["10.0.0.2:21000"]
    );
    assert!(leads_to(&plan, &td("v3.api.default.dc1.internal")).is_empty());
    assert!(leads_to(&plan, &td("web.default.dc1.internal")).is_empty());
    assert!(leads_to(&plan, "api.default.dc1.internal.another.consul").is_empty());
    let api = plan
        .cluster(&td("api.default.dc1.internal"))
        .expect("a cluster");
    assert_eq!(api.connect_timeout, Duration::from_secs(7));
}

#[test]
fn the_default_subset_is_what_the_plain_name_means() {
    let mut mesh = mesh();
    mesh.services[0].default_subset = Some("v2".to_string());
    let plan = plan(&registration(), &mesh);
    assert_eq!(
        leads_to(&plan, &td("api.default.dc1.internal")),
        ["10.0.0.2:21000"]
    );
    assert_eq!(
        leads_to(&plan, &td("api.default.default.cluster-02.external")),
        ["10.0.0.2:21000"]
    );
}

#[test]
fn other_datacenters_and_partitions_lead_to_their_gateways() {
    let plan = plan(&registration(), &mesh());
    assert_eq!(
        leads_to(&plan, &td("db.default.dc2.internal")),
        ["198.18.0.2:443"]
    );
    assert_eq!(
        leads_to(&plan, &td("v1.db.default.dc2.internal")),
        ["198.18.0.2:443"]
    );
    assert!(leads_to(&plan, &td("db.default.dc3.internal")).is_empty());
    assert_eq!(
        leads_to(&plan, &td("db.default.ap2.dc1.internal-v1")),
        ["10.0.9.9:8443"]
    );
    assert!(leads_to(&plan, &td("db.default.ap3.dc1.internal-v1")).is_empty());
}

#[test]
fn a_gateway_of_a_partition_names_its_own_services_by_it() {
    let mut mesh = mesh();
    mesh.partition = "ap1".to_string();
    let plan = plan(&registration(), &mesh);
    assert_eq!(
        leads_to(&plan, &td("v2.api.default.ap1.dc1.internal-v1")),
        ["10.0.0.2:21000"]
    );
    assert!(leads_to(&plan, &td("api.default.dc1.internal")).is_empty());
}

#[test]
fn servers_are_reached_in_wan_federation_only() {
    let names = [
        "srv-1.server.dc1.consul",
        "server.dc1.consul",
        "x.server.dc2.consul",
        "server.dc2.consul",
    ];
    let without = plan(&registration(), &mesh());
    for name in names {
        assert!(leads_to(&without, name).is_empty(), "{name}");
    }
    let with = plan(
        &GatewayRegistration {
            wan_federation: true,
            ..registration()
        },
        &mesh(),
    );
    let expected: [&[&str]; 4] = [
        &["10.0.0.21:8300"],
        &["10.0.0.21:8300", "10.0.0.22:8300"],
        &["198.18.0.2:443"],
        &["198.18.0.2:443"],
    ];
    for (name, addresses) in names.iter().zip(expected) {
        assert_eq!(leads_to(&with, name), addresses, "{name}");
    }
    assert!(leads_to(&with, "unknown.server.dc1.consul").is_empty());
    let traffic = with
        .cluster("server.dc2.consul")
        .map(|cluster| cluster.traffic);
    assert_eq!(traffic, Some(Traffic::ControlPlane));
}

#[test]
fn peers_reach_what_is_exported_and_are_reached_for_what_is_imported() {
    let plan = plan(&registration(), &mesh());
    let both = ["10.0.0.1:21000", "10.0.0.2:21000"];
    assert_eq!(
        leads_to(&plan, &td("api.default.default.cluster-02.external")),
        both
    );
    assert!(leads_to(&plan, &td("api.default.default.cluster-03.external")).is_empty());
    let imported = format!("billing.default.default.cluster-01.external.{PEER_TD}");
    assert_eq!(leads_to(&plan, &imported), ["198.18.0.3:443"]);
}

#[test]
fn an_exported_service_that_speaks_http_is_refused_with_the_reason() {
    let mut mesh = mesh();
    mesh.services[0].protocol = "http".to_string();
    let plan = plan(&registration(), &mesh);
    let name = td("api.default.default.cluster-02.external");
    assert!(leads_to(&plan, &name).is_empty());
    let chains = &plan.listeners[0].chains;
    let chain = ServerNameTable::new(chains)
        .find(&name)
        .map(|at| &chains[at])
        .expect("a chain");
    assert!(matches!(&chain.route, Route::Refuse(reason) if reason.contains("http")));
}

#[test]
fn the_control_plane_of_peering_passes_only_when_the_mesh_says_so() {
    let inbound = td("server.dc1.peering");
    let outbound = format!("server.dc9.peering.{PEER_TD}");
    let without = plan(&registration(), &mesh());
    assert!(leads_to(&without, &inbound).is_empty());
    assert!(leads_to(&without, &outbound).is_empty());
    let with = plan(
        &registration(),
        &Mesh {
            peer_through_mesh_gateways: true,
            ..mesh()
        },
    );
    assert_eq!(
        leads_to(&with, &inbound),
        ["10.0.0.21:8503"],
        "read replicas are not dialed"
    );
    assert_eq!(leads_to(&with, &outbound), ["198.18.0.3:443"]);
}

#[test]
fn the_same_mesh_gives_the_same_plan() {
    assert_eq!(
        plan(&registration(), &mesh()),
        plan(&registration(), &mesh())
    );
    let mut changed = mesh();
    changed.services[0].endpoints.pop();
    assert_ne!(
        plan(&registration(), &mesh()),
        plan(&registration(), &changed)
    );
}
