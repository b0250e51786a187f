//! The clusters of a sidecar's upstream: one for each target of its chain.
//!
//! A target has its own server name and its own accepted identity, whichever gateways pass the connection on; a gateway mode
//! decides only which addresses are dialed (`agent/xds`, the endpoints of upstreams). Behind a gateway the health of the
//! target still counts: where all of its instances are known to be ill, its gateways are of no use to it.

use alloc::{boxed::Box, format, string::String, string::ToString, vec, vec::Vec};

use crate::{
    Cluster, Discovery, Endpoint, Health, Route, Traffic, UpstreamTls,
    chain::{Resolver, Target},
    mesh::{ImportedService, Mesh, Peer, Service, SidecarRegistration, Upstream, Via},
    names,
    spiffe::{SpiffeId, Subject},
};

/// Adds the clusters of an upstream to those of its sidecar; says where its connections go.
pub(crate) fn add(
    sidecar: &SidecarRegistration,
    upstream: &Upstream,
    mesh: &Mesh,
    clusters: &mut Vec<Cluster>,
) -> Route {
    let maker = Maker {
        sidecar,
        upstream,
        mesh,
    };
    let splits = &upstream.chain.splits;
    let mut shares = Vec::with_capacity(splits.len());
    for split in splits.iter().filter(|split| split.weight > 0) {
        shares.push((split.weight, maker.add(&split.resolver, clusters)));
    }
    match shares.as_slice() {
        [] => Route::Refuse(format!("upstream {} has no target", upstream.name)),
        [(_, only)] => Route::Cluster(only.clone()),
        _ => Route::Weighted(shares),
    }
}

struct Maker<'a> {
    sidecar: &'a SidecarRegistration,
    upstream: &'a Upstream,
    mesh: &'a Mesh,
}

impl Maker<'_> {
    /// Adds the clusters of a share; the name of the first.
    fn add(&self, resolver: &Resolver, clusters: &mut Vec<Cluster>) -> String {
        let mut failover = Vec::with_capacity(resolver.failover.len());
        for target in &resolver.failover {
            let cluster = self.cluster(target, resolver, "failover~");
            failover.push(add_once(cluster, clusters));
        }
        let mut cluster = self.cluster(&resolver.target, resolver, "");
        cluster.failover = failover;
        add_once(cluster, clusters)
    }

    /// The name tells sidecar and upstream apart, since each may set limits and times of its own for one and the same
    /// target. No server name holds a `~`, so that a gateway beside a sidecar never leads here.
    fn cluster(&self, target: &Target, resolver: &Resolver, kind: &str) -> Cluster {
        let (sidecar, upstream) = (self.sidecar, self.upstream);
        let server_name = server_name(target, self.mesh);
        let name = format!("{}~{}~{kind}{server_name}", sidecar.id, upstream.name);
        let tls = self.tls(target, server_name);
        let mut outlier_detection = upstream.outlier_detection.clone();
        if let Some(rules) = outlier_detection.as_mut().filter(|_| target.peer.is_some()) {
            // A peer's gateways stand for all of its instances, and nobody here knows the health of those.
            rules.max_ejection_percent = 100;
        }
        Cluster {
            name: name.to_ascii_lowercase(),
            traffic: Traffic::Service,
            endpoints: match tls {
                Some(_) => endpoints(target, self.mesh),
                None => Vec::new(),
            },
            failover: Vec::new(),
            discovery: Discovery::StrictDns,
            balance: resolver.balance,
            connect_timeout: resolver.connect_timeout.unwrap_or(upstream.connect_timeout),
            max_connections: upstream.max_connections,
            max_pending: upstream.max_pending,
            outlier_detection: outlier_detection.map(Box::new),
            keepalive: None,
            tls: tls.map(Box::new),
        }
    }

    /// `None` where nobody knows who the target is: a peer's service has identities that only the peer can tell, and
    /// roots of its own.
    fn tls(&self, target: &Target, server_name: String) -> Option<UpstreamTls> {
        let (trust, accepted) = match &target.peer {
            Some(_) => {
                let (peer, service) = imported(target, self.mesh)?;
                let mut bundles = self.mesh.trust.iter();
                let known = bundles.any(|bundle| bundle.trust_domain == peer.trust_domain);
                if !known || service.identities.is_empty() {
                    return None;
                }
                (peer.trust_domain.clone(), service.identities.clone())
            }
            None => (self.mesh.trust_domain.clone(), vec![self.identity(target)]),
        };
        Some(UpstreamTls {
            identity: self.sidecar.service.clone(),
            trust,
            server_name,
            accepted,
            parameters: self.sidecar.outgoing.clone(),
        })
    }

    /// The SPIFFE ID of a target in our own trust domain.
    fn identity(&self, target: &Target) -> String {
        let or_default = |name: &str| match name {
            "" => String::from(names::DEFAULT),
            name => String::from(name),
        };
        let id = SpiffeId {
            trust_domain: self.mesh.trust_domain.clone(),
            subject: Subject::Service {
                partition: or_default(&target.partition),
                namespace: or_default(&target.namespace),
                datacenter: target.datacenter.clone(),
                service: target.service.clone(),
            },
        };
        id.to_string()
    }
}

