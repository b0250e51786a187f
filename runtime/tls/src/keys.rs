//! The keys of one direction: they make records of plaintext and plaintext of records, where these lie.
//!
//! Nothing is allocated and nothing is copied for a record: [`Key::seal`] wants room for header and tag around the
//! plaintext, and [`Key::open`] may move what it opens towards the front, so that the contents of records become one
//! run of bytes. Formats: RFC 8446 section 5.2, RFC 5288 section 3 and RFC 7905 section 2.

use std::fmt;

use ring::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::{AlertDescription, ConnectionTrafficSecrets, ProtocolVersion};

use crate::error::Error;

/// The keys of one direction, and the number of its next record.
pub(crate) struct Key {
    aead: LessSafeKey,
    iv: [u8; aead::NONCE_LEN],
    sequence: u64,
    format: Format,
    /// For the kernel, should it take over.
    #[cfg(feature = "ktls")]
    pub(crate) secrets: ConnectionTrafficSecrets,
}

/// What a record looks like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Tls13,
    Tls12Gcm,
    Tls12ChaCha,
}

impl Format {
    /// Bytes of a record before its plaintext.
    pub(crate) fn before(self) -> usize {
        match self {
            Self::Tls12Gcm => HEADER_BYTES + EXPLICIT_NONCE_BYTES,
            Self::Tls13 | Self::Tls12ChaCha => HEADER_BYTES,
        }
    }

    /// Bytes of a record behind its plaintext.
    pub(crate) fn behind(self) -> usize {
        TAG_BYTES + usize::from(self == Self::Tls13)
    }

    /// The longest record that may come, without its header.
    pub(crate) fn longest(self) -> usize {
        match self {
            Self::Tls13 => PLAINTEXT_BYTES + 256,
            Self::Tls12Gcm | Self::Tls12ChaCha => MAX_RECORD_BYTES,
        }
    }
}

