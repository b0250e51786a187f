//! Intentions: which service may call another one.
//!
//! Evaluates the intentions of one destination for the identity that a client's certificate proves, as Consul does
//! on a TCP listener: the most exact intention that matches decides, else the default. It never looks at the
//! datacenter of the source, as Consul does not, and never at requests: an intention with permissions (L7) cannot be
//! judged by a connection and counts as a deny, as in the configuration that Consul gives Envoy
//! (<https://developer.hashicorp.com/consul/docs/connect/intentions>, `agent/xds/rbac.go`).
//!
//! It goes by the proven identity alone. Whether the certificate's chain leads to the roots of the trust domain it
//! names was decided before: by who verified it.

use alloc::{string::String, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    names::{DEFAULT, is_default},
    spiffe::{SpiffeId, Subject},
};

/// The intentions of one destination, most exact first, and what holds where none matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Unordered")]
pub struct Intentions {
    rules: Vec<Intention>,
    default: DefaultAction,
}

impl Intentions {
    /// Takes them in any order. Of two that are equally exact and match the same source, the first one decides.
    #[must_use]
    pub fn new(mut left: Vec<Intention>, default: DefaultAction) -> Self {
        let mut rules = Vec::with_capacity(left.len());
        while let Some(most) = left.iter().map(Intention::precedence).max() {
            rules.extend(left.extract_if(.., |rule| rule.precedence() == most));
        }
        Self { rules, default }
    }

    /// The intentions in the order in which they are tried.
    #[must_use]
    pub fn rules(&self) -> &[Intention] {
        &self.rules
    }

    /// What holds where none matches.
    #[must_use]
    pub fn default_action(&self) -> DefaultAction {
        self.default
    }

    /// Whether this identity may connect.
    ///
    /// Only services call services: a mesh gateway, an agent, a server and the authority itself are refused whatever
    /// the default is.
    #[must_use]
    pub fn decide(&self, source: &SpiffeId) -> Decision<'_> {
        if !matches!(source.subject, Subject::Service { .. }) {
            return Decision {
                allowed: false,
                by: By::NotAService,
            };
        }
        match self.rules.iter().find(|rule| rule.source.matches(source)) {
            Some(rule) => Decision {
                allowed: rule.action == Action::Allow,
                by: By::Intention(rule),
            },
            None => Decision {
                allowed: self.default == DefaultAction::Allow,
                by: By::Default,
            },
        }
    }
}

/// One intention, as far as its source and its effect on a connection go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intention {
    /// Who calls.
    pub source: Source,
    /// What it was written for: the destination itself, or a wildcard that includes it.
    pub destination: Destination,
    /// What it says.
    pub action: Action,
}

impl Intention {
    /// How exact it is, in Consul's numbers: 9 from one service to one service, 8 from all services of a namespace to
    /// one, 6 from one to all of a namespace, 5 from all to all, and so on down to 1 with wildcard namespaces.
    #[must_use]
    pub fn precedence(&self) -> u8 {
        let most = match exact_parts(&self.destination.namespace, &self.destination.name) {
            Exactness::Both => 9,
            Exactness::Namespace => 6,
            Exactness::None => 3,
        };
        match exact_parts(&self.source.namespace, &self.source.name) {
            Exactness::Both => most,
            Exactness::Namespace => most - 1,
            Exactness::None => most - 2,
        }
    }
}

/// The source of an intention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The trust domain, lower case: our own, or the peer's for a source at a peer.
    pub trust_domain: String,
    /// The admin partition; for a source at a peer, the partition it has there.
    pub partition: Name,
    /// The namespace.
    pub namespace: Name,
    /// The service.
    pub name: Name,
}

impl Source {
    /// Whether this is a service that the source covers. An identity that is no service is never covered.
    #[must_use]
    pub fn matches(&self, id: &SpiffeId) -> bool {
        let Subject::Service {
            partition,
            namespace,
            service,
            datacenter: _,
        } = &id.subject
        else {
            return false;
        };
        self.trust_domain.eq_ignore_ascii_case(&id.trust_domain)
            && self.partition.matches_partition(partition)
            && self.namespace.matches_or_default(namespace)
            && self.name.matches(service)
    }
}

