//! Durations as Go writes them (time.ParseDuration): `15s`, `1m30s`, `1.5h`, `100ms`.

use alloc::{format, string::String};
use core::time::Duration;

/// What each unit is in nanoseconds.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// A year: longer is a typing error.
const MAX_DURATION: Duration = Duration::from_secs(366 * 24 * 3600);

/// Reads a duration of zero or more.
///
/// # Errors
/// Says what is wrong with the text.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let bad = || format!("'{text}' is no duration; write one as in \"1m30s\" or \"500ms\"");
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.starts_with('-') {
        return Err(String::from("a duration cannot be negative"));
    }
    if rest.is_empty() {
        return Err(bad());
    }
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let (number, tail) = split(rest, |c| c.is_ascii_digit() || c == '.');
        let (unit, tail) = split(tail, |c| !c.is_ascii_digit() && c != '.');
        rest = tail;
        let (_, scale) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(bad)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(bad());
        }
        let count: u64 = if whole.is_empty() {
            0
        } else {
            whole.parse().map_err(|_| bad())?
        };
        // More than 64 bits hold is more than a year, too.
        sum = sum.saturating_add(Duration::from_nanos(count.saturating_mul(*scale)));
        let mut digit_value = *scale;
        for digit in fraction.chars().filter_map(|c| c.to_digit(10)) {
            digit_value /= 10;
            let part = u64::from(digit).saturating_mul(digit_value);
            sum = sum.saturating_add(Duration::from_nanos(part));
        }
    }
    if sum > MAX_DURATION {
        Err(format!("'{text}' is more than a year"))
    } else {
        Ok(sum)
    }
}

fn split(text: &str, fits: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !fits(c)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(hours in 0..8_000_u64, minutes in 0..60_u64, nanoseconds in 0..60_000_000_000_u64) {
            let (seconds, fraction) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
            let text = format!("{hours}h{minutes}m{seconds}.{fraction:09}s");
            let expected = Duration::from_secs(hours * 3600 + minutes * 60) + Duration::from_nanos(nanoseconds);
            prop_assert_eq!(parse_duration(&text), Ok(expected));
            prop_assert_eq!(parse_duration(&format!("{}ns", expected.as_nanos())), Ok(expected));
        }

        #[test]
        fn no_text_panics_or_comes_to_more_than_a_year(text in "[-+0-9.nuµmsh]{0,24}|.*") {
            if let Ok(read) = parse_duration(&text) {
                prop_assert!(read <= MAX_DURATION, "{text}");
            }
        }
    }

    #[test]
    fn what_is_too_long_is_said_to_be() {
        for text in ["9000h", "99999999999999h"] {
            let why = parse_duration(text).expect_err(text);
            assert_eq!(why, format!("'{text}' is more than a year"));
        }
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let table = [
            ("15s", 15_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("100ms", 100),
            ("0", 0),
            ("0s", 0),
            ("+2s", 2_000),
            (".5s", 500),
            ("1h1m1s1ms", 3_661_001),
        ];
        for (text, milliseconds) in table {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        assert_eq!(parse_duration("3us"), Ok(Duration::from_micros(3)));
        assert_eq!(parse_duration("1.000000001s"), Ok(Duration::new(1, 1)));
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for text in [
            "",
            "5",
            "s",
            "-1s",
            "1 s",
            "1s ",
            "1d",
            "1.2.3s",
            ".s",
            "1e3s",
            "99999999999999h",
            "9000h1h",
        ] {
            parse_duration(text).expect_err(text);
        }
    }
}
