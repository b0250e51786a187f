//! A document cut into elements, wherever the stream is cut.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that is wrong fails"
)]

use proptest::prelude::*;
use serde_json::Value;
use wire::json_elements::{Cut, Elements, Kind, MAX_DEPTH, NotJson};

/// The elements of a document that comes in pieces of these lengths, the last one again and again.
fn cut(document: &[u8], lengths: &[usize]) -> Result<Vec<(Kind, Vec<u8>)>, NotJson> {
    let mut elements = Elements::new();
    let (mut found, mut element) = (Vec::new(), Vec::new());
    let mut lengths = lengths.iter().copied();
    let mut last = document.len();
    let mut rest = document;
    while !rest.is_empty() {
        last = lengths.next().unwrap_or(last).clamp(1, rest.len());
        let (mut piece, behind) = rest.split_at(last);
        rest = behind;
        loop {
            let (taken, what) = elements.next(piece)?;
            assert!(taken <= piece.len());
            piece = &piece[taken..];
            match what {
                Cut::More => {
                    assert!(piece.is_empty());
                    break;
                }
                Cut::Part(part) => element.extend_from_slice(part),
                Cut::End(kind) => found.push((kind, std::mem::take(&mut element))),
            }
        }
    }
    if let Some(kind) = elements.finish()? {
        found.push((kind, std::mem::take(&mut element)));
    }
    assert!(element.is_empty());
    Ok(found)
}

/// The document that the elements make.
fn joined(elements: &[(Kind, Vec<u8>)], like: &Value) -> Value {
    let parsed = |(_, bytes): &(Kind, Vec<u8>)| serde_json::from_slice::<Value>(bytes).unwrap();
    match like {
        Value::Array(_) => {
            assert!(elements.iter().all(|(kind, _)| *kind == Kind::Item));
            elements.iter().map(parsed).collect()
        }
        Value::Object(_) => {
            let members = elements.chunks(2).map(|member| {
                assert_eq!((member[0].0, member[1].0), (Kind::Key, Kind::Value));
                (
                    parsed(&member[0]).as_str().unwrap().to_owned(),
                    parsed(&member[1]),
                )
            });
            Value::Object(members.collect())
        }
        _ => {
            assert_eq!((elements.len(), elements[0].0), (1, Kind::Document));
            parsed(&elements[0])
        }
    }
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn elements_make_the_document_however_it_is_cut(document in json(), pretty in any::<bool>(), lengths in prop::collection::vec(1_usize..40, 1..9)) {
        let text = if pretty { serde_json::to_vec_pretty(&document) } else { serde_json::to_vec(&document) }.unwrap();
        let elements = cut(&text, &lengths).unwrap();
        prop_assert_eq!(joined(&elements, &document), document);
        prop_assert_eq!(cut(&text, &[1]).unwrap(), elements);
    }

    #[test]
    fn what_is_no_json_is_refused_here_or_in_an_element(text in r#"[\[\]{}",: a1\\]{0,12}"#) {
        let good = serde_json::from_str::<Value>(&text).is_ok();
        let whole = cut(text.as_bytes(), &[1]).is_ok_and(|elements| {
            elements.iter().all(|(_, bytes)| serde_json::from_slice::<Value>(bytes).is_ok())
        });
        prop_assert_eq!(good, whole, "{:?}", text);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), length in 1_usize..9) {
        let _ = cut(&bytes, &[length]);
    }
}

#[test]
fn an_answer_without_elements_has_none() {
    for text in ["[]", " { }\n", "[\n]"] {
        assert_eq!(cut(text.as_bytes(), &[1]), Ok(vec![]), "{text}");
    }
    assert_eq!(
        cut(b"null", &[2]),
        Ok(vec![(Kind::Document, b"null".to_vec())])
    );
}

#[test]
fn nesting_has_a_bound() {
    let nested = |depth: usize| format!("[{}{}]", "[".repeat(depth), "]".repeat(depth));
    let most = usize::try_from(MAX_DEPTH).unwrap() - 1;
    assert!(cut(nested(most).as_bytes(), &[7]).is_ok());
    assert!(cut(nested(most + 1).as_bytes(), &[7]).is_err());
}
