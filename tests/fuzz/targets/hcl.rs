//! HCL 1: no panic, the place of an error is in the text, and what begins with a brace is JSON.
#![no_main]

use config::{parse_hcl, parse_json};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let read = parse_hcl(text);
    if let Err(error) = &read {
        let line = text
            .split('\n')
            .nth(error.span.line as usize - 1)
            .expect("the line is there");
        assert!(
            error.span.column as usize <= line.chars().count() + 1,
            "{error}"
        );
    }
    if text.starts_with('{') {
        assert_eq!(read.is_ok(), parse_json(text).is_ok());
    }
});
