//! Why a name is refused, or a response is not an answer.

use core::fmt;

/// What went wrong with a name or a response.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// The text is not a host name; the text says why.
    BadName(&'static str),

    /// The response breaks the protocol; the text says where.
    Malformed(&'static str),

    /// The name exists, but has no address of the family asked for. Normal for one family of two.
    NoAddress,

    /// The name does not exist (NXDOMAIN).
    NoSuchName,

    /// The server could not or would not answer: its response code, 1 to 15 without 3.
    ///
    /// An old server says 1 (format error) to a query with EDNS: ask again without.
    ServerFailure(u8),

    /// The message does not belong to this query. Over UDP: ignore it and wait on.
    Stray(&'static str),

    /// There are more aliases in a row than [`super::MAX_ALIASES`], or they form a ring.
    TooManyAliases,

    /// The answer did not fit. Over UDP: ask again over TCP.
    Truncated,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadName(what) => write!(f, "not a host name: {what}"),
            Self::Malformed(what) => {
                write!(f, "malformed dns response: {what}; check the nameserver")
            }
            Self::NoAddress => {
                f.write_str("the name has no address of this family; check its dns records")
            }
            Self::NoSuchName => {
                f.write_str("the name does not exist; check its spelling and the nameserver")
            }
            Self::ServerFailure(code) => {
                let name = match code {
                    1 => "format error",
                    2 => "server failure",
                    4 => "not implemented",
                    5 => "refused",
                    _ => "another failure",
                };
                write!(
                    f,
                    "the nameserver gave no answer: {name} (code {code}); check the nameserver"
                )
            }
            Self::Stray(what) => write!(f, "not the response to this query: {what}"),
            Self::TooManyAliases => {
                f.write_str("more than 8 aliases in a row; check the name's cname records")
            }
            Self::Truncated => f.write_str("the answer did not fit into the response"),
        }
    }
}

impl core::error::Error for Error {}
