//! A document in elements: no panic, the same elements however it is cut, and it is JSON when they are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use wire::json_elements::{Cut, Elements, Kind, NotJson};

fn cut(document: &[u8], length: usize) -> Result<Vec<(Kind, Vec<u8>)>, NotJson> {
    let mut elements = Elements::new();
    let (mut found, mut element) = (Vec::new(), Vec::new());
    for mut piece in document.chunks(length) {
        loop {
            let (taken, what) = elements.next(piece)?;
            piece = &piece[taken..];
            match what {
                Cut::More => break,
                Cut::Part(part) => element.extend_from_slice(part),
                Cut::End(kind) => found.push((kind, std::mem::take(&mut element))),
            }
        }
    }
    if let Some(kind) = elements.finish()? {
        found.push((kind, std::mem::take(&mut element)));
    }
    Ok(found)
}

fuzz_target!(|bytes: &[u8]| {
    let whole = cut(bytes, bytes.len().max(1));
    assert_eq!(cut(bytes, 1), whole);
    let parsed: Result<Value, _> = serde_json::from_slice(bytes);
    let elements = whole.ok().and_then(|elements| {
        let values = elements
            .iter()
            .map(|(_, text)| serde_json::from_slice::<Value>(text).ok());
        values.collect::<Option<Vec<_>>>()
    });
    // A number may be too large for either, and depth is counted by each in its own way.
    if let (Ok(parsed), Some(elements)) = (&parsed, &elements) {
        match parsed {
            Value::Array(items) => assert_eq!(items, elements),
            Value::Object(members) => assert!(members.len() * 2 <= elements.len()),
            one => assert_eq!([one.clone()], elements[..]),
        }
    }
    if parsed.is_ok() {
        assert!(elements.is_some());
    }
});
