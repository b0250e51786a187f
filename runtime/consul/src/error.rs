//! What can go wrong between us and Consul, and what can be checked.

use std::{fmt, io, path::PathBuf, time::Duration};

use wire::http1;

use crate::NotUnderstood;

/// Why there is no answer. Whatever it is, what was known before stays in force.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// An address cannot be used.
    Address(String, &'static str),
    /// An environment variable cannot be used.
    Variable(&'static str, &'static str),
    /// A file cannot be read.
    File(PathBuf, io::Error),
    /// The TLS settings cannot be used, or this build has no TLS.
    Tls(String),
    /// Nobody can be reached there, or the connection broke.
    Unreachable(String, io::Error),
    /// The name of the host has no address now.
    Name(String),
    /// It said nothing for so long.
    Silent(String, Duration),
    /// What it says is no HTTP.
    Http(String, http1::Error),
    /// The answer is longer than this many bytes.
    TooLong(usize),
    /// The answer cannot be read, so that it says nothing.
    NotUnderstood(NotUnderstood),
    /// 403: the token may not do this, or is none.
    Forbidden(String),
    /// 404: there is no such thing, or no such endpoint in this version.
    NotFound(String),
    /// 429 or 503: Consul asks for patience.
    Busy(String),
    /// Another status, and what Consul says with it.
    Refused(u16, String),
    /// An answer is empty, and the token may be why: the rules that are missing.
    Filtered(String),
    /// A node of the catalog is an agent's.
    AgentsNode(String),
    /// Too many watches.
    Full,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(text, why) => {
                write!(f, "{text:?} is no address of Consul's http api: {why}")
            }
            Self::Variable(name, why) => write!(f, "{name}: {why}"),
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Tls(why) => write!(f, "tls to Consul: {why}"),
            Self::Unreachable(address, error) => {
                write!(
                    f,
                    "{address}: {error}; does an agent run there, and is its http api on?"
                )
            }
            Self::Name(name) => write!(f, "{name} has no address now; does a nameserver know it?"),
            Self::Silent(address, after) => {
                write!(f, "{address} says nothing for {} s", after.as_secs())
            }
            Self::Http(address, error) => write!(f, "{address}: {error}"),
            Self::TooLong(most) => write!(f, "the answer is longer than {most} bytes"),
            Self::NotUnderstood(error) => write!(f, "the answer is not understood: {error}"),
            Self::Forbidden(said) if said.contains("ACL not found") => {
                write!(
                    f,
                    "403 {said}; the token was deleted, has expired, or is of another cluster"
                )
            }
            Self::Forbidden(said) => write!(f, "403 {said}; the token has not the right"),
            Self::NotFound(said) => write!(f, "404 {said}"),
            Self::Busy(said) => write!(f, "Consul asks for patience: {said}"),
            Self::Refused(status, said) => write!(f, "{status} {said}"),
            Self::Filtered(rules) => {
                write!(
                    f,
                    "there may be something, and the token may not see it; it needs {rules}"
                )
            }
            Self::AgentsNode(node) => write!(
                f,
                "the node {node} is an agent's, which deletes there what it does not know; give another name with --node-name"
            ),
            Self::Full => f.write_str("there are more watches than are kept at a time"),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// What a status other than 200 means.
    pub(crate) fn of_status(status: u16, said: &[u8]) -> Self {
        let said = String::from_utf8_lossy(said).trim().to_owned();
        match status {
            403 => Self::Forbidden(said),
            404 => Self::NotFound(said),
            429 | 503 => Self::Busy(said),
            _ => Self::Refused(status, said),
        }
    }

    /// Whether another server may do better.
    pub(crate) fn is_of_one_server(&self) -> bool {
        match self {
            Self::Unreachable(..)
            | Self::Silent(..)
            | Self::Http(..)
            | Self::Busy(_)
            | Self::Name(_) => true,
            Self::Refused(status, _) => *status >= 500,
            _ => false,
        }
    }

    /// Whether it is the same kind of trouble, so that it need not be told again.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let same = std::mem::discriminant(self) == std::mem::discriminant(other);
        match (self, other) {
            (Self::Refused(one, _), Self::Refused(two, _)) => one == two,
            // Another rule is other news for who has just given one.
            (Self::Forbidden(one), Self::Forbidden(two))
            | (Self::Filtered(one), Self::Filtered(two)) => one == two,
            _ => same,
        }
    }
}
