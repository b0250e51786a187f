//! The Plan at work: listening sockets, what each takes, and the clusters.

use std::{
    cell::{Cell, RefCell},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
    path::Path,
    rc::Rc,
};

use plan::{Address, Inspect, Plan, Route};
use sys::{
    socket::{self, Family, TcpOptions},
    unix::{self, SocketFile},
};

use crate::tls::Options as TlsOptions;
use crate::{
    chain::{Chain, Rules},
    cluster::{Cluster, Names},
    clusters::Clusters,
    proxy::Unfit,
    secure::Materials,
};

/// Connections that wait to be accepted. The kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// A listener at work. Shared by the table and the flows that came in through it.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) name: RefCell<String>,
    /// The address asked for; its port may be 0.
    configured: Address,
    /// The address it has.
    pub(crate) address: Address,
    /// What is looked at before a chain is chosen.
    pub(crate) inspect: Cell<Inspect>,
    pub(crate) rules: RefCell<Rules>,
}

/// A listener's socket, which only the table holds: once the Plan drops it, no flow keeps it open.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) listener: Rc<Listener>,
    /// `None` once the table is closed to new connections.
    pub(crate) socket: Option<OwnedFd>,
    /// The file of a unix socket, which goes when this does.
    file: Option<SocketFile>,
}

/// Where a connection leads.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Through a chain to a cluster.
    To(Rc<Chain>, Rc<Cluster>),
    /// Nowhere: the cluster that it would lead to does not exist. `None` when no chain takes the name.
    Unknown(Option<String>),
    /// Nowhere: its cluster would be that of its server name, and it has none.
    Nameless,
    /// A chain refuses it, with this reason.
    Refused(String),
}

/// Everything that a Plan says, at work.
#[derive(Debug, Default)]
pub(crate) struct Table {
    plan: Plan,
    /// Its identities and roots.
    pub(crate) materials: Materials,
    pub(crate) clusters: Clusters,
    /// A listener keeps its place, which its epoll token names, for as long as it listens.
    pub(crate) listeners: Vec<Option<Listening>>,
    /// The host names among the endpoints, which must be resolved.
    pub(crate) names: Names,
    /// Whether nobody is let in any more; the rules of a Plan still hold for who is.
    is_closed: bool,
}

/// What a new Plan changed.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// How many listeners are new.
    pub(crate) opened: usize,
    /// How many listeners are gone.
    pub(crate) closed: usize,
    /// Whether any cluster is gone.
    pub(crate) clusters_removed: bool,
    /// How many clusters are new, changed or gone.
    pub(crate) clusters_changed: usize,
    /// Whether flows with TLS must be looked at again: who may come in, who is trusted.
    pub(crate) security_changed: bool,
    /// Whether identities or roots are others.
    pub(crate) materials_changed: bool,
}

