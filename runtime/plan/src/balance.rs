//! Choosing among endpoints.
//!
//! Weighted round robin is the smooth kind: every target gains its weight, the highest goes and pays the total back,
//! so that a heavy target's turns are spread out. Unhealthy targets are chosen only when there is no healthy one left to
//! try. Nothing is chosen twice for one connection. Chance comes from the caller.

use alloc::vec::Vec;

use crate::{Address, Balance, Health, rendezvous};

pub use crate::rendezvous::client;

/// An address that can be connected to: an endpoint, or one address of an endpoint given by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where.
    pub address: Address,
    /// Its share; at least 1.
    pub weight: u16,
    /// Whether it is thought to work.
    pub health: Health,
}

/// The most targets tried for one connection; the connect timeout ends most attempts far earlier.
pub const MAX_TRIES: usize = 16;

/// The targets already tried for a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tried(heapless::Vec<u16, MAX_TRIES>);

impl Tried {
    /// Whether another target may be tried.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.is_full()
    }

    /// How many were tried.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    fn holds(&self, target: usize) -> bool {
        self.0.iter().any(|tried| usize::from(*tried) == target)
    }
}

/// Chooses targets for one cluster. Kept for as long as the cluster is.
#[derive(Debug, Default)]
pub struct Balancer {
    /// The credit of each target, by index; between minus and plus the sum of all weights.
    credit: Vec<i64>,
}

impl Balancer {
    /// The next target to try, by index, noted in `tried`; `None` when all have been tried.
    ///
    /// `client` stands for who connects ([`client`]); `active` tells how many connections a target has; `chance` gives a
    /// number below its argument.
    pub fn pick(
        &mut self,
        policy: Balance,
        targets: &[Target],
        tried: &mut Tried,
        client: u64,
        active: impl Fn(usize) -> u32,
        mut chance: impl FnMut(u32) -> u32,
    ) -> Option<usize> {
        if tried.is_full() {
            return None;
        }
        let untried = |at: &usize| !tried.holds(*at);
        let healthy = |at: &usize| {
            targets
                .get(*at)
                .is_some_and(|target| target.health == Health::Healthy)
        };
        let some_healthy = (0..targets.len()).filter(untried).any(|at| healthy(&at));
        let eligible = |at: &usize| untried(at) && (!some_healthy || healthy(at));
        let weight = |at: usize| {
            targets
                .get(at)
                .map_or(1, |target| i64::from(target.weight.max(1)))
        };

        let chosen = match policy {
            Balance::RoundRobin => self.round_robin(targets.len(), eligible, weight),
            Balance::Random => drawn(targets.len(), &eligible, weight, &mut chance),
            Balance::LeastRequest { choices } => {
                let draws = (0..choices.max(1))
                    .filter_map(|_| drawn(targets.len(), &eligible, |_| 1, &mut chance));
                // Fewer connections for its weight: a/w < b/v without a division.
                draws.min_by(|one, other| {
                    let load = |at: usize| i64::from(active(at)) + 1;
                    (load(*one) * weight(*other)).cmp(&(load(*other) * weight(*one)))
                })
            }
            Balance::RingHash | Balance::Maglev => {
                let drawn = |at: usize| {
                    let target = targets.get(at)?;
                    let drawn = rendezvous::draw(client, &target.address);
                    Some((i64::try_from(drawn).ok()?, at))
                };
                let draws = (0..targets.len()).filter(eligible).filter_map(drawn);
                // Less for its weight: a/w < b/v without a division.
                draws
                    .min_by(|(one, a), (other, b)| (one * weight(*b)).cmp(&(other * weight(*a))))
                    .map(|(_, at)| at)
            }
        }?;
        // Indices that do not fit are beyond what is ever configured; such a target is just not remembered as tried.
        let _ = u16::try_from(chosen).map(|chosen| tried.0.push(chosen));
        Some(chosen)
    }

    fn round_robin(
        &mut self,
        count: usize,
        eligible: impl Fn(&usize) -> bool,
        weight: impl Fn(usize) -> i64,
    ) -> Option<usize> {
        self.credit.resize(count, 0);
        let mut total = 0;
        let mut best: Option<(usize, i64)> = None;
        for (at, credit) in self
            .credit
            .iter_mut()
            .enumerate()
            .filter(|(at, _)| eligible(at))
        {
            total += weight(at);
            *credit += weight(at);
            if best.is_none_or(|(_, most)| *credit > most) {
                best = Some((at, *credit));
            }
        }
        let (chosen, _) = best?;
        if let Some(credit) = self.credit.get_mut(chosen) {
            *credit -= total;
        }
        Some(chosen)
    }
}

