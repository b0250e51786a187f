//! Numbers with a fraction or an exponent, as they are written.
//!
//! Nobody computes with one: a percentage is read digit by digit, and every other number is whole. As text they are exact,
//! and the code that reads and prints floating point, 23 KB with its tables, is not linked.

/// A number that is not written as a whole one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal(String);

impl Decimal {
    /// Reads digits with a point or an exponent, or whole ones that no `i64` holds.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent),
            None => (text, "0"),
        };
        let unsigned = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        (digits(whole)
            && digits(fraction)
            && !(whole.is_empty() && fraction.is_empty())
            && digits(exponent)
            && !exponent.is_empty())
        .then(|| Self(text.to_owned()))
    }

    /// The number without zeros that say nothing: 50 for 50.0.
    #[must_use]
    pub fn as_str(&self) -> &str {
        if self.0.contains('.') && !self.0.contains(['e', 'E']) {
            self.0.trim_end_matches('0').trim_end_matches('.')
        } else {
            &self.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_number_is_kept_as_written() {
        for (text, shown) in [
            ("50.0", "50"),
            ("-2.50", "-2.5"),
            ("100", "100"),
            ("99999999999999999999", "99999999999999999999"),
            (".5", ".5"),
            ("5.", "5"),
            ("1.50e+2", "1.50e+2"),
            ("+1E-7", "+1E-7"),
            ("0e34444444", "0e34444444"),
        ] {
            let read = Decimal::parse(text);
            assert_eq!(read.as_ref().map(Decimal::as_str), Some(shown), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_not() {
        for text in [
            "", ".", "-", "e5", "1e", "1e+", "1e+-2", "1.2.3", "1_0", "0x1", "nan", "inf", "--1",
            "1 ",
        ] {
            assert!(Decimal::parse(text).is_none(), "{text}");
        }
    }
}
