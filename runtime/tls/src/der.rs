//! A reader of DER, as much of it as certificates need (X.690 sections 8 and 10).
//!
//! It only walks over what is there: no type is interpreted here but times, and nothing is allocated. Lengths must be
//! definite and as short as can be; tags of more than one byte do not occur in certificates and are refused.

/// The rest of a sequence's content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(content: &'a [u8]) -> Self {
        Self { rest: content }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next element: its tag and its content.
    pub(crate) fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], rest) = self.rest.split_first_chunk()?;
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81 => {
                let (&[length], rest) = rest.split_first_chunk()?;
                ((length > 0x7f).then_some(usize::from(length))?, rest)
            }
            0x82 => {
                let (&length, rest) = rest.split_first_chunk()?;
                let length = u16::from_be_bytes(length);
                ((length > 0xff).then_some(usize::from(length))?, rest)
            }
            // Longer than 64 KiB, or of indefinite length.
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some((tag, content))
    }

    /// The next element if it has this tag; otherwise it stays.
    pub(crate) fn optional(&mut self, tag: u8) -> Option<&'a [u8]> {
        let mut after = *self;
        let (found, content) = after.next()?;
        (found == tag).then(|| {
            *self = after;
            content
        })
    }

    /// The content of the next element, which must have this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, content) = self.next()?;
        (found == tag).then_some(content)
    }

    /// The next element, which must be a sequence.
    pub(crate) fn sequence(&mut self) -> Option<Self> {
        self.expect(SEQUENCE).map(Self::new)
    }

    /// The next element, which must be a time (RFC 5280 section 4.1.2.5), in seconds since 1970. What was before that
    /// is 0.
    pub(crate) fn time(&mut self) -> Option<u64> {
        let (tag, content) = self.next()?;
        let (year, rest) = match tag {
            UTC_TIME => {
                let (year, rest) = digits(content)?;
                (if year < 50 { 2000 + year } else { 1900 + year }, rest)
            }
            GENERALIZED_TIME => {
                let (century, rest) = digits(content)?;
                let (year, rest) = digits(rest)?;
                (century * 100 + year, rest)
            }
            _ => return None,
        };
        let (month, rest) = digits(rest)?;
        let (day, rest) = digits(rest)?;
        let (hour, rest) = digits(rest)?;
        let (minute, rest) = digits(rest)?;
        let (second, rest) = digits(rest)?;
        let sound = (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        if rest != b"Z" || !sound {
            return None;
        }
        let seconds = (days_since_1970(year, month, day) * 24 + hour) * 3600 + minute * 60 + second;
        Some(u64::try_from(seconds).unwrap_or(0))
    }
}

fn digits(text: &[u8]) -> Option<(i64, &[u8])> {
    let (&[tens, ones], rest) = text.split_first_chunk()?;
    let digit = |byte: u8| char::from(byte).to_digit(10).map(i64::from);
    Some((digit(tens)? * 10 + digit(ones)?, rest))
}

/// Days in the Gregorian calendar, counted in years that begin in March, so that the leap day is the last one.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - DAYS_FROM_YEAR_0_TO_1970
}

const DAYS_FROM_YEAR_0_TO_1970: i64 = 719_468;

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(tag: u8, text: &str) -> Option<u64> {
        let mut der = vec![tag, u8::try_from(text.len()).unwrap()];
        der.extend_from_slice(text.as_bytes());
        Reader::new(&der).time()
    }

    #[test]
    fn times_are_seconds_since_1970() {
        assert_eq!(time(UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(time(UTC_TIME, "000229120000Z"), Some(951_825_600));
        assert_eq!(time(UTC_TIME, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(
            time(GENERALIZED_TIME, "20500101000000Z"),
            Some(2_524_608_000)
        );
        assert_eq!(
            time(GENERALIZED_TIME, "99991231235959Z"),
            Some(253_402_300_799)
        );
        assert_eq!(time(UTC_TIME, "500101000000Z"), Some(0));
        for wrong in [
            "700101000000",
            "701301000000Z",
            "700001000000Z",
            "7001010000Z",
            "70010100000xZ",
        ] {
            assert_eq!(time(UTC_TIME, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn lengths_must_be_whole_definite_and_short() {
        let next = |der: &'static [u8]| Reader::new(der).next();
        assert_eq!(next(&[4, 1, 7]), Some((4, &[7][..])));
        assert_eq!(next(&[4, 2, 7]), None);
        assert_eq!(next(&[4]), None);
        assert_eq!(next(&[4, 0x80, 0, 0]), None);
        assert_eq!(next(&[4, 0x81, 1, 7]), None);
        assert_eq!(next(&[4, 0x82, 0, 1, 7]), None);
        assert_eq!(next(&[0x1f, 1, 7]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = Reader::new(&bytes).time();
            let mut reader = Reader::new(&bytes);
            while reader.next().is_some() {}
        }
    }
}
