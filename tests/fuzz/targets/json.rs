//! JSON: no panic, the place of an error is in the text, and serde_json accepts the same, except that we refuse a key
//! given twice and nesting beyond our bound, and that serde_json refuses numbers that no double holds.
#![no_main]

use config::parse_json;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let theirs: Result<serde_json::Value, _> =
        serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    match parse_json(text) {
        Ok(_) => {
            let too_large = |error: &serde_json::Error| error.to_string().contains("out of range");
            assert!(theirs.as_ref().err().is_none_or(too_large), "{:?}", theirs);
        }
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
