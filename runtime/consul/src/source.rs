//! What a sidecar and a gateway have in common as sources of a plan.

use std::fmt;

use crate::question::Question;

/// Where a proxy is registered, and under which ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Its ID.
    pub id: String,
    /// Its node in the catalog, where there is no local agent; `None` for the local agent's.
    pub node: Option<String>,
}

impl Registered {
    /// What is asked for the registration.
    #[must_use]
    pub fn question(&self) -> Question {
        match &self.node {
            None => Question::Registration {
                id: self.id.clone(),
            },
            Some(node) => Question::NodeServices { node: node.clone() },
        }
    }
}

/// Why a proxy cannot run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotYet {
    /// Consul has not said this yet.
    Awaits(&'static str),
    /// What it said cannot be run.
    Unusable(String),
}

impl fmt::Display for NotYet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Awaits(what) => write!(f, "Consul has not told {what} yet"),
            Self::Unusable(why) => f.write_str(why),
        }
    }
}
