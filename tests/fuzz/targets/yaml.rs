//! YAML: no panic, and the place of an error is in the text.
#![no_main]

use config::parse_yaml;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(error) = parse_yaml(text) {
        // YAML breaks lines at a lone carriage return too.
        let lines = text.replace("\r\n", "\n").replace('\r', "\n");
        assert!(
            (1..=lines.split('\n').count()).contains(&(error.span.line as usize)),
            "{error}"
        );
    }
});
