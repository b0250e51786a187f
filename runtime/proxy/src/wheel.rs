//! The one timer wheel: a deadline for each slot of the connection table.
//!
//! Four levels of 64 buckets, each level 64 times as coarse as the one below (Varghese and Lauck, 1987, scheme 7).
//! Setting and clearing cost a few writes; a deadline that is far off is looked at once per level on its way down. The
//! buckets are lists threaded through one array by index, so nothing is allocated per deadline.
//!
//! Time is counted in ticks by the caller. The wheel has no clock.

/// How many levels there are.
const LEVELS: usize = 4;
/// Buckets per level, as a power of two: an occupancy word has a bit for each.
const BITS: u32 = 6;
const BUCKETS: usize = 1 << BITS;
const MASK: u32 = (1 << BITS) - 1;
/// The longest delay, in ticks; longer ones are cut to it and come up early, which callers must bear.
const MAX_DELAY: u32 = (1 << (BITS * 4)) - 1;
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Link {
    next: u32,
    previous: u32,
    deadline: u32,
    /// `level * BUCKETS + bucket`, or `UNSET`.
    bucket: u16,
}

const UNSET: u16 = u16::MAX;

/// Deadlines by index.
#[derive(Debug)]
pub(crate) struct Wheel {
    now: u32,
    heads: [u32; LEVELS * BUCKETS],
    /// Bit `b` of word `l` is set when bucket `b` of level `l` is not empty.
    occupied: [u64; LEVELS],
    links: Vec<Link>,
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self {
            now: 0,
            heads: [NONE; LEVELS * BUCKETS],
            occupied: [0; LEVELS],
            links: Vec::new(),
        }
    }

    /// Sets the deadline of an index, in place of the one it had. A deadline that has passed is due at the next tick.
    pub(crate) fn set(&mut self, index: u32, deadline: u32) {
        self.clear(index);
        let at = index as usize;
        if at >= self.links.len() {
            let unset = Link {
                next: NONE,
                previous: NONE,
                deadline: 0,
                bucket: UNSET,
            };
            self.links.resize(at + 1, unset);
        }
        let delay = deadline.saturating_sub(self.now).clamp(1, MAX_DELAY);
        self.thread(index, self.now.saturating_add(delay));
    }

    /// Takes away the deadline of an index, if it has one.
    pub(crate) fn clear(&mut self, index: u32) {
        let Some(link) = self.links.get_mut(index as usize) else {
            return;
        };
        let Link {
            next,
            previous,
            bucket,
            ..
        } = *link;
        if bucket == UNSET {
            return;
        }
        link.bucket = UNSET;
        if let Some(next) = self.links.get_mut(next as usize) {
            next.previous = previous;
        }
        if let Some(previous) = self.links.get_mut(previous as usize) {
            previous.next = next;
        } else {
            self.set_head(bucket, next);
        }
    }

    /// Moves to a tick and appends to `due` the indices whose deadline has come, which then have none.
    pub(crate) fn advance(&mut self, to: u32, due: &mut Vec<u32>) {
        while let Some(next) = self.next().filter(|next| *next <= to) {
            self.now = next;
            for level in (0..LEVELS).rev() {
                let shift = BITS * level as u32;
                if next & ((1 << shift) - 1) == 0 {
                    self.empty(level, (next >> shift) & MASK, due);
                }
            }
        }
        self.now = self.now.max(to);
    }

    /// The tick at which something has to be done, if there is any deadline at all.
    pub(crate) fn next(&self) -> Option<u32> {
        let starts = self
            .occupied
            .iter()
            .enumerate()
            .filter(|(_, word)| **word != 0)
            .map(|(level, word)| {
                let shift = BITS * level as u32;
                let current = self.now >> shift;
                // The current bucket of a level was emptied when it was entered: what is in it now is a whole turn away.
                let ahead = word.rotate_right((current & MASK) + 1).trailing_zeros() + 1;
                current.saturating_add(ahead).saturating_mul(1 << shift)
            });
        starts.min()
    }

    /// Takes every entry out of a bucket: into `due` if its time has come, else into a finer bucket.
    fn empty(&mut self, level: usize, bucket: u32, due: &mut Vec<u32>) {
        let bucket = (level * BUCKETS) as u16 + bucket as u16;
        let mut index = self.heads.get(usize::from(bucket)).copied().unwrap_or(NONE);
        self.set_head(bucket, NONE);
        while let Some(link) = self.links.get_mut(index as usize) {
            let Link { next, deadline, .. } = *link;
            link.bucket = UNSET;
            if deadline <= self.now {
                due.push(index);
            } else {
                self.thread(index, deadline);
            }
            index = next;
        }
    }

    fn thread(&mut self, index: u32, deadline: u32) {
        let delay = deadline.saturating_sub(self.now).max(1);
        let level = (delay.ilog2() / BITS).min(LEVELS as u32 - 1);
        let slot = (deadline >> (BITS * level)) & MASK;
        let bucket = level as u16 * BUCKETS as u16 + slot as u16;
        let head = self.heads.get(usize::from(bucket)).copied().unwrap_or(NONE);
        if let Some(link) = self.links.get_mut(index as usize) {
            *link = Link {
                next: head,
                previous: NONE,
                deadline,
                bucket,
            };
        }
        if let Some(head) = self.links.get_mut(head as usize) {
            head.previous = index;
        }
        self.set_head(bucket, index);
    }

    fn set_head(&mut self, bucket: u16, index: u32) {
        if let Some(head) = self.heads.get_mut(usize::from(bucket)) {
            *head = index;
        }
        let bit = 1 << (usize::from(bucket) % BUCKETS);
        if let Some(word) = self.occupied.get_mut(usize::from(bucket) / BUCKETS) {
            *word = if index == NONE {
                *word & !bit
            } else {
                *word | bit
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn due(wheel: &mut Wheel, to: u32) -> Vec<u32> {
        let mut due = Vec::new();
        wheel.advance(to, &mut due);
        due.sort_unstable();
        due
    }

    #[test]
    fn an_empty_wheel_needs_no_waking() {
        let mut wheel = Wheel::new();
        assert_eq!(wheel.next(), None);
        wheel.set(3, 10);
        assert_eq!(wheel.next(), Some(10));
        wheel.clear(3);
        assert_eq!(wheel.next(), None);
        assert!(due(&mut wheel, 1000).is_empty());
    }

    #[test]
    fn far_deadlines_come_up_on_time_through_all_levels() {
        for deadline in [
            1, 63, 64, 65, 4095, 4096, 4097, 262_143, 262_144, 300_000, 16_000_000,
        ] {
            let mut wheel = Wheel::new();
            due(&mut wheel, 7);
            wheel.set(0, deadline + 7);
            assert!(
                due(&mut wheel, deadline + 6).is_empty(),
                "{deadline} came early"
            );
            assert_eq!(
                due(&mut wheel, deadline + 7),
                [0],
                "{deadline} did not come"
            );
        }
    }

    proptest! {
        #[test]
        fn it_does_what_a_sorted_map_does(
            steps in prop::collection::vec((0..24_u32, prop_oneof![0..80_u32, 0..5_000_u32, 0..400_000_u32], 0..4_u8), 1..200)
        ) {
            let (mut wheel, mut map, mut now) = (Wheel::new(), BTreeMap::new(), 0_u32);
            for (index, amount, step) in steps {
                match step {
                    0 => { wheel.clear(index); map.remove(&index); }
                    1 => {
                        now += amount;
                        let mut expected: Vec<u32> = map.iter().filter(|(_, at)| **at <= now).map(|(index, _)| *index).collect();
                        expected.sort_unstable();
                        map.retain(|_, at| *at > now);
                        prop_assert_eq!(due(&mut wheel, now), expected);
                    }
                    _ => { wheel.set(index, now + amount); map.insert(index, (now + amount).max(now + 1)); }
                }
                let first = map.values().min().copied();
                prop_assert!(wheel.next().is_none() == first.is_none());
                prop_assert!(wheel.next() <= first || first.is_none());
            }
        }
    }
}
