//! What a sidecar does: one way in, one way out per upstream.
//!
//! Turns a registration and what is known of the mesh into listeners, chains and clusters, as Consul does for Envoy
//! (`agent/xds`, `makeInboundListener` and the upstream listeners). In: mutual TLS, then intentions, then the service itself. Out:
//! a plain listener for the application, then mutual TLS to an instance of the upstream: [`crate::upstreams`].

use alloc::{format, rc::Rc, string::String, vec, vec::Vec};

use crate::order::sort_by_name;
use crate::{
    Address, Balance, Cluster, Discovery, DownstreamTls, Endpoint, FilterChain, Health, Inspect,
    Listener, Plan, Route, ServerNames, Traffic,
    mesh::{Mesh, SidecarRegistration, Upstream},
    upstreams,
};

/// The Plan of that sidecar in that mesh.
#[must_use]
pub fn plan(sidecar: &SidecarRegistration, mesh: &Mesh) -> Plan {
    let mut listeners = vec![public_listener(sidecar, mesh)];
    let mut clusters = vec![local_app(sidecar)];
    for upstream in &sidecar.upstreams {
        let route = upstreams::add(sidecar, upstream, mesh, &mut clusters);
        listeners.push(upstream_listener(upstream, route));
    }
    sort_by_name(&mut listeners, |listener| &listener.name);
    sort_by_name(&mut clusters, |cluster| &cluster.name);
    let identities = mesh
        .identities
        .iter()
        .filter(|identity| identity.name == sidecar.service);
    Plan {
        listeners,
        clusters: clusters.into_iter().map(Rc::new).collect(),
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
        trust: trusted(sidecar, mesh),
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
        chains: vec![Rc::new(chain)],
    }
}

/// Our own trust domain, and those of the peers that may call, as far as their roots are known.
fn trusted(sidecar: &SidecarRegistration, mesh: &Mesh) -> Vec<String> {
    let mut trusted = vec![mesh.trust_domain.clone()];
    for peer in mesh
        .peers
        .iter()
        .filter(|peer| sidecar.peers.contains(&peer.name))
    {
        let mut bundles = mesh.trust.iter();
        if bundles.any(|bundle| bundle.trust_domain == peer.trust_domain)
            && !trusted.contains(&peer.trust_domain)
        {
            trusted.push(peer.trust_domain.clone());
        }
    }
    trusted
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
        failover: Vec::new(),
        discovery: Discovery::StrictDns,
        balance: Balance::RoundRobin,
        connect_timeout: sidecar.local_connect_timeout,
        max_connections: None,
        max_pending: None,
        outlier_detection: None,
        keepalive: None,
        tls: None,
    }
}

fn upstream_listener(upstream: &Upstream, route: Route) -> Listener {
    Listener {
        name: format!("{}:{}", upstream.name, upstream.listen),
        address: upstream.listen.clone(),
        mode: upstream.socket_mode,
        inspect: Inspect::Nothing,
        chains: vec![Rc::new(FilterChain::passthrough(ServerNames::Any, route))],
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use alloc::string::ToString;
    use core::time::Duration;

    use super::*;
    use crate::{
        gateway::tests::mesh,
        intentions::{DefaultAction, Intentions},
    };

    pub(crate) fn sidecar() -> SidecarRegistration {
        SidecarRegistration {
            id: "web-1-sidecar-proxy".to_string(),
            service: "web".to_string(),
            namespace: String::new(),
            public: "10.0.0.1:21000".parse().expect("an address"),
            local_app: Address::Inet("127.0.0.1:8080".parse().expect("an address")),
            local_connect_timeout: Duration::from_secs(5),
            max_inbound_connections: Some(7),
            intentions: Intentions::new(Vec::new(), DefaultAction::Deny),
            upstreams: Vec::new(),
            peers: Vec::new(),
            incoming: crate::TlsParameters::default(),
            outgoing: crate::TlsParameters::default(),
        }
    }

    #[test]
    fn what_comes_in_is_authenticated_and_authorized_before_it_reaches_the_service() {
        let plan = plan(&sidecar(), &mesh());
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
        let app = plan.cluster(name).expect("local_app");
        assert_eq!(app.endpoints[0].address.to_string(), "127.0.0.1:8080");
    }
}
