//! The compiled discovery chain: what becomes of connections to an upstream, once every config entry has had its say.
//!
//! Consul compiles routers, splitters and resolvers into a graph
//! (<https://developer.hashicorp.com/consul/docs/connect/l7-traffic/discovery-chain>). For TCP three steps are left of it: a
//! split by weight, the target of the resolver, and where to go while that target cannot be used. Redirects and default subsets
//! are resolved already. A chain names targets and holds no address: who they are in this moment is a fact of the
//! [`crate::mesh::Mesh`].

use alloc::{string::String, vec, vec::Vec};
use core::{fmt, time::Duration};

use crate::{Balance, mesh::Via};

/// The shares of a chain that is not split, in hundredths of a percent (Envoy's `weighted_clusters` as Consul sets them).
pub const WHOLE: u32 = 10_000;

/// What becomes of connections to an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// At least one. Each connection takes one by chance, by weight.
    pub splits: Vec<Split>,
}

/// A share of the connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Its share, in hundredths of a percent; what counts is its part of the sum. 0 is never taken.
    pub weight: u32,
    /// Where it goes.
    pub resolver: Resolver,
}

/// Where a share goes: one target, or another while that one cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolver {
    /// The target.
    pub target: Target,
    /// Where to go instead while no instance of the target can be used, in this order.
    pub failover: Vec<Target>,
    /// For the whole of connecting, TLS included; `None` is the upstream's own.
    pub connect_timeout: Option<Duration>,
    /// How an instance is chosen.
    pub balance: Balance,
}

/// A service, or a subset of it, in one place of the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The service's name.
    pub service: String,
    /// The subset; `None` for the plain name.
    pub subset: Option<String>,
    /// The namespace; empty for the default one.
    pub namespace: String,
    /// The admin partition; empty for the default one.
    pub partition: String,
    /// The datacenter; that of the [`crate::mesh::Mesh`] for the own one.
    pub datacenter: String,
    /// The peer that exports it, by our name for it.
    pub peer: Option<String>,
    /// Which way, to another datacenter or partition. Within the own ones it is always direct.
    pub via: Via,
    /// The SNI to send instead of the mesh's own (service-defaults `ExternalSNI`).
    pub external_sni: Option<String>,
}

impl Chain {
    /// Everything to one resolver.
    #[must_use]
    pub fn whole(resolver: Resolver) -> Self {
        Self {
            splits: vec![Split {
                weight: WHOLE,
                resolver,
            }],
        }
    }

    /// Everything to one target, without failover.
    #[must_use]
    pub fn to(target: Target) -> Self {
        Self::whole(Resolver::to(target))
    }

    /// All targets, those of failover included, in order.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.splits.iter().flat_map(|split| {
            let resolver = &split.resolver;
            core::iter::once(&resolver.target).chain(&resolver.failover)
        })
    }
}

impl Resolver {
    /// One target, without failover.
    #[must_use]
    pub fn to(target: Target) -> Self {
        Self {
            target,
            failover: Vec::new(),
            connect_timeout: None,
            balance: Balance::RoundRobin,
        }
    }
}

impl Target {
    /// A service of the default namespace and partition in a datacenter, reached directly.
    #[must_use]
    pub fn new(service: &str, datacenter: &str) -> Self {
        Self {
            service: String::from(service),
            subset: None,
            namespace: String::new(),
            partition: String::new(),
            datacenter: String::from(datacenter),
            peer: None,
            via: Via::Direct,
            external_sni: None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(subset) = &self.subset {
            write!(f, "subset {subset} of ")?;
        }
        f.write_str(&self.service)?;
        match &self.peer {
            Some(peer) => write!(f, " of peer {peer}")?,
            None => write!(f, " in {}", self.datacenter)?,
        }
        f.write_str(match self.via {
            Via::Direct => ", directly",
            Via::LocalGateway => ", through the gateways here",
            Via::RemoteGateway => ", through the gateways there",
        })
    }
}
