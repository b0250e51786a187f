//! Reads a handshake message where it lies, across the headers of the records that carry it.
//!
//! A hello may be spread over records at any byte. Joining it first would need a second buffer as large as the hello;
//! this cursor steps over the headers instead and copies nothing. It is small and `Copy`, so a length-prefixed field is
//! simply another cursor with a nearer end. The records were checked before one is made.

use super::{RECORD_HEADER_BYTES, Refusal};

/// A run of message bytes that has a known length.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    /// The raw bytes from here on, record headers and what follows the message included.
    raw: &'a [u8],

    /// Message bytes until the next record header.
    in_record: usize,

    /// Message bytes until the end of this field.
    left: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor over the first `length` message bytes; `raw` starts at a record header.
    pub(super) fn new(raw: &'a [u8], length: usize) -> Self {
        Self {
            raw,
            in_record: 0,
            left: length,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.left
    }

    pub(super) fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// The next byte; `or` says what is wrong when there is none.
    pub(super) fn byte(&mut self, or: &'static str) -> Result<u8, Refusal> {
        self.next().ok_or(Refusal::Malformed(or))
    }

    /// The next two bytes, big-endian.
    pub(super) fn short(&mut self, or: &'static str) -> Result<u16, Refusal> {
        Ok(u16::from_be_bytes([self.byte(or)?, self.byte(or)?]))
    }

    /// A field with a one-byte length before it.
    pub(super) fn vector8(&mut self, or: &'static str) -> Result<Self, Refusal> {
        let length = self.byte(or)?;
        self.field(usize::from(length), or)
    }

    /// A field with a two-byte length before it.
    pub(super) fn vector16(&mut self, or: &'static str) -> Result<Self, Refusal> {
        let length = self.short(or)?;
        self.field(usize::from(length), or)
    }

    /// The next `length` bytes as a field of their own; this cursor moves behind them.
    pub(super) fn field(&mut self, length: usize, or: &'static str) -> Result<Self, Refusal> {
        let left = self
            .left
            .checked_sub(length)
            .ok_or(Refusal::Malformed(or))?;
        let field = Self {
            left: length,
            ..*self
        };

        let mut skip = length;
        while skip > self.in_record {
            skip = skip.saturating_sub(self.in_record);
            self.raw = self
                .raw
                .get(self.in_record..)
                .ok_or(Refusal::Malformed(or))?;
            self.enter_record().ok_or(Refusal::Malformed(or))?;
        }
        self.raw = self.raw.get(skip..).ok_or(Refusal::Malformed(or))?;
        self.in_record = self.in_record.saturating_sub(skip);
        self.left = left;
        Ok(field)
    }

    /// The rest of this field, in pieces of what lies together: most fields are one.
    pub(super) fn pieces(mut self) -> impl Iterator<Item = &'a [u8]> {
        core::iter::from_fn(move || {
            if self.left == 0 {
                return None;
            }
            if self.in_record == 0 {
                self.enter_record()?;
            }
            let together = self.left.min(self.in_record);
            let (piece, raw) = self.raw.split_at_checked(together)?;
            self.raw = raw;
            self.in_record = self.in_record.saturating_sub(together);
            self.left = self.left.saturating_sub(together);
            Some(piece)
        })
    }

    /// Steps over a record header. `None` at the end of the bytes or at an empty record, which ends every loop here.
    fn enter_record(&mut self) -> Option<()> {
        let (header, payload) = self.raw.split_at_checked(RECORD_HEADER_BYTES)?;
        let &[_, _, _, high, low] = header else {
            return None;
        };
        self.raw = payload;
        self.in_record = usize::from(u16::from_be_bytes([high, low]));
        (self.in_record > 0).then_some(())
    }
}

impl Iterator for Cursor<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let left = self.left.checked_sub(1)?;
        if self.in_record == 0 {
            self.enter_record()?;
        }
        let (&byte, raw) = self.raw.split_first()?;
        self.raw = raw;
        self.in_record = self.in_record.saturating_sub(1);
        self.left = left;
        Some(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// `abcdef` in records of 2, 1 and 3 bytes, and one byte that is not part of it.
    const RAW: &[u8] = b"\x16\x03\x01\0\x02ab\x16\x03\x01\0\x01c\x16\x03\x01\0\x03def!";

    #[test]
    fn record_headers_are_stepped_over() {
        assert_eq!(Cursor::new(RAW, 6).collect::<Vec<_>>(), b"abcdef");
    }

    #[test]
    fn every_field_ends_where_its_length_says() {
        for start in 0..=6 {
            for length in 0..=6 - start {
                let mut cursor = Cursor::new(RAW, 6);
                cursor.field(start, "").unwrap();
                let field = cursor.field(length, "").unwrap();
                assert_eq!(field.collect::<Vec<_>>(), &b"abcdef"[start..start + length]);
                let pieces: Vec<_> = field.pieces().collect();
                assert_eq!(pieces.concat(), &b"abcdef"[start..start + length]);
                assert!(pieces.iter().all(|piece| !piece.is_empty()));
                assert_eq!(cursor.collect::<Vec<_>>(), &b"abcdef"[start + length..]);
            }
        }
    }

    #[test]
    fn a_field_cannot_reach_past_the_one_that_holds_it() {
        let mut outer = Cursor::new(RAW, 4);
        assert_eq!(
            outer.field(5, "past").err(),
            Some(Refusal::Malformed("past"))
        );
        let mut inner = outer.field(3, "").unwrap();
        assert_eq!(
            inner.field(4, "past").err(),
            Some(Refusal::Malformed("past"))
        );
    }
}
