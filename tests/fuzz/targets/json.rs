//! JSON: no panic, the place of an error is in the text, and serde_json accepts the same, except that we refuse a key
//! given twice and nesting beyond our bound.
#![no_main]

use config::parse_json;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let theirs: Result<serde_json::Value, _> =
        serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    match parse_json(text) {
        Ok(_) => assert!(theirs.is_ok(), "{:?}", theirs),
        Err(error) => {
            let line = text
                .split('\n')
                .nth(error.span.line as usize - 1)
                .expect("the line is there");
            assert!(
                error.span.column as usize <= line.chars().count() + 1,
                "{error}"
            );
            let stricter = error.what.contains("already") || error.what.contains("deep");
            assert!(stricter || theirs.is_err(), "{error}");
        }
    }
});
