//! Reads a response: does it belong to the query, and which addresses does it give?
//!
//! Only the answer section is read. A recursive server puts the whole chain of aliases there, in any order; records of
//! other names or types in it are passed over. Authorities and additional records are not looked at, so nobody can
//! slip in an address for a name that was not asked for.

use super::name::Name;
use super::query::{CLASS_IN, Query};
use super::{Error, Family};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use heapless::Vec;

/// The addresses of a host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// One at least, as the server ordered them; those past [`MAX_ADDRESSES`] are left out.
    pub addresses: Vec<IpAddr, MAX_ADDRESSES>,

    /// For how many seconds this may be kept: the least among the addresses and the aliases that lead to them.
    pub ttl_seconds: u32,
}

/// Reads the response to `query`.
pub(super) fn read(query: &Query, response: &[u8]) -> Result<Answer, Error> {
    let mut reader = Reader {
        message: response,
        at: 0,
    };
    if reader.short()? != query.id {
        return Err(Error::Stray("another id"));
    }
    let flags = reader.short()?;
    if flags & (QR | OPCODE) != QR {
        return Err(Error::Stray("not a response to a query"));
    }
    let code = flags & RCODE;
    let questions = reader.short()?;
    let answers = reader.short()?;
    reader.short()?;
    reader.short()?;

    match questions {
        1 => {
            let name = reader.name()?;
            if name != query.name
                || reader.short()? != query.family.record_type()
                || reader.short()? != CLASS_IN
            {
                return Err(Error::Stray("another question"));
            }
        }
        // Some servers send a failure as a bare header.
        0 if code != 0 => {}
        _ => return Err(Error::Malformed("it does not repeat the question")),
    }
    match code {
        0 => {}
        3 => return Err(Error::NoSuchName),
        _ => return Err(Error::ServerFailure(u8::try_from(code).unwrap_or_default())),
    }
    if flags & TC != 0 {
        return Err(Error::Truncated);
    }
    follow(query, reader, answers)
}

/// Follows the aliases from the name that was asked for to its addresses.
fn follow(query: &Query, records: Reader<'_>, count: u16) -> Result<Answer, Error> {
    let mut owner = query.name.clone();
    let mut ttl_seconds = u32::MAX;
    // The first turn takes the name itself.
    for _ in 0..=MAX_ALIASES {
        let found = search(records, count, &owner, query.family)?;
        ttl_seconds = ttl_seconds.min(found.ttl_seconds);
        if !found.addresses.is_empty() {
            return Ok(Answer {
                addresses: found.addresses,
                ttl_seconds,
            });
        }
        owner = found.alias.ok_or(Error::NoAddress)?;
    }
    Err(Error::TooManyAliases)
}

/// What the answer section says of one name.
struct Found {
    addresses: Vec<IpAddr, MAX_ADDRESSES>,
    alias: Option<Name>,
    ttl_seconds: u32,
}

fn search(
    mut records: Reader<'_>,
    count: u16,
    owner: &Name,
    family: Family,
) -> Result<Found, Error> {
    let mut found = Found {
        addresses: Vec::new(),
        alias: None,
        ttl_seconds: u32::MAX,
    };
    for _ in 0..count {
        let record = records.record()?;
        if record.class != CLASS_IN || record.owner != *owner {
            continue;
        }
        if record.kind == family.record_type() {
            // Full: the rest is left out, as documented.
            let _ = found.addresses.push(record.address(family)?);
        } else if record.kind == TYPE_CNAME && found.alias.is_none() {
            found.alias = Some(record.alias()?);
        } else {
            continue;
        }
        found.ttl_seconds = found.ttl_seconds.min(record.ttl_seconds);
    }
    Ok(found)
}

/// One resource record (RFC 1035 section 4.1.3).
struct Record<'a> {
    owner: Name,
    kind: u16,
    class: u16,
    ttl_seconds: u32,
    data: &'a [u8],

    /// Where the data starts; a name in it may point to what lies before.
    data_at: usize,
    message: &'a [u8],
}

impl Record<'_> {
    fn address(&self, family: Family) -> Result<IpAddr, Error> {
        let wrong = Error::Malformed("an address record has another length");
        match family {
            Family::V4 => {
                let octets = <[u8; 4]>::try_from(self.data).map_err(|_| wrong)?;
                Ok(Ipv4Addr::from(octets).into())
            }
            Family::V6 => {
                let octets = <[u8; 16]>::try_from(self.data).map_err(|_| wrong)?;
                Ok(Ipv6Addr::from(octets).into())
            }
        }
    }

    fn alias(&self) -> Result<Name, Error> {
        let (name, behind) = Name::read(self.message, self.data_at)?;
        if behind != self.data_at.saturating_add(self.data.len()) {
            return Err(Error::Malformed(
                "an alias does not end where its record does",
            ));
        }
        Ok(name)
    }
}

/// A place in the message.
#[derive(Clone, Copy)]
struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let end = self.at.saturating_add(length);
        let bytes = self
            .message
            .get(self.at..end)
            .ok_or(Error::Malformed("it is cut off"))?;
        self.at = end;
        Ok(bytes)
    }

    fn short(&mut self) -> Result<u16, Error> {
        match self.bytes(2)? {
            &[high, low] => Ok(u16::from_be_bytes([high, low])),
            _ => Err(Error::Malformed("it is cut off")),
        }
    }

    fn name(&mut self) -> Result<Name, Error> {
        let (name, behind) = Name::read(self.message, self.at)?;
        self.at = behind;
        Ok(name)
    }

    fn record(&mut self) -> Result<Record<'a>, Error> {
        let owner = self.name()?;
        let kind = self.short()?;
        let class = self.short()?;
        let ttl = u32::from(self.short()?) << 16 | u32::from(self.short()?);
        let length = self.short()?;
        let data_at = self.at;
        let data = self.bytes(usize::from(length))?;
        // A value with the high bit set counts as zero (RFC 2181 section 8).
        let ttl_seconds = if ttl > MAX_TTL_SECONDS { 0 } else { ttl };
        Ok(Record {
            owner,
            kind,
            class,
            ttl_seconds,
            data,
            data_at,
            message: self.message,
        })
    }
}

/// The most addresses kept of one answer: more than a client would try within its patience.
pub const MAX_ADDRESSES: usize = 16;

/// The most aliases followed from a name to its addresses; resolvers stop between 8 and 16.
pub const MAX_ALIASES: usize = 8;

const QR: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const TC: u16 = 0x0200;
const RCODE: u16 = 0x000f;
const TYPE_CNAME: u16 = 5;
const MAX_TTL_SECONDS: u32 = 0x7fff_ffff;