impl Table {
    /// Puts a Plan to work in place of the one before: all of it, or nothing. `watch` is given each new listener's place and socket.
    ///
    /// # Errors
    ///
    /// A new listener cannot be bound or watched, or an identity, roots or parameters cannot be used: which, and why.
    pub(crate) fn apply(
        &mut self,
        plan: &Plan,
        tcp: &TcpOptions,
        secure: &TlsOptions,
        mut watch: impl FnMut(u32, &OwnedFd) -> io::Result<()>,
    ) -> Result<Changes, Unfit> {
        let mut changes = Changes::default();
        self.drop_lost();
        let listens = |wanted| self.is_closed || self.place_of(wanted).is_some();
        if *plan == self.plan && plan.listeners.iter().all(listens) {
            return Ok(changes);
        }
        // What can fail goes first: rules, TLS of clusters, sockets.
        let same_materials =
            plan.identities == self.plan.identities && plan.trust == self.plan.trust;
        let materials = Materials::of(plan, &self.materials);
        let mut rules = Vec::with_capacity(plan.listeners.len());
        for wanted in &plan.listeners {
            let place = self
                .place_of(wanted)
                .and_then(|place| self.listeners.get(place)?.as_ref());
            if same_materials && place.is_some() && self.plan.listeners.contains(wanted) {
                rules.push(None);
                continue;
            }
            let none = RefCell::default();
            let before = place
                .map_or(&none, |listening| &listening.listener.rules)
                .borrow();
            let made = Rules::new(&wanted.chains, &materials, &before, secure);
            rules.push(Some(made.map_err(Unfit::Tls)?));
        }
        let clusters = &self.clusters;
        let prepared = clusters.prepare(plan, same_materials, &materials, secure);
        let prepared = prepared.map_err(Unfit::Tls)?;
        let mut fresh = Vec::new();
        let mut free = (0..).filter(|place: &u32| {
            let taken = self.listeners.get(*place as usize);
            taken.is_none_or(Option::is_none)
        });
        for wanted in &plan.listeners {
            if listens(wanted) {
                continue;
            }
            let unfit = |error| Unfit::Listen(wanted.address.clone(), error);
            let listening = bind(wanted, plan, tcp).map_err(unfit)?;
            if let (Some(place), Some(socket)) = (free.next(), &listening.socket) {
                // Who is not watched would be deaf. What drops the socket ends the watch.
                watch(place, socket).map_err(unfit)?;
                fresh.push((place as usize, listening));
            }
        }

        for place in &mut self.listeners {
            let kept = place.as_ref().is_some_and(|listening| {
                plan.listeners
                    .iter()
                    .any(|wanted| listening.listener.is(wanted))
            });
            if !kept && let Some(gone) = place.take() {
                // Nobody authorizes what came in through it any more.
                gone.listener.rules.take();
                changes.closed += 1;
            }
        }
        for (place, listening) in fresh {
            if place >= self.listeners.len() {
                self.listeners.resize_with(place + 1, || None);
            }
            if let Some(slot) = self.listeners.get_mut(place) {
                *slot = Some(listening);
            }
            changes.opened += 1;
        }
        for (wanted, rules) in plan.listeners.iter().zip(rules) {
            let place = self
                .place_of(wanted)
                .and_then(|place| self.listeners.get(place)?.as_ref());
            if let Some(Listening { listener, file, .. }) = place {
                if let Some(file) = file {
                    // Whoever took the file away took its mode along.
                    let _ = file.set_mode(wanted.mode);
                }
                listener.name.borrow_mut().clone_from(&wanted.name);
                listener.inspect.set(wanted.inspect);
                if let Some(rules) = rules {
                    *listener.rules.borrow_mut() = rules;
                    changes.security_changed = true;
                }
            }
        }
        changes.security_changed |= !same_materials || changes.closed > 0;
        changes.materials_changed = !same_materials;
        self.clusters
            .apply(plan, prepared, &mut self.names, &mut changes);
        self.plan = plan.clone();
        self.materials = materials;
        Ok(changes)
    }

    /// Listens no more, whatever Plans want.
    pub(crate) fn close(&mut self) {
        self.is_closed = true;
        for listening in self.listeners.iter_mut().flatten() {
            listening.socket = None;
            listening.file = None;
        }
    }

    /// The places where somebody listens, with the listener and its socket.
    pub(crate) fn listening_all(&self) -> impl Iterator<Item = (u32, &Rc<Listener>, &OwnedFd)> {
        let places = (0..).zip(&self.listeners);
        places.filter_map(|(place, _)| {
            let (listener, socket) = self.listening(place)?;
            Some((place, listener, socket))
        })
    }

    /// Lets go of unix sockets whose file was taken away, which nobody can reach: so that they are made anew.
    fn drop_lost(&mut self) {
        for place in &mut self.listeners {
            let file = place.as_ref().and_then(|it| it.file.as_ref());
            if file.is_some_and(|file| !file.is_ours()) {
                *place = None;
            }
        }
    }

