//! Bytes of the peer between two calls: a record or a message that is not whole yet.

/// Bytes of the peer that could not be used yet.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// As they came, but for what rustls has decrypted in place.
    pub(crate) wire: Vec<u8>,
    /// Whether `wire` is the beginning of one record, of which rustls knows nothing yet. Otherwise it is what rustls
    /// needs to see again, with more at the end.
    pub(crate) is_record: bool,
    /// Decrypted when there was nobody to take it.
    pub(crate) plain: Vec<u8>,
}

impl Kept {
    /// Takes from the front of `incoming` what is to be given to rustls together with `wire`: the rest of a record, so
    /// that the records behind it need not be copied, or all there is. False if that is not enough to be of use.
    pub(crate) fn join(&mut self, incoming: &mut &mut [u8]) -> bool {
        loop {
            let missing = self.missing();
            if missing == 0 {
                return true;
            }
            if incoming.is_empty() {
                return !self.is_record;
            }
            let taken = missing.min(incoming.len());
            let (joins, rest) = std::mem::take(incoming).split_at_mut(taken);
            self.wire.reserve_exact(taken);
            self.wire.extend_from_slice(joins);
            *incoming = rest;
        }
    }

    /// How many bytes to append before rustls can use it.
    fn missing(&self) -> usize {
        if !self.is_record {
            return usize::MAX;
        }
        let whole = match *self.wire.as_slice() {
            [_, _, _, high, low, ..] => match usize::from(u16::from_be_bytes([high, low])) {
                // rustls refuses it by its header.
                length if length > MAX_RECORD => 0,
                length => RECORD_HEADER + length,
            },
            // The header first: it tells the rest.
            _ => RECORD_HEADER,
        };
        whole.saturating_sub(self.wire.len())
    }
}

/// How many of the bytes, from the front, are whole records.
pub(crate) fn whole_records(bytes: &[u8]) -> usize {
    let mut whole = 0_usize;
    let mut rest = bytes;
    while let Some((&[_, _, _, high, low], behind)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some(next) = behind.get(length..) else {
            break;
        };
        whole = bytes.len() - next.len();
        rest = next;
    }
    whole
}

// RFC 8446 section 5 and RFC 5246 section 6.2: the header of a record, and its longest content when encrypted.
const RECORD_HEADER: usize = 5;
const MAX_RECORD: usize = (1 << 14) + 2048;

#[cfg(test)]
mod tests {
    use super::*;

    fn record(content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[23, 3, 3][..], &length, content].concat()
    }

    #[test]
    fn a_record_is_joined_byte_by_byte_and_no_further() {
        let bytes = [record(b"abc"), record(b"d")].concat();
        let mut kept = Kept {
            wire: vec![23],
            is_record: true,
            plain: Vec::new(),
        };
        for at in 1..7 {
            assert!(!kept.join(&mut &mut bytes.clone()[at..=at]));
        }
        let mut copy = bytes.clone();
        let mut rest = &mut copy[7..];
        assert!(kept.join(&mut rest));
        assert_eq!(kept.wire, record(b"abc"));
        assert_eq!(rest, record(b"d"));
    }

    #[test]
    fn a_message_takes_all() {
        let mut kept = Kept::default();
        let mut copy = *b"xyz";
        let mut rest = &mut copy[..];
        assert!(kept.join(&mut rest));
        assert_eq!((kept.wire.as_slice(), rest.len()), (&b"xyz"[..], 0));
    }

    #[test]
    fn a_record_too_long_is_not_waited_for() {
        let mut kept = Kept {
            wire: vec![23, 3, 3, 0xff, 0xff],
            is_record: true,
            plain: Vec::new(),
        };
        assert!(kept.join(&mut &mut [][..]));
    }

    #[test]
    fn whole_records_are_counted() {
        let two = [record(b"abc"), record(b"")].concat();
        assert_eq!(whole_records(&two), two.len());
        assert_eq!(whole_records(&two[..two.len() - 1]), 8);
        assert_eq!(whole_records(&two[..7]), 0);
        assert_eq!(whole_records(b""), 0);
    }
}