/// One of the eligible, by chance and weight.
fn drawn(
    count: usize,
    eligible: &impl Fn(&usize) -> bool,
    weight: impl Fn(usize) -> i64,
    chance: &mut impl FnMut(u32) -> u32,
) -> Option<usize> {
    let total: i64 = (0..count).filter(eligible).map(&weight).sum();
    let mut left = i64::from(chance(
        u32::try_from(total).ok().filter(|total| *total > 0)?,
    ));
    (0..count).filter(eligible).find(|at| {
        left -= weight(*at);
        left < 0
    })
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use core::net::SocketAddr;

    use proptest::prelude::*;

    use super::*;

    fn target(weight: u16, health: Health) -> Target {
        Target {
            address: SocketAddr::from(([10, 0, 0, 1], 1)).into(),
            weight,
            health,
        }
    }

    fn healthy(weights: &[u16]) -> Vec<Target> {
        weights
            .iter()
            .map(|weight| target(*weight, Health::Healthy))
            .collect()
    }

    fn turns(targets: &[Target], count: usize) -> Vec<usize> {
        let mut balancer = Balancer::default();
        let pick = |_| {
            balancer.pick(
                Balance::RoundRobin,
                targets,
                &mut Tried::default(),
                0,
                |_| 0,
                |_| 0,
            )
        };
        (0..count).filter_map(pick).collect()
    }

    #[test]
    fn equal_targets_take_turns() {
        assert_eq!(turns(&healthy(&[1, 1, 1]), 6), [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn a_heavy_target_gets_its_share_spread_out() {
        assert_eq!(turns(&healthy(&[5, 1, 1]), 7), [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn unhealthy_targets_come_last_and_only_for_want_of_others() {
        let targets = [target(1, Health::Unhealthy), target(1, Health::Healthy)];
        assert_eq!(turns(&targets, 3), [1, 1, 1]);
        let mut balancer = Balancer::default();
        let mut tried = Tried::default();
        let mut pick = || balancer.pick(Balance::RoundRobin, &targets, &mut tried, 0, |_| 0, |_| 0);
        assert_eq!([pick(), pick(), pick()], [Some(1), Some(0), None]);
    }

    #[test]
    fn least_request_prefers_the_less_loaded_for_its_weight() {
        let targets = healthy(&[1, 4]);
        let mut draws = [0, 1].into_iter().cycle();
        let mut balancer = Balancer::default();
        let policy = Balance::LeastRequest { choices: 2 };
        let loads = [1, 4];
        let chosen = balancer.pick(
            policy,
            &targets,
            &mut Tried::default(),
            0,
            |at| loads[at],
            |_| draws.next().unwrap(),
        );
        assert_eq!(chosen, Some(1), "five quarters are less than two");
    }

    #[test]
    fn a_client_keeps_its_target_while_that_is_healthy_and_finds_another_when_it_is_not() {
        let address = |number| SocketAddr::from(([10, 0, 0, number], 1));
        let mut targets = healthy(&[1, 3, 1]);
        for (number, target) in (1..).zip(&mut targets) {
            target.address = address(number).into();
        }
        let pick = |targets: &[Target], client: u64| {
            let tried = &mut Tried::default();
            let policy = Balance::Maglev;
            Balancer::default().pick(policy, targets, tried, client, |_| 0, |_| 0)
        };
        let clients =
            || (0..300_u16).map(|number| client([10, 1, (number >> 8) as u8, number as u8].into()));
        let before: Vec<_> = clients().map(|client| pick(&targets, client)).collect();
        assert!((0..3).all(|at| before.contains(&Some(at))), "{before:?}");
        targets[1].health = Health::Unhealthy;
        for (client, before) in clients().zip(before) {
            let after = pick(&targets, client);
            assert_ne!(after, Some(1));
            assert!(after == before || before == Some(1));
        }
    }

    proptest! {
        #[test]
        fn every_target_is_tried_once_and_then_none(
            targets in prop::collection::vec((1..100_u16, any::<bool>()), 0..MAX_TRIES),
            policy in 0..4_u8,
            seed in any::<u32>(),
        ) {
            let targets: Vec<Target> = targets
                .into_iter()
                .map(|(weight, up)| target(weight, if up { Health::Healthy } else { Health::Unhealthy }))
                .collect();
            let policy = [Balance::RoundRobin, Balance::Random, Balance::LeastRequest { choices: 2 }, Balance::RingHash][usize::from(policy)];
            let (mut balancer, mut tried, mut seed) = (Balancer::default(), Tried::default(), seed);
            let mut seen = vec![];
            let mut chance = |below: u32| { seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223); seed % below };
            while let Some(at) = balancer.pick(policy, &targets, &mut tried, 7, |_| 0, &mut chance) {
                prop_assert!(!seen.contains(&at));
                let ups_left = targets.iter().enumerate().any(|(other, t)| t.health == Health::Healthy && !seen.contains(&other));
                prop_assert!(!ups_left || targets[at].health == Health::Healthy);
                seen.push(at);
            }
            prop_assert_eq!(seen.len(), targets.len());
        }

        #[test]
        fn shares_follow_weights(weights in prop::collection::vec(1..20_u16, 1..8)) {
            let total: usize = weights.iter().map(|weight| usize::from(*weight)).sum();
            let turns = turns(&healthy(&weights), total);
            for (at, weight) in weights.iter().enumerate() {
                prop_assert_eq!(turns.iter().filter(|turn| **turn == at).count(), usize::from(*weight));
            }
        }
    }
}
