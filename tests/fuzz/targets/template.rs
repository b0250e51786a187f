//! Addresses by interface: no panic, and a template that is nothing but one expression gives addresses of this machine alone.
#![no_main]

use config::{InterfaceAddress, fill_template};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let address = |name: &str, ip: [u8; 4], prefix, default| InterfaceAddress {
        name: name.to_owned(),
        ip: ip.into(),
        prefix,
        up: true,
        default,
    };
    let machine = [
        address("lo", [127, 0, 0, 1], 8, false),
        address("eth0", [10, 0, 0, 1], 8, false),
        address("wwan0", [1, 2, 3, 4], 30, true),
    ];
    let inside = text.replace(['{', '}'], "");
    if let Ok(filled) = fill_template(&format!("{{{{{inside}}}}}"), &machine)
        && !inside.contains("join")
    {
        assert!(
            machine.iter().any(|it| it.ip.to_string() == filled),
            "{filled}"
        );
    }
    let _ = fill_template(text, &machine);
});
