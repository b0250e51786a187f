//! What a sidecar does: one way in, one way out per upstream.
//!
//! Turns a registration and what is known of the mesh into listeners, chains and clusters, as Consul does for Envoy
//! (`agent/xds`, `makeInboundListener` and the upstream listeners). In: mutual TLS, then intentions, then the service itself. Out:
//! a plain listener for the application, then mutual TLS to an instance of the upstream, whichever gateways pass it on:
//! the server name and the accepted identity are those of the destination in every mode.

use alloc::{format, string::String, string::ToString, vec, vec::Vec};

use crate::{
    Address, Balance, Cluster, Discovery, DownstreamTls, Endpoint, FilterChain, Health, Inspect,
    Listener, Plan, Route, ServerNames, Traffic, UpstreamTls,
    mesh::{Mesh, Service, SidecarRegistration, Upstream, Via},
    names,
    spiffe::{SpiffeId, Subject},
};

/// The Plan of that sidecar in that mesh.
#[must_use]
pub fn plan(sidecar: &SidecarRegistration, mesh: &Mesh) -> Plan {
    let mut listeners = vec![public_listener(sidecar, mesh)];
    let mut clusters = vec![local_app(sidecar)];
    for upstream in &sidecar.upstreams {
        let cluster = upstream_cluster(sidecar, upstream, mesh);
        listeners.push(upstream_listener(upstream, &cluster.name));
        clusters.push(cluster);
    }
    listeners.sort_by(|one, other| one.name.cmp(&other.name));
    clusters.sort_by(|one, other| one.name.cmp(&other.name));
    clusters.dedup_by(|later, first| later.name == first.name);
    let identities = mesh
        .identities
        .iter()
        .filter(|identity| identity.name == sidecar.service);
    Plan {
        listeners,
        clusters,
        identities: identities.cloned().collect(),
        trust: mesh.trust.clone(),
    }
}

/// The name of the cluster by which a sidecar reaches its service.
#[must_use]
pub fn local_app_cluster(id: &str) -> String {
    format!("local_app~{id}")
}

fn public_listener(sidecar: &SidecarRegistration, mesh: &Mesh) -> Listener {
    let tls = DownstreamTls {
        identity: sidecar.service.clone(),
        trust: vec![mesh.trust_domain.clone()],
        parameters: sidecar.incoming.clone(),
    };
    let chain = FilterChain {
        server_names: ServerNames::Any,
        tls: Some(tls),
        authorization: Some(sidecar.intentions.clone()),
        max_connections: sidecar.max_inbound_connections,
        route: Route::Cluster(local_app_cluster(&sidecar.id)),
    };
    Listener {
        name: format!("public_listener:{}", sidecar.public),
        address: Address::Inet(sidecar.public),
        mode: None,
        inspect: Inspect::ClientHello,
        chains: vec![chain],
    }
}

fn local_app(sidecar: &SidecarRegistration) -> Cluster {
    let endpoint = Endpoint {
        address: sidecar.local_app.clone().into(),
        weight: 1,
        health: Health::Healthy,
    };
    Cluster {
        name: local_app_cluster(&sidecar.id),
        traffic: Traffic::Service,
        endpoints: vec![endpoint],
        discovery: Discovery::StrictDns,
        balance: Balance::RoundRobin,
        connect_timeout: sidecar.local_connect_timeout,
        max_connections: None,
        keepalive: None,
        tls: None,
    }
}

fn upstream_listener(upstream: &Upstream, cluster: &str) -> Listener {
    let name = match &upstream.datacenter {
        Some(datacenter) => format!("{}?dc={datacenter}:{}", upstream.service, upstream.listen),
        None => format!("{}:{}", upstream.service, upstream.listen),
    };
    let route = Route::Cluster(String::from(cluster));
    Listener {
        name,
        address: upstream.listen.clone(),
        mode: upstream.socket_mode,
        inspect: Inspect::Nothing,
        chains: vec![FilterChain::passthrough(ServerNames::Any, route)],
    }
}

fn upstream_cluster(sidecar: &SidecarRegistration, upstream: &Upstream, mesh: &Mesh) -> Cluster {
    let datacenter = upstream.datacenter.as_deref().unwrap_or(&mesh.datacenter);
    let trust_domain = &mesh.trust_domain;
    let server_name = names::service(
        None,
        &upstream.service,
        &upstream.namespace,
        &mesh.partition,
        datacenter,
        trust_domain,
    );
    let identity = SpiffeId {
        trust_domain: trust_domain.clone(),
        subject: Subject::Service {
            partition: mesh.partition.clone(),
            namespace: if upstream.namespace.is_empty() {
                String::from(names::DEFAULT)
            } else {
                upstream.namespace.clone()
            },
            datacenter: String::from(datacenter),
            service: upstream.service.clone(),
        },
    };
    let (endpoints, service) = endpoints(upstream, mesh);
    Cluster {
        // Two sidecars of one process show different identities to the same service, and a gateway beside them
        // passes it on unopened; no server name holds a `~`.
        name: format!("{}~{server_name}", sidecar.service),
        traffic: Traffic::Service,
        endpoints,
        discovery: Discovery::StrictDns,
        balance: service.map_or(Balance::RoundRobin, |service| service.balance),
        connect_timeout: service
            .and_then(|service| service.connect_timeout)
            .unwrap_or(upstream.connect_timeout),
        max_connections: upstream.max_connections,
        keepalive: None,
        tls: Some(UpstreamTls {
            identity: sidecar.service.clone(),
            trust: trust_domain.clone(),
            server_name,
            accepted: vec![identity.to_string()],
            parameters: sidecar.outgoing.clone(),
        }),
    }
}

