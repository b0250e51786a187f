//! The Plan at work: listening sockets, what each takes, and the clusters.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
    rc::Rc,
};

use plan::{FilterChain, Plan, Route, matching::ServerNameTable};
use sys::socket::{self, Family, TcpOptions};

use crate::cluster::{Cluster, Names, Resolution};

/// Connections that wait to be accepted. The kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// A listener at work. Shared by the table and the flows that came in through it.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) name: String,
    /// The address asked for; its port may be 0.
    configured: SocketAddr,
    /// The address it has.
    pub(crate) address: SocketAddr,
    rules: RefCell<Rules>,
}

/// A listener's socket, which only the table holds: once the Plan drops it, no flow keeps it open.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) listener: Rc<Listener>,
    pub(crate) socket: OwnedFd,
}

#[derive(Debug)]
struct Rules {
    chains: Vec<FilterChain>,
    names: ServerNameTable,
}

/// Where a server name leads.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// To a cluster.
    To(Rc<Cluster>),
    /// Nowhere: there is no cluster of this name. `None` when the name matched no chain at all.
    Unknown(Option<String>),
    /// A chain refuses it, with this reason.
    Refused(String),
}

/// Everything that a Plan says, at work.
#[derive(Debug, Default)]
pub(crate) struct Table {
    plan: Plan,
    pub(crate) clusters: BTreeMap<String, Rc<Cluster>>,
    /// A listener keeps its place, which its epoll token names, for as long as it listens.
    pub(crate) listeners: Vec<Option<Listening>>,
    pub(crate) names: Names,
}

/// What a new Plan changed.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Listeners that are new, by place.
    pub(crate) opened: Vec<u32>,
    /// How many listeners are gone.
    pub(crate) closed: usize,
    /// Whether any cluster is gone.
    pub(crate) clusters_removed: bool,
    /// How many clusters are new, changed or gone.
    pub(crate) clusters_changed: usize,
}

impl Table {
    /// Puts a Plan to work in place of the one before: all of it, or nothing.
    ///
    /// # Errors
    ///
    /// A new listener cannot be bound: which, and why.
    pub(crate) fn apply(
        &mut self,
        plan: &Plan,
        tcp: &TcpOptions,
    ) -> Result<Changes, (SocketAddr, io::Error)> {
        let mut changes = Changes::default();
        if *plan == self.plan {
            return Ok(changes);
        }
        // What can fail goes first.
        let mut fresh = Vec::new();
        for wanted in &plan.listeners {
            if self.place_of(wanted).is_none() {
                let family = family(plan, wanted.address);
                let bound = socket::listen(wanted.address, family, BACKLOG, tcp)
                    .and_then(|socket| Ok((socket::local_address(&socket)?, socket)));
                let (address, socket) = bound.map_err(|error| (wanted.address, error))?;
                let listener = Rc::new(Listener {
                    name: wanted.name.clone(),
                    configured: wanted.address,
                    address,
                    rules: RefCell::new(Rules::new(&wanted.chains)),
                });
                fresh.push(Listening { listener, socket });
            }
        }

        for place in &mut self.listeners {
            let kept = place.as_ref().and_then(|Listening { listener, .. }| {
                plan.listeners
                    .iter()
                    .find(|wanted| listener.is(wanted))
                    .map(|wanted| (listener, wanted))
            });
            match kept {
                Some((listener, wanted)) => {
                    *listener.rules.borrow_mut() = Rules::new(&wanted.chains)
                }
                None => changes.closed += usize::from(place.take().is_some()),
            }
        }
        for listening in fresh {
            let free = self.listeners.iter().position(Option::is_none);
            let place = free.unwrap_or_else(|| {
                self.listeners.push(None);
                self.listeners.len() - 1
            });
            if let Some(slot) = self.listeners.get_mut(place) {
                *slot = Some(listening);
            }
            changes.opened.extend(u32::try_from(place));
        }
        self.apply_clusters(plan, &mut changes);
        self.plan = plan.clone();
        Ok(changes)
    }

    fn apply_clusters(&mut self, plan: &Plan, changes: &mut Changes) {
        self.clusters.retain(|name, cluster| {
            let stays = plan.cluster(name).is_some();
            if !stays {
                cluster.removed.set(true);
                changes.clusters_removed = true;
                changes.clusters_changed += 1;
            }
            stays
        });
        for spec in &plan.clusters {
            let changed = match self.clusters.get(&spec.name) {
                Some(cluster) => cluster.update(spec, &self.names),
                None => {
                    let cluster = Rc::new(Cluster::new(spec.clone(), &self.names));
                    self.clusters.insert(spec.name.clone(), cluster);
                    true
                }
            };
            changes.clusters_changed += usize::from(changed);
        }
        let hosts = self.hosts();
        self.names.retain(|name, _| hosts.contains(name));
        for host in hosts {
            self.names.entry(host).or_insert(Resolution::Pending);
        }
    }

    /// The host names that must be resolved.
    pub(crate) fn hosts(&self) -> BTreeSet<String> {
        self.clusters
            .values()
            .flat_map(|cluster| cluster.hosts())
            .collect()
    }

    /// Where a server name leads that came in through a listener. The name is lower case.
    pub(crate) fn route(&self, listener: &Listener, server_name: &str) -> Verdict {
        let rules = listener.rules.borrow();
        let chain = rules
            .names
            .find(server_name)
            .and_then(|at| rules.chains.get(at));
        let name = match chain.map(|chain| &chain.route) {
            Some(Route::Cluster(name)) => name.as_str(),
            Some(Route::SniCluster) => server_name,
            Some(Route::Refuse(reason)) => return Verdict::Refused(reason.clone()),
            None => return Verdict::Unknown(None),
        };
        match self.clusters.get(name) {
            Some(cluster) => Verdict::To(Rc::clone(cluster)),
            None => Verdict::Unknown(Some(name.to_owned())),
        }
    }

    pub(crate) fn listening(&self, place: u32) -> Option<&Listening> {
        self.listeners.get(place as usize)?.as_ref()
    }

    fn place_of(&self, wanted: &plan::Listener) -> Option<usize> {
        let serves =
            |place: &Option<Listening>| place.as_ref().is_some_and(|it| it.listener.is(wanted));
        self.listeners.iter().position(serves)
    }
}

impl Listener {
    /// Whether this socket serves for what a Plan wants: the same address, and for a port that the kernel chose the
    /// same name too.
    fn is(&self, wanted: &plan::Listener) -> bool {
        self.configured == wanted.address
            && (wanted.address.port() != 0 || self.name == wanted.name)
    }
}

impl Rules {
    fn new(chains: &[FilterChain]) -> Self {
        Self {
            chains: chains.to_vec(),
            names: ServerNameTable::new(chains),
        }
    }
}

/// `[::]` takes IPv4 too, unless `0.0.0.0` has the same port.
fn family(plan: &Plan, address: SocketAddr) -> Family {
    let any = address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let other = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port());
    let shared = plan
        .listeners
        .iter()
        .any(|listener| listener.address == other);
    if any && !shared {
        Family::Dual
    } else {
        Family::Own
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
