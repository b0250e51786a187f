//! What a token must be allowed for each question, in the words of a policy.
//!
//! Consul says that something is denied, and seldom what; of lists it leaves out what may not be seen, and says so from 1.11 on
//! only. So the rule that is missing is named here, from the questions alone: nothing is decided by it.
//! <https://developer.hashicorp.com/consul/docs/security/acl/acl-rules>

use std::fmt::Write as _;

use crate::{Error, Question, known::USUAL};

/// Reading all nodes: whoever may not read a node sees none of its instances.
pub(crate) const NODES: &str = r#"node_prefix "" { policy = "read" }"#;

/// Reading all services.
pub(crate) const SERVICES: &str = r#"service_prefix "" { policy = "read" }"#;

/// A rule for one service.
#[must_use]
pub fn service(name: &str, policy: &str) -> String {
    format!(r#"service "{name}" {{ policy = "{policy}" }}"#)
}

/// The sidecar of a service, by the name that Consul gives it unless told otherwise.
#[must_use]
pub fn sidecar(service: &str) -> String {
    format!("{service}{USUAL}")
}

impl Question {
    /// The rules without which it is denied.
    #[must_use]
    pub fn rights(&self) -> String {
        match self {
            Self::Registration { id } => {
                format!(
                    "{} with the name that {id} is registered by",
                    service("…", "read")
                )
            }
            Self::NodeServices { node } | Self::NodeChecks { node } => {
                format!(r#"node "{node}" {{ policy = "read" }}"#)
            }
            Self::Leaf { service: name } => service(name, "write"),
            Self::Intentions { service: name } | Self::Default { service: name } => {
                service(name, "read")
            }
            Self::Chain(chain) => service(&chain.service, "read"),
            Self::Instances { service: name, .. } => format!(
                "{}, {}, {NODES}",
                service(name, "read"),
                service(&sidecar(name), "read")
            ),
            Self::Gateways => format!("{}, {NODES}", service("mesh-gateway", "read")),
            Self::Query { name } => format!(r#"query "{name}" {{ policy = "read" }}"#),
            Self::Servers => format!("{}, {NODES}", service("consul", "read")),
            Self::Agent => {
                r#"agent_prefix "" { policy = "read" }, or lictor { domain = "…" } in the file"#
                    .to_owned()
            }
            Self::Roots
            | Self::MeshEntry
            | Self::AnyIntention
            | Self::Services
            | Self::Resolvers
            | Self::ServiceDefaults
            | Self::ProxyDefaults => SERVICES.to_owned(),
        }
    }

    /// What is wrong, and the rule that is missing, where that is what is wrong.
    #[must_use]
    pub fn trouble(&self, error: &Error) -> String {
        let mut text = error.to_string();
        if let Error::Forbidden(said) = error
            && !said.contains("ACL not found")
        {
            // Writing to a String cannot fail.
            let _ = write!(text, "; it needs {}", self.rights());
        }
        text
    }
}
