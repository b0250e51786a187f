//! Keeping a name resolved.
//!
//! Asks again whenever the answer's time is over, and says so only when it makes a difference.
//! Addresses that were good once stay good through every failure: a nameserver that is gone, or
//! denies a name for a moment, must not cut off a datacenter that is still there.

use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Duration;

use smol::Timer;
use wire::dns::HostName;

use crate::{Answer, Error, Resolver};

/// What is known of a watched name now.
#[derive(Debug)]
pub struct Update<'a> {
    /// Where the host is: the last good answer, also while asking fails. Empty only before the
    /// first one.
    pub addresses: &'a [IpAddr],
    /// Why asking fails, if it does.
    pub failure: Option<&'a Error>,
}

impl Resolver {
    /// Resolves `name` again and again until dropped, and calls `on_change` with what is known:
    /// after the first resolution, when the set of addresses changes, when asking begins to fail,
    /// and when it works again. The order alone is no change: many nameservers turn it with every
    /// answer.
    pub async fn watch(
        &self,
        name: &HostName,
        mut on_change: impl FnMut(Update<'_>),
    ) -> Infallible {
        let mut known: Option<Answer> = None;
        // `None` before the first resolution.
        let mut failures: Option<u32> = None;
        loop {
            let result = self.resolve(name).await;
            let wait = match result {
                Ok(answer) => {
                    let same = known
                        .as_ref()
                        .is_some_and(|known| same_set(&known.addresses, &answer.addresses));
                    let known = known.insert(answer);
                    if !same || failures != Some(0) {
                        on_change(Update {
                            addresses: &known.addresses,
                            failure: None,
                        });
                    }
                    failures = Some(0);
                    known.ttl
                }
                Err(error) => {
                    let before = failures.unwrap_or_default();
                    if before == 0 {
                        on_change(Update {
                            addresses: known.as_ref().map_or(&[], |known| &known.addresses),
                            failure: Some(&error),
                        });
                    }
                    failures = Some(before.saturating_add(1));
                    // Without chance the wait is as long as it may be.
                    let chance = sys::random::seed().unwrap_or_default();
                    self.pace.retry_after(before, chance)
                }
            };
            Timer::after(wait).await;
        }
    }
}

impl crate::Pace {
    /// How long to wait after this many failures before the last one.
    fn retry_after(&self, before: u32, chance: u64) -> Duration {
        let (first, most) = self.retry;
        let whole = first
            .saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX))
            .min(most);
        // Sixteen bits of chance are plenty to spread gateways.
        let [low, high, ..] = chance.to_ne_bytes();
        let off = u32::from(u16::from_ne_bytes([low, high]));
        whole - whole / 2 * off / u32::from(u16::MAX)
    }
}

/// An answer has each address once.
fn same_set(one: &[IpAddr], other: &[IpAddr]) -> bool {
    one.len() == other.len() && one.iter().all(|address| other.contains(address))
}

#[cfg(test)]
mod tests {
    use crate::Pace;

    #[test]
    fn waits_double_up_to_the_most_and_chance_shortens_them_by_half_at_most() {
        let pace = Pace::default();
        let seconds = |before, chance| pace.retry_after(before, chance).as_secs_f64();
        for (before, whole) in [
            (0, 1.0),
            (1, 2.0),
            (5, 32.0),
            (6, 60.0),
            (31, 60.0),
            (99, 60.0),
        ] {
            assert!((seconds(before, 0) - whole).abs() < 1e-6, "{before}");
            assert!(
                (seconds(before, u64::MAX) - whole / 2.0).abs() < 1e-6,
                "{before}"
            );
        }
    }
}
