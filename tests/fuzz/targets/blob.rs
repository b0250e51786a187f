//! A remembered blob: no panic, no memory beyond what its size allows, and what is read can be written and read again.
//!
//! The first byte chooses: the rest is a whole blob, as it is or with a checksum that is right, or a packed value, so that the
//! parsers behind the checksum are reached. Its length unpacked is what its second and third byte say.
#![no_main]

#[path = "../../../runtime/store/tests/remembered/resealed.rs"]
mod resealed;

use libfuzzer_sys::fuzz_target;
use resealed::resealed;
use store::{Content, Identities, MAGIC, Meta, Remembered, VERSION, open, seal};

fuzz_target!(|bytes: &[u8]| {
    let [choice, bytes @ ..] = bytes else { return };
    let blob = match (choice % 4, bytes) {
        (0, bytes) => bytes.to_vec(),
        (1, bytes) => with_checksum(bytes.to_vec()),
        (choice, [low, high, packed @ ..]) => {
            let kind = if choice == 2 {
                Remembered::KIND
            } else {
                Identities::KIND
            };
            let length = u32::from(u16::from_le_bytes([*low, *high]));
            wrapped(kind, length, packed)
        }
        _ => return,
    };
    if let Ok((meta, value)) = open::<Remembered>(&blob) {
        again(&meta, &value);
    }
    if let Ok((meta, value)) = open::<Identities>(&blob) {
        again(&meta, &value);
    }
});

fn again<T: Content + PartialEq + std::fmt::Debug>(meta: &Meta, value: &T) {
    let blob = seal(meta, value).expect("it was in a blob before");
    let (read, found) = open::<T>(&blob).expect("what is written is read");
    assert_eq!((&read.generation, &found), (&meta.generation, value));
}

fn wrapped(kind: u8, length: u32, packed: &[u8]) -> Vec<u8> {
    let after = u32::try_from(6 + packed.len()).expect("an input is small");
    let mut blob = MAGIC.to_vec();
    blob.extend_from_slice(&[kind, 0]);
    blob.extend_from_slice(&VERSION.to_le_bytes());
    blob.extend_from_slice(&after.to_le_bytes());
    blob.extend_from_slice(&[0; 24]);
    blob.extend_from_slice(&[0; 2]);
    blob.extend_from_slice(&length.to_le_bytes());
    blob.extend_from_slice(packed);
    with_checksum(blob)
}

/// The blob with a checksum that is right, where it is long enough to have one.
fn with_checksum(blob: Vec<u8>) -> Vec<u8> {
    if blob.len() >= 40 {
        resealed(&blob)
    } else {
        blob
    }
}