/// The peer and the service of it that a target is.
fn imported<'a>(target: &Target, mesh: &'a Mesh) -> Option<(&'a Peer, &'a ImportedService)> {
    let name = target.peer.as_ref()?;
    let peer = mesh.peers.iter().find(|peer| peer.name == *name)?;
    let service = peer.imported.iter().find(|service| {
        service.name.eq_ignore_ascii_case(&target.service)
            && names::same(&service.namespace, &target.namespace)
            && names::same(&service.partition, &target.partition)
    })?;
    Some((peer, service))
}

/// Adds a cluster unless it is there; one that is like another but for its name gets a number. Returns the name.
fn add_once(mut cluster: Cluster, clusters: &mut Vec<Cluster>) -> String {
    let base = cluster.name.clone();
    for number in 2.. {
        match clusters.iter().find(|known| known.name == cluster.name) {
            Some(known) if *known == cluster => break,
            Some(_) => cluster.name = format!("{base}~{number}"),
            None => {
                clusters.push(cluster.clone());
                break;
            }
        }
    }
    cluster.name
}

/// The SNI of a target.
#[must_use]
pub fn server_name(target: &Target, mesh: &Mesh) -> String {
    if let Some(name) = &target.external_sni {
        return name.to_ascii_lowercase();
    }
    if let Some(peer) = &target.peer {
        let known = mesh.peers.iter().find(|known| known.name == *peer);
        let (there, trust_domain) = known.map_or(("", ""), |peer| {
            (peer.name_there.as_str(), peer.trust_domain.as_str())
        });
        return names::peered_service(
            &target.service,
            &target.namespace,
            &target.partition,
            there,
            trust_domain,
        );
    }
    names::service(
        target.subset.as_deref(),
        &target.service,
        &target.namespace,
        &target.partition,
        &target.datacenter,
        &mesh.trust_domain,
    )
}

/// What the mesh knows of a target's service in the target's datacenter; `None` when it does not know of it at all.
#[must_use]
pub fn service<'a>(target: &Target, mesh: &'a Mesh) -> Option<&'a Service> {
    if target.peer.is_some() {
        // A service of the same name here is another one.
        return None;
    }
    let services = if target.datacenter == mesh.datacenter {
        if !names::same(&target.partition, &mesh.partition) {
            return None;
        }
        &mesh.services
    } else {
        let there = &mesh.datacenters;
        &there
            .iter()
            .find(|there| there.name == target.datacenter)?
            .services
    };
    services.iter().find(|service| {
        service.name.eq_ignore_ascii_case(&target.service)
            && names::same(&service.namespace, &target.namespace)
    })
}

/// Where a target is dialed: its instances, or the gateways of one side.
#[must_use]
pub fn endpoints(target: &Target, mesh: &Mesh) -> Vec<Endpoint> {
    if target.peer.is_some() {
        // A peer's instances are never dialed themselves: mode none counts as remote.
        let gateways = match target.via {
            Via::LocalGateway => Some(&mesh.gateways),
            Via::Direct | Via::RemoteGateway => {
                imported(target, mesh).map(|(peer, _)| &peer.gateways)
            }
        };
        return gateways.cloned().unwrap_or_default();
    }
    let instances = service(target, mesh).and_then(|service| match &target.subset {
        None => Some(service.plain()),
        Some(name) => {
            let mut subsets = service.subsets.iter();
            let subset = subsets.find(|subset| subset.name.eq_ignore_ascii_case(name))?;
            Some(&*subset.endpoints)
        }
    });
    let here = target.datacenter == mesh.datacenter;
    let gateways = match target.via {
        _ if here && names::same(&target.partition, &mesh.partition) => None,
        Via::Direct => None,
        Via::LocalGateway => Some(mesh.gateways.as_slice()),
        Via::RemoteGateway if here => {
            let mut others = mesh.partitions.iter();
            let there = others.find(|there| names::same(&there.name, &target.partition));
            Some(there.map_or(&[][..], |there| &there.gateways))
        }
        Via::RemoteGateway => {
            let mut others = mesh.datacenters.iter();
            let there = others.find(|there| there.name == target.datacenter);
            Some(there.map_or(&[][..], |there| &there.gateways))
        }
    };
    let Some(gateways) = gateways else {
        return instances.unwrap_or_default().to_vec();
    };
    let healthy = |endpoint: &Endpoint| endpoint.health == Health::Healthy;
    let mut endpoints = gateways.to_vec();
    if instances.is_some_and(|instances| !instances.iter().any(healthy)) {
        for endpoint in &mut endpoints {
            endpoint.health = Health::Unhealthy;
        }
    }
    endpoints
}

#[cfg(test)]
#[path = "upstreams_tests.rs"]
mod tests;
