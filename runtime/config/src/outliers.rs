//! Passive health checks of an upstream, from Consul's words to Envoy's.

use plan::OutlierDetection;

use crate::service::PassiveHealthCheck;

/// What is not given, or 0 where 0 says nothing, is Envoy's default.
pub(crate) fn outlier_detection(given: &PassiveHealthCheck) -> OutlierDetection {
    OutlierDetection::from(plan::PassiveHealthCheck {
        max_failures: given.max_failures,
        interval: given.interval.map(|time| time.0),
        base_ejection_time: given.base_ejection_time.map(|time| time.0),
        max_ejection_percent: given.max_ejection_percent,
        enforcing_consecutive_5xx: given.enforcing_consecutive_5xx,
    })
}