impl Key {
    /// Takes over from the record of this number.
    pub(crate) fn new(
        version: ProtocolVersion,
        (sequence, secrets): (u64, ConnectionTrafficSecrets),
    ) -> Result<Self, Error> {
        let (algorithm, key, iv) = match &secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&aead::AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&aead::AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                (&aead::CHACHA20_POLY1305, key, iv)
            }
            _ => return Err(Error::Bug("a cipher that no suite here has")),
        };
        let format = match version {
            ProtocolVersion::TLSv1_3 => Format::Tls13,
            _ if *algorithm == aead::CHACHA20_POLY1305 => Format::Tls12ChaCha,
            _ => Format::Tls12Gcm,
        };
        let unfit = |_| Error::Bug("a key that does not fit its cipher");
        let key = UnboundKey::new(algorithm, key.as_ref()).map_err(unfit)?;
        let mut own = [0; aead::NONCE_LEN];
        own.iter_mut()
            .zip(iv.as_ref())
            .for_each(|(to, from)| *to = *from);
        Ok(Self {
            aead: LessSafeKey::new(key),
            iv: own,
            sequence,
            format,
            #[cfg(feature = "ktls")]
            secrets,
        })
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// How many records these keys have made, or opened.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Makes a record of this kind of what lies in `record`, with room around it as [`Format`] says. `None` without that
    /// room, or when there are no numbers left.
    pub(crate) fn seal(&mut self, kind: u8, record: &mut [u8]) -> Option<()> {
        let nonce = self.nonce();
        let (header, rest) = record.split_first_chunk_mut()?;
        let (outside, body) = rest.split_at_mut_checked(self.format.before() - HEADER_BYTES)?;
        let (inside, tag) = body.split_last_chunk_mut::<TAG_BYTES>()?;
        let length = outside.len() + inside.len() + TAG_BYTES;
        let [high, low] = u16::try_from(length).ok()?.to_be_bytes();
        *header = [kind, MAJOR, MINOR, high, low];
        if self.format == Format::Tls13 {
            *header = [DATA, MAJOR, MINOR, high, low];
            *inside.last_mut()? = kind;
        }
        outside
            .iter_mut()
            .zip(nonce.get(SALT_BYTES..)?)
            .for_each(|(to, from)| *to = *from);
        let (aad, used) = self.aad(*header, inside.len());
        let aad = Aad::from(aad.get(..used)?);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let made = self.aead.seal_in_place_separate_tag(nonce, aad, inside);
        tag.copy_from_slice(made.ok()?.as_ref());
        self.sequence = self.sequence.checked_add(1)?;
        Some(())
    }

    /// Opens the record of this header, whose rest begins at `at` and is the end of `bytes`. Its plaintext is moved to the front of
    /// `bytes`; what it is, and how long, is returned.
    ///
    /// # Errors
    ///
    /// The alert that is due.
    pub(crate) fn open(
        &mut self,
        header: [u8; HEADER_BYTES],
        bytes: &mut [u8],
        at: usize,
    ) -> Result<(u8, usize), AlertDescription> {
        const BROKEN: AlertDescription = AlertDescription::BadRecordMac;
        let mut nonce = self.nonce();
        let outside = self.format.before() - HEADER_BYTES;
        let begin = at + outside;
        if self.format == Format::Tls12Gcm {
            let explicit = bytes.get(at..begin).ok_or(BROKEN)?;
            let to = nonce.get_mut(SALT_BYTES..).unwrap_or_default();
            to.iter_mut()
                .zip(explicit)
                .for_each(|(to, from)| *to = *from);
        }
        let length = bytes.len().checked_sub(begin + TAG_BYTES).ok_or(BROKEN)?;
        let (aad, used) = self.aad(header, length);
        let aad = Aad::from(aad.get(..used).unwrap_or_default());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = self.aead.open_within(nonce, aad, bytes, begin..);
        let plain: &[u8] = opened.map_err(|_| BROKEN)?;
        self.sequence = self.sequence.checked_add(1).ok_or(BROKEN)?;
        let is_tls13 = self.format == Format::Tls13;
        if plain.len() > PLAINTEXT_BYTES + usize::from(is_tls13) {
            return Err(AlertDescription::RecordOverflow);
        }
        let [kind, ..] = header;
        if !is_tls13 {
            return Ok((kind, plain.len()));
        }
        // The kind stands behind the plaintext, and zeros may follow (RFC 8446 section 5.4).
        let end = plain.iter().rposition(|&byte| byte != 0);
        let end = end.ok_or(AlertDescription::UnexpectedMessage)?;
        Ok((plain.get(end).copied().unwrap_or_default(), end))
    }

    fn nonce(&self) -> [u8; aead::NONCE_LEN] {
        let mut nonce = self.iv;
        let counted = nonce.iter_mut().skip(SALT_BYTES);
        counted
            .zip(self.sequence.to_be_bytes())
            .for_each(|(to, from)| *to ^= from);
        nonce
    }

    /// What is authenticated besides the plaintext, which is so long: the header; in TLS 1.2 the number of the record before it,
    /// and in it the length of the plaintext.
    fn aad(&self, header: [u8; HEADER_BYTES], length: usize) -> ([u8; 13], usize) {
        let mut aad = [0; 13];
        if self.format == Format::Tls13 {
            aad.iter_mut().zip(header).for_each(|(to, from)| *to = from);
            return (aad, HEADER_BYTES);
        }
        let [kind, major, minor, ..] = header;
        let [.., high, low] = length.to_be_bytes();
        let parts = self
            .sequence
            .to_be_bytes()
            .into_iter()
            .chain([kind, major, minor, high, low]);
        aad.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        (aad, 13)
    }
}

impl fmt::Debug for Key {
    /// Secrets, so nothing of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.sequence).finish()
    }
}

// RFC 8446 section 5.1 and appendix B.1.
pub(crate) const HEADER_BYTES: usize = 5;
pub(crate) const PLAINTEXT_BYTES: usize = 1 << 14;
/// The longest record of any version, without its header (RFC 5246 section 6.2.3).
pub(crate) const MAX_RECORD_BYTES: usize = PLAINTEXT_BYTES + 2048;
pub(crate) const MAJOR: u8 = 3;
const MINOR: u8 = 3;
pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const DATA: u8 = 23;

/// All three ciphers have this one.
const TAG_BYTES: usize = 16;

// RFC 5288 section 3: the part of a nonce that is secret, and the one that is sent.
const SALT_BYTES: usize = 4;
const EXPLICIT_NONCE_BYTES: usize = 8;
