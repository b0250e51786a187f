//! Names as they stand in a message: labels with lengths, and pointers to labels before them (RFC 1035 section 4.1.4).
//!
//! Names from a response are compared and followed, never shown, so they are kept in this form: any byte may be in a
//! label, and no two names look the same. A pointer must lead to bytes before the labels it ends, so reading comes to
//! an end; compressors have no reason to do otherwise, as RFC 1035 speaks of a prior occurrence.

use super::{Error, HostName};
use heapless::Vec;

/// A name in lower case, uncompressed, with the empty label at its end.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Name(Vec<u8, MAX_NAME_BYTES, u8>);

impl Name {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads the name at `at`. Gives it and the place behind it.
    pub(super) fn read(message: &[u8], at: usize) -> Result<(Self, usize), Error> {
        let mut name = Self::default();
        let mut run_start = at;
        let mut at = at;
        let mut behind = None;
        let mut pointers = 0_u8;
        loop {
            let length = *message.get(at).ok_or(CUT_OFF)?;
            match length {
                0 => {
                    name.push(&[0])?;
                    return Ok((name, behind.unwrap_or(at.saturating_add(1))));
                }
                1..=MAX_LABEL => {
                    let end = at.saturating_add(usize::from(length)).saturating_add(1);
                    name.push(message.get(at..end).ok_or(CUT_OFF)?)?;
                    at = end;
                }
                POINTER.. => {
                    let low = *message.get(at.saturating_add(1)).ok_or(CUT_OFF)?;
                    let target = usize::from(u16::from_be_bytes([length & !POINTER, low]));
                    if target >= run_start {
                        return Err(Error::Malformed("a name points forward"));
                    }
                    pointers = pointers.saturating_add(1);
                    if pointers > MAX_POINTERS {
                        return Err(Error::Malformed("a name has more than 127 pointers"));
                    }
                    behind = behind.or(Some(at.saturating_add(2)));
                    run_start = target;
                    at = target;
                }
                _ => return Err(Error::Malformed("a label has a type that is not defined")),
            }
        }
    }

    /// Adds a label with its length, in lower case; a length is too small to be taken for a letter.
    fn push(&mut self, label: &[u8]) -> Result<(), Error> {
        let start = self.0.len();
        self.0
            .extend_from_slice(label)
            .map_err(|_| Error::Malformed("a name is longer than 255 bytes"))?;
        self.0
            .get_mut(start..)
            .unwrap_or_default()
            .make_ascii_lowercase();
        Ok(())
    }
}

impl From<&HostName> for Name {
    fn from(host: &HostName) -> Self {
        let mut name = Vec::new();
        for label in host.as_str().split('.') {
            // Neither can fail: a host name has labels of 63 bytes at most and 255 bytes in this form.
            let _ = name.push(u8::try_from(label.len()).unwrap_or_default());
            let _ = name.extend_from_slice(label.as_bytes());
        }
        let _ = name.push(0);
        Self(name)
    }
}

/// The longest name in this form (RFC 1035 section 2.3.4).
pub(super) const MAX_NAME_BYTES: usize = 255;

/// The longest label, and so the largest first byte that is a length.
const MAX_LABEL: u8 = 63;

/// The most pointers in a name: one for each label that fits. It keeps a message of nothing but pointers cheap.
const MAX_POINTERS: u8 = 127;

/// The two high bits that make a pointer.
const POINTER: u8 = 0xc0;

const CUT_OFF: Error = Error::Malformed("a name is cut off");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_followed_and_the_place_behind_is_that_of_the_first() {
        let message = b"\x03Com\0\x07example\xc0\x00\x01a\xc0\x05!";
        let (name, behind) = Name::read(message, 15).unwrap();
        assert_eq!(name.as_bytes(), b"\x01a\x07example\x03com\0");
        assert_eq!(behind, 19);
        assert_eq!(Name::read(message, 0).unwrap().1, 5);
    }

    #[test]
    fn pointers_to_themselves_or_forward_are_refused() {
        let forward = Err(Error::Malformed("a name points forward"));
        assert_eq!(Name::read(b"\xc0\x00", 0), forward);
        assert_eq!(Name::read(b"\xc0\x02\0", 0), forward);
        assert_eq!(Name::read(b"\x01a\xc0\x00", 0), forward);
        assert_eq!(Name::read(b"\0\xc0\x03\xc0\x01", 3), forward);
    }

    #[test]
    fn a_name_of_nothing_but_pointers_is_refused() {
        // A root name at 0, then at 1, 3, 5, … a pointer to the one before.
        let mut message = std::vec![0, 0xc0, 0];
        for at in 1..=127 {
            message.extend([0xc0, at * 2 - 1]);
        }
        assert!(Name::read(&message, 253).is_ok());
        assert!(Name::read(&message, 255).is_err());
    }

    #[test]
    fn names_that_are_cut_off_too_long_or_of_another_kind_are_refused() {
        for message in [&b""[..], b"\x01", b"\x01a", b"\xc0", b"\x02a\0"] {
            assert_eq!(Name::read(message, 0), Err(CUT_OFF), "{message:?}");
        }
        for first in [0x40, 0x80, 0xbf] {
            assert!(Name::read(&[first, 0, 0], 0).is_err());
        }
        let label = [b'x'; 2]
            .map(|_| [&[63][..], &[b'x'; 63]].concat())
            .concat();
        let two = |last: u8| {
            [
                &label[..],
                &label[..64],
                &[last],
                &std::vec![b'x'; usize::from(last)],
                &[0],
            ]
            .concat()
        };
        assert!(Name::read(&two(61), 0).is_ok());
        assert!(Name::read(&two(62), 0).is_err());
    }

    #[test]
    fn a_host_name_of_the_greatest_length_fits() {
        let text = [63, 63, 63, 61].map(|n| "x".repeat(n)).join(".");
        let name = Name::from(&HostName::new(&text).unwrap());
        assert_eq!(name.as_bytes().len(), MAX_NAME_BYTES);
        assert_eq!(
            Name::read(name.as_bytes(), 0),
            Ok((name.clone(), MAX_NAME_BYTES))
        );
    }
}
