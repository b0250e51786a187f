//! Passive health checks of an upstream, from Consul's words to Envoy's.

use plan::OutlierDetection;

use crate::service::PassiveHealthCheck;

/// What is not given, or 0 where 0 says nothing, is Envoy's default.
pub(crate) fn outlier_detection(given: &PassiveHealthCheck) -> OutlierDetection {
    let default = OutlierDetection::default();
    let failures = given.max_failures.filter(|count| *count > 0);
    let interval = given.interval.map(|time| time.0);
    let base = given.base_ejection_time.map(|time| time.0);
    let base = base
        .filter(|time| !time.is_zero())
        .unwrap_or(default.base_ejection_time);
    OutlierDetection {
        consecutive_5xx: failures.unwrap_or(default.consecutive_5xx),
        interval: interval
            .filter(|time| !time.is_zero())
            .unwrap_or(default.interval),
        base_ejection_time: base,
        max_ejection_time: default.max_ejection_time.max(base),
        max_ejection_percent: given
            .max_ejection_percent
            .unwrap_or(default.max_ejection_percent)
            .min(100),
        enforcing_consecutive_5xx: given
            .enforcing_consecutive_5xx
            .unwrap_or(default.enforcing_consecutive_5xx)
            .min(100),
    }
}
