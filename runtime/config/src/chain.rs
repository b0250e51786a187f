//! From config entries to an upstream's [`Chain`], as Consul's compiler of discovery chains does it
//! (agent/consul/discoverychain/compile.go).
//!
//! In order: a splitter divides, a resolver redirects, the default subset stands in for the plain name, failover names the
//! targets to go to instead. Redirects are followed for the targets of failover too, failover is not. Nothing is looked up in
//! another datacenter: whether a target has instances shows when the Plan is made.

use std::time::Duration;

use plan::chain::{Chain, Resolver, Split, Target, WHOLE};
use plan::mesh::{Mesh, Via};
use plan::names::same;

use crate::entries::ConfigEntries;
use crate::fields::Place;
use crate::mesh::balance;
use crate::mode::{GatewayMode, ModeDecision, ModeLevel};
use crate::peers;
use crate::resolver::{FailoverTarget, ResolverFailover, ResolverRedirect, ServiceResolver};
use crate::splitter::{Percent, ServiceSplit, ServiceSplitter};

/// Redirects, or splitters of splitters, in a row. More are a circle, and Consul would not have stored them.
const MAX_STEPS: usize = 16;

/// As many shares as there are hundredths of a percent. Splitters of splitters multiply.
const MAX_SPLITS: usize = 10_000;

/// What a chain is made from.
pub(crate) struct Compiler<'a> {
    pub(crate) mesh: &'a Mesh,
    pub(crate) entries: &'a ConfigEntries,
    /// The gateway mode of the upstream.
    pub(crate) mode: &'a ModeDecision,
    /// What the upstream's own settings say of the time to connect; goes before the resolver's.
    pub(crate) connect_timeout: Option<Duration>,
    /// The upstream says that it is TCP: routers and splitters do not count.
    pub(crate) is_tcp: bool,
}

/// Why there is no chain, and where that is written: `None` for the upstream itself.
pub(crate) struct NoChain {
    pub(crate) place: Option<Place>,
    pub(crate) key: &'static str,
    pub(crate) why: String,
}

