//! A cluster at work: its targets, whose turn it is, and who waits for its names.

use std::{
    cell::{Cell, OnceCell, Ref, RefCell},
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    rc::Rc,
};

use crate::tls::ClientContext;
use plan::{
    Address, Balance, Discovery, EndpointAddress, Health,
    balance::{self, Balancer, Target, Tried},
};

use crate::tls::Options as TlsOptions;
use crate::{
    outliers::Outliers,
    secure::{self, Materials, Selected},
    slab::Ticket,
    unusable::Unusable,
};

/// What is known of a host name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// It was not yet asked for, or the answer is under way.
    Pending,
    /// The last good answer.
    Known(Vec<IpAddr>),
    /// There never was a good answer. The reason.
    Failed(String),
}

/// Host names and what is known of them.
pub(crate) type Names = BTreeMap<String, Resolution>;

/// Why a cluster has no target for a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoTarget {
    /// It has no endpoints.
    NoEndpoints,
    /// Its names are being resolved for the first time.
    Resolving,
    /// Its names have no addresses.
    Unresolved(String),
    /// All were tried.
    AllTried,
}

/// Why a cluster takes no more connections, and how many it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// `max_connections` are there.
    Connections(u32),
    /// `max_pending` are being made.
    Pending(u32),
}

/// What it takes to originate TLS, and what that was made from.
#[derive(Debug)]
pub(crate) struct UpstreamContext {
    context: ClientContext,
    spec: Rc<plan::Cluster>,
    made_from: Selected,
}

impl UpstreamContext {
    /// The context of a cluster; the one before, with its sessions, while nothing changed. `None` for one without TLS.
    pub(crate) fn new(
        spec: &Rc<plan::Cluster>,
        materials: &Materials,
        before: Option<&Self>,
        secure: &TlsOptions,
    ) -> Result<Option<Box<Self>>, Unusable> {
        let Some(tls) = &spec.tls else {
            return Ok(None);
        };
        let made_from = materials.select(&tls.identity, std::slice::from_ref(&tls.trust))?;
        let same = |known: &&Self| known.spec.tls == spec.tls && known.made_from == made_from;
        let context = match before.filter(same) {
            Some(known) => known.context.clone(),
            None => secure::client(tls, &made_from, secure)?,
        };
        Ok(Some(Box::new(Self {
            context,
            spec: Rc::clone(spec),
            made_from,
        })))
    }
}

/// A cluster at work. Shared by the table and the flows that go to it, so that it outlives its place in the Plan.
#[derive(Debug)]
pub(crate) struct Cluster {
    spec: RefCell<Rc<plan::Cluster>>,
    tls: RefCell<Option<Box<UpstreamContext>>>,
    /// Nothing until it is used: a gateway has thousands, of which most never are.
    work: OnceCell<Box<Work>>,
    /// Connections being made or open.
    connections: Cell<u32>,
    /// Of these, the ones being made.
    pending: Cell<u32>,
    /// Where connections went lately: 0 is here, others are places in the failover, from 1.
    pub(crate) active: Cell<usize>,
    /// The Plan has it no more.
    pub(crate) removed: Cell<bool>,
}

/// What a cluster needs once it is used.
#[derive(Debug)]
struct Work {
    targets: RefCell<Vec<Target>>,
    balancer: RefCell<Balancer>,
    outliers: RefCell<Outliers>,
    /// Open connections by target; kept only for least request.
    loads: RefCell<BTreeMap<Address, u32>>,
    /// Flows that wait for the first answer about its names.
    waiting: RefCell<Vec<Ticket>>,
}

impl Work {
    fn new(spec: &plan::Cluster, names: &Names) -> Box<Self> {
        Box::new(Self {
            targets: RefCell::new(targets(spec, names)),
            balancer: RefCell::default(),
            outliers: RefCell::default(),
            loads: RefCell::default(),
            waiting: RefCell::default(),
        })
    }
}

impl Cluster {
    pub(crate) fn new(
        spec: Rc<plan::Cluster>,
        tls: Option<Box<UpstreamContext>>,
        names: &Names,
    ) -> Self {
        let cluster = Self {
            spec: RefCell::new(spec),
            tls: RefCell::new(tls),
            work: OnceCell::new(),
            connections: Cell::new(0),
            pending: Cell::new(0),
            active: Cell::new(0),
            removed: Cell::new(false),
        };
        cluster.refresh(names);
        cluster
    }

    /// What is needed to use it. Where hosts have names, those are looked at before this: see [`Cluster::refresh`].
    fn work(&self) -> &Work {
        let begin = || Work::new(&self.spec.borrow(), &Names::new());
        self.work.get_or_init(begin)
    }

