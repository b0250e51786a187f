//! "Where do an application's connections go, and whom do they reach?", answered from a Plan alone.

use alloc::vec::Vec;
use core::fmt;

use crate::{Balance, Cluster, Inspect, Listener, OutlierDetection, Plan, Route};

/// What becomes of the connections to an upstream's listener.
#[derive(Debug)]
pub struct UpstreamExplanation<'a> {
    plan: &'a Plan,
    listener: &'a Listener,
}

/// Explains the listeners of an upstream: `api` has those of `api` in every datacenter and of every peer, `api?dc=dc2` those of
/// one.
#[must_use]
pub fn upstream<'a>(plan: &'a Plan, name: &str) -> Vec<UpstreamExplanation<'a>> {
    let named = |listener: &&Listener| {
        let rest = listener.name.strip_prefix(name);
        listener.inspect == Inspect::Nothing
            && rest.is_some_and(|rest| rest.starts_with([':', '?']))
    };
    let listeners = plan.listeners.iter().filter(named);
    listeners
        .map(|listener| UpstreamExplanation { plan, listener })
        .collect()
}

impl fmt::Display for UpstreamExplanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "listener     {}", self.listener.name)?;
        for chain in &self.listener.chains {
            match &chain.route {
                Route::Cluster(name) => self.share(f, name)?,
                Route::Weighted(shares) => {
                    let sum: u64 = shares.iter().map(|(weight, _)| u64::from(*weight)).sum();
                    for (weight, name) in shares {
                        let part = u64::from(*weight) * 10_000 / sum.max(1);
                        let (percent, rest) = (part / 100, part % 100);
                        writeln!(f, "share        {percent}.{rest:02} % of the connections")?;
                        self.share(f, name)?;
                    }
                }
                Route::Refuse(reason) => writeln!(f, "result       closed: {reason}")?,
                Route::SniCluster => writeln!(f, "result       closed: no server name is sent")?,
            }
        }
        Ok(())
    }
}

impl UpstreamExplanation<'_> {
    /// A cluster, and those that stand in for it.
    fn share(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        let Some(cluster) = self.plan.cluster(name) else {
            return writeln!(f, "result       closed: there is no cluster {name}");
        };
        describe(f, cluster)?;
        for (at, name) in cluster.failover.iter().enumerate() {
            writeln!(
                f,
                "failover {}   while none of the above can be used",
                at + 1
            )?;
            match self.plan.cluster(name) {
                Some(cluster) => describe(f, cluster)?,
                None => writeln!(f, "             there is no cluster {name}")?,
            }
        }
        Ok(())
    }
}

fn describe(f: &mut fmt::Formatter<'_>, cluster: &Cluster) -> fmt::Result {
    writeln!(f, "cluster      {}", cluster.name)?;
    match &cluster.tls {
        Some(tls) => {
            writeln!(f, "server name  {}", tls.server_name)?;
            for id in &tls.accepted {
                writeln!(f, "accepts      {id}")?;
            }
        }
        None => writeln!(f, "accepts      nobody: its identity is not known")?,
    }
    if cluster.endpoints.is_empty() {
        writeln!(f, "endpoint     none: connections are closed")?;
    }
    super::endpoints(f, cluster)?;
    let policy = match cluster.balance {
        Balance::RoundRobin => "in turn, by weight",
        Balance::LeastRequest { .. } => "the one with the fewest connections of some drawn",
        Balance::Random => "by chance, by weight",
        Balance::RingHash => "ring_hash by the client's address",
        Balance::Maglev => "maglev by the client's address",
    };
    writeln!(f, "policy       {policy}")?;
    writeln!(f, "timeout      {:?} to connect", cluster.connect_timeout)?;
    for (limit, what) in [
        (cluster.max_connections, "connections"),
        (cluster.max_pending, "connections being made"),
    ] {
        if let Some(limit) = limit {
            writeln!(f, "limit        {limit} {what}")?;
        }
    }
    if let Some(rules) = &cluster.outlier_detection {
        outliers(f, rules)?;
    }
    Ok(())
}

fn outliers(f: &mut fmt::Formatter<'_>, rules: &OutlierDetection) -> fmt::Result {
    if rules.consecutive_5xx == 0
        || rules.enforcing_consecutive_5xx == 0
        || rules.max_ejection_percent == 0
    {
        return writeln!(f, "ejection     never");
    }
    write!(
        f,
        "ejection     after {} failures in a row for {:?} times the count, {:?} at most; {} % at a time, or one",
        rules.consecutive_5xx,
        rules.base_ejection_time,
        rules.max_ejection_time,
        rules.max_ejection_percent
    )?;
    match rules.enforcing_consecutive_5xx {
        100 => writeln!(f),
        percent => writeln!(f, "; in {percent} % of the cases"),
    }
}
