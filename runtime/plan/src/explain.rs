//! "Where does this go, and why?", answered from a Plan alone, by the tables that the data path uses.

use alloc::{rc::Rc, string::String, vec::Vec};
use core::fmt;

use crate::{
    Cluster, FilterChain, Health, Inspect, Listener, Plan, Route, intentions::DefaultAction,
    matching::ServerNameTable,
};

mod upstream;

pub use upstream::{UpstreamExplanation, upstream};

/// What becomes of a connection with a server name.
#[derive(Debug)]
pub struct Explanation<'a> {
    /// The name, in lower case.
    pub server_name: String,
    /// What each listener does with it, or rather each group of listeners that do the same.
    pub verdicts: Vec<Verdict<'a>>,
}

/// What some listeners do with a name.
#[derive(Debug)]
pub struct Verdict<'a> {
    /// The names of the listeners.
    pub listeners: Vec<&'a str>,
    /// The chain it selects; `None` closes the connection.
    pub chain: Option<&'a FilterChain>,
    /// The cluster it leads to; `None` closes the connection.
    pub cluster: Option<&'a Cluster>,
}

/// Explains what a Plan does with a server name.
#[must_use]
pub fn server_name<'a>(plan: &'a Plan, name: &str) -> Explanation<'a> {
    let name = name.to_ascii_lowercase();
    let mut verdicts: Vec<Verdict<'a>> = Vec::new();
    // What applications dial goes by no name.
    let by_name = |listener: &&Listener| listener.inspect == Inspect::ClientHello;
    for listener in plan.listeners.iter().filter(by_name) {
        let chain = ServerNameTable::new(&listener.chains).find(&name);
        let chain = chain.and_then(|at| listener.chains.get(at).map(Rc::as_ref));
        match verdicts.iter_mut().find(|verdict| verdict.chain == chain) {
            Some(verdict) => verdict.listeners.push(&listener.name),
            None => {
                let cluster = chain.and_then(|chain| cluster_of(plan, chain, &name));
                verdicts.push(Verdict {
                    listeners: Vec::from([listener.name.as_str()]),
                    chain,
                    cluster,
                });
            }
        }
    }
    Explanation {
        server_name: name,
        verdicts,
    }
}

/// The cluster that a chain leads a server name to.
#[must_use]
pub fn cluster_of<'a>(
    plan: &'a Plan,
    chain: &FilterChain,
    server_name: &str,
) -> Option<&'a Cluster> {
    match &chain.route {
        Route::Cluster(name) => plan.cluster(name),
        Route::SniCluster => plan.cluster(server_name),
        Route::Weighted(shares) => plan.cluster(&shares.first()?.1),
        Route::Refuse(_) => None,
    }
}

impl Explanation<'_> {
    /// Whether every listener has somewhere to send it.
    #[must_use]
    pub fn is_routed(&self) -> bool {
        let leads = |verdict: &Verdict<'_>| {
            verdict
                .cluster
                .is_some_and(|cluster| !cluster.endpoints.is_empty())
        };
        !self.verdicts.is_empty() && self.verdicts.iter().all(leads)
    }
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "server name  {}", self.server_name)?;
        if self.verdicts.is_empty() {
            writeln!(f, "no listener: nothing is accepted at all")?;
        }
        for verdict in &self.verdicts {
            verdict.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "listener     ")?;
        for (at, name) in self.listeners.iter().enumerate() {
            write!(f, "{}{name}", if at == 0 { "" } else { ", " })?;
        }
        writeln!(f)?;
        let Some(chain) = self.chain else {
            return writeln!(f, "result       closed: no rule takes this name");
        };
        writeln!(f, "rule         {}", chain.server_names)?;
        if let Route::Refuse(reason) = &chain.route {
            return writeln!(f, "result       closed: {reason}");
        }
        let Some(cluster) = self.cluster else {
            return writeln!(
                f,
                "result       closed: no service, subset or server here has this name"
            );
        };
        writeln!(f, "cluster      {}", cluster.name)?;
        if cluster.endpoints.is_empty() {
            return writeln!(f, "result       closed: the cluster has no endpoints");
        }
        endpoints(f, cluster)?;
        write!(f, "result       ")?;
        match (&chain.tls, &chain.authorization) {
            (None, _) => write!(f, "forwarded unopened")?,
            (Some(tls), None) => write!(f, "opened as {}", tls.identity)?,
            (Some(tls), Some(intentions)) => {
                let (name, rules) = (&tls.identity, intentions.rules().len());
                let default = match intentions.default_action() {
                    DefaultAction::Allow => "allow",
                    DefaultAction::Deny => "deny",
                };
                write!(f, "opened as {name} ({rules} intention(s), else {default})")?;
            }
        }
        writeln!(
            f,
            ", {:?} over {} endpoint(s), connect timeout {:?}",
            cluster.balance,
            cluster.endpoints.len(),
            cluster.connect_timeout
        )
    }
}

fn endpoints(f: &mut fmt::Formatter<'_>, cluster: &Cluster) -> fmt::Result {
    for endpoint in &cluster.endpoints {
        let health = match endpoint.health {
            Health::Healthy => "healthy",
            Health::Unhealthy => "unhealthy: used only when no other is left",
        };
        let (address, weight) = (&endpoint.address, endpoint.weight);
        writeln!(f, "endpoint     {address}  weight {weight}  {health}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::gateway::{
        plan,
        tests::{mesh, registration},
    };

    const TD: &str = "11111111-2222-3333-4444-555555555555.consul";

    #[test]
    fn an_explanation_names_rule_cluster_and_endpoints() {
        let plan = plan(&registration(), &mesh());
        let name = alloc::format!("DB.default.dc2.internal.{TD}");
        let explanation = server_name(&plan, &name);
        assert!(explanation.is_routed());
        let text = explanation.to_string();
        for part in [
            "default:0.0.0.0:8443",
            "\"*.dc2.internal.",
            "198.18.0.2:443",
            "healthy",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn what_is_opened_is_not_said_to_be_forwarded_unopened() {
        let plan = crate::sidecar::plan(&crate::sidecar::tests::sidecar(), &mesh());
        let text = server_name(&plan, "web.default.dc1.internal.td").to_string();
        assert!(!text.contains("unopened"), "{text}");
        assert!(
            text.contains("opened as web (0 intention(s), else deny), RoundRobin"),
            "{text}"
        );
    }

    #[test]
    fn a_name_that_is_closed_says_so() {
        let plan = plan(&registration(), &mesh());
        let explanation = server_name(&plan, "example.com");
        assert!(!explanation.is_routed());
        assert!(explanation.to_string().contains("closed"));
    }
}
