//! The text of a resolv.conf: no panic, and the result is usable.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::dns::resolv_conf;

fuzz_target!(|bytes: &[u8]| {
    let conf = resolv_conf::parse(&String::from_utf8_lossy(bytes));
    assert!(!conf.nameservers.is_empty());
    assert!((1..=30).contains(&conf.timeout_seconds));
    assert!((1..=5).contains(&conf.attempts));
    assert!(conf.ndots <= 15);
});
