//! The clusters of a Plan at work, by name.
//!
//! There may be thousands, and a new Plan differs in one of them: both are sorted by name, so they are walked through side by side,
//! and what is the same to the last pointer is not looked into. A cluster keeps its place in memory for as long as the Plan has
//! its name, so that connections under way go on with what is said of it now.

use std::rc::Rc;

use plan::Plan;

use crate::tls::Options as TlsOptions;
use crate::{
    cluster::{Cluster, Names, Resolution, UpstreamContext, hosts},
    secure::Materials,
    table::Changes,
    unusable::Unusable,
};

/// All clusters, sorted by name.
#[derive(Debug, Default)]
pub(crate) struct Clusters(Vec<Rc<Cluster>>);

/// What the clusters of a new Plan need to originate TLS, made before anything is changed.
pub(crate) struct Prepared {
    /// Whether identities and roots are what they were, so that a cluster which is the same needs nothing.
    same_materials: bool,
    /// By place in the Plan.
    contexts: Vec<(usize, Box<UpstreamContext>)>,
}

impl Clusters {
    /// The cluster of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&Rc<Cluster>> {
        let at = self
            .0
            .binary_search_by(|cluster| (*cluster.name()).cmp(name));
        self.0.get(at.ok()?)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Rc<Cluster>> {
        self.0.iter()
    }

    /// Makes all that can fail.
    pub(crate) fn prepare(
        &self,
        plan: &Plan,
        same_materials: bool,
        materials: &Materials,
        secure: &TlsOptions,
    ) -> Result<Prepared, Unusable> {
        let mut contexts = Vec::new();
        for (at, spec) in plan.clusters.iter().enumerate() {
            if spec.tls.is_none() {
                continue;
            }
            let context = match self.get(&spec.name) {
                Some(cluster) if same_materials && cluster.is(spec) => continue,
                Some(cluster) => cluster.renewed(spec, materials, secure)?,
                None => UpstreamContext::new(spec, materials, None, secure)?,
            };
            contexts.extend(context.map(|made| (at, made)));
        }
        Ok(Prepared {
            same_materials,
            contexts,
        })
    }

    /// Puts the clusters of a Plan in place of those before, and the names of their hosts.
    pub(crate) fn apply(
        &mut self,
        plan: &Plan,
        prepared: Prepared,
        names: &mut Names,
        changes: &mut Changes,
    ) {
        let mut before = std::mem::take(&mut self.0).into_iter().peekable();
        let mut contexts = prepared.contexts.into_iter().peekable();
        let mut hosts_changed = false;
        let mut note = |spec: &plan::Cluster| {
            hosts_changed |= hosts(spec).next().is_some();
            changes.security_changed |= spec.tls.is_some();
        };
        let mut gone = Vec::new();
        self.0.reserve_exact(plan.clusters.len());
        for (at, spec) in plan.clusters.iter().enumerate() {
            while let Some(cluster) = before.next_if(|it| *it.name() < *spec.name) {
                gone.push(cluster);
            }
            let context = contexts.next_if(|(of, _)| *of == at).map(|(_, made)| made);
            let cluster = match before.next_if(|it| *it.name() == *spec.name) {
                Some(cluster) if prepared.same_materials && cluster.is(spec) => cluster,
                Some(cluster) => {
                    note(&cluster.spec());
                    note(spec);
                    changes.clusters_changed += usize::from(cluster.update(spec, context, names));
                    cluster
                }
                None => {
                    note(spec);
                    changes.clusters_changed += 1;
                    Rc::new(Cluster::new(Rc::clone(spec), context, names))
                }
            };
            self.0.push(cluster);
        }
        gone.extend(before);
        for cluster in &gone {
            note(&cluster.spec());
            cluster.removed.set(true);
        }
        changes.clusters_removed = !gone.is_empty();
        changes.clusters_changed += gone.len();
        if hosts_changed {
            self.follow_hosts(names);
        }
    }

    /// Keeps what is known of the names of hosts, notes new ones, and forgets those that no cluster has.
    fn follow_hosts(&self, names: &mut Names) {
        let mut before = std::mem::take(names);
        for cluster in &self.0 {
            for host in hosts(&cluster.spec()) {
                if !names.contains_key(host) {
                    let (host, known) = before
                        .remove_entry(host)
                        .unwrap_or_else(|| (host.to_owned(), Resolution::Pending));
                    names.insert(host, known);
                }
            }
        }
    }
}
