//! What a sidecar and a gateway have in common as sources of a plan.

use std::{fmt, rc::Rc};

use plan::Plan;

use crate::{
    gateway::Gateway,
    json::NotUnderstood,
    known::News,
    question::Question,
    sidecar::{self, Sidecar},
};

/// A proxy that Consul configures.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one for each proxy of the process"
)]
pub enum Source {
    /// A sidecar.
    Sidecar(Sidecar),
    /// A mesh gateway.
    Gateway(Gateway),
}

/// A proxy that can run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one for each proxy of the process"
)]
pub enum Assembled {
    /// A sidecar.
    Sidecar(sidecar::Assembled),
    /// What a mesh gateway is to do.
    Gateway(Plan),
}

impl Source {
    /// What must be asked now, sorted, each once.
    #[must_use]
    pub fn wanted(&self) -> Vec<Question> {
        match self {
            Self::Sidecar(sidecar) => sidecar.wanted(),
            Self::Gateway(gateway) => gateway.wanted(),
        }
    }

    /// Takes an answer: the body of a 200, and the index it came with.
    ///
    /// # Errors
    /// It is no answer to that question; what was known stays.
    pub fn learn(
        &mut self,
        question: &Rc<Question>,
        body: &[u8],
        index: Option<u64>,
    ) -> Result<News, NotUnderstood> {
        match self {
            Self::Sidecar(sidecar) => sidecar.learn(question, body, index),
            Self::Gateway(gateway) => gateway.learn(question, body),
        }
    }

    /// The questions that must be asked anew after this one had news.
    #[must_use]
    pub fn stale_after(&self, question: &Question) -> Vec<Question> {
        match self {
            Self::Sidecar(sidecar) => sidecar.stale_after(question),
            Self::Gateway(_) => Vec::new(),
        }
    }

    /// The rules that a token seems to miss after this answer, which was taken all the same.
    #[must_use]
    pub fn doubt(&self, question: &Question) -> Option<&'static str> {
        match self {
            Self::Sidecar(_) => None,
            Self::Gateway(gateway) => gateway.doubt(question),
        }
    }

    /// Forgets what is asked no more; to be called when what must be asked has changed.
    pub fn forget(&mut self) {
        match self {
            Self::Sidecar(sidecar) => sidecar.forget(),
            Self::Gateway(gateway) => gateway.forget(),
        }
    }

    /// What it comes to now.
    ///
    /// # Errors
    /// What is missing, or why it cannot run.
    pub fn assembled(&mut self) -> Result<Assembled, NotYet> {
        Ok(match self {
            Self::Sidecar(sidecar) => Assembled::Sidecar(sidecar.mesh()?),
            Self::Gateway(gateway) => Assembled::Gateway(gateway.plan()?),
        })
    }
}

impl Assembled {
    /// What the data plane is to do.
    #[must_use]
    pub fn plan(self) -> Plan {
        match self {
            Self::Sidecar(it) => plan::sidecar::plan(&it.sidecar, &it.mesh),
            Self::Gateway(plan) => plan,
        }
    }
}

/// Where a proxy is registered, and under which ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Its ID.
    pub id: String,
    /// Its node in the catalog, where there is no local agent; `None` for the local agent's.
    pub node: Option<String>,
}

impl Registered {
    /// What is asked for the registration and what belongs to it.
    #[must_use]
    pub fn questions(&self) -> Vec<Question> {
        let id = self.id.clone();
        match self.node.clone() {
            None => vec![Question::Registration { id }],
            Some(node) => vec![
                Question::NodeServices { node },
                Question::ServiceDefaults,
                Question::ProxyDefaults,
            ],
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
