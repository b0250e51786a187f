//! The application protocols that a client offers (RFC 7301).
//!
//! A gateway does not route by them: they name a connection in a log or an explanation (Consul's servers say
//! `consul/rpc-multi` or `consul/wan-gossip/packet`). So the list is checked whole, but only its start is kept.

use super::Refusal;
use super::cursor::Cursor;
use core::fmt;
use heapless::Vec;

/// How many bytes of offered protocols are kept, lengths included.
///
/// The longest names Consul uses are 25 bytes and come alone; browsers offer 12 bytes in all.
pub const MAX_ALPN_BYTES: usize = 128;

/// The protocols offered, most wanted first, as far as they fit into [`MAX_ALPN_BYTES`].
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Protocols {
    /// One-byte length and name, over and over; always whole names.
    kept: Vec<u8, MAX_ALPN_BYTES, u8>,

    /// How many were offered, those that did not fit included.
    offered: u16,
}

impl Protocols {
    /// The names kept, in the order offered; they are bytes, never empty, and not always text.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.kept.as_slice();
        core::iter::from_fn(move || {
            let (&length, tail) = rest.split_first()?;
            let (name, tail) = tail.split_at_checked(usize::from(length))?;
            rest = tail;
            Some(name)
        })
    }

    /// How many protocols were offered; more than [`Self::iter`] gives when some did not fit.
    pub fn offered(&self) -> u16 {
        self.offered
    }

    /// Keeps one more name if it fits and none before it was left out.
    fn push(&mut self, length: u8, name: Cursor<'_>) {
        let complete = self.iter().count() == usize::from(self.offered);
        let room = MAX_ALPN_BYTES.saturating_sub(self.kept.len());
        if complete && usize::from(length) < room {
            for byte in core::iter::once(length).chain(name) {
                // It fits: there is room for the length and as many bytes as it says.
                let _ = self.kept.push(byte);
            }
        }
        self.offered = self.offered.saturating_add(1);
    }
}

impl fmt::Debug for Protocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(<[u8]>::escape_ascii))
            .finish()
    }
}

/// Reads the content of the extension.
pub(super) fn read(mut extension: Cursor<'_>) -> Result<Protocols, Refusal> {
    let mut list = extension.vector16("the ALPN list runs past its extension")?;
    if !extension.is_empty() {
        return Err(Refusal::Malformed("bytes follow the ALPN list"));
    }
    if list.is_empty() {
        return Err(Refusal::Malformed("the ALPN list is empty"));
    }

    let mut protocols = Protocols::default();
    while !list.is_empty() {
        let length = list.byte("an ALPN name is cut off")?;
        let name = list.field(usize::from(length), "an ALPN name runs past its list")?;
        if length == 0 {
            return Err(Refusal::Malformed("an ALPN name is empty"));
        }
        protocols.push(length, name);
    }
    Ok(protocols)
}
