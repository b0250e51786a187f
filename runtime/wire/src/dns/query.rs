//! One question: what are the addresses of this host, in this family?

use super::answer::{self, Answer};
use super::name::{MAX_NAME_BYTES, Name};
use super::{Error, HostName};
use heapless::Vec;

/// Which addresses to ask for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Family {
    /// IPv4, an A record.
    V4,

    /// IPv6, an AAAA record (RFC 3596).
    V6,
}

/// Whether the query says that it takes responses longer than 512 bytes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Edns {
    /// It says so; the normal case.
    Offered,

    /// It does not, for a server that answered [`Error::ServerFailure`] with code 1 (RFC 6891 section 7).
    Omitted,
}

/// A question that was or will be sent, kept until its response has been read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Query {
    pub(super) id: u16,
    pub(super) name: Name,
    pub(super) family: Family,
}

impl Query {
    /// A question for the addresses of `host`. `id` should be hard to guess, and the port it is sent from too.
    pub fn new(id: u16, host: &HostName, family: Family) -> Self {
        Self {
            id,
            name: Name::from(host),
            family,
        }
    }

    /// The message to send over UDP, or over TCP with its length in two bytes before it.
    pub fn message(&self, edns: Edns) -> Vec<u8, MAX_QUERY_BYTES> {
        let additional = match edns {
            Edns::Offered => 1,
            Edns::Omitted => 0,
        };
        let mut message = Vec::new();
        let mut put = |bytes: &[u8]| {
            let fits = message.extend_from_slice(bytes);
            debug_assert!(fits.is_ok(), "MAX_QUERY_BYTES is the sum of what is put");
        };

        put(&self.id.to_be_bytes());
        // Recursion desired; one question, no answers, no authorities.
        put(&[1, 0, 0, 1, 0, 0, 0, 0, 0, additional]);
        put(self.name.as_bytes());
        put(&self.family.record_type().to_be_bytes());
        put(&CLASS_IN.to_be_bytes());
        if edns == Edns::Offered {
            // The root name, the type, then in place of the class what we take; no flags, no options.
            put(&[0]);
            put(&TYPE_OPT.to_be_bytes());
            put(&MAX_UDP_RESPONSE_BYTES.to_be_bytes());
            put(&[0; 6]);
        }
        message
    }

    /// Reads a response: a datagram, or what a TCP stream carries after the length.
    ///
    /// # Errors
    ///
    /// [`Error::Stray`] when it is not the response to this query; else why it holds no address.
    pub fn read(&self, response: &[u8]) -> Result<Answer, Error> {
        answer::read(self, response)
    }
}

impl Family {
    pub(super) fn record_type(self) -> u16 {
        match self {
            Self::V4 => 1,
            Self::V6 => 28,
        }
    }
}

/// The longest query, in bytes: the header, the longest name with type and class, and the EDNS record.
pub const MAX_QUERY_BYTES: usize = 12 + MAX_NAME_BYTES + 4 + 11;

/// The longest response over UDP that a query with EDNS asks for, in bytes.
///
/// It passes every IPv6 path without fragments: 1280 bytes less the headers of IPv6 and UDP.
pub const MAX_UDP_RESPONSE_BYTES: u16 = 1232;

pub(super) const CLASS_IN: u16 = 1;
const TYPE_OPT: u16 = 41;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_laid_out_as_the_rfcs_say() {
        let host = HostName::new("Gw.dc2").unwrap();
        let plain = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x02gw\x03dc2\0\0\x01\0\x01";
        let query = Query::new(0x1234, &host, Family::V4);
        assert_eq!(query.message(Edns::Omitted), plain);

        let offered = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\x01\x02gw\x03dc2\0\0\x1c\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\0";
        let query = Query::new(0x1234, &host, Family::V6);
        assert_eq!(query.message(Edns::Offered), offered);
    }

    #[test]
    fn the_longest_name_fills_the_buffer() {
        let host = HostName::new(&[63, 63, 63, 61].map(|n| "x".repeat(n)).join(".")).unwrap();
        let query = Query::new(1, &host, Family::V6);
        assert_eq!(query.message(Edns::Offered).len(), MAX_QUERY_BYTES);
    }
}
