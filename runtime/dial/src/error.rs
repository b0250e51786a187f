//! Why a name has no addresses.

use std::fmt;
use std::io;
use std::net::SocketAddr;

/// Why a name has no addresses.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A nameserver says that there is no such name.
    NoSuchName,
    /// A nameserver says that the name exists and has neither an A nor an AAAA record.
    NoAddress,
    /// No nameserver gave an answer that could be used; the last one asked did this.
    NoAnswer {
        /// Who.
        nameserver: SocketAddr,
        /// What it did.
        reason: Failure,
    },
}

/// What a nameserver did instead of answering.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// Nothing, until the timeout.
    Silent,
    /// It could not be reached, or broke the connection off.
    Unreachable(io::Error),
    /// It sent a response that is a failure, or no sense.
    Response(wire::dns::Error),
    /// It was not asked, since this system refused what a query needs; the text says what.
    System(io::Error, &'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchName => wire::dns::Error::NoSuchName.fmt(f),
            Self::NoAddress => {
                f.write_str("the name has no address of either family; check its dns records")
            }
            Self::NoAnswer { nameserver, reason } => {
                write!(
                    f,
                    "no answer; nameserver {nameserver}, asked last: {reason}"
                )
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => f.write_str(
                "did not respond in time; check /etc/resolv.conf and the way to the nameserver",
            ),
            Self::Unreachable(error) => write!(f, "{error}; check /etc/resolv.conf"),
            Self::Response(error) => error.fmt(f),
            Self::System(error, what) => write!(f, "was not asked: {what}: {error}"),
        }
    }
}

impl std::error::Error for Error {}
