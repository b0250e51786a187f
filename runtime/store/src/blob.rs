//! One blob: a header that tells what it is and whether it is whole, then a packed value.
//!
//! ```text
//! byte  0  magic, 8 bytes          16  generation, u64
//!       8  kind, u8                24  learned, seconds since 1970, u64; 0 is unknown
//!       9  0                       32  checksum of all the other bytes, u64
//!      10  version, u16            40  length of the source's name, u16, and the name
//!      12  bytes after byte 40,        length of the value unpacked, u32
//!          u32                         the value: postcard, packed
//! ```
//!
//! Numbers are little-endian. The first 40 bytes are the same in all versions, so that any lictor can tell a newer blob from a
//! broken one. The value is in postcard's format (<https://postcard.jamesmunns.com/wire-format>), which does not describe
//! itself: another field anywhere in it needs another version.

use std::fmt;

use postcard::ser_flavors::Flavor;
use zeroize::Zeroizing;

use crate::{
    checksum::checksum,
    contents::Content,
    error::Error,
    pack::{pack, unpack},
};

/// What every blob begins with. The first byte is no text, the last shows a transfer that changes line ends.
pub const MAGIC: [u8; 8] = *b"\x89lictor\n";

/// The version that is written, and the newest that is read.
pub const VERSION: u16 = 1;

/// The largest blob that is read, in bytes: that of some 50,000 services.
pub const MAX_BLOB_BYTES: usize = 4 << 20;

/// What a blob says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Grows with each write to the same slots; of two blobs the greater one is newer.
    pub generation: u64,
    /// When the value was learned, by the clock of then, in seconds since 1970; 0 where that clock was never set.
    pub learned: u64,
    /// Where from: the files, or the address of Consul. At most 64 KiB are kept.
    pub source: String,
}

/// Why bytes are no blob to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// There are none.
    Empty,
    /// They do not begin as a blob does.
    NotABlob,
    /// It is a blob of another kind.
    OtherKind,
    /// It ends early or late, or a bit of it is wrong.
    Broken,
    /// It is whole, and of this newer version.
    Newer(u16),
    /// It is whole, and its value is not one of this version. A defect of whoever wrote it.
    Value,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::NotABlob => f.write_str("is not a blob of lictor"),
            Self::OtherKind => f.write_str("is a blob of another kind"),
            Self::Broken => f.write_str("is cut off or damaged: its checksum is wrong"),
            Self::Newer(version) => write!(
                f,
                "is of version {version}, written by a newer lictor; this one reads up to {VERSION}"
            ),
            Self::Value => f.write_str("is whole, but its content cannot be read"),
        }
    }
}

impl std::error::Error for Flaw {}

/// Makes a blob. Its bytes are wiped when they are dropped, as they may be keys.
///
/// # Errors
///
/// It would be larger than [`MAX_BLOB_BYTES`].
pub fn seal<T: Content>(meta: &Meta, content: &T) -> Result<Zeroizing<Vec<u8>>, Error> {
    let value = postcard::serialize_with_flavor(content, Value::default());
    let value = value.map_err(|_| Error::Bug("not serializable"))?;
    let length = u32::try_from(value.len()).map_err(|_| Error::TooLarge)?;
    let packed = Zeroizing::new(pack(&value));
    let source = meta.source.as_bytes();
    let source = source.get(..MAX_SOURCE_BYTES).unwrap_or(source);
    let source_length = u16::try_from(source.len()).unwrap_or(u16::MAX);
    let after = SOURCE_LENGTH + source.len() + VALUE_LENGTH + packed.len();
    if HEADER_BYTES + after > MAX_BLOB_BYTES {
        return Err(Error::TooLarge);
    }
    let mut blob = Zeroizing::new(Vec::with_capacity(HEADER_BYTES + after));
    blob.extend_from_slice(&MAGIC);
    blob.extend_from_slice(&[T::KIND, 0]);
    blob.extend_from_slice(&VERSION.to_le_bytes());
    blob.extend_from_slice(&u32::try_from(after).unwrap_or(u32::MAX).to_le_bytes());
    blob.extend_from_slice(&meta.generation.to_le_bytes());
    blob.extend_from_slice(&meta.learned.to_le_bytes());
    let tail = [
        &source_length.to_le_bytes()[..],
        source,
        &length.to_le_bytes(),
        &packed,
    ];
    let [first, second, third, fourth] = tail;
    let checksum = checksum(&[&blob, first, second, third, fourth]);
    blob.extend_from_slice(&checksum.to_le_bytes());
    for piece in tail {
        blob.extend_from_slice(piece);
    }
    Ok(blob)
}

