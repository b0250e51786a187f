//! `service-splitter` and `service-router`: the entries of a discovery chain before its resolvers
//! (<https://developer.hashicorp.com/consul/docs/connect/config-entries/service-splitter>).
//!
//! Consul takes both for HTTP only. A splitter is honoured by connection here; a router looks into requests, which
//! nobody here reads.

use crate::fields::{At, Holds, Read, record};
use crate::scalars::{Map, Opaque};
use crate::value::Value;

record! {
    /// Shares of a service's connections.
    pub struct ServiceSplitter("service-splitter") {
        /// `service-splitter`.
        kind: Option<String>,
        /// The service.
        name: Option<String>,
        /// The service's namespace.
        namespace: Option<String>,
        /// The service's admin partition.
        partition: Option<String>,
        /// Metadata.
        meta: Map<String>,
        /// The shares; together 100.
        splits: Vec<ServiceSplit>,
    }
    known { "create_index", "modify_index" }
}

record! {
    /// One of `Splits`.
    pub struct ServiceSplit("a split") {
        /// Its share in percent.
        weight: Percent,
        /// The service; that of the splitter unless given.
        service: Option<String>,
        /// Its subset.
        service_subset: Option<String>,
        /// Its namespace.
        namespace: Option<String>,
        /// Its admin partition.
        partition: Option<String>,
    }
    known { "request_headers", "response_headers" }
}

record! {
    /// Where a service's requests go, by what is in them.
    pub struct ServiceRouter("service-router") {
        /// `service-router`.
        kind: Option<String>,
        /// The service.
        name: Option<String>,
        /// The service's namespace.
        namespace: Option<String>,
        /// The service's admin partition.
        partition: Option<String>,
        /// Metadata.
        meta: Map<String>,
        /// The routes.
        routes: Vec<Opaque>,
    }
    known { "create_index", "modify_index" }
}

/// A share in hundredths of a percent, the finest that Consul knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Percent(pub u32);

impl Read for Percent {
    const HOLDS: Holds = Holds::Scalar;

    fn read(value: &Value, at: &At<'_>) -> Option<Self> {
        let text = String::read(value, at)?;
        hundredths(&text).map(Self).or_else(|| {
            let what = format!("'{text}' is no percentage of 0 to 100, such as 12.5 or 0.01");
            at.refuse(value.span, what)
        })
    }
}

/// A decimal number of 0 to 100 in hundredths.
fn hundredths(text: &str) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let fraction: u32 = match fraction.trim_end_matches('0') {
        "" => 0,
        tenths if tenths.len() == 1 => tenths.parse::<u32>().ok()?.checked_mul(10)?,
        hundredths if hundredths.len() == 2 => hundredths.parse().ok()?,
        _ => return None,
    };
    let sum = whole.parse::<u32>().ok()?.checked_mul(100)?;
    sum.checked_add(fraction).filter(|sum| *sum <= 10_000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_share_is_read_back_and_nothing_else_is_one(share in 0..=10_000_u32, text in "[0-9.+e-]{0,6}") {
            prop_assert_eq!(hundredths(&format!("{}.{:02}", share / 100, share % 100)), Some(share));
            if let Some(read) = hundredths(&text) {
                let value: f64 = format!("0{text}").parse().unwrap_or(-1.0);
                prop_assert!((value * 100.0 - f64::from(read)).abs() < 0.001);
            }
        }
    }

    #[test]
    fn shares_are_read_to_the_hundredth() {
        for (text, expected) in [
            ("100", Some(10_000)),
            ("0", Some(0)),
            ("12.5", Some(1250)),
            ("0.01", Some(1)),
            ("33.330", Some(3333)),
            ("7.", Some(700)),
            ("100.01", None),
            ("0.001", None),
            ("-1", None),
            ("+1", None),
            ("1e1", None),
            ("99999999999", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(hundredths(text), expected, "{text}");
        }
    }
}
