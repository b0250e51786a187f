//! Any tree printed as HCL, JSON or YAML reads back equal; no text makes a parser panic; the
//! place of an error is in the file; JSON is what serde_json says it is.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use config::{Data, Decimal, Object, Span, SyntaxError, Value, parse_hcl, parse_json, parse_yaml};
use proptest::prelude::*;

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Data::Bool),
        any::<i64>().prop_map(Data::Int),
        any::<f64>()
            .prop_filter("finite", |f| f.is_finite())
            .prop_map(|f| decimal(&format!("{f:e}"))),
        ".*".prop_map(Data::Text),
        "[$%]\\{[a-z\"{}\\\\]{0,6}".prop_map(Data::Text),
    ];
    let data = leaf.prop_recursive(5, 40, 6, |inner| {
        let item = inner.prop_map(|data| Value::new(Span::START, data));
        prop_oneof![
            prop::collection::vec(item.clone(), 0..6).prop_map(Data::List),
            prop::collection::btree_map(".{0,8}", item, 0..6).prop_map(|map| {
                let mut object = Object::new();
                for (key, value) in map {
                    object
                        .insert(key, Span::START, value)
                        .expect("keys of a map differ");
                }
                Data::Object(object)
            }),
        ]
    });
    data.prop_map(|data| Value::new(Span::START, data))
}

/// With an exponent, so that none of them looks like an integer.
fn decimal(text: &str) -> Data {
    Data::Decimal(Decimal::parse(text).expect(text))
}

fn print(value: &Value, text: &dyn Fn(&str) -> String, equals: &str, out: &mut String) {
    match &value.data {
        Data::Null => out.push_str("null"),
        Data::Bool(value) => out.push_str(&value.to_string()),
        Data::Int(value) => out.push_str(&value.to_string()),
        Data::Decimal(value) => out.push_str(value.as_str()),
        Data::Text(value) => out.push_str(&text(value)),
        Data::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                print(item, text, equals, out);
            }
            out.push(']');
        }
        Data::Object(object) => {
            out.push('{');
            for (at, entry) in object.entries().iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                out.push_str(&text(&entry.key));
                out.push_str(equals);
                print(&entry.value, text, equals, out);
            }
            out.push('}');
        }
    }
}

fn escaped(text: &str, escape: impl Fn(char) -> Option<String>) -> String {
    let inner: String = text
        .chars()
        .map(|c| escape(c).unwrap_or_else(|| c.to_string()))
        .collect();
    format!("\"{inner}\"")
}

fn hcl_text(text: &str) -> String {
    escaped(text, |c| {
        (c.is_control() || "\"\\$".contains(c)).then(|| format!("\\U{:08x}", u32::from(c)))
    })
}

fn json_text(text: &str) -> String {
    escaped(text, |c| {
        (c < ' ' || "\"\\".contains(c)).then(|| format!("\\u{:04x}", u32::from(c)))
    })
}

/// JSON's escapes, and every character that YAML does not print (YAML 1.2.2 section 5.1).
fn yaml_text(text: &str) -> String {
    escaped(text, |c| {
        let plain = c.is_ascii_graphic() || c == ' ';
        (!plain || "\"\\".contains(c)).then(|| format!("\\U{:08x}", u32::from(c)))
    })
}

fn inside(error: &SyntaxError, text: &str) -> bool {
    let lines = text.split('\n').count();
    let line = usize::try_from(error.span.line).expect("usize");
    let column = usize::try_from(error.span.column).expect("usize");
    let width = text
        .split('\n')
        .nth(line - 1)
        .map_or(0, |line| line.chars().count());
    (1..=lines).contains(&line) && (1..=width + 1).contains(&column)
}

fn same_as_serde(ours: &Value, theirs: &serde_json::Value) -> bool {
    match (&ours.data, theirs) {
        (Data::Null, serde_json::Value::Null) => true,
        (Data::Bool(one), serde_json::Value::Bool(other)) => one == other,
        (Data::Int(one), serde_json::Value::Number(other)) => other.as_i64() == Some(*one),
        (Data::Decimal(one), serde_json::Value::Number(other)) => {
            let one: f64 = one.as_str().parse().expect("a number");
            // serde_json without `float_roundtrip` may be off by the last bit.
            other
                .as_f64()
                .is_some_and(|other| (one - other).abs() <= one.abs() * 1e-15)
        }
        (Data::Text(one), serde_json::Value::String(other)) => one == other,
        (Data::List(one), serde_json::Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| same_as_serde(a, b))
        }
        (Data::Object(one), serde_json::Value::Object(other)) => {
            one.entries().len() == other.len()
                && one.entries().iter().all(|entry| {
                    other
                        .get(&entry.key)
                        .is_some_and(|other| same_as_serde(&entry.value, other))
                })
        }
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hcl_printed_is_read_back(value in value()) {
        let mut text = String::from("top = ");
        print(&value, &hcl_text, " = ", &mut text);
        let read = parse_hcl(&text).map_err(|error| TestCaseError::fail(format!("{error}: {text}")))?;
        let Data::Object(object) = &read.data else { panic!("no object") };
        prop_assert!(object.value("top") == Some(&value), "{}", text);
    }

    #[test]
    fn json_printed_is_read_back_and_serde_json_agrees(value in value()) {
        let mut text = String::new();
        print(&value, &json_text, ":", &mut text);
        let read = parse_json(&text).map_err(|error| TestCaseError::fail(format!("{error}: {text}")))?;
        prop_assert!(read == value, "{}", text);
        let theirs = serde_json::from_str(&text).expect("serde_json reads it");
        prop_assert!(same_as_serde(&read, &theirs), "{}", text);
    }

    #[test]
    fn yaml_printed_is_read_back(value in value()) {
        let mut text = String::new();
        print(&value, &yaml_text, ": ", &mut text);
        let read = parse_yaml(&text).map_err(|error| TestCaseError::fail(format!("{error}: {text}")))?;
        prop_assert!(read.first() == Some(&value), "{}", text);
    }

    #[test]
    fn json_is_accepted_when_serde_json_accepts_it(text in "[\\[\\]{}\",:0-9.eE+ truefalsn\\\\-]{0,24}") {
        let ours = parse_json(&text);
        let theirs: Result<serde_json::Value, _> = serde_json::from_str(&text);
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => prop_assert!(same_as_serde(&ours, &theirs), "{}", text),
            (Err(_), Err(_)) => {}
            // serde_json lets the last of two equal keys win.
            (Err(error), Ok(_)) => prop_assert!(error.what.contains("already"), "{error}: {text}"),
            (Ok(_), Err(error)) => prop_assert!(false, "only serde_json refuses {text}: {error}"),
        }
    }

    #[test]
    fn errors_are_inside_the_file(text in "([a-z]{1,3}|[ \n={}\\[\\],\":.<$\\\\#/*-]|[0-9]|é){0,30}") {
        let errors = [parse_hcl(&text).err(), parse_json(&text).err(), parse_yaml(&text).err()];
        for error in errors.into_iter().flatten() {
            prop_assert!(inside(&error, &text), "{} in {:?}", error, text);
        }
    }

    #[test]
    fn no_text_makes_a_parser_panic(text in ".{0,200}") {
        let _ = parse_hcl(&text);
        let _ = parse_json(&text);
        let _ = parse_yaml(&text);
    }
}
