//! The text of a hosts file, with the name to look for in its first line: no panic, and no address twice.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::dns::{HostName, hosts};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let (name, text) = text.split_once('\n').unwrap_or(("localhost", &text));
    let Ok(host) = HostName::new(name) else {
        return;
    };
    assert_eq!(HostName::new(host.as_str()), Ok(host.clone()));

    let addresses = hosts::lookup(text, &host);
    for (index, address) in addresses.iter().enumerate() {
        assert!(!addresses[..index].contains(address));
    }
});
