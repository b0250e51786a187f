//! What there is to measure of learning: for the admin endpoint.

use std::time::Duration;

use consul::Follower;

use super::Learning;
use crate::admin::Metric;

impl Learning {
    /// Tells what there is to measure.
    pub(crate) fn metrics(&self, metric: &mut Metric<'_>) {
        let Some(watches) = self.watches.get() else {
            return;
        };
        let traffic = watches.client().traffic();
        metric(
            "lictor_consul_bytes_total",
            "counter",
            "Bytes of requests to Consul and of its answers.",
            &[
                ("{direction=\"sent\"}", traffic.sent()),
                ("{direction=\"received\"}", traffic.received()),
            ],
        );
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let followers = self.proxies.iter().filter_map(|proxy| proxy.follower.get());
        let troubles = followers.map(Follower::troubles).sum();
        metric(
            "lictor_consul_watches",
            "gauge",
            "Questions to Consul that are kept answered, and how many of them have no current answer.",
            &[
                ("{state=\"all\"}", count(watches.count())),
                ("{state=\"lost\"}", count(troubles)),
            ],
        );
        let (mut changes, mut took) = (0, Duration::ZERO);
        for proxy in &self.proxies {
            let learned = proxy.learned.borrow();
            changes += learned.changes;
            took += learned.took;
        }
        metric(
            "lictor_learned_total",
            "counter",
            "Changes in Consul that were put to work.",
            &[("", changes)],
        );
        metric(
            "lictor_learned_microseconds_total",
            "counter",
            "Time from Consul's answers until these changes were in force.",
            &[("", u64::try_from(took.as_micros()).unwrap_or(u64::MAX))],
        );
        metric(
            "lictor_consul_lost_seconds",
            "gauge",
            "For how long Consul has not answered all questions; 0 while it does.",
            &[("", self.lost_for().map_or(0, |lost| lost.as_secs().max(1)))],
        );
    }
}
