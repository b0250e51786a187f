//! The power is cut at every call in turn, thousands of times: what was remembered before is there, or what was to be.

use store::{Content, Meta, Remembered, Slots, Written, seal};

use crate::{sample::gateway, simulated::Simulated};

/// A value that takes several writes.
fn value(number: usize) -> Remembered {
    let mut value = gateway(10 + number % 40);
    value.process.connections = u32::try_from(number).unwrap();
    value
}

fn number_of(disk: &Simulated) -> Option<usize> {
    let newest = Slots::<_, Remembered>::new(disk).recall().newest;
    newest.map(|(_, value)| usize::try_from(value.process.connections).unwrap())
}

#[test]
fn wherever_the_power_is_cut_the_old_or_the_new_is_there() {
    let (mut cuts, mut old, mut new) = (0, 0, 0);
    for seed in 0..40 {
        let disk = Simulated::new(seed);
        let slots = Slots::<_, Remembered>::new(&disk);
        slots.remember(0, "test", &value(0)).unwrap();
        let mut number = 0;
        for at in 0.. {
            disk.cut_after(at);
            let done = slots.remember(0, "test", &value(number + 1));
            disk.restart();
            let found = number_of(&disk).expect("there always is one");
            if done.is_ok() {
                assert_eq!(found, number + 1, "what was brought to the disk is there");
            }
            assert!(
                found == number || found == number + 1,
                "{found} after {number}"
            );
            cuts += 1;
            old += usize::from(found == number);
            new += usize::from(found == number + 1);
            number = found;
            // All calls of a write were cut at, and it is whole by itself.
            if done.is_ok() && at > 12 {
                break;
            }
        }
    }
    println!("{cuts} cuts: {old} times the old, {new} times the new");
    assert!(cuts > 400 && old > 100 && new > 100, "{cuts} {old} {new}");
}

#[test]
fn cuts_by_chance_one_after_another_never_leave_nothing() {
    let mut cuts = 0;
    for seed in 1000..1100 {
        let disk = Simulated::new(seed);
        let slots = Slots::<_, Remembered>::new(&disk);
        slots.remember(0, "test", &value(0)).unwrap();
        // The last that is said to be on the disk.
        let mut sure = 0;
        for number in 1..=50 {
            // A write that fails is tried again without a restart, on what it left behind.
            disk.cut_after((number * 7 + usize::try_from(seed).unwrap()) % 14);
            if slots.remember(0, "test", &value(number)).is_ok() {
                sure = number;
            }
            if number % 3 == 0 {
                disk.restart();
                cuts += 1;
                let found = number_of(&disk);
                assert!(
                    found.is_some_and(|found| (sure..=number).contains(&found)),
                    "seed {seed}: {found:?} after {number}, and {sure} was sure"
                );
                sure = found.unwrap();
            }
        }
    }
    assert!(cuts >= 1600, "{cuts}");
}

#[test]
fn the_first_write_ever_leaves_nothing_or_all_of_it() {
    for seed in 0..80 {
        for at in 0..12 {
            let disk = Simulated::new(seed * 100 + at);
            disk.cut_after(usize::try_from(at).unwrap());
            let done = Slots::new(&disk).remember(0, "test", &value(9)).is_ok();
            disk.restart();
            let found = number_of(&disk);
            assert!(
                found == Some(9) || (found.is_none() && !done),
                "{found:?}, {done}"
            );
        }
    }
}

#[test]
fn a_newer_version_is_never_lost_to_a_cut_either() {
    let newer = {
        let mut blob = seal(&Meta::default(), &value(1)).unwrap().to_vec();
        blob[10] = 2;
        crate::resealed::resealed(&blob)
    };
    for seed in 0..40 {
        for at in 0..12 {
            let disk = Simulated::new(seed * 100 + at);
            disk.put(Remembered::SLOTS[0], &newer);
            disk.cut_after(usize::try_from(at).unwrap());
            let done = Slots::new(&disk).remember(0, "test", &value(9));
            disk.restart();
            let kept = [Remembered::SLOTS[0], "plan-1.a.version-2"].map(|name| disk.content(name));
            assert!(
                kept.contains(&Some(newer.clone())),
                "seed {seed}, call {at}"
            );
            if let Ok(done) = done {
                assert!(matches!(done, Written::Bytes { .. }));
                assert_eq!(number_of(&disk), Some(9));
            }
        }
    }
}
