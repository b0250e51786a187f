//! The name a client asks for (RFC 6066 section 3), as far as Consul can give it.
//!
//! Consul's names are service, namespace, partition, datacenter and trust domain with dots between them. They may hold
//! underscores, and one part may be longer than the 63 bytes of a DNS label, so this is not a DNS name. Everything else
//! (spaces, control bytes, NUL, `~` as in the cluster names of Consul's own Envoy configuration) is refused, before it
//! reaches a table or a log.
//!
//! A trailing dot is refused, not stripped: RFC 6066 has no place for it, and Go's TLS (so every Consul server) rejects
//! such a hello. A gateway that stripped it would route what the destination cannot accept.

use super::Refusal;
use super::cursor::Cursor;
use core::fmt;
use heapless::{String, Vec};

/// The longest server name accepted, in bytes: what a DNS name may have, and more than Consul's longest.
pub const MAX_SERVER_NAME_BYTES: usize = 255;

/// A server name in lower case: letters, digits, `-`, `_`, and single dots inside; 1 to 255 bytes.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ServerName(String<MAX_SERVER_NAME_BYTES, u8>);

impl ServerName {
    /// Reads a name from its bytes, in any case, in as many pieces as they come in.
    ///
    /// # Errors
    ///
    /// [`Refusal::OddServerName`] when it is empty, too long, has an empty part or another character.
    pub fn new<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, Refusal> {
        let mut name = Vec::new();
        // As if after a dot, so that a name cannot start with one.
        let mut after_dot = true;
        for piece in pieces {
            for &byte in piece {
                let part = byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
                if !part && (byte != b'.' || after_dot) {
                    return Err(Refusal::OddServerName);
                }
                after_dot = byte == b'.';
                name.push(byte.to_ascii_lowercase())
                    .map_err(|_| Refusal::OddServerName)?;
            }
        }
        // Also true for the empty name.
        if after_dot {
            return Err(Refusal::OddServerName);
        }
        let name = String::from_utf8(name).map_err(|_| Refusal::OddServerName)?;
        Ok(Self(name))
    }

    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for ServerName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads the content of the extension: the one host name of its list, names of other types passed over.
pub(super) fn read(mut extension: Cursor<'_>) -> Result<Option<ServerName>, Refusal> {
    let mut list = extension.vector16("the SNI list runs past its extension")?;
    if !extension.is_empty() {
        return Err(Refusal::Malformed("bytes follow the SNI list"));
    }
    if list.is_empty() {
        return Err(Refusal::Malformed("the SNI list is empty"));
    }

    let mut found = None;
    while !list.is_empty() {
        let kind = list.byte("an SNI entry is cut off")?;
        let name = list.vector16("an SNI entry runs past its list")?;
        if kind != HOST_NAME {
            continue;
        }
        if found.is_some() {
            return Err(Refusal::Malformed("there are two host names in the SNI"));
        }
        found = Some(ServerName::new(name.pieces())?);
    }
    Ok(found)
}

/// The only name type that is defined.
const HOST_NAME: u8 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Result<ServerName, Refusal> {
        ServerName::new([text.as_bytes()])
    }

    #[test]
    fn consul_names_are_kept_in_lower_case() {
        let long = "x".repeat(100) + ".Default.DC1.internal.Trust_Domain.consul";
        assert_eq!(name(&long).unwrap().as_str(), long.to_ascii_lowercase());
        assert_eq!(name("a").unwrap().as_str(), "a");
    }

    #[test]
    fn a_name_may_come_in_pieces() {
        let pieces: [&[u8]; 4] = [b"", b"api.", b"d", b"C1"];
        assert_eq!(ServerName::new(pieces).unwrap().as_str(), "api.dc1");
        let pieces: [&[u8]; 2] = [b"api.", b".dc1"];
        assert_eq!(ServerName::new(pieces), Err(Refusal::OddServerName));
    }

    #[test]
    fn other_characters_are_refused() {
        for byte in 0..=255_u8 {
            let good = byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            assert_eq!(
                ServerName::new([&[b'a', byte, b'a'][..]]).is_ok(),
                good,
                "byte {byte}"
            );
        }
    }

    #[test]
    fn empty_parts_and_a_trailing_dot_are_refused() {
        for bad in ["", ".", "a.", ".a", "a..b", "a.."] {
            assert_eq!(name(bad), Err(Refusal::OddServerName), "{bad:?}");
        }
    }

    #[test]
    fn names_end_at_255_bytes() {
        assert!(name(&"x".repeat(255)).is_ok());
        assert_eq!(name(&"x".repeat(256)), Err(Refusal::OddServerName));
    }
}