/// What an intention was written for. It matters for its precedence only: that it holds for the destination at hand
/// is known to who made the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// The namespace.
    pub namespace: Name,
    /// The service.
    pub name: Name,
}

/// A name in an intention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Name {
    /// Every name: `*`.
    Any,
    /// This name. Where it is a namespace or a partition, empty means the default one.
    Exact(String),
}

impl Name {
    /// Reads a name as Consul writes it, with `*` for every name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        match name {
            "*" => Self::Any,
            exact => Self::Exact(exact.into()),
        }
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact == name,
        }
    }

    /// An identity has its partition in lower case, whatever the intention has: a deny must not miss it for that.
    fn matches_partition(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) if !is_default(exact) => exact.eq_ignore_ascii_case(name),
            other => other.matches_or_default(name),
        }
    }

    fn matches_or_default(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) if is_default(exact) => is_default(name),
            other => other.matches(name),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "*",
            Self::Exact(exact) => exact,
        })
    }
}

/// What an intention says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// The source may connect.
    Allow,
    /// The source may not connect.
    Deny,
    /// Its permissions say which requests are allowed. On a TCP listener that is a deny.
    Permissions,
}

/// What holds for a source that no intention matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DefaultAction {
    /// It may connect.
    Allow,
    /// It may not connect.
    #[default]
    Deny,
}

/// Whether a source may connect, and why. Its text completes "the client spiffe://… is".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// Whether it may.
    pub allowed: bool,
    /// What decided.
    pub by: By<'a>,
}

/// What decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By<'a> {
    /// This intention.
    Intention(&'a Intention),
    /// No intention matches.
    Default,
    /// The identity is not a service's.
    NotAService,
}

impl fmt::Display for Decision<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.allowed { "allowed" } else { "denied" })?;
        match self.by {
            By::Intention(intention) => {
                write!(f, " by the intention {intention}")?;
                if intention.action == Action::Permissions {
                    f.write_str(
                        ", whose permissions are for requests and count as a deny for tcp",
                    )?;
                }
                Ok(())
            }
            By::Default => f.write_str(" by default: no intention matches"),
            By::NotAService => f.write_str(": its identity is not that of a service"),
        }
    }
}

/// `web => db`; with namespaces and partition where they are not the default ones, as in `ap1/ns1/web => ns2/*`.
impl fmt::Display for Intention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |name: &Name| matches!(name, Name::Exact(exact) if is_default(exact));
        let part = |name: &Name, f: &mut fmt::Formatter<'_>| match name {
            Name::Exact(exact) if exact.is_empty() => write!(f, "{DEFAULT}/"),
            other => write!(f, "{other}/"),
        };
        let source = &self.source;
        if !plain(&source.partition) {
            part(&source.partition, f)?;
        }
        if !plain(&source.partition) || !plain(&source.namespace) {
            part(&source.namespace, f)?;
        }
        write!(f, "{} => ", source.name)?;
        if !plain(&self.destination.namespace) {
            part(&self.destination.namespace, f)?;
        }
        self.destination.name.fmt(f)
    }
}

/// What was stored; its order is not relied on.
#[derive(Deserialize)]
#[serde(rename = "Intentions")]
struct Unordered {
    rules: Vec<Intention>,
    default: DefaultAction,
}

impl From<Unordered> for Intentions {
    fn from(stored: Unordered) -> Self {
        Self::new(stored.rules, stored.default)
    }
}

enum Exactness {
    Both,
    Namespace,
    None,
}

/// A wildcard namespace makes the name inexact too.
fn exact_parts(namespace: &Name, name: &Name) -> Exactness {
    match (namespace, name) {
        (Name::Any, _) => Exactness::None,
        (_, Name::Any) => Exactness::Namespace,
        _ => Exactness::Both,
    }
}

#[cfg(test)]
#[path = "intentions_tests.rs"]
mod tests;