    /// Takes over a new description; says whether it differs.
    pub(crate) fn update(
        &self,
        spec: &Rc<plan::Cluster>,
        tls: Option<Box<UpstreamContext>>,
        names: &Names,
    ) -> bool {
        *self.tls.borrow_mut() = tls;
        // The new one even if it is equal: then there is one copy less.
        let before = self.spec.replace(Rc::clone(spec));
        if before == *spec {
            return false;
        }
        if spec.outlier_detection.is_none() {
            self.work.get().map(|work| work.outliers.take());
        }
        self.refresh(names);
        true
    }

    /// Works the targets out anew, after a name's addresses have changed or an endpoint was left out or has returned.
    pub(crate) fn refresh(&self, names: &Names) {
        let spec = self.spec.borrow();
        let Some(work) = self.work.get() else {
            if hosts(&spec).next().is_some() {
                self.work.get_or_init(|| Work::new(&spec, names));
            }
            return;
        };
        let mut fresh = targets(&spec, names);
        let mut outliers = work.outliers.borrow_mut();
        if !outliers.is_empty() {
            outliers.retain(|address| fresh.iter().any(|target| target.address == *address));
            for target in &mut fresh {
                if outliers.is_ejected(&target.address) {
                    target.health = Health::Unhealthy;
                }
            }
        }
        *work.targets.borrow_mut() = fresh;
    }

    /// Whether a connection may try another endpoint.
    pub(crate) fn has_untried(&self, tried: &Tried) -> bool {
        !tried.is_full() && tried.count() < self.work().targets.borrow().len()
    }

    /// Whether there is an endpoint that is thought to work, or that may turn out to once its name is resolved.
    pub(crate) fn is_usable(&self, names: &Names) -> bool {
        let targets = self.work().targets.borrow();
        let healthy = |target: &Target| target.health == Health::Healthy;
        targets.iter().any(healthy)
            || targets.is_empty() && why_empty(&self.spec.borrow(), names) == NoTarget::Resolving
    }

    /// Notes that an endpoint could not be connected; the tick until which it is left out from now on, if it is.
    pub(crate) fn note_failure(
        &self,
        target: &Address,
        now: u32,
        chance: impl FnOnce(u32) -> u32,
    ) -> Option<u32> {
        let spec = self.spec.borrow();
        let rules = spec.outlier_detection.as_ref()?;
        let targets = self.work().targets.borrow();
        if !targets.iter().any(|known| known.address == *target) {
            return None;
        }
        let mut outliers = self.work().outliers.borrow_mut();
        outliers.failed(target, targets.len(), rules, now, chance)
    }

    /// The endpoints that are left out no more.
    pub(crate) fn returned(&self, now: u32) -> Vec<Address> {
        let work = self.work.get();
        work.map_or_else(Vec::new, |work| work.outliers.borrow_mut().returned(now))
    }

    /// The tick at which the next endpoint is left out no more.
    pub(crate) fn next_return(&self) -> Option<u32> {
        self.work.get()?.outliers.borrow().next_return()
    }

    /// Makes what it takes to originate TLS as a new Plan says it, from what it takes now.
    pub(crate) fn renewed(
        &self,
        spec: &Rc<plan::Cluster>,
        materials: &Materials,
        secure: &TlsOptions,
    ) -> Result<Option<Box<UpstreamContext>>, Unusable> {
        UpstreamContext::new(spec, materials, self.tls.borrow().as_deref(), secure)
    }

    /// What makes TLS sessions to it; `None` where it has no TLS.
    pub(crate) fn client_context(&self) -> Option<ClientContext> {
        self.tls.borrow().as_ref().map(|tls| tls.context.clone())
    }