impl Compiler<'_> {
    /// The chain of an upstream whose own words are `start`.
    pub(crate) fn compile(&self, start: Target) -> Result<Chain, NoChain> {
        let router = self.entries.service_router(&start.service);
        if let Some(router) = router.filter(|it| self.is_split(&start) && !it.routes.is_empty()) {
            return Err(NoChain {
                place: Some(router.place.clone()),
                key: "Routes",
                why: format!(
                    "service-router '{}' looks into HTTP requests, which lictor does not read; to go past it set \
                     protocol = \"tcp\" in the config of the upstream",
                    start.service
                ),
            });
        }
        let mut splits = Vec::new();
        self.split(start, WHOLE, MAX_STEPS, &mut splits)?;
        Ok(Chain { splits })
    }

    /// Whether splitters and routers of the target's service count.
    fn is_split(&self, target: &Target) -> bool {
        !self.is_tcp && target.peer.is_none() && target.subset.is_none()
    }

    fn split(
        &self,
        target: Target,
        weight: u32,
        steps: usize,
        splits: &mut Vec<Split>,
    ) -> Result<(), NoChain> {
        if splits.len() >= MAX_SPLITS {
            return Err(NoChain {
                place: None,
                key: "",
                why: format!(
                    "its splitters come to more than {MAX_SPLITS} shares; split less often"
                ),
            });
        }
        let splitter = self.entries.service_splitter(&target.service);
        let Some(splitter) = splitter.filter(|_| self.is_split(&target)) else {
            let resolver = self.resolver(target)?;
            splits.push(Split { weight, resolver });
            return Ok(());
        };
        check_shares(splitter)?;
        let steps = steps
            .checked_sub(1)
            .ok_or_else(|| circle(&splitter.place, "Splits"))?;
        for share in &splitter.splits {
            let Percent(percent) = share.weight;
            let part = u64::from(weight) * u64::from(percent) / u64::from(WHOLE);
            let weight = u32::try_from(part).unwrap_or(WHOLE);
            let next = rewritten(&target, &share.into());
            if next.service.eq_ignore_ascii_case(&target.service) {
                let resolver = self.resolver(next)?;
                splits.push(Split { weight, resolver });
            } else {
                self.split(next, weight, steps, splits)?;
            }
        }
        Ok(())
    }

    fn resolver(&self, target: Target) -> Result<Resolver, NoChain> {
        let target = self.settled(target, None)?;
        let entry = self.entry(&target);
        let known = plan::upstreams::service(&target, self.mesh);
        let of_entry = || entry?.connect_timeout.map(|timeout| timeout.0);
        let timeout = known.and_then(|service| service.connect_timeout);
        let timeout = timeout.or_else(of_entry).filter(|time| !time.is_zero());
        Ok(Resolver {
            failover: self.failover(&target, entry)?,
            connect_timeout: self.connect_timeout.or(timeout),
            balance: match known {
                Some(service) => service.balance,
                None => balance(None, entry.and_then(|it| it.load_balancer.as_ref())),
            },
            target,
        })
    }

    /// The resolver of the target's service; what a peer exports, the peer has resolved.
    fn entry(&self, target: &Target) -> Option<&ServiceResolver> {
        let entry = self.entries.service_resolver(&target.service);
        entry.filter(|_| target.peer.is_none())
    }

    /// A target after redirects and the default subset, with its way.
    /// `written` is where it is named, unless that is the upstream.
    fn settled<'p>(
        &'p self,
        mut target: Target,
        mut written: Option<&'p Place>,
    ) -> Result<Target, NoChain> {
        for _ in 0..MAX_STEPS {
            if let Some(peer) = &target.peer {
                let (service, namespace) = (&target.service, &target.namespace);
                let via = self.via(&target);
                let known = peers::target(service, namespace, peer, via, self.mesh);
                return known.map_err(|why| NoChain {
                    place: written.cloned(),
                    key: written.map_or("destination_peer", |_| "Peer"),
                    why,
                });
            }
            let entry = self.entry(&target);
            if let Some(redirect) = entry.and_then(|it| it.redirect.as_ref()) {
                no_sameness_group(redirect.sameness_group.as_ref(), &redirect.place)?;
                let next = rewritten(&target, &redirect.into());
                if next != target {
                    target = next;
                    written = Some(&redirect.place);
                    continue;
                }
            }
            self.subset(&mut target, entry)?;
            let defaults = self.entries.service_defaults(&target.service);
            let external = defaults.and_then(|entry| entry.external_sni.clone());
            target.external_sni = external.filter(|name| !name.is_empty());
            target.via = self.via(&target);
            return Ok(target);
        }
        Err(circle(&written.cloned().unwrap_or_default(), ""))
    }

    /// Sets the default subset where none is named, and sees to it that the subset exists.
    fn subset(&self, target: &mut Target, entry: Option<&ServiceResolver>) -> Result<(), NoChain> {
        let known = plan::upstreams::service(target, self.mesh);
        let central = || {
            entry?
                .default_subset
                .clone()
                .filter(|name| !name.is_empty())
        };
        let default = known.and_then(|service| service.default_subset.clone());
        target.subset = target.subset.take().or(default).or_else(central);
        let Some(name) = &target.subset else {
            return Ok(());
        };
        let named = |other: &str| other.eq_ignore_ascii_case(name);
        let here = known.is_some_and(|it| it.subsets.iter().any(|subset| named(&subset.name)));
        let there = entry.is_some_and(|it| it.subsets.0.iter().any(|subset| named(&subset.name)));
        if here || there {
            return Ok(());
        }
        let service = &target.service;
        Err(NoChain {
            place: entry.map(|it| it.place.clone()),
            key: "Subsets",
            why: format!(
                "service '{service}' has no subset '{name}'; add it to the Subsets of its service-resolver, or to \
                 the service in lictor {{ }}"
            ),
        })
    }

    fn failover(
        &self,
        target: &Target,
        entry: Option<&ServiceResolver>,
    ) -> Result<Vec<Target>, NoChain> {
        let of = |name: &str| entry?.failover.value(name);
        let found = of(target.subset.as_deref().unwrap_or_default()).or_else(|| of("*"));
        let Some(failover) = found else {
            return Ok(Vec::new());
        };
        no_sameness_group(failover.sameness_group.as_ref(), &failover.place)?;
        let words = Words::from(failover);
        let candidates: Vec<Target> = match (&*failover.datacenters, &*failover.targets) {
            ([], []) => vec![rewritten(target, &words)],
            ([], targets) => (targets.iter().map(Words::from))
                .map(|words| rewritten(target, &words))
                .collect(),
            (datacenters, _) => (datacenters.iter())
                .map(|datacenter| Words {
                    datacenter: Some(datacenter),
                    ..words
                })
                .map(|words| rewritten(target, &words))
                .collect(),
        };
        let mut targets = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            let candidate = self.settled(candidate, Some(&failover.place))?;
            if candidate != *target && !targets.contains(&candidate) {
                targets.push(candidate);
            }
        }
        Ok(targets)
    }

    /// The way to a target: what the upstream or a level above it says holds for all of its targets; below that the
    /// service-defaults of each one count.
    fn via(&self, target: &Target) -> Via {
        let here = target.datacenter == self.mesh.datacenter
            && same(&target.partition, &self.mesh.partition);
        if target.external_sni.is_some() || here && target.peer.is_none() {
            return Via::Direct;
        }
        let mode = match self.mode.level {
            ModeLevel::DestinationDefaults | ModeLevel::Default => {
                let entry = self.entries.service_defaults(&target.service);
                entry.and_then(|entry| entry.mesh_gateway.as_ref()?.mode)
            }
            _ => Some(self.mode.mode),
        };
        match mode {
            Some(GatewayMode::Local) => Via::LocalGateway,
            Some(GatewayMode::Remote) => Via::RemoteGateway,
            _ if target.peer.is_some() => Via::RemoteGateway,
            _ => Via::Direct,
        }
    }
}

