//! Passive health checks: endpoints that fail again and again are left out for a while.
//!
//! Envoy's outlier detection as far as it means something for TCP
//! (<https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier>): a failure is an endpoint that could not
//! be connected, TLS included. One that is left out counts as ill, so it is still tried when there is nothing better.
//! Only endpoints that have failed lately are remembered. Time is in ticks of the caller.

use std::collections::BTreeMap;

use plan::{Address, OutlierDetection};

use crate::engine::ticks;

/// The endpoints of one cluster that have failed.
#[derive(Debug, Default)]
pub(crate) struct Outliers(BTreeMap<Address, Outlier>);

#[derive(Debug, Default)]
struct Outlier {
    /// In a row.
    failures: u32,
    /// How often it was left out lately.
    ejections: u32,
    /// Left out until this tick.
    until: Option<u32>,
    /// The tick of its last return.
    returned: u32,
}

impl Outliers {
    /// Whether there is nothing against any endpoint.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an endpoint is left out.
    pub(crate) fn is_ejected(&self, target: &Address) -> bool {
        self.0.get(target).is_some_and(|it| it.until.is_some())
    }

    /// Notes a failure. The tick until which the endpoint, one of `targets`, is left out from now on, if it is.
    pub(crate) fn failed(
        &mut self,
        target: &Address,
        targets: usize,
        rules: &OutlierDetection,
        now: u32,
        chance: impl FnOnce(u32) -> u32,
    ) -> Option<u32> {
        let out = self.0.values().filter(|it| it.until.is_some()).count();
        let outlier = self.0.entry(target.clone()).or_default();
        if outlier.until.is_some() {
            return None;
        }
        outlier.failures = outlier.failures.saturating_add(1);
        if rules.consecutive_5xx == 0 || outlier.failures < rules.consecutive_5xx {
            return None;
        }
        outlier.failures = 0;
        let most = usize::try_from(rules.max_ejection_percent).unwrap_or(100);
        let fits = most > 0 && (out == 0 || (out + 1) * 100 <= most * targets);
        if !fits || chance(100) >= rules.enforcing_consecutive_5xx {
            return None;
        }
        let good = now.saturating_sub(outlier.returned) / ticks(rules.interval).max(1);
        outlier.ejections = outlier.ejections.saturating_sub(good).saturating_add(1);
        let time = rules.base_ejection_time.saturating_mul(outlier.ejections);
        let until = now.saturating_add(ticks(time.min(rules.max_ejection_time)).max(1));
        outlier.until = Some(until);
        Some(until)
    }

    /// Notes that an endpoint could be connected.
    pub(crate) fn succeeded(&mut self, target: &Address) {
        if let Some(outlier) = self.0.get_mut(target) {
            outlier.failures = 0;
        }
    }

    /// The endpoints whose time is over, which are left out no more.
    pub(crate) fn returned(&mut self, now: u32) -> Vec<Address> {
        let mut returned = Vec::new();
        for (target, outlier) in &mut self.0 {
            if outlier.until.is_some_and(|until| until <= now) {
                outlier.until = None;
                outlier.returned = now;
                returned.push(target.clone());
            }
        }
        returned
    }

    /// The tick at which the next endpoint returns.
    pub(crate) fn next_return(&self) -> Option<u32> {
        self.0.values().filter_map(|outlier| outlier.until).min()
    }

    /// Forgets all endpoints but these.
    pub(crate) fn retain(&mut self, stays: impl Fn(&Address) -> bool) {
        self.0.retain(|target, _| stays(target));
    }
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Duration};

    use super::*;

    fn target(number: u8) -> Address {
        Address::Inet(SocketAddr::from(([10, 0, 0, number], 1)))
    }

    fn rules() -> OutlierDetection {
        OutlierDetection {
            consecutive_5xx: 3,
            interval: Duration::from_millis(320),
            base_ejection_time: Duration::from_secs(1),
            max_ejection_time: Duration::from_millis(2500),
            max_ejection_percent: 50,
            enforcing_consecutive_5xx: 100,
        }
    }

    /// Three failures: until when the endpoint is left out.
    fn thrice(
        outliers: &mut Outliers,
        number: u8,
        now: u32,
        rules: &OutlierDetection,
    ) -> Option<u32> {
        let mut fail = || outliers.failed(&target(number), 4, rules, now, |_| 99);
        assert_eq!((fail(), fail()), (None, None));
        fail()
    }

    #[test]
    fn failures_in_a_row_leave_an_endpoint_out_for_a_time_that_grows_and_shrinks() {
        let (mut outliers, rules) = (Outliers::default(), rules());
        let mut fail = |now| outliers.failed(&target(1), 4, &rules, now, |_| 99);
        assert_eq!((fail(0), fail(0)), (None, None));
        outliers.succeeded(&target(1));
        // 1 s is 31.25 ticks of 32 ms.
        assert_eq!(thrice(&mut outliers, 1, 100, &rules), Some(132));
        assert!(outliers.is_ejected(&target(1)));
        assert_eq!(outliers.next_return(), Some(132));
        assert_eq!(outliers.returned(131), []);
        assert_eq!(outliers.returned(132), [target(1)]);
        assert!(!outliers.is_ejected(&target(1)));
        // At once again: twice the time, then the longest.
        assert_eq!(thrice(&mut outliers, 1, 132, &rules), Some(132 + 63));
        outliers.returned(195);
        assert_eq!(thrice(&mut outliers, 1, 195, &rules), Some(195 + 79));
        outliers.returned(274);
        // Two good intervals of ten ticks: 4 - 2 times the base.
        assert_eq!(thrice(&mut outliers, 1, 294, &rules), Some(294 + 63));
    }

    #[test]
    fn no_more_are_left_out_than_may_be_but_one_always_may() {
        let mut outliers = Outliers::default();
        assert!(thrice(&mut outliers, 1, 0, &rules()).is_some());
        assert!(thrice(&mut outliers, 2, 0, &rules()).is_some());
        assert!(
            thrice(&mut outliers, 3, 0, &rules()).is_none(),
            "half of four"
        );
        let (mut outliers, mut rules) = (Outliers::default(), rules());
        rules.max_ejection_percent = 1;
        assert!(thrice(&mut outliers, 1, 0, &rules).is_some());
        assert!(thrice(&mut outliers, 2, 0, &rules).is_none());
        rules.max_ejection_percent = 0;
        assert!(thrice(&mut Outliers::default(), 1, 0, &rules).is_none());
    }

    #[test]
    fn it_can_be_switched_off_and_forgets_who_is_gone() {
        let (mut outliers, mut rules) = (Outliers::default(), rules());
        rules.enforcing_consecutive_5xx = 99;
        assert!(thrice(&mut outliers, 1, 0, &rules).is_none());
        rules.consecutive_5xx = 0;
        assert!(thrice(&mut outliers, 1, 0, &rules).is_none());
        outliers.retain(|_| false);
        assert!(outliers.is_empty());
    }
}
