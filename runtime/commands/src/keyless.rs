//! A Plan whose keys were not remembered: what can be run of it without them.
//!
//! A listener that cannot prove who it is is left out, and so is a cluster; what leads to such a cluster alone is refused, with
//! a reason that says what to do. Nothing is ever sent without the TLS that the Plan asks for.

use std::rc::Rc;

use plan::{FilterChain, Plan, Route};

/// Closes what needs an identity that the Plan does not have.
pub(crate) fn close(plan: &mut Plan) {
    let identities = &plan.identities;
    let known = |name: &str| identities.iter().any(|identity| identity.name == name);
    let serves = |chain: &FilterChain| chain.tls.as_ref().is_none_or(|tls| known(&tls.identity));
    plan.listeners
        .retain(|listener| listener.chains.iter().all(|chain| serves(chain)));
    let mut closed = Vec::new();
    plan.clusters.retain(|cluster| {
        let keep = cluster.tls.as_ref().is_none_or(|tls| known(&tls.identity));
        if !keep {
            closed.push(cluster.name.clone());
        }
        keep
    });
    for cluster in &mut plan.clusters {
        if cluster.failover.iter().any(|other| closed.contains(other)) {
            let cluster = Rc::make_mut(cluster);
            cluster.failover.retain(|other| !closed.contains(other));
        }
    }
    let chains = plan
        .listeners
        .iter_mut()
        .flat_map(|listener| &mut listener.chains);
    for chain in chains {
        let chain = Rc::make_mut(chain);
        let refused = match &mut chain.route {
            Route::Cluster(name) => closed.contains(name),
            Route::Weighted(shares) => {
                shares.retain(|(_, name)| !closed.contains(name));
                shares.iter().all(|(weight, _)| *weight == 0)
            }
            Route::SniCluster | Route::Refuse(_) => false,
        };
        if refused {
            chain.route = Route::Refuse(REASON.to_owned());
        }
    }
}

const REASON: &str = "its certificate and key are not remembered (remember_identities)";

#[cfg(test)]
mod tests {
    use plan::{Identity, Secret};

    use super::*;

    /// A sidecar of `web` with one upstream, and without its key.
    fn sidecar() -> Plan {
        let text = r#"
            service { name = "web" port = 80 connect { sidecar_service { port = 20000 proxy {
                upstreams = [{ destination_name = "api" local_bind_port = 9191 }] } } } }
            lictor {
                datacenter = "dc1"
                trust_domain = "11111111-2222-3333-4444-555555555555.consul"
                roots = ["-----BEGIN CERTIFICATE-----\nroot\n-----END CERTIFICATE-----"]
                identity "web" {
                    certificate = "-----BEGIN CERTIFICATE-----\nleaf\n-----END CERTIFICATE-----"
                    key = "-----BEGIN PRIVATE KEY-----\nkey\n-----END PRIVATE KEY-----"
                }
                service "api" { endpoints = ["127.0.0.1:1"] }
            }"#;
        let source = config::Source {
            name: "test",
            text,
            format: config::Format::Hcl,
        };
        let mut plan = crate::plans::plan(&config::parse(&[source]).unwrap());
        assert_eq!(plan.listeners.len(), 2);
        plan.identities.clear();
        plan
    }

    #[test]
    fn without_its_key_a_sidecar_lets_nobody_in_and_refuses_its_application() {
        let mut plan = sidecar();
        close(&mut plan);
        let [left] = plan.listeners.as_slice() else {
            panic!("{:?}", plan.listeners);
        };
        assert!(left.chains.iter().all(|chain| chain.tls.is_none()));
        assert!(matches!(&left.chains[0].route, Route::Refuse(reason) if reason == REASON));
        assert!(plan.clusters.iter().all(|cluster| cluster.tls.is_none()));
    }

    #[test]
    fn shares_and_failover_lose_only_what_has_no_key() {
        let mut plan = sidecar();
        let keyed = plan
            .clusters
            .iter()
            .position(|cluster| cluster.tls.is_some());
        let keyed = plan.clusters[keyed.unwrap()].name.clone();
        let local = plan
            .clusters
            .iter_mut()
            .find(|cluster| cluster.tls.is_none());
        let local = Rc::make_mut(local.unwrap());
        local.failover = vec![keyed.clone(), "other".to_owned()];
        let local = local.name.clone();
        for listener in &mut plan.listeners {
            let shares = vec![(1, keyed.clone()), (2, local.clone())];
            Rc::make_mut(&mut listener.chains[0]).route = Route::Weighted(shares);
        }
        close(&mut plan);
        let left = Route::Weighted(vec![(2, local)]);
        assert_eq!(plan.listeners[0].chains[0].route, left);
        assert_eq!(plan.clusters[0].failover, ["other"]);
    }

    #[test]
    fn with_its_key_nothing_changes() {
        let mut plan = sidecar();
        plan.identities.push(Identity {
            name: "web".to_owned(),
            certificates: String::new(),
            key: Secret::new(String::new()),
        });
        let before = plan.clone();
        close(&mut plan);
        assert_eq!(plan, before);
    }
}
