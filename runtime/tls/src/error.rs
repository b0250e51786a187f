//! What can go wrong, grouped by who must act: the peer, the configuration, or we.

use std::fmt;

use rustls::AlertDescription;

use crate::{leaf::Flaw, refusal::Refusal};

/// Which end of a connection is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that connects.
    Client,
    /// The one that accepts.
    Server,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// The peer's certificate was refused.
    PeerCertificate(Side, Box<Refusal>),
    /// The peer ended the connection with an alert (RFC 8446 section 6): it refused us, as a rule.
    PeerAlert(AlertDescription),
    /// What the peer sent is not TLS, not the versions and suites that are allowed, or breaks the protocol.
    PeerProtocol(rustls::Error),
    /// The peer's handshake message is longer than any may be.
    PeerTooLong,
    /// The peer's stream ended without its saying so in TLS, so data may be missing.
    PeerTruncated,
    /// A text is not the PEM that was expected.
    ConfigPem(&'static str),
    /// The leaf of an identity cannot be used in a mesh.
    ConfigLeaf(Flaw),
    /// The key of an identity is not that of its certificate.
    ConfigKeyMismatch,
    /// The key of an identity is of no use.
    ConfigKey(&'static str),
    /// There is no root, or one of the roots is of no use.
    ConfigRoots(&'static str),
    /// No identity of the server is accepted, so no connection could ever be made.
    ConfigNoAcceptedIds,
    /// The server name cannot be sent.
    ConfigServerName(String),
    /// A TLS version that is not one, or of which nothing is left.
    ConfigVersion(String),
    /// A cipher suite that is not one, or of which none is left.
    ConfigSuite(String),
    /// A defect of ours, and where it was noticed.
    Bug(&'static str),
}

impl Error {
    /// Whether the peer is who it says and intentions do not let it in.
    #[must_use]
    pub fn is_denial(&self) -> bool {
        matches!(self, Self::PeerCertificate(_, refusal) if matches!(**refusal, Refusal::Denied { .. }))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeerCertificate(_, refusal) if self.is_denial() => refusal.fmt(f),
            Self::PeerCertificate(side, refusal) => {
                write!(f, "the {side}'s certificate {refusal}")
            }
            Self::PeerAlert(alert) => write!(
                f,
                "the peer refused the connection with the TLS alert {alert:?}{}",
                hint(*alert)
            ),
            Self::PeerProtocol(error) => write!(f, "the peer does not speak TLS as we do: {error}"),
            Self::PeerTooLong => f.write_str("the peer's handshake message is too long"),
            Self::PeerTruncated => f.write_str(
                "the peer's stream ended without close_notify: data may have been cut off",
            ),
            Self::ConfigPem(why) => write!(f, "not the PEM that is needed: {why}"),
            Self::ConfigLeaf(flaw) => write!(f, "the certificate {flaw}"),
            Self::ConfigKeyMismatch => {
                f.write_str("the private key does not belong to the certificate")
            }
            Self::ConfigKey(why) => write!(f, "the private key cannot be used: {why}"),
            Self::ConfigRoots(why) => write!(f, "the roots cannot be used: {why}"),
            Self::ConfigNoAcceptedIds => {
                f.write_str("no identity of the server is accepted; name at least one SPIFFE ID")
            }
            Self::ConfigServerName(name) => {
                write!(
                    f,
                    "{name:?} cannot be sent as server name (SNI): not a DNS name"
                )
            }
            Self::ConfigVersion(text) => write!(
                f,
                "TLS version {text}: TLSv1_2, TLSv1_3 and TLS_AUTO are there, the least not above the greatest"
            ),
            Self::ConfigSuite(text) => write!(f, "TLS cipher suites: {text}"),
            Self::Bug(where_) => write!(f, "a defect in lictor's tls: {where_}"),
        }
    }
}

impl std::error::Error for Error {}

/// What an operator may check, for the alerts that say something of the configuration.
fn hint(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::UnknownCA => ": it does not know the root of our certificate",
        AlertDescription::CertificateExpired => {
            ": our certificate has expired or is not valid yet by its clock"
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown => ": it does not accept our certificate",
        AlertDescription::CertificateRequired => ": it wants a certificate",
        AlertDescription::AccessDenied => ": no intention there lets our service in",
        AlertDescription::ProtocolVersion => ": there is no TLS version that both allow",
        AlertDescription::HandshakeFailure => {
            ": most often, there is no cipher suite that both allow, or it refuses our certificate"
        }
        AlertDescription::UnrecognisedName => ": it does not know the server name (SNI)",
        _ => "",
    }
}
