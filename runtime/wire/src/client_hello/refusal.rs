//! Why a first flight is refused, in words for the operator who reads the log.

use core::fmt;

/// Why these bytes cannot be routed. Final: more bytes do not change it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// It is TLS, but the ClientHello breaks the protocol; the text says where.
    Malformed(&'static str),

    /// It is a TLS handshake that starts with another message than a ClientHello.
    NotClientHello,

    /// The first bytes are not those of a TLS handshake record.
    NotTls,

    /// The SNI is a name that no Consul service or server can have: empty, too long, or with other characters.
    OddServerName,

    /// The hello is spread over more records than [`super::MAX_RECORDS`].
    TooFragmented,

    /// The hello is longer than [`super::MAX_CLIENT_HELLO_BYTES`].
    TooLong,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => {
                write!(f, "malformed TLS client hello: {what}; check the client's TLS library")
            }
            Self::NotClientHello => f.write_str(
                "a TLS handshake that does not start with a client hello; check whether something \
                 cut off the start of the connection",
            ),
            Self::NotTls => f.write_str(
                "not TLS; check whether the client speaks plain HTTP or another protocol, or means \
                 another port",
            ),
            Self::OddServerName => f.write_str(
                "the SNI is not a name that Consul gives (letters, digits, '-', '_' and single inner \
                 dots, at most 255 bytes); check the server name the client is told to use",
            ),
            Self::TooFragmented => f.write_str(
                "the TLS client hello is spread over more than 64 records; check the client's record \
                 size",
            ),
            Self::TooLong => f.write_str(
                "the TLS client hello is longer than 16 KiB; check for oversize session tickets or \
                 extensions",
            ),
        }
    }
}

impl core::error::Error for Refusal {}
