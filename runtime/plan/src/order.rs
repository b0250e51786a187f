//! Sorting, for every kind of thing that a Plan has.
//!
//! The names are sorted, with one copy of the code for it, and the things are then moved to their places: a sort of the
//! standard library for each kind would be 4 KB of the binary each.

use alloc::{collections::BinaryHeap, vec::Vec};

/// Sorts; things that are equal are in any order. A heap of a kind of thing takes 1 KB of the binary.
pub fn sort<T: Ord>(things: &mut Vec<T>) {
    *things = BinaryHeap::from(core::mem::take(things)).into_sorted_vec();
}

/// Sorts by name. Things of one name keep their order.
pub fn sort_by_name<T>(things: &mut Vec<T>, name: fn(&T) -> &str) {
    if things.is_sorted_by(|one, other| name(one) <= name(other)) {
        return;
    }
    let places = places(&mut things.iter().map(name));
    let mut old: Vec<Option<T>> = things.drain(..).map(Some).collect();
    let moved = places.into_iter().filter_map(|at| old.get_mut(at)?.take());
    things.extend(moved);
}

/// Where the things are, in the order of their names.
fn places(names: &mut dyn Iterator<Item = &str>) -> Vec<usize> {
    let mut named: Vec<_> = names.zip(0..).collect();
    named.sort_unstable();
    named.into_iter().map(|(_, at)| at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_is_first() {
        let mut things = alloc::vec![3, 1, 2, 3, 0];
        sort(&mut things);
        assert_eq!(things, [0, 1, 2, 3, 3]);
    }

    #[test]
    fn things_of_one_name_keep_their_order() {
        let mut things = alloc::vec![("b", 1), ("a", 2), ("b", 0), ("a", 1), ("", 9)];
        let mut expected = things.clone();
        expected.sort_by_key(|(name, _)| *name);
        sort_by_name(&mut things, |(name, _)| name);
        assert_eq!(things, expected);
        let mut none: Vec<(&str, u8)> = Vec::new();
        sort_by_name(&mut none, |(name, _)| name);
        assert!(none.is_empty());
    }
}