    pub(crate) fn spec(&self) -> Ref<'_, plan::Cluster> {
        Ref::map(self.spec.borrow(), Rc::as_ref)
    }

    /// The flows that wait for the first answer about its names.
    pub(crate) fn waiting(&self) -> &RefCell<Vec<Ticket>> {
        &self.work().waiting
    }

    /// Its name, which never changes.
    pub(crate) fn name(&self) -> Ref<'_, str> {
        Ref::map(self.spec.borrow(), |spec| spec.name.as_str())
    }

    /// Whether this is what the Plan says of it, to the last pointer.
    pub(crate) fn is(&self, spec: &Rc<plan::Cluster>) -> bool {
        Rc::ptr_eq(&self.spec.borrow(), spec)
    }

    /// Whether some targets are IPv4 and some IPv6, so that a network that carries only one of them shows.
    pub(crate) fn has_both_families(&self) -> bool {
        let targets = self.work().targets.borrow();
        let v6 = |target: &Target| target.address.inet().is_some_and(|it| it.is_ipv6());
        targets.iter().any(v6) && !targets.iter().all(v6)
    }

    /// Notes a connection to be made, unless the cluster has all that it may have.
    pub(crate) fn enter(&self) -> Result<(), Full> {
        let (count, pending) = (self.connections.get(), self.pending.get());
        let spec = self.spec.borrow();
        if let Some(most) = spec.max_connections.filter(|most| count >= *most) {
            return Err(Full::Connections(most));
        }
        if let Some(most) = spec.max_pending.filter(|most| pending >= *most) {
            return Err(Full::Pending(most));
        }
        self.connections.set(count + 1);
        self.pending.set(pending + 1);
        Ok(())
    }

    /// Notes that a connection which had entered was never made.
    pub(crate) fn abandon(&self) {
        self.pending.set(self.pending.get().saturating_sub(1));
        self.leave();
    }

    /// Notes that a connection which had been made is over.
    pub(crate) fn leave(&self) {
        self.connections
            .set(self.connections.get().saturating_sub(1));
    }

    /// Notes that a connection is made, TLS included.
    pub(crate) fn note_connected(&self, target: &Address) {
        self.pending.set(self.pending.get().saturating_sub(1));
        let mut outliers = self.work().outliers.borrow_mut();
        if !outliers.is_empty() {
            outliers.succeeded(target);
        }
        if matches!(self.spec.borrow().balance, Balance::LeastRequest { .. }) {
            *self
                .work()
                .loads
                .borrow_mut()
                .entry(target.clone())
                .or_default() += 1;
        }
    }

    pub(crate) fn note_closed(&self, target: &Address) {
        let mut loads = self.work().loads.borrow_mut();
        if let Some(load) = loads.get_mut(target) {
            *load -= 1;
            if *load == 0 {
                loads.remove(target);
            }
        }
    }

    /// The next target for a connection.
    pub(crate) fn pick(
        &self,
        tried: &mut Tried,
        source: IpAddr,
        chance: impl FnMut(u32) -> u32,
        names: &Names,
    ) -> Result<Address, NoTarget> {
        let targets = self.work().targets.borrow();
        let spec = self.spec.borrow();
        if targets.is_empty() {
            return Err(why_empty(&spec, names));
        }
        let loads = self.work().loads.borrow();
        let load = |at: usize| {
            let target = targets.get(at).map(|target| &target.address);
            target
                .and_then(|target| loads.get(target))
                .copied()
                .unwrap_or(0)
        };
        let client = match spec.balance {
            Balance::RingHash | Balance::Maglev => balance::client(source),
            _ => 0,
        };
        let chosen = self.work().balancer.borrow_mut().pick(
            spec.balance,
            &targets,
            tried,
            client,
            load,
            chance,
        );
        chosen
            .and_then(|at| targets.get(at))
            .map(|target| target.address.clone())
            .ok_or(NoTarget::AllTried)
    }
}

/// The host names among the endpoints.
pub(crate) fn hosts(spec: &plan::Cluster) -> impl Iterator<Item = &str> {
    spec.endpoints
        .iter()
        .filter_map(|endpoint| match &endpoint.address {
            EndpointAddress::Host { name, .. } => Some(name.as_str()),
            EndpointAddress::Socket(_) | EndpointAddress::Unix(_) => None,
        })
}

fn why_empty(spec: &plan::Cluster, names: &Names) -> NoTarget {
    let mut reason = None;
    for host in hosts(spec) {
        match names.get(host) {
            Some(Resolution::Failed(error)) => reason = Some(format!("{host}: {error}")),
            Some(Resolution::Known(_)) => {}
            Some(Resolution::Pending) | None => return NoTarget::Resolving,
        }
    }
    reason.map_or(NoTarget::NoEndpoints, NoTarget::Unresolved)
}

/// The targets that the endpoints come to, by what is known of their names.
fn targets(spec: &plan::Cluster, names: &Names) -> Vec<Target> {
    let mut targets = Vec::with_capacity(spec.endpoints.len());
    let one_host = match spec.discovery {
        Discovery::StrictDns => None,
        // One host only: the first that is not known to be ill, else the first.
        Discovery::LogicalDns => {
            let mut all = spec
                .endpoints
                .iter()
                .filter(|e| matches!(e.address, EndpointAddress::Host { .. }));
            all.clone()
                .find(|endpoint| endpoint.health == Health::Healthy)
                .or_else(|| all.next())
        }
    };
    for endpoint in &spec.endpoints {
        let target = |address| Target {
            address,
            weight: endpoint.weight,
            health: endpoint.health,
        };
        match &endpoint.address {
            EndpointAddress::Socket(address) => targets.push(target(Address::Inet(*address))),
            EndpointAddress::Unix(path) => targets.push(target(Address::Unix(path.clone()))),
            EndpointAddress::Host { name, port } => {
                if one_host.is_some_and(|one| one != endpoint) {
                    continue;
                }
                if let Some(Resolution::Known(addresses)) = names.get(name) {
                    targets.extend(
                        addresses
                            .iter()
                            .map(|ip| target(SocketAddr::new(*ip, *port).into())),
                    );
                }
            }
        }
    }
    targets
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
