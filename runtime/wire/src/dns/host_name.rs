//! The name of a host as a configuration may hold it (RFC 1123 section 2.1, with underscores).

use super::Error;
use core::fmt;
use core::str::FromStr;
use heapless::String;

/// The longest host name, in bytes: what fits into the 255 bytes of its wire form (RFC 1035 section 2.3.4).
pub const MAX_HOST_NAME_BYTES: usize = 253;

/// A host name in lower case: labels of 1 to 63 letters, digits, `-` and `_`, with dots between; absolute.
///
/// Underscores are no part of a host name by RFC 1123, yet names in the field hold them. A last label of digits alone
/// is refused: it is an IPv4 address with a slip in it, and asking a nameserver would hide that.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HostName(String<MAX_HOST_NAME_BYTES, u8>);

impl HostName {
    /// Reads a name in any case. One trailing dot is accepted and left out: every name is absolute here.
    ///
    /// # Errors
    ///
    /// [`Error::BadName`] when the text is not a host name, or is an IPv4 address or nearly one.
    pub fn new(text: &str) -> Result<Self, Error> {
        let text = text.strip_suffix('.').unwrap_or(text);
        for label in text.split('.') {
            if label.is_empty() {
                return Err(Error::BadName("a part between dots is empty"));
            }
            if label.len() > MAX_LABEL_BYTES {
                return Err(Error::BadName(
                    "a part between dots is longer than 63 bytes",
                ));
            }
            let part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            if !label.bytes().all(part) {
                return Err(Error::BadName(
                    "only letters, digits, '-', '_' and dots are allowed",
                ));
            }
        }
        let last = text.rsplit('.').next().unwrap_or_default();
        if last.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Error::BadName("it ends in a number, as an ip address does"));
        }

        let mut name =
            String::try_from(text).map_err(|_| Error::BadName("it is longer than 253 bytes"))?;
        name.make_ascii_lowercase();
        Ok(Self(name))
    }

    /// The name in lower case, without a trailing dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::new(text)
    }
}

impl AsRef<str> for HostName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The longest label (RFC 1035 section 2.3.4).
const MAX_LABEL_BYTES: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    #[test]
    fn host_names_are_kept_in_lower_case_without_the_last_dot() {
        for (text, name) in [
            ("a", "a"),
            ("Gateway.DC2.example.", "gateway.dc2.example"),
            ("_x-1.1a", "_x-1.1a"),
        ] {
            assert_eq!(HostName::new(text).unwrap().as_str(), name);
        }
    }

    #[test]
    fn what_is_no_host_name_is_refused() {
        let label = "x".repeat(64);
        for bad in [
            "", ".", "a..", ".a", "a..b", "a b", "a/b", "é", "a:1", "[::1]", "*.a", &label,
        ] {
            assert!(
                matches!(HostName::new(bad), Err(Error::BadName(_))),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn what_looks_like_an_address_is_refused() {
        for bad in ["10.0.0.300", "10.0.0.1", "1", "10.0.0.1."] {
            let why = "it ends in a number, as an ip address does";
            assert_eq!(HostName::new(bad), Err(Error::BadName(why)));
        }
    }

    #[test]
    fn names_end_at_253_bytes_and_labels_at_63() {
        let labels = |last: usize| [63, 63, 63, last].map(|n| "x".repeat(n)).join(".");
        let longest: String = labels(61);
        assert_eq!(longest.len(), 253);
        assert!(HostName::new(&longest).is_ok());
        assert!(HostName::new(&labels(62)).is_err());
    }
}
