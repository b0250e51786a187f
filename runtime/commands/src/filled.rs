//! After a start from memory: what Consul has not said yet, or cannot say now, is as it is remembered.
//!
//! Answers come one after another, and some may stay away while others come, as where the servers are gone and the agent is not, or
//! another datacenter cannot be reached. A Plan of those alone would cut connections whose target is still right. So what is
//! learned goes first, and what it lacks is taken from memory, until all of it is there.

use std::rc::Rc;

use plan::Plan;

use crate::plans;

/// The Plan, with what it lacks of the remembered one.
pub(crate) fn filled(mut plan: Plan, remembered: &Plan) -> Plan {
    for cluster in &mut plan.clusters {
        if cluster.endpoints.is_empty()
            && let Some(before) = remembered.cluster(&cluster.name)
            && !before.endpoints.is_empty()
        {
            Rc::make_mut(cluster)
                .endpoints
                .clone_from(&before.endpoints);
        }
    }
    for listener in &mut plan.listeners {
        let mut same = remembered.listeners.iter();
        let Some(before) = same.find(|before| before.name == listener.name) else {
            continue;
        };
        for chain in &before.chains {
            let mut known = listener.chains.iter();
            if !known.any(|known| known.server_names == chain.server_names) {
                listener.chains.push(Rc::clone(chain));
            }
        }
    }
    plans::join([plan, remembered.clone()].into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A gateway's plan for these services; one without endpoints is known by name only.
    fn gateway(services: &[(&str, &[&str])]) -> Plan {
        let services = services.iter().map(|(name, endpoints)| {
            let quoted = endpoints.iter().map(|endpoint| format!("\"{endpoint}\""));
            let list = quoted.collect::<Vec<String>>().join(", ");
            format!("service \"{name}\" {{ endpoints = [{list}] }}\n")
        });
        let text = format!(
            "service {{ name = \"mesh-gateway\" kind = \"mesh-gateway\" port = 8443 }}\n\
             lictor {{ datacenter = \"dc1\" trust_domain = \"11111111-2222-3333-4444-555555555555.consul\"\n{} }}",
            services.collect::<String>()
        );
        let source = config::Source {
            name: "test",
            text: &text,
            format: config::Format::Hcl,
        };
        plans::plan(&config::parse(&[source]).unwrap())
    }

    #[test]
    fn what_is_learned_goes_first_and_what_it_lacks_is_remembered() {
        let remembered = gateway(&[("api", &["10.0.0.1:1"]), ("web", &["10.0.0.2:1"])]);
        let learned = gateway(&[("web", &["10.0.0.3:1"])]);
        let both = gateway(&[("api", &["10.0.0.1:1"]), ("web", &["10.0.0.3:1"])]);
        let filled_up = filled(learned, &remembered);
        assert_eq!(filled_up.clusters, both.clusters);
        let names = |plan: &Plan| {
            let chains = plan.listeners[0].chains.iter();
            let mut names: Vec<String> = chains
                .map(|chain| format!("{:?}", chain.server_names))
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(&filled_up), names(&both));
        // A place that nobody told yet is the one that is remembered.
        let mut learned = both.clone();
        Rc::make_mut(&mut learned.clusters[0]).endpoints.clear();
        assert_eq!(filled(learned, &remembered).clusters, both.clusters);
        assert_eq!(filled(both.clone(), &gateway(&[])), both);
    }
}
