//! What a certificate says of itself, as far as an X.509-SVID is concerned.
//!
//! Reads dates, subject alternative names, basic constraints and key usage, which webpki does not give or does not look
//! at, and holds the leaf to the rules of
//! <https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md> sections 2 to 4. It never decides whether the
//! certificate is genuine: that is the chain's part.

use std::fmt;

use plan::spiffe::{NotSpiffe, SpiffeId};

use crate::der::{self, Reader};

/// When a certificate may be used, in seconds since 1970, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: u64,
    /// The last second.
    pub not_after: u64,
}

impl Validity {
    /// Whether this is within it.
    #[must_use]
    pub fn contains(&self, now: u64) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            not_before: self.not_before.max(other.not_before),
            not_after: self.not_after.min(other.not_after),
        }
    }
}

/// The leaf of a chain, which obeys the rules.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    pub(crate) id: SpiffeId,
    pub(crate) validity: Validity,
}

impl Leaf {
    pub(crate) fn parse(certificate: &[u8]) -> Result<Self, Flaw> {
        let read = Certificate::read(certificate).ok_or(Flaw::NotACertificate)?;
        let id = match read.uris.as_slice() {
            [] => return Err(Flaw::NoUri),
            [uri] => uri,
            several => return Err(Flaw::SeveralUris(several.len())),
        };
        let id = std::str::from_utf8(id).map_err(|_| Flaw::NotSpiffe(NotSpiffe::Encoding))?;
        let id = SpiffeId::parse(id).map_err(Flaw::NotSpiffe)?;
        if read.is_authority {
            return Err(Flaw::IsAuthority);
        }
        match read.key_usage {
            usage if usage & (KEY_CERT_SIGN | CRL_SIGN) != 0 => Err(Flaw::SignsCertificates),
            usage if usage & DIGITAL_SIGNATURE == 0 => Err(Flaw::DoesNotSign),
            _ => Ok(Self {
                id,
                validity: read.validity,
            }),
        }
    }
}

/// The dates of any certificate; `None` if it cannot be read.
pub(crate) fn validity(certificate: &[u8]) -> Option<Validity> {
    Certificate::read(certificate).map(|read| read.validity)
}

/// Why a certificate cannot be the leaf of a mesh identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It is not a certificate at all, or not one of version 3.
    NotACertificate,
    /// It has no URI among its subject alternative names.
    NoUri,
    /// It has this many.
    SeveralUris(usize),
    /// Its URI is not an identity of a mesh.
    NotSpiffe(NotSpiffe),
    /// It is an authority's.
    IsAuthority,
    /// Its key may sign certificates or revocation lists.
    SignsCertificates,
    /// Its key usage does not say that it may sign a handshake.
    DoesNotSign,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotACertificate => f.write_str("is not an X.509 certificate of version 3"),
            Self::NoUri => f.write_str("has no URI SAN, so it names no mesh identity"),
            Self::SeveralUris(count) => write!(f, "has {count} URI SANs where one is allowed"),
            Self::NotSpiffe(why) => write!(f, "names no mesh identity: {why}"),
            Self::IsAuthority => f.write_str("is that of a certificate authority (CA:TRUE)"),
            Self::SignsCertificates => {
                f.write_str("has the key usage keyCertSign or cRLSign, which a leaf must not have")
            }
            Self::DoesNotSign => f.write_str("lacks the key usage digitalSignature"),
        }
    }
}

struct Certificate<'a> {
    validity: Validity,
    uris: Vec<&'a [u8]>,
    is_authority: bool,
    /// The first byte of the bits, 0 where the extension is missing.
    key_usage: u8,
}

impl<'a> Certificate<'a> {
    /// RFC 5280 section 4.1.
    fn read(certificate: &'a [u8]) -> Option<Self> {
        let mut tbs = Reader::new(certificate).sequence()?.sequence()?;
        let _version = tbs.expect(VERSION)?;
        let _serial = tbs.expect(der::INTEGER)?;
        let _algorithm = tbs.sequence()?;
        let _issuer = tbs.sequence()?;
        let mut dates = tbs.sequence()?;
        let validity = Validity {
            not_before: dates.time()?,
            not_after: dates.time()?,
        };
        let _subject = tbs.sequence()?;
        let _public_key = tbs.sequence()?;
        let _issuer_id = tbs.optional(ISSUER_UNIQUE_ID);
        let _subject_id = tbs.optional(SUBJECT_UNIQUE_ID);
        let mut read = Self {
            validity,
            uris: Vec::new(),
            is_authority: false,
            key_usage: 0,
        };
        if let Some(extensions) = tbs.optional(EXTENSIONS) {
            let mut extensions = Reader::new(extensions).sequence()?;
            while !extensions.is_empty() {
                read.extension(extensions.sequence()?)?;
            }
        }
        Some(read)
    }

    fn extension(&mut self, mut extension: Reader<'a>) -> Option<()> {
        let id = extension.expect(der::OBJECT_IDENTIFIER)?;
        let _critical = extension.optional(der::BOOLEAN);
        let mut value = Reader::new(extension.expect(der::OCTET_STRING)?);
        match id {
            SUBJECT_ALT_NAME => {
                let mut names = value.sequence()?;
                while !names.is_empty() {
                    if let (URI, uri) = names.next()? {
                        self.uris.push(uri);
                    }
                }
            }
            BASIC_CONSTRAINTS => {
                let authority = value.sequence()?.optional(der::BOOLEAN);
                self.is_authority = authority.is_some_and(|value| value != [0]);
            }
            KEY_USAGE => {
                // The first byte counts the unused bits at the end.
                let [_, bits, ..] = *value.expect(der::BIT_STRING)? else {
                    return None;
                };
                self.key_usage = bits;
            }
            _ => {}
        }
        Some(())
    }
}

// RFC 5280 section 4.1: the tags of a certificate's optional fields, and of a URI in GeneralName.
const VERSION: u8 = 0xa0;
const ISSUER_UNIQUE_ID: u8 = 0x81;
const SUBJECT_UNIQUE_ID: u8 = 0x82;
const EXTENSIONS: u8 = 0xa3;
const URI: u8 = 0x86;

// RFC 5280 section 4.2.1: id-ce 15, 17 and 19, and the bits of KeyUsage.
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
const DIGITAL_SIGNATURE: u8 = 0x80;
const KEY_CERT_SIGN: u8 = 0x04;
const CRL_SIGN: u8 = 0x02;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Leaf::parse(&bytes);
        }
    }
}
