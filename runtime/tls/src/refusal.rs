//! Why a peer's certificate was refused.
//!
//! The text is for the operator of this side. What the peer learns is the alert alone (RFC 8446 section 6.2).

use std::{fmt, sync::Arc};

use plan::spiffe::SpiffeId;
use rustls::{CertificateError, OtherError};

use crate::leaf::{Flaw, Validity};

/// Why a peer's certificate was refused. Its text completes "the client's certificate …".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is none.
    Missing,
    /// The leaf is not an X.509-SVID.
    Leaf(Flaw),
    /// It is for a trust domain that is neither ours nor a peer's.
    TrustDomain {
        /// The one it is for.
        found: String,
        /// Those that are known.
        known: Vec<String>,
    },
    /// It is used before or after its time.
    Dates {
        /// Whose it is.
        id: SpiffeId,
        /// Its time.
        validity: Validity,
        /// The time by our clock, in seconds since 1970.
        now: u64,
    },
    /// An intermediate certificate of its chain is used before or after its time.
    IssuerDates,
    /// No chain leads from it to a root.
    Untrusted {
        /// Whose it is.
        id: SpiffeId,
    },
    /// Its extended key usage is not for this end of a connection.
    Purpose,
    /// It is genuine, and someone else's.
    Identity {
        /// Whose it is.
        found: SpiffeId,
        /// Whose it might be.
        accepted: Vec<SpiffeId>,
    },
    /// It is genuine, and no intention lets it in.
    Denied {
        /// Whose it is.
        id: SpiffeId,
        /// What decided.
        decision: String,
    },
    /// The chain is broken in another way.
    Chain(webpki::Error),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing: it sent none"),
            Self::Leaf(flaw) => flaw.fmt(f),
            Self::TrustDomain { found, known } => {
                write!(f, "is for trust domain {found}, known: {}", known.join(", "))
            }
            Self::Dates { id, validity, now } if *now < validity.not_before => {
                let early = validity.not_before - now;
                write!(f, "of {id} is not valid yet: it will be in {early} s, if our clock is right")
            }
            Self::Dates { id, validity, now } => {
                let late = now.saturating_sub(validity.not_after);
                write!(f, "of {id} expired {late} s ago, if our clock is right")
            }
            Self::IssuerDates => f.write_str(
                "has an intermediate certificate that has expired or is not valid yet, if our clock is right",
            ),
            Self::Untrusted { id } => write!(
                f,
                "of {id} was not issued by a root that we know of trust domain {}",
                id.trust_domain
            ),
            Self::Purpose => f.write_str("has an extended key usage that is not for this use"),
            Self::Identity { found, accepted } => {
                write!(f, "is that of {found}, expected: ")?;
                for (at, id) in accepted.iter().enumerate() {
                    let before = if at == 0 { "" } else { ", " };
                    write!(f, "{before}{id}")?;
                }
                Ok(())
            }
            Self::Denied { id, decision } => write!(f, "{id}: {decision}"),
            Self::Chain(error) => write!(f, "has a chain that does not hold: {error:?}"),
        }
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    /// The form that rustls makes the right alert of.
    pub(crate) fn as_certificate_error(&self) -> CertificateError {
        match self {
            Self::Leaf(_) => CertificateError::BadEncoding,
            Self::TrustDomain { .. } | Self::Untrusted { .. } => CertificateError::UnknownIssuer,
            Self::Dates { .. } | Self::IssuerDates => CertificateError::Expired,
            Self::Purpose => CertificateError::InvalidPurpose,
            Self::Identity { .. } | Self::Denied { .. } => {
                CertificateError::ApplicationVerificationFailure
            }
            Self::Missing | Self::Chain(_) => {
                CertificateError::Other(OtherError(Arc::new(self.clone())))
            }
        }
    }
}