/// Which kind of blob these bytes begin as: a [`Content::KIND`].
#[must_use]
pub fn kind(blob: &[u8]) -> Option<u8> {
    match blob.split_first_chunk()? {
        (&MAGIC, [kind, ..]) => Some(*kind),
        _ => None,
    }
}

/// Reads a blob.
///
/// # Errors
///
/// A [`Flaw`] says why not.
pub fn open<T: Content>(blob: &[u8]) -> Result<(Meta, T), Flaw> {
    let whole = Whole::check(blob, T::KIND)?;
    let value = Zeroizing::new(unpack(whole.packed, whole.length).ok_or(Flaw::Value)?);
    match postcard::take_from_bytes(&value) {
        Ok((content, [])) => Ok((whole.meta, content)),
        _ => Err(Flaw::Value),
    }
}

/// A value in postcard's format; it may be a key. Postcard's own vector comes with a feature that names crates which are not
/// wanted here.
#[derive(Default)]
struct Value(Zeroizing<Vec<u8>>);

impl Flavor for Value {
    type Output = Zeroizing<Vec<u8>>;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Self::Output> {
        Ok(self.0)
    }
}

/// A blob whose checksum is right.
#[derive(Debug)]
pub(crate) struct Whole<'a> {
    pub(crate) meta: Meta,
    /// How long the value is unpacked.
    length: usize,
    packed: &'a [u8],
}

impl<'a> Whole<'a> {
    pub(crate) fn check(blob: &'a [u8], kind: u8) -> Result<Self, Flaw> {
        if blob.is_empty() {
            return Err(Flaw::Empty);
        }
        let mut rest = blob;
        if take(&mut rest).ok_or(Flaw::NotABlob)? != MAGIC {
            return Err(Flaw::NotABlob);
        }
        Self::after_magic(blob, rest, kind).ok_or(Flaw::Broken)?
    }

    /// `None` if it ends early.
    fn after_magic(blob: &[u8], mut rest: &'a [u8], kind: u8) -> Option<Result<Self, Flaw>> {
        let [kind_found, _] = take(&mut rest)?;
        let version = u16::from_le_bytes(take(&mut rest)?);
        let after = usize::try_from(u32::from_le_bytes(take(&mut rest)?)).ok()?;
        let generation = u64::from_le_bytes(take(&mut rest)?);
        let learned = u64::from_le_bytes(take(&mut rest)?);
        let sum = u64::from_le_bytes(take(&mut rest)?);
        let summed = blob.get(..HEADER_BYTES - CHECKSUM)?;
        if rest.len() != after || checksum(&[summed, rest]) != sum {
            return None;
        }
        // Whole, so what stands there was meant.
        if kind_found != kind {
            return Some(Err(Flaw::OtherKind));
        }
        if version > VERSION {
            return Some(Err(Flaw::Newer(version)));
        }
        let source_length = usize::from(u16::from_le_bytes(take(&mut rest)?));
        let source = rest.split_off(..source_length)?;
        let length = usize::try_from(u32::from_le_bytes(take(&mut rest)?)).ok()?;
        Some(Ok(Self {
            meta: Meta {
                generation,
                learned,
                source: String::from_utf8_lossy(source).into_owned(),
            },
            length,
            packed: rest,
        }))
    }

    /// Whether both hold the same value, learned from the same place.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        self.meta.source == other.meta.source && self.packed == other.packed
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

const HEADER_BYTES: usize = 40;
const CHECKSUM: usize = 8;
const SOURCE_LENGTH: usize = 2;
const VALUE_LENGTH: usize = 4;
/// What its length has room for.
const MAX_SOURCE_BYTES: usize = 0xffff;
