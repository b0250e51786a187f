//! How often flash may be written.
//!
//! Flash wears by being written, and what makes a Plan change may flap. So changes are gathered: at most one write in
//! [`MIN_INTERVAL`], and in the long run one in [`REFILL`]; a node that was quiet may write up to [`BURST`] times before the
//! second rule holds. What is gathered is only that something changed: a write always takes what is true then.

use std::time::Duration;

/// From one write to the next, at least.
pub const MIN_INTERVAL: Duration = Duration::from_secs(60);

/// From one write to the next in the long run: ten an hour.
pub const REFILL: Duration = Duration::from_secs(360);

/// Writes that a quiet time leaves to be spent at [`MIN_INTERVAL`].
const BURST: u32 = 10;

/// When the next write may be. Time is given as what has passed since any fixed moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Budget {
    /// When the last write was.
    last: Option<Duration>,
    /// When the allowance is whole again. Each write puts it off by [`REFILL`].
    whole_at: Duration,
}

impl Budget {
    /// When the next write may be: now, or later.
    #[must_use]
    pub fn next(&self, now: Duration) -> Duration {
        let after_last = self.last.map_or(now, |last| last + MIN_INTERVAL);
        let allowance = self.whole_at.saturating_sub(REFILL * (BURST - 1));
        now.max(after_last).max(allowance)
    }

    /// A write was made.
    pub fn spend(&mut self, now: Duration) {
        self.last = Some(now);
        self.whole_at = self.whole_at.max(now) + REFILL;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Writes as often as it may, and gives the times.
    fn writes_within(end: Duration) -> Vec<Duration> {
        let mut budget = Budget::default();
        let (mut now, mut times) = (Duration::ZERO, Vec::new());
        while now <= end {
            times.push(now);
            budget.spend(now);
            assert!(budget.next(now) > now);
            now = budget.next(now);
        }
        times
    }

    #[test]
    fn the_first_is_at_once_then_one_a_minute_then_ten_an_hour() {
        let times = writes_within(Duration::from_secs(24 * 3600));
        assert_eq!(times[1] - times[0], MIN_INTERVAL);
        let apart: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(apart.iter().all(|apart| *apart >= MIN_INTERVAL));
        assert!(apart[30..].iter().all(|apart| *apart == REFILL));
        // 240 a day, and what the quiet time before left.
        assert!(times.len() <= 240 + 10 + 1, "{}", times.len());
    }

    #[test]
    fn a_quiet_hour_gives_the_burst_back() {
        let mut budget = Budget::default();
        for _ in 0..30 {
            let now = budget.next(Duration::ZERO);
            budget.spend(now);
        }
        let quiet = budget.next(Duration::ZERO) + Duration::from_secs(3600);
        assert_eq!(budget.next(quiet), quiet);
        budget.spend(quiet);
        assert_eq!(budget.next(quiet), quiet + MIN_INTERVAL);
    }

    proptest! {
        #[test]
        fn no_hour_has_more_than_twenty(asks in prop::collection::vec(0_u64..400, 0..400)) {
            let (mut budget, mut now, mut times) = (Budget::default(), Duration::ZERO, Vec::new());
            for ask in asks {
                now += Duration::from_secs(ask);
                if budget.next(now) == now {
                    budget.spend(now);
                    times.push(now);
                }
            }
            for (at, start) in times.iter().enumerate() {
                let hour = times[at..].iter().take_while(|time| **time < *start + Duration::from_secs(3600));
                prop_assert!(hour.count() <= 20);
            }
        }
    }
}
