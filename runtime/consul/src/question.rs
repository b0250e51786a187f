//! What Consul is asked: one value per query, and how its answer is awaited.
//!
//! A question is its own key: two that are equal are one query, whoever wants it. It says nothing of connections, indexes or
//! tokens, which are the business of whoever asks.
//! <https://developer.hashicorp.com/consul/api-docs/features/blocking>

use std::{fmt::Write as _, time::Duration};

use crate::Error;

/// A query.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Question {
    /// A registration at the local agent, with the central configuration merged in.
    Registration {
        /// The service's ID.
        id: String,
    },
    /// The services of a node of the catalog, with the central configuration merged in (1.13 and newer): where there is no
    /// local agent.
    NodeServices {
        /// The node.
        node: String,
    },
    /// The checks of a node of the catalog.
    NodeChecks {
        /// The node.
        node: String,
    },
    /// All `service-defaults` entries: merged into what stands in the catalog alone.
    ServiceDefaults,
    /// The `proxy-defaults` entry.
    ProxyDefaults,
    /// The `mesh` entry (1.10 and newer).
    MeshEntry,
    /// The roots and the trust domain.
    Roots,
    /// The certificate of a service, and its key.
    Leaf {
        /// The service.
        service: String,
    },
    /// The intentions for a service.
    Intentions {
        /// The service.
        service: String,
    },
    /// All intentions: only to hear of changes from a Consul before 1.9, which does not say when the answer above changed.
    AnyIntention,
    /// Whether a source that no intention names may call a service.
    Default {
        /// The service.
        service: String,
    },
    /// The compiled chain of an upstream.
    Chain(Box<ChainQuestion>),
    /// The instances of a service that speak mesh TLS.
    Instances {
        /// The service.
        service: String,
        /// Its datacenter; `None` for the own one.
        datacenter: Option<String>,
        /// A filter for a subset; empty for all.
        filter: String,
    },
    /// The mesh gateways of all datacenters.
    Gateways,
    /// The nodes that a prepared query finds.
    Query {
        /// The query's name or ID.
        name: String,
    },
    /// The names of all services of this datacenter.
    Services,
    /// All `service-resolver` entries.
    Resolvers,
    /// Consul's servers of this datacenter.
    Servers,
    /// The agent itself: the domain in the names of servers.
    Agent,
}

/// The compiled chain of an upstream, with what its registration overrides.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainQuestion {
    /// The service.
    pub service: String,
    /// Its namespace; empty for the own one.
    pub namespace: String,
    /// Its admin partition; empty for the own one.
    pub partition: String,
    /// The datacenter it is compiled for; empty for the own one.
    pub datacenter: String,
    /// The mesh gateway mode, by every level that goes before the chain's own; empty for none.
    pub mode: String,
    /// The protocol; empty for the service's own.
    pub protocol: String,
    /// The connect timeout in milliseconds.
    pub connect_timeout_ms: Option<u32>,
}

/// How the next answer is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// By `index`: the query blocks until something changed.
    Index,
    /// By `hash`, of the agent's own services.
    Hash,
    /// Not at all: it is asked again after this time.
    Poll(Duration),
}

/// Prepared queries never block; Consul's own proxies are told of changes as often as this.
const QUERY_POLL: Duration = Duration::from_secs(10);

/// The default policy changes when agents are restarted with another configuration.
const DEFAULT_POLL: Duration = Duration::from_secs(300);

/// The agent's domain changes when all agents are restarted with another one.
const AGENT_POLL: Duration = Duration::from_secs(12 * 3600);

/// A source that no intention names exactly.
const NOBODY: &str = "lictor-asks-what-holds-for-anyone";

impl Question {
    /// The path and the query, without what belongs to blocking.
    #[must_use]
    pub fn path(&self) -> String {
        match self {
            Self::Registration { id } => path("/v1/agent/service/", id, ""),
            Self::NodeServices { node } => {
                path("/v1/catalog/node-services/", node, "?merge-central-config")
            }
            Self::NodeChecks { node } => path("/v1/health/node/", node, ""),
            Self::ServiceDefaults => "/v1/config/service-defaults".to_owned(),
            Self::ProxyDefaults => "/v1/config/proxy-defaults".to_owned(),
            Self::MeshEntry => "/v1/config/mesh".to_owned(),
            Self::Roots => "/v1/agent/connect/ca/roots".to_owned(),
            Self::Leaf { service } => path("/v1/agent/connect/ca/leaf/", service, ""),
            Self::Intentions { service } => path(
                "/v1/connect/intentions/match?by=destination&name=",
                service,
                "",
            ),
            Self::AnyIntention => "/v1/connect/intentions".to_owned(),
            Self::Default { service } => {
                let start = "/v1/connect/intentions/check?source=";
                path(&path(start, NOBODY, "&destination="), service, "")
            }
            Self::Chain(chain) => chain.path(),
            Self::Instances {
                service,
                datacenter,
                filter,
            } => {
                let mut text = path("/v1/health/connect/", service, "");
                let mut sign = '?';
                for (name, value) in [
                    ("dc", datacenter.as_deref().unwrap_or("")),
                    ("filter", filter),
                ] {
                    add(&mut text, &mut sign, name, value);
                }
                text
            }
            Self::Gateways => "/v1/internal/federation-states/mesh-gateways".to_owned(),
            Self::Query { name } => path("/v1/query/", name, "/execute?connect=true"),
            Self::Services => "/v1/catalog/services".to_owned(),
            Self::Resolvers => "/v1/config/service-resolver".to_owned(),
            Self::Servers => "/v1/health/service/consul".to_owned(),
            Self::Agent => "/v1/agent/self".to_owned(),
        }
    }

