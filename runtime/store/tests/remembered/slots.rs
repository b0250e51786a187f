//! Two slots: the newer is never touched, and what is of no use is named.

use store::{Content, Disk, Error, Moment, Slots, Written};

use crate::{resealed::resealed, simulated::Simulated};

fn moment(proven: u64) -> Moment {
    Moment {
        proven,
        confirmed: 0,
    }
}

fn slots(disk: &Simulated) -> Slots<'_, Simulated, Moment> {
    Slots::new(disk)
}

fn proven(disk: &Simulated) -> Option<u64> {
    Some(slots(disk).recall().newest?.1.proven)
}

#[test]
fn the_same_again_is_not_written() {
    let disk = Simulated::new(1);
    assert!(matches!(
        slots(&disk).remember(100, "here", &moment(1)),
        Ok(Written::Bytes { generation: 1, .. })
    ));
    let calls = disk.calls();
    // Another time of learning is no other content.
    let again = slots(&disk).remember(200, "here", &moment(1)).unwrap();
    assert_eq!((again, disk.calls()), (Written::Unchanged, calls));
    let elsewhere = slots(&disk).remember(200, "there", &moment(1)).unwrap();
    assert!(matches!(elsewhere, Written::Bytes { generation: 2, .. }));
}

#[test]
fn writes_go_to_the_slots_in_turn() {
    let disk = Simulated::new(2);
    let names = Moment::SLOTS;
    for number in 1..=5 {
        let before = names.map(|name| disk.content(name));
        slots(&disk).remember(0, "", &moment(number)).unwrap();
        let changed = [0, 1].map(|at| before[at] != disk.content(names[at]));
        assert_eq!(changed, [number % 2 == 1, number % 2 == 0], "{number}");
        assert_eq!(proven(&disk), Some(number));
    }
}

#[test]
fn whatever_becomes_of_one_slot_the_other_is_used() {
    let disk = Simulated::new(3);
    slots(&disk).remember(0, "", &moment(1)).unwrap();
    slots(&disk).remember(0, "", &moment(2)).unwrap();
    let [first, second] = Moment::SLOTS.map(|name| disk.content(name).unwrap());
    let mut flipped = second.clone();
    flipped[second.len() - 1] ^= 4;
    let mut other_value = second.clone();
    // A checksum that is right over a value that is not.
    *other_value.last_mut().unwrap() = 0xff;
    for (broken, says) in [
        (&b""[..], "is empty"),
        (&second[..20], "damaged"),
        (&second[..second.len() - 1], "damaged"),
        (&flipped[..], "damaged"),
        (&resealed(&other_value)[..], "cannot be read"),
        (&[0; 5_000_000][..], "not a blob"),
    ] {
        disk.put(Moment::SLOTS[1], broken);
        let recalled = slots(&disk).recall();
        assert_eq!(recalled.newest.unwrap().1, moment(1));
        let trouble = recalled.trouble[0].to_string();
        assert!(
            trouble.contains(Moment::SLOTS[1]) && trouble.contains(says),
            "{trouble}"
        );
        // And the broken one is the one that is written next.
        let again = Simulated::new(4);
        again.put(Moment::SLOTS[0], &first);
        again.put(Moment::SLOTS[1], broken);
        slots(&again).remember(0, "", &moment(3)).unwrap();
        assert_eq!(again.content(Moment::SLOTS[0]).unwrap(), first);
        assert_eq!(proven(&again), Some(3));
    }
}

#[test]
fn a_full_disk_loses_nothing() {
    let disk = Simulated::new(5);
    slots(&disk).remember(0, "", &moment(1)).unwrap();
    slots(&disk).remember(0, "", &moment(2)).unwrap();
    for room in 0..48 {
        disk.room_for(room);
        let refused = slots(&disk).remember(0, "", &moment(3)).unwrap_err();
        assert!(matches!(refused, Error::System(..)), "{refused}");
        assert!(refused.to_string().contains("make room"), "{refused}");
        assert_eq!(proven(&disk), Some(2));
    }
    disk.room_for(1000);
    slots(&disk).remember(0, "", &moment(3)).unwrap();
    assert_eq!(proven(&disk), Some(3));
}

#[test]
fn a_newer_version_is_kept_aside_and_named() {
    let disk = Simulated::new(6);
    for number in [1, 2] {
        slots(&disk).remember(0, "", &moment(number)).unwrap();
    }
    let mut newer = disk.content(Moment::SLOTS[0]).unwrap();
    newer[10] = 3;
    let newer = resealed(&newer);
    disk.put(Moment::SLOTS[0], &newer);
    let trouble = &slots(&disk).recall().trouble;
    assert!(trouble[0].to_string().contains("version 3"), "{trouble:?}");
    let written = slots(&disk).remember(0, "", &moment(4)).unwrap();
    let Written::Bytes {
        kept_aside: Some(name),
        ..
    } = written
    else {
        panic!("{written:?}");
    };
    assert_eq!(disk.content(&name).unwrap(), newer);
    assert_eq!(proven(&disk), Some(4));
}

#[test]
fn what_is_forgotten_is_in_neither_slot() {
    let disk = Simulated::new(8);
    for number in [1, 2] {
        slots(&disk).remember(0, "", &moment(number)).unwrap();
    }
    assert!(slots(&disk).forget().unwrap());
    disk.restart();
    for name in Moment::SLOTS {
        assert_eq!(disk.content(name), Some(Vec::new()));
    }
    let calls = disk.calls();
    assert!(!slots(&disk).forget().unwrap(), "nothing is there any more");
    assert_eq!(disk.calls(), calls);
    // What is damaged may still hold most of a key.
    disk.put(Moment::SLOTS[1], b"damaged");
    assert!(slots(&disk).forget().unwrap());
    assert_eq!(disk.content(Moment::SLOTS[1]), Some(Vec::new()));
    assert_eq!(proven(&disk), None);
    slots(&disk).remember(0, "", &moment(3)).unwrap();
    assert_eq!(proven(&disk), Some(3));
}

#[test]
fn what_cannot_be_followed_is_of_no_use() {
    let disk = Simulated::new(9);
    slots(&disk).remember(0, "", &moment(1)).unwrap();
    slots(&disk).remember(0, "", &moment(2)).unwrap();
    let mut last = disk.content(Moment::SLOTS[0]).unwrap();
    last[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
    disk.put(Moment::SLOTS[0], &resealed(&last));
    let written = slots(&disk).remember(0, "", &moment(3)).unwrap();
    assert!(matches!(written, Written::Bytes { generation: 3, .. }));
    assert_eq!(proven(&disk), Some(3));
}

#[test]
fn a_small_blob_is_small() {
    let disk = Simulated::new(7);
    slots(&disk).remember(0, "", &moment(u64::MAX)).unwrap();
    assert!(disk.written() < 64, "{}", disk.written());
    assert_eq!(disk.read(Moment::SLOTS[0], 3).unwrap().unwrap().len(), 4);
}
