//! From a compiled discovery chain to the plan's: splits, targets, failover.
//!
//! A chain that asks something of requests to decide cannot be run by a proxy that passes bytes on, and is refused with what to
//! do, never flattened in silence.

use std::{fmt, time::Duration};

use plan::{
    Balance,
    chain::{Chain, Resolver, Split, Target},
    duration::parse_duration,
    mesh::Via,
};

use crate::answers::chain::{self as answer, CompiledChain};

/// Why a chain cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotRun {
    /// A router decides by requests: the service it is of.
    NeedsHttp(String),
    /// A target is at this peer.
    Peer(String),
    /// The chain names a node or target that it does not have, or nests without end.
    Broken(String),
}

impl fmt::Display for NotRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeedsHttp(service) => write!(
                f,
                "the service-router of {service} decides by requests, which needs HTTP; set protocol = \"tcp\" in the config of \
                 this upstream to do without it"
            ),
            Self::Peer(peer) => write!(
                f,
                "it leads to peer {peer}, whose trust bundle Consul gives only over gRPC (xDS), not over HTTP"
            ),
            Self::Broken(what) => write!(f, "the compiled chain has no {what}"),
        }
    }
}

/// A resolver behind a splitter behind a router is the deepest that Consul compiles.
const MAX_DEPTH: u32 = 8;

/// As many shares as there are hundredths of a percent. Splitters that lead to each other come to as many as are looked at.
const MAX_SPLITS: usize = 10_000;

/// The plan's chain.
///
/// # Errors
/// Says what in it cannot be run.
pub fn chain(compiled: &CompiledChain) -> Result<Chain, NotRun> {
    let mut splits = Vec::new();
    follow(
        compiled,
        &compiled.start,
        plan::chain::WHOLE,
        MAX_DEPTH,
        &mut splits,
    )?;
    Ok(Chain { splits })
}

fn follow(
    compiled: &CompiledChain,
    id: &str,
    weight: u32,
    depth: u32,
    splits: &mut Vec<Split>,
) -> Result<(), NotRun> {
    let broken = || NotRun::Broken(format!("node {id}"));
    let node = compiled.node(id).filter(|_| depth > 0).ok_or_else(broken)?;
    match node.kind.as_str() {
        "router" => {
            let [only] = node.routes.as_slice() else {
                return Err(NotRun::NeedsHttp(compiled.service.clone()));
            };
            if only.conditional {
                return Err(NotRun::NeedsHttp(compiled.service.clone()));
            }
            follow(compiled, &only.next, weight, depth - 1, splits)
        }
        "splitter" => {
            for (share, next) in &node.splits {
                let part = u64::from(weight) * u64::from(*share) / u64::from(plan::chain::WHOLE);
                let part = u32::try_from(part).unwrap_or(u32::MAX);
                follow(compiled, next, part, depth - 1, splits)?;
            }
            Ok(())
        }
        "resolver" if splits.len() >= MAX_SPLITS => Err(broken()),
        "resolver" => {
            splits.push(Split {
                weight,
                resolver: resolver(compiled, node)?,
            });
            Ok(())
        }
        _ => Err(broken()),
    }
}

fn resolver(compiled: &CompiledChain, node: &answer::Node) -> Result<Resolver, NotRun> {
    let failover = node.failover.iter().map(|id| target(compiled, id));
    Ok(Resolver {
        target: target(compiled, &node.target)?,
        failover: failover.collect::<Result<_, _>>()?,
        connect_timeout: timeout(&node.connect_timeout),
        balance: balance(&node.policy),
    })
}

/// `LoadBalancer.Policy` of a resolver.
#[must_use]
pub fn balance(policy: &str) -> Balance {
    match policy {
        "least_request" => Balance::LeastRequest { choices: 2 },
        "random" => Balance::Random,
        "ring_hash" => Balance::RingHash,
        "maglev" => Balance::Maglev,
        _ => Balance::RoundRobin,
    }
}

/// A duration of Consul's; none is what cannot be read or is not more than zero.
#[must_use]
pub fn timeout(text: &str) -> Option<Duration> {
    let read = parse_duration(text).ok();
    read.filter(|timeout| !timeout.is_zero())
}

fn target(compiled: &CompiledChain, id: &str) -> Result<Target, NotRun> {
    let found = compiled.target(id);
    let found = found.ok_or_else(|| NotRun::Broken(format!("target {id}")))?;
    if !found.peer.is_empty() {
        return Err(NotRun::Peer(found.peer.clone()));
    }
    Ok(Target {
        service: found.service.clone(),
        subset: Some(found.subset.clone()).filter(|subset| !subset.is_empty()),
        namespace: unless_default(&found.namespace),
        partition: unless_default(&found.partition),
        datacenter: found.datacenter.clone(),
        peer: None,
        via: via(&found.mode),
        external_sni: found.external.then(|| found.server_name.clone()),
    })
}

/// A namespace or partition in the plan's words, where the default one has no name.
fn unless_default(name: &str) -> String {
    match plan::names::is_default(name) {
        true => String::new(),
        false => name.to_owned(),
    }
}

fn via(mode: &str) -> Via {
    match mode {
        "local" => Via::LocalGateway,
        "remote" => Via::RemoteGateway,
        _ => Via::Direct,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splitters, one behind the other, each with so many equal parts.
    fn nested(parts: usize, depth: usize) -> CompiledChain {
        let mut compiled = CompiledChain {
            start: "0".to_owned(),
            ..CompiledChain::default()
        };
        for at in 0..depth {
            let node = answer::Node {
                kind: "splitter".to_owned(),
                splits: vec![(plan::chain::WHOLE / 100, (at + 1).to_string()); parts],
                ..answer::Node::default()
            };
            compiled.nodes.push((at.to_string(), node));
        }
        let node = answer::Node {
            kind: "resolver".to_owned(),
            target: "t".to_owned(),
            ..answer::Node::default()
        };
        compiled.nodes.push((depth.to_string(), node));
        compiled
            .targets
            .push(("t".to_owned(), answer::Target::default()));
        compiled
    }

    #[test]
    fn a_chain_has_an_end_however_its_splitters_nest() {
        assert_eq!(chain(&nested(100, 1)).map(|it| it.splits.len()), Ok(100));
        assert!(matches!(chain(&nested(100, 7)), Err(NotRun::Broken(_))));
    }
}
