//! A response to a fixed question, in both families: no panic, and an answer holds an address.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::dns::{Family, HostName, Query};

fuzz_target!(|bytes: &[u8]| {
    let Ok(host) = HostName::new("gw.dc2.example") else {
        return;
    };
    for family in [Family::V4, Family::V6] {
        if let Ok(answer) = Query::new(0x1234, &host, family).read(bytes) {
            assert!(!answer.addresses.is_empty());
            assert!(
                answer
                    .addresses
                    .iter()
                    .all(|address| address.is_ipv4() == (family == Family::V4))
            );
            assert!(answer.ttl_seconds <= i32::MAX.unsigned_abs());
        }
    }
});