    /// Where a connection leads that came in through a listener. The name is lower case. `chance` gives a number below its
    /// argument.
    pub(crate) fn route(
        &self,
        listener: &Listener,
        server_name: Option<&str>,
        chance: impl FnOnce(u32) -> u32,
    ) -> Verdict {
        let rules = listener.rules.borrow();
        let Some(chain) = rules.find(server_name.unwrap_or_default()) else {
            return Verdict::Unknown(None);
        };
        let name = match (&chain.spec.route, server_name) {
            (Route::Cluster(name), _) => name.as_str(),
            (Route::SniCluster, Some(name)) => name,
            (Route::SniCluster, None) => return Verdict::Nameless,
            (Route::Weighted(shares), _) => share(shares, chance),
            (Route::Refuse(reason), _) => return Verdict::Refused(reason.clone()),
        };
        match self.clusters.get(name) {
            Some(cluster) => Verdict::To(Rc::clone(chain), Rc::clone(cluster)),
            None => Verdict::Unknown(Some(name.to_owned())),
        }
    }

    /// The listener at a place and its socket, while it listens.
    pub(crate) fn listening(&self, place: u32) -> Option<(&Rc<Listener>, &OwnedFd)> {
        let listening = self.listeners.get(place as usize)?.as_ref()?;
        Some((&listening.listener, listening.socket.as_ref()?))
    }

    fn place_of(&self, wanted: &plan::Listener) -> Option<usize> {
        let serves =
            |place: &Option<Listening>| place.as_ref().is_some_and(|it| it.listener.is(wanted));
        self.listeners.iter().position(serves)
    }
}

/// One of the clusters, by chance and weight.
fn share(shares: &[(u32, String)], chance: impl FnOnce(u32) -> u32) -> &str {
    let weights = shares.iter().map(|(weight, _)| *weight);
    let mut left = chance(weights.fold(0, u32::saturating_add).max(1));
    let chosen = shares.iter().find(|(weight, _)| {
        let passed = left >= *weight;
        left = left.saturating_sub(*weight);
        !passed
    });
    chosen.map_or("", |(_, name)| name)
}

impl Listener {
    /// Whether this socket serves for what a Plan wants: the same address, and for a port that the kernel chose the
    /// same name too.
    fn is(&self, wanted: &plan::Listener) -> bool {
        let chosen_by_kernel = wanted.address.inet().is_some_and(|it| it.port() == 0);
        self.configured == wanted.address
            && (!chosen_by_kernel || *self.name.borrow() == wanted.name)
    }
}

/// The socket that a Plan wants, listening.
fn bind(wanted: &plan::Listener, plan: &Plan, tcp: &TcpOptions) -> io::Result<Listening> {
    let (address, socket, file) = match &wanted.address {
        Address::Inet(address) => {
            let socket = socket::listen(*address, family(plan, *address), BACKLOG, tcp)?;
            if wanted.inspect == Inspect::ClientHello {
                // TLS waits for a ServerHello, not for TCP.
                socket::acknowledge_with_data(&socket);
            }
            (socket::local_address(&socket)?.into(), socket, None)
        }
        Address::Unix(path) => {
            let (socket, file) = unix::listen(Path::new(&**path), wanted.mode, BACKLOG)?;
            (wanted.address.clone(), socket, Some(file))
        }
    };
    let listener = Rc::new(Listener {
        name: RefCell::new(wanted.name.clone()),
        configured: wanted.address.clone(),
        address,
        inspect: Cell::new(wanted.inspect),
        rules: RefCell::default(),
    });
    Ok(Listening {
        listener,
        socket: Some(socket),
        file,
    })
}

/// `[::]` takes IPv4 too, unless `0.0.0.0` has the same port.
fn family(plan: &Plan, address: SocketAddr) -> Family {
    let any = address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let other = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port());
    let shared = plan
        .listeners
        .iter()
        .any(|listener| listener.address == Address::Inet(other));
    if any && !shared {
        Family::Dual
    } else {
        Family::Own
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
