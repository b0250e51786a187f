//! One blob: it says what was put in, it is small, and no bytes do harm.

use proptest::prelude::*;
use store::{Content, Flaw, Identities, Meta, Moment, Remembered, open, seal};

use crate::{
    resealed::resealed,
    sample::{everything, gateway, identity},
};

fn meta() -> Meta {
    Meta {
        generation: 7,
        learned: 1_790_000_000,
        source: "/etc/lictor/gateway.hcl".to_owned(),
    }
}

#[test]
fn everything_comes_back_as_it_was() {
    for value in [everything(), gateway(30), Remembered::default()] {
        let blob = seal(&meta(), &value).unwrap();
        assert_eq!(open::<Remembered>(&blob), Ok((meta(), value)));
    }
    let identities = Identities(vec![identity()]);
    let blob = seal(&meta(), &identities).unwrap();
    assert_eq!(open::<Identities>(&blob), Ok((meta(), identities)));
}

#[test]
fn a_thousand_services_are_a_hundred_kilobytes_at_most() {
    let (none, thousand) = (gateway(0), gateway(1000));
    let (none, thousand) = (
        seal(&meta(), &none).unwrap().len(),
        seal(&meta(), &thousand).unwrap().len(),
    );
    println!(
        "1,000 services: {thousand} bytes, {} a service",
        (thousand - none) / 1000
    );
    assert!(thousand <= 100 * 1024, "{thousand} bytes");
}

#[test]
fn a_blob_is_read_only_as_what_it_is() {
    let blob = seal(&meta(), &Moment::default()).unwrap();
    assert_eq!(open::<Remembered>(&blob), Err(Flaw::OtherKind));
    assert_eq!(open::<Remembered>(b""), Err(Flaw::Empty));
    assert_eq!(
        open::<Remembered>(b"service { name = \"web\" }"),
        Err(Flaw::NotABlob)
    );
    let mut newer = blob.to_vec();
    newer[10] = 9;
    // Damaged is not newer.
    assert_eq!(open::<Moment>(&newer), Err(Flaw::Broken));
    assert_eq!(open::<Moment>(&resealed(&newer)), Err(Flaw::Newer(9)));
}

#[test]
fn every_cut_and_every_flipped_bit_is_found() {
    let blob = seal(&meta(), &everything()).unwrap();
    for end in 0..blob.len() {
        assert!(open::<Remembered>(&blob[..end]).is_err(), "cut at {end}");
    }
    for bit in 0..8 * blob.len() {
        let mut flipped = blob.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(open::<Remembered>(&flipped).is_err(), "bit {bit}");
    }
    let mut longer = blob.to_vec();
    longer.push(0);
    assert_eq!(open::<Remembered>(&longer), Err(Flaw::Broken));
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut blob = seal(&meta(), &Moment::default()).unwrap()[..40].to_vec();
        blob[8] = Remembered::KIND;
        blob.extend_from_slice(&bytes);
        let length = u32::try_from(bytes.len()).unwrap();
        blob[12..16].copy_from_slice(&length.to_le_bytes());
        let _ = open::<Remembered>(&resealed(&blob));
        let _ = open::<Remembered>(&bytes);
    }
}