/// Where an upstream is dialed: its instances, or the gateways of one side.
fn endpoints<'a>(upstream: &Upstream, mesh: &'a Mesh) -> (Vec<Endpoint>, Option<&'a Service>) {
    let find = |services: &'a [Service]| {
        services.iter().find(|service| {
            service.name.eq_ignore_ascii_case(&upstream.service)
                && names::same(&service.namespace, &upstream.namespace)
        })
    };
    let instances = |service: Option<&'a Service>| {
        service.map_or_else(Vec::new, |service| service.plain().to_vec())
    };
    let Some(name) = upstream
        .datacenter
        .as_deref()
        .filter(|name| *name != mesh.datacenter)
    else {
        let service = find(&mesh.services);
        return (instances(service), service);
    };
    let Some(there) = mesh
        .datacenters
        .iter()
        .find(|datacenter| datacenter.name == name)
    else {
        return (Vec::new(), None);
    };
    let service = find(&there.services);
    let endpoints = match upstream.via {
        Via::Direct => instances(service),
        Via::LocalGateway => mesh.gateways.clone(),
        Via::RemoteGateway => there.gateways.clone(),
    };
    (endpoints, service)
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::{
        gateway::tests::{endpoint, mesh},
        intentions::{DefaultAction, Intentions},
    };

    fn sidecar(via: Via, datacenter: Option<&str>) -> SidecarRegistration {
        SidecarRegistration {
            id: "web-1-sidecar-proxy".to_string(),
            service: "web".to_string(),
            namespace: String::new(),
            public: "10.0.0.1:21000".parse().expect("an address"),
            local_app: Address::Inet("127.0.0.1:8080".parse().expect("an address")),
            local_connect_timeout: Duration::from_secs(5),
            max_inbound_connections: Some(7),
            intentions: Intentions::new(Vec::new(), DefaultAction::Deny),
            upstreams: vec![Upstream {
                service: "api".to_string(),
                namespace: String::new(),
                datacenter: datacenter.map(str::to_string),
                listen: Address::Inet("127.0.0.1:9191".parse().expect("an address")),
                socket_mode: None,
                via,
                connect_timeout: Duration::from_secs(5),
                max_connections: None,
            }],
            incoming: crate::TlsParameters::default(),
            outgoing: crate::TlsParameters::default(),
        }
    }

    fn out(via: Via, datacenter: Option<&str>) -> Cluster {
        let mut mesh = mesh();
        let mut there = mesh.services.clone();
        there[0].endpoints = vec![endpoint("198.18.0.77:21000")];
        mesh.datacenters[0].services = there;
        let plan = plan(&sidecar(via, datacenter), &mesh);
        plan.clusters
            .into_iter()
            .find(|cluster| cluster.tls.is_some())
            .expect("an upstream")
    }

    fn addresses(cluster: &Cluster) -> Vec<String> {
        cluster
            .endpoints
            .iter()
            .map(|endpoint| endpoint.address.to_string())
            .collect()
    }

    #[test]
    fn a_mode_decides_who_is_dialed_and_nothing_else() {
        let cases = [
            (Via::Direct, "198.18.0.77:21000"),
            (Via::LocalGateway, "10.0.0.9:8443"),
            (Via::RemoteGateway, "198.18.0.2:443"),
        ];
        for (via, address) in cases {
            let cluster = out(via, Some("dc2"));
            assert_eq!(addresses(&cluster), [address]);
            let tls = cluster.tls.expect("TLS");
            assert_eq!(
                tls.server_name,
                "api.default.dc2.internal.11111111-2222-3333-4444-555555555555.consul"
            );
            let id =
                "spiffe://11111111-2222-3333-4444-555555555555.consul/ns/default/dc/dc2/svc/api";
            assert_eq!(tls.accepted, [id]);
        }
    }

    #[test]
    fn within_the_datacenter_it_is_direct_whatever_the_mode() {
        for via in [Via::Direct, Via::LocalGateway, Via::RemoteGateway] {
            for datacenter in [None, Some("dc1")] {
                assert_eq!(
                    addresses(&out(via, datacenter)),
                    ["10.0.0.1:21000", "10.0.0.2:21000"]
                );
            }
        }
        assert!(addresses(&out(Via::RemoteGateway, Some("dc9"))).is_empty());
    }

    #[test]
    fn what_comes_in_is_authenticated_and_authorized_before_it_reaches_the_service() {
        let plan = plan(&sidecar(Via::Direct, None), &mesh());
        let public = plan
            .listeners
            .iter()
            .find(|listener| listener.name.starts_with("public_listener:"));
        let [chain] = public.expect("a public listener").chains.as_slice() else {
            panic!("one chain")
        };
        assert!(chain.tls.is_some() && chain.authorization.is_some());
        assert_eq!(chain.max_connections, Some(7));
        let Route::Cluster(name) = &chain.route else {
            panic!("a cluster")
        };
        assert_eq!(
            addresses(plan.cluster(name).expect("local_app")),
            ["127.0.0.1:8080"]
        );
    }
}