/// What an entry says of another target; what it does not say stays as it is.
#[derive(Clone, Copy, Default)]
struct Words<'a> {
    service: Option<&'a String>,
    subset: Option<&'a String>,
    namespace: Option<&'a String>,
    partition: Option<&'a String>,
    datacenter: Option<&'a String>,
    peer: Option<&'a String>,
}

impl<'a> From<&'a ServiceSplit> for Words<'a> {
    fn from(split: &'a ServiceSplit) -> Self {
        Self {
            service: split.service.as_ref(),
            subset: split.service_subset.as_ref(),
            namespace: split.namespace.as_ref(),
            partition: split.partition.as_ref(),
            ..Self::default()
        }
    }
}

impl<'a> From<&'a ResolverFailover> for Words<'a> {
    fn from(failover: &'a ResolverFailover) -> Self {
        Self {
            service: failover.service.as_ref(),
            subset: failover.service_subset.as_ref(),
            namespace: failover.namespace.as_ref(),
            ..Self::default()
        }
    }
}

macro_rules! words_of {
    ($($record:ty),*) => {$(
        impl<'a> From<&'a $record> for Words<'a> {
            fn from(words: &'a $record) -> Self {
                Self {
                    service: words.service.as_ref(),
                    subset: words.service_subset.as_ref(),
                    namespace: words.namespace.as_ref(),
                    partition: words.partition.as_ref(),
                    datacenter: words.datacenter.as_ref(),
                    peer: words.peer.as_ref(),
                }
            }
        }
    )*};
}
words_of!(ResolverRedirect, FailoverTarget);

/// A target with some of its parts replaced. Another service, or another peer's, begins without a subset.
fn rewritten(target: &Target, words: &Words<'_>) -> Target {
    let said = |word: Option<&String>| word.filter(|word| !word.is_empty()).cloned();
    let mut next = target.clone();
    if let Some(service) = said(words.service)
        && !service.eq_ignore_ascii_case(&next.service)
    {
        next.service = service;
        next.subset = None;
    }
    if let Some(peer) = said(words.peer) {
        next.peer = Some(peer);
        next.subset = None;
    }
    next.subset = said(words.subset).or(next.subset);
    next.namespace = said(words.namespace).unwrap_or(next.namespace);
    next.partition = said(words.partition).unwrap_or(next.partition);
    let datacenter = said(words.datacenter).map(|name| name.to_ascii_lowercase());
    next.datacenter = datacenter.unwrap_or(next.datacenter);
    next
}

fn check_shares(splitter: &ServiceSplitter) -> Result<(), NoChain> {
    let sum: u64 = (splitter.splits.iter())
        .map(|share| u64::from(share.weight.0))
        .sum();
    if sum == u64::from(WHOLE) {
        return Ok(());
    }
    Err(NoChain {
        place: Some(splitter.place.clone()),
        key: "Splits",
        why: format!(
            "the weights are {}.{:02} together and must be 100",
            sum / 100,
            sum % 100
        ),
    })
}

fn no_sameness_group(given: Option<&String>, place: &Place) -> Result<(), NoChain> {
    if given.is_none_or(String::is_empty) {
        return Ok(());
    }
    Err(NoChain {
        place: Some(place.clone()),
        key: "SamenessGroup",
        why: "sameness groups are not supported; list the targets".to_owned(),
    })
}

fn circle(place: &Place, key: &'static str) -> NoChain {
    NoChain {
        place: Some(place.clone()),
        key,
        why: "it leads back to itself; break the circle".to_owned(),
    }
}