    /// What is sent along; then the query is a POST.
    #[must_use]
    pub fn body(&self) -> Option<String> {
        match self {
            Self::Chain(chain) => Some(chain.body()),
            _ => None,
        }
    }

    /// Whether it is for the chain of the same service, whatever is overridden.
    pub(crate) fn is_chain_like(&self, chain: &ChainQuestion) -> bool {
        let Self::Chain(known) = self else {
            return false;
        };
        known.service == chain.service
            && known.namespace == chain.namespace
            && known.partition == chain.partition
            && known.datacenter == chain.datacenter
    }

    /// Whether this refusal says that there is no such thing in this version.
    pub(crate) fn is_unknown(&self, error: &Error) -> bool {
        let kind = |said: &str| said.contains("invalid config entry kind");
        *self == Self::MeshEntry && matches!(error, Error::Refused(_, said) if kind(said))
    }

    /// How the next answer is awaited.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
        match self {
            Self::Registration { .. } => Waiting::Hash,
            Self::Query { .. } => Waiting::Poll(QUERY_POLL),
            Self::Default { .. } => Waiting::Poll(DEFAULT_POLL),
            Self::Agent => Waiting::Poll(AGENT_POLL),
            _ => Waiting::Index,
        }
    }
}

impl ChainQuestion {
    fn path(&self) -> String {
        let mut text = path("/v1/discovery-chain/", &self.service, "");
        let mut sign = '?';
        for (name, value) in [
            ("compile-dc", &self.datacenter),
            ("ns", &self.namespace),
            ("partition", &self.partition),
        ] {
            add(&mut text, &mut sign, name, value);
        }
        text
    }

    /// Modes and protocols are words; what is none is refused by Consul with a reason.
    fn body(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        if !self.mode.is_empty() {
            parts.push(format!(
                "\"OverrideMeshGateway\":{{\"Mode\":\"{}\"}}",
                word(&self.mode)
            ));
        }
        if !self.protocol.is_empty() {
            parts.push(format!("\"OverrideProtocol\":\"{}\"", word(&self.protocol)));
        }
        if let Some(timeout) = self.connect_timeout_ms {
            parts.push(format!("\"OverrideConnectTimeout\":\"{timeout}ms\""));
        }
        format!("{{{}}}", parts.join(","))
    }
}

/// The letters, digits and hyphens of a text, which need no escape anywhere.
fn word(text: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
    text.chars().filter(plain).collect()
}

pub(crate) fn path(start: &str, name: &str, end: &str) -> String {
    let mut text = start.to_owned();
    encode(&mut text, name);
    text.push_str(end);
    text
}

fn add(text: &mut String, sign: &mut char, name: &str, value: &str) {
    if !value.is_empty() {
        text.push(*sign);
        *sign = '&';
        text.push_str(name);
        text.push('=');
        encode(text, value);
    }
}

/// Everything but RFC 3986's unreserved characters is encoded.
fn encode(text: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
}

/// A text as one step of a path.
pub(crate) fn encoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    encode(&mut text, value);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_asked_as_consul_wants_them() {
        let name = |text: &str| text.to_owned();
        for (question, path) in [
            (
                Question::Registration { id: name("web 1") },
                "/v1/agent/service/web%201",
            ),
            (
                Question::Instances {
                    service: name("api"),
                    datacenter: Some(name("dc2")),
                    filter: name("Service.Meta.version == v1"),
                },
                "/v1/health/connect/api?dc=dc2&filter=Service.Meta.version%20%3D%3D%20v1",
            ),
            (
                Question::Instances {
                    service: name("api"),
                    datacenter: None,
                    filter: name("x"),
                },
                "/v1/health/connect/api?filter=x",
            ),
            (
                Question::Intentions {
                    service: name("db"),
                },
                "/v1/connect/intentions/match?by=destination&name=db",
            ),
            (
                Question::Default {
                    service: name("db"),
                },
                "/v1/connect/intentions/check?source=lictor-asks-what-holds-for-anyone&destination=db",
            ),
            (
                Question::Query { name: name("q") },
                "/v1/query/q/execute?connect=true",
            ),
        ] {
            assert_eq!(question.path(), path);
        }
    }

    #[test]
    fn a_version_without_mesh_entries_says_so() {
        // As 1.8.7 answers; 1.9 has no such kind either (`agent/structs/config_entry.go`).
        let said = Error::of_status(500, b"invalid config entry kind: mesh");
        assert!(Question::MeshEntry.is_unknown(&said));
        assert!(!Question::Resolvers.is_unknown(&said));
        assert!(!Question::MeshEntry.is_unknown(&Error::of_status(500, b"No cluster leader")));
    }

    #[test]
    fn what_an_upstream_overrides_is_sent_with_the_question_for_its_chain() {
        let mut chain = ChainQuestion {
            service: "db".to_owned(),
            ..ChainQuestion::default()
        };
        assert_eq!(
            Question::Chain(Box::new(chain.clone())).body().as_deref(),
            Some("{}")
        );
        assert_eq!(chain.path(), "/v1/discovery-chain/db");
        chain.datacenter = "dc2".to_owned();
        chain.mode = "local".to_owned();
        chain.protocol = "tcp\"".to_owned();
        chain.connect_timeout_ms = Some(1500);
        assert_eq!(chain.path(), "/v1/discovery-chain/db?compile-dc=dc2");
        assert_eq!(
            chain.body(),
            r#"{"OverrideMeshGateway":{"Mode":"local"},"OverrideProtocol":"tcp","OverrideConnectTimeout":"1500ms"}"#
        );
    }
}
