//! What is wrong with a Plan's TLS, and with which part of it.

use std::fmt;

/// A part of what a Plan says of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The identity of this name.
    Identity(String),
    /// The roots of this trust domain.
    Roots(String),
    /// TLS to the upstream with this server name.
    Upstream(String),
    /// Versions and cipher suites.
    Parameters,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(name) => write!(f, "identity {name}"),
            Self::Roots(trust_domain) => write!(f, "roots of {trust_domain}"),
            Self::Upstream(server_name) => write!(f, "TLS to {server_name}"),
            Self::Parameters => f.write_str("TLS parameters"),
        }
    }
}

/// A part that cannot be used, or that peers will not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// Which part.
    pub part: Part,
    /// Why.
    pub why: String,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.part, self.why)
    }
}

impl std::error::Error for Unusable {}
