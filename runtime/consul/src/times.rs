//! Points in time as Consul writes them (RFC 3339).

/// Seconds since 1970 of a time such as `2026-11-26T03:56:14Z` or `2026-11-26T04:56:14.5+01:00`; `None` for what is none.
#[must_use]
pub fn seconds(text: &str) -> Option<u64> {
    let part = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        let plain = digits.bytes().all(|digit| digit.is_ascii_digit());
        digits.parse().ok().filter(|_| plain)
    };
    let between = |at: usize, byte: u8| text.as_bytes().get(at) == Some(&byte);
    let shape = between(4, b'-') && between(7, b'-') && between(13, b':') && between(16, b':');
    let (year, month, day) = (part(0..4)?, part(5..7)?, part(8..10)?);
    let (hour, minute, second) = (part(11..13)?, part(14..16)?, part(17..19)?);
    if !shape || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let zone = text.get(19..)?;
    let zone = zone.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let offset = match zone {
        "Z" | "z" => 0,
        _ => {
            let sign = match zone.as_bytes().first()? {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let two = |digits: &str| digits.parse::<u8>().ok().map(i64::from);
            sign * (two(hours)? * 60 + two(minutes)?) * 60
        }
    };
    let of_day = hour * 3600 + minute * 60 + second;
    u64::try_from(days(year, month, day) * 86_400 + of_day - offset).ok()
}

/// Days since 1970 of a date of the Gregorian calendar: years begin in March, so that a leap day is the last one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read_in_every_zone() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:00:00Z", Some(951_825_600)),
            ("2038-01-19T03:14:08Z", Some(2_147_483_648)),
            ("2026-11-26T04:56:14.123+01:00", Some(1_795_665_374)),
            ("2026-11-26T03:56:14Z", Some(1_795_665_374)),
            ("1969-12-31T23:59:59Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-11-26 03:56", None),
            ("2026-11-26T03:56:14+9223372036854775807:00", None),
            ("", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9TZ:.+-]{0,30}", any in ".*") {
            let _ = seconds(&text);
            let _ = seconds(&any);
        }
    }
}
