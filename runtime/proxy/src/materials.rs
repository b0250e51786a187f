//! The identities and the roots of a Plan, each read once, however many chains and clusters use it.
//!
//! A sidecar has one identity and an upstream for each service that it calls: reading it for each took 3 KiB and a
//! check of its key for each. One that cannot be read is in the way of nobody but who uses it.

use std::rc::Rc;

use plan::Plan;

use crate::tls::{Error, Identity, Roots};
use crate::unusable::{Part, Unusable};

/// All of a Plan's.
#[derive(Debug, Default)]
pub(crate) struct Materials {
    identities: Vec<Rc<Material<plan::Identity, Identity>>>,
    trust: Vec<Rc<Material<plan::TrustBundle, Roots>>>,
}

/// One of them, and what it was read from.
#[derive(Debug)]
pub(crate) struct Material<S, T> {
    pub(crate) source: S,
    read: Result<T, Unusable>,
}

/// Those that one chain or one cluster uses.
#[derive(Debug)]
pub(crate) struct Selected {
    pub(crate) identity: Rc<Material<plan::Identity, Identity>>,
    pub(crate) trust: Box<[Rc<Material<plan::TrustBundle, Roots>>]>,
}

impl Materials {
    /// Those of a Plan; the ones before where they are the same.
    pub(crate) fn of(plan: &Plan, before: &Self) -> Self {
        Self {
            identities: read_all(&plan.identities, &before.identities, identity),
            trust: read_all(&plan.trust, &before.trust, roots),
        }
    }

    /// These identities alone.
    pub(crate) fn of_identities(identities: &[plan::Identity]) -> Self {
        Self {
            identities: read_all(identities, &[], identity),
            trust: Vec::new(),
        }
    }

    /// The identity of this name and the roots of these trust domains.
    ///
    /// # Errors
    ///
    /// One is not there. Whether it can be used is not looked at.
    pub(crate) fn select(&self, identity: &str, trust: &[String]) -> Result<Selected, Unusable> {
        let missing = |part: Part| Unusable {
            part,
            why: "the plan does not have it".to_owned(),
        };
        let mut identities = self.identities.iter();
        let found = identities.find(|known| known.source.name == identity);
        let identity = found.ok_or_else(|| missing(Part::Identity(identity.to_owned())))?;
        let bundle = |domain: &String| {
            let mut bundles = self.trust.iter();
            let found = bundles.find(|known| known.source.trust_domain == *domain);
            found
                .map(Rc::clone)
                .ok_or_else(|| missing(Part::Roots(domain.clone())))
        };
        Ok(Selected {
            identity: Rc::clone(identity),
            trust: trust.iter().map(bundle).collect::<Result<_, _>>()?,
        })
    }

    /// The identities.
    pub(crate) fn identities(&self) -> impl Iterator<Item = &Material<plan::Identity, Identity>> {
        self.identities.iter().map(AsRef::as_ref)
    }

    /// The roots.
    pub(crate) fn trust(&self) -> impl Iterator<Item = &Material<plan::TrustBundle, Roots>> {
        self.trust.iter().map(AsRef::as_ref)
    }
}

impl<S, T> Material<S, T> {
    /// What was read.
    ///
    /// # Errors
    ///
    /// Why it cannot be used.
    pub(crate) fn usable(&self) -> Result<&T, Unusable> {
        self.read.as_ref().map_err(Unusable::clone)
    }
}

/// Whether they are the very same: [`Materials::of`] keeps those that did not change.
impl PartialEq for Selected {
    fn eq(&self, other: &Self) -> bool {
        let same = |(one, other)| Rc::ptr_eq(one, other);
        Rc::ptr_eq(&self.identity, &other.identity)
            && self.trust.len() == other.trust.len()
            && self.trust.iter().zip(&other.trust).all(same)
    }
}

fn read_all<S: Clone + PartialEq, T>(
    sources: &[S],
    before: &[Rc<Material<S, T>>],
    read: fn(&S) -> Result<T, Unusable>,
) -> Vec<Rc<Material<S, T>>> {
    let one = |source: &S| {
        let known = before.iter().find(|known| known.source == *source);
        known.map_or_else(
            || {
                Rc::new(Material {
                    source: source.clone(),
                    read: read(source),
                })
            },
            Rc::clone,
        )
    };
    sources.iter().map(one).collect()
}

fn identity(identity: &plan::Identity) -> Result<Identity, Unusable> {
    Identity::from_pem(
        identity.certificates.as_bytes(),
        identity.key.expose().as_bytes(),
    )
    .map_err(unusable(Part::Identity(identity.name.clone())))
}

fn roots(bundle: &plan::TrustBundle) -> Result<Roots, Unusable> {
    Roots::from_pem(bundle.roots.as_bytes())
        .map_err(unusable(Part::Roots(bundle.trust_domain.clone())))
}

/// This part cannot be used, for what the error says.
pub(crate) fn unusable(part: Part) -> impl FnOnce(Error) -> Unusable {
    move |error| Unusable {
        part,
        why: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity_named(name: &str, certificates: &str) -> plan::Identity {
        plan::Identity {
            name: name.to_owned(),
            certificates: certificates.to_owned(),
            key: plan::Secret::new(String::new()),
        }
    }

    fn plan() -> Plan {
        Plan {
            identities: vec![identity_named("web", "old"), identity_named("api", "other")],
            trust: vec![plan::TrustBundle {
                trust_domain: "td".to_owned(),
                roots: String::new(),
            }],
            ..Plan::default()
        }
    }

    #[test]
    fn what_did_not_change_is_not_read_again() {
        let domains = ["td".to_owned()];
        let select = |materials: &Materials, name| materials.select(name, &domains).unwrap();
        let before = Materials::of(&plan(), &Materials::default());
        let again = Materials::of(&plan(), &before);
        assert!(select(&before, "web") == select(&again, "web"));
        assert!(select(&again, "web") != select(&again, "api"));

        let mut next = plan();
        next.identities[0] = identity_named("web", "new");
        let after = Materials::of(&next, &again);
        assert!(select(&after, "web") != select(&before, "web"));
        assert!(select(&after, "api") == select(&before, "api"));

        next.trust[0].roots = "new".to_owned();
        let after = Materials::of(&next, &after);
        assert!(select(&after, "api") != select(&before, "api"));
        assert!(after.select("api", &[]).unwrap() != select(&after, "api"));
    }

    #[test]
    fn what_is_missing_or_broken_is_named_to_who_uses_it() {
        let materials = Materials::of(&plan(), &Materials::default());
        let part = |name, domain: &str| {
            let selected = materials.select(name, &[domain.to_owned()]);
            selected.map(|_| ()).map_err(|unusable| unusable.part)
        };
        assert_eq!(part("db", "td"), Err(Part::Identity("db".to_owned())));
        assert_eq!(part("web", "other"), Err(Part::Roots("other".to_owned())));
        assert_eq!(part("web", "td"), Ok(()));
        let broken = materials.select("web", &[]).unwrap();
        let unusable = broken.identity.usable().unwrap_err();
        assert_eq!(unusable.part, Part::Identity("web".to_owned()));
    }
}
