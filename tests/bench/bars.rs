//! What sidecars must reach: bars that are checked after the run, against the peers of the same run.
//!
//! Gateways have none: what they take is held by the budgets of `targets/`.

/// The names of figures that a bar, or more than one file, speaks of.
pub(crate) const BULK_1: &str = "bulk, 1 flow, Gbit per CPU-s";
pub(crate) const BULK_32: &str = "bulk, 32 flows, Gbit per CPU-s";
pub(crate) const FULL_PER_CPU_SECOND: &str = "new connections per CPU-s, full handshakes";
pub(crate) const RESUMED_PER_CPU_SECOND: &str =
    "new connections per CPU-s, sidecars know each other";
pub(crate) const ROUND_TRIPS: &str = "1 KiB round trips per CPU-s, 16 flows";
pub(crate) const ROUND_TRIP_P99: &str = "round trip p99, µs";
pub(crate) const PER_IDLE_FLOW: &str = "user memory per idle flow, KiB";
pub(crate) const IDLE_RSS: &str = "idle RSS with 50 upstreams, KiB";

/// What a figure of lictor's is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bar {
    /// At least so many times the best peer's.
    TimesBest(f64),
    /// At least so many times Envoy's.
    TimesEnvoy(f64),
    /// At most so many times the best peer's.
    AtMostBest(f64),
    /// At most this.
    AtMost(f64),
}

/// The bar of a figure of sidecars.
pub(crate) fn of(figure: &str) -> Option<Bar> {
    BARS.iter()
        .find_map(|(name, bar)| (*name == figure).then_some(*bar))
}

impl Bar {
    /// In a few words.
    pub(crate) fn words(self) -> String {
        match self {
            Self::TimesBest(times) => format!("≥ {times} × the best"),
            Self::TimesEnvoy(times) => format!("≥ {times} × Envoy"),
            Self::AtMostBest(times) => format!("≤ {times} × the best"),
            Self::AtMost(most) => format!("≤ {most}"),
        }
    }

    /// Whether a figure reaches it; `None` when there is nobody to be held against.
    pub(crate) fn is_met(self, ours: f64, best: Option<f64>, envoy: Option<f64>) -> Option<bool> {
        Some(match self {
            Self::TimesBest(times) => ours >= times * best?,
            Self::TimesEnvoy(times) => ours >= times * envoy?,
            Self::AtMostBest(times) => ours <= times * best?,
            Self::AtMost(most) => ours <= most,
        })
    }
}

const BARS: &[(&str, Bar)] = &[
    (BULK_1, Bar::TimesBest(1.2)),
    (BULK_32, Bar::TimesBest(1.2)),
    (FULL_PER_CPU_SECOND, Bar::TimesEnvoy(1.5)),
    (RESUMED_PER_CPU_SECOND, Bar::TimesEnvoy(3.0)),
    (ROUND_TRIPS, Bar::TimesBest(1.2)),
    // No worse, as far as a shared machine can tell.
    (ROUND_TRIP_P99, Bar::AtMostBest(1.05)),
    (PER_IDLE_FLOW, Bar::AtMost(16.0)),
    (IDLE_RSS, Bar::AtMost(4096.0)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_met_or_not_or_has_nobody_to_be_held_against() {
        let bar = of(BULK_1).expect("bulk has a bar");
        assert_eq!(bar.is_met(12.0, Some(10.0), None), Some(true));
        assert_eq!(bar.is_met(11.9, Some(10.0), None), Some(false));
        assert_eq!(bar.is_met(11.9, None, Some(1.0)), None);
        let bar = of(FULL_PER_CPU_SECOND).expect("handshakes have a bar");
        assert_eq!(bar.is_met(1.5, Some(9.0), Some(1.0)), Some(true));
        let bar = of(ROUND_TRIP_P99).expect("latency has a bar");
        assert_eq!(bar.is_met(1.06, Some(1.0), None), Some(false));
        let bar = of(PER_IDLE_FLOW).expect("memory has a bar");
        assert_eq!(bar.is_met(16.0, Some(1.0), None), Some(true));
        assert_eq!(of("threads"), None);
    }
}
