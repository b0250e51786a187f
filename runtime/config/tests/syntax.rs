//! What the three parsers accept, what they refuse, and the places they name.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use config::{Data, Decimal, Object, Value, parse_hcl, parse_json, parse_yaml};

fn hcl(text: &str) -> Value {
    parse_hcl(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

fn object(value: &Value) -> &Object {
    match &value.data {
        Data::Object(object) => object,
        _ => panic!("{value:?} is no object"),
    }
}

fn at<'a>(value: &'a Value, key: &str) -> &'a Value {
    object(value)
        .value(key)
        .unwrap_or_else(|| panic!("no {key}"))
}

fn json(text: &str) -> Value {
    parse_json(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

#[test]
fn hcl_means_the_same_as_this_json() {
    let table = [
        ("", "{}"),
        ("a = 1", r#"{"a":1}"#),
        ("a = 1 b = 2", r#"{"a":1,"b":2}"#),
        ("a = 1, b = 2,\nc = 3", r#"{"a":1,"b":2,"c":3}"#),
        ("\"Kind\" = \"x\"", r#"{"Kind":"x"}"#),
        (
            "service { name = \"web\" port = 80 }",
            r#"{"service":{"name":"web","port":80}}"#,
        ),
        (
            "service = { name = \"web\" }",
            r#"{"service":{"name":"web"}}"#,
        ),
        ("a \"b\" c { d = 1 }", r#"{"a":{"b":{"c":{"d":1}}}}"#),
        ("a { x = 1 } a { x = 2 }", r#"{"a":[{"x":1},{"x":2}]}"#),
        (
            "a { x = 1 } a { x = 2 } a { x = 3 }",
            r#"{"a":[{"x":1},{"x":2},{"x":3}]}"#,
        ),
        ("a = [{ x = 1 }] a { x = 2 }", r#"{"a":[{"x":1},{"x":2}]}"#),
        (
            "a \"b\" { x = 1 } a \"c\" { x = 2 }",
            r#"{"a":[{"b":{"x":1}},{"c":{"x":2}}]}"#,
        ),
        ("a = [1, 2,]", r#"{"a":[1,2]}"#),
        ("a = [[1], []]", r#"{"a":[[1],[]]}"#),
        ("a.b-c = 1", r#"{"a.b-c":1}"#),
        (
            "a = 0x1F b = 017 c = -5 d = 1e3 e = -2.5 f = 1E-2",
            r#"{"a":31,"b":15,"c":-5,"d":1e3,"e":-2.5,"f":1E-2}"#,
        ),
        ("a = true b = false", r#"{"a":true,"b":false}"#),
        (
            "# one\na = 1 // two\n/* three\n * four */ b = 2",
            r#"{"a":1,"b":2}"#,
        ),
        (
            r#"a = "\a\b\f\n\r\t\v\\\"\x41\u00e9\U0001F600\101""#,
            r#"{"a":"\u0007\b\f\n\r\t\u000b\\\"A\u00e9\ud83d\ude00A"}"#,
        ),
        (
            r#"a = "%{REQ(X)} $5 ${x["y"]}""#,
            r#"{"a":"%{REQ(X)} $5 ${x[\"y\"]}"}"#,
        ),
        ("a = \"${\n}\"", r#"{"a":"${\n}"}"#),
        (
            "a = <<EOF\none\n  two\nEOF\nb = 1",
            r#"{"a":"one\n  two\n","b":1}"#,
        ),
        (
            "a = <<-EOF\n    one\n      two\n    EOF\n",
            r#"{"a":"one\n  two\n"}"#,
        ),
        ("a = <<-EOF\n  one\ntwo\n  EOF\n", r#"{"a":"  one\ntwo\n"}"#),
        ("a = <<X\nX", r#"{"a":""}"#),
        ("{ \"a\" : [1, null] }", r#"{"a":[1,null]}"#),
        ("\u{feff}a = 1", r#"{"a":1}"#),
    ];
    for (text, same) in table {
        assert!(hcl(text) == json(same), "{text}");
    }
}

#[test]
fn hcl_refuses_what_hcl_1_refuses_and_says_where() {
    let table = [
        (
            "a",
            "1:2: the end of the file stands where '=' or '{' after a key should be",
        ),
        (
            "a = ",
            "1:5: the end of the file stands where a value should be",
        ),
        (
            "a = b",
            "1:5: 'b' stands where a value should be; quote a text",
        ),
        (
            "a b = 1",
            "1:5: '=' stands where '{' (several keys in a row begin a block) should be",
        ),
        ("= 1", "1:1: '=' stands where a key should be"),
        ("a = 1\nb : 2", "2:3: ':' has no meaning in HCL; write '='"),
        (
            "a {\n b = 1\n",
            "1:3: this block has no end; close it with '}'",
        ),
        ("a = [1, 2", "1:5: this list has no end; close it with ']'"),
        (
            "a = [1 2]",
            "1:8: a number stands where ',' or ']' in a list should be",
        ),
        (
            "a = 1\na = 2",
            "2:1: 'a' is given already on line 1; keep one of the two",
        ),
        (
            "a = 1\na { }",
            "2:1: 'a' is given already on line 1; keep one of the two",
        ),
        (
            "a = \"x\ny\"",
            "1:5: this text has no end on its line; close it with '\"'",
        ),
        (
            "a = \"\\q\"",
            "1:6: '\\q' is no escape; write '\\\\' for a backslash",
        ),
        (
            "a = \"\\ud800\"",
            "1:6: this escape names no character of Unicode",
        ),
        ("a = \"${x\"", "1:6: '${' has no end; close it with '}'"),
        (
            "a = <<X\nx\n",
            "1:5: this heredoc has no end; close it with a line 'X'",
        ),
        (
            "a = <<X y\nX\n",
            "1:5: a heredoc begins with '<<NAME' and nothing after it on the line",
        ),
        ("a = 80ms", "1:5: '80ms' is not a number; quote a text"),
        ("a = 0x", "1:5: '0x' is not a number; quote a text"),
        (
            "a = 99999999999999999999",
            "1:5: '99999999999999999999' is not a number; quote a text",
        ),
        ("a = - 1", "1:5: '-' needs a digit right after it"),
        ("a = 1 }", "1:7: '}' stands where a key should be"),
        (
            "/* a = 1",
            "1:1: this comment has no end; close it with '*/'",
        ),
        ("a = ;", "1:5: the character ';' has no meaning here"),
        ("{ \"a\" = 1 }", "1:7: ':' belongs after a key"),
    ];
    for (text, message) in table {
        let error = parse_hcl(text).expect_err(text);
        assert_eq!(error.to_string(), message, "{text}");
    }
}

#[test]
fn places_are_those_of_the_characters() {
    let file = hcl("a = 1\n\n  Käse \"ü\" {\n    b = [true,\n \"x\"]\n}\n");
    let entry = &object(&file).entries()[1];
    assert_eq!(format!("{:?}", entry.span), "3:3");
    let label = &object(&entry.value).entries()[0];
    assert_eq!(format!("{:?}", label.span), "3:8");
    let b = &object(&label.value).entries()[0];
    assert_eq!(format!("{:?} {:?}", b.span, b.value.span), "4:5 4:9");
    let Data::List(items) = &b.value.data else {
        panic!("no list")
    };
    assert_eq!(
        format!("{:?} {:?}", items[0].span, items[1].span),
        "4:10 5:2"
    );

    let file = json("{\n \"é\": {\"b\":\n 1}}");
    let b = &object(at(&file, "é")).entries()[0];
    assert_eq!(format!("{:?} {:?}", b.span, b.value.span), "2:8 3:2");

    let file = parse_yaml("é:\n  - b: 1\n").expect("yaml");
    let Data::List(items) = &at(&file[0], "é").data else {
        panic!("no list")
    };
    let b = &object(&items[0]).entries()[0];
    assert_eq!(format!("{:?} {:?}", b.span, b.value.span), "2:5 2:8");
}

#[test]
fn json_is_held_to_its_grammar() {
    for text in [
        "",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\"}",
        "{a:1}",
        "01",
        "+1",
        "1.",
        ".5",
        "1e",
        "nul",
        "'a'",
        "\"\n\"",
        "\"\\x\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "1 2",
        "{\"a\":1,\"a\":1}",
        "\"a",
        "[1 2]",
    ] {
        let error = parse_json(text).expect_err(text);
        assert!(error.span.line >= 1, "{text}");
    }
    assert!(json("\"\\ud83d\\ude00\"").data == Data::Text("😀".into()));
    assert!(json("-0.5e+2").data == Data::Decimal(Decimal::parse("-0.5e+2").expect("a number")));
}

#[test]
fn yaml_means_the_same_as_this_json() {
    let table = [
        ("a: 1\nb: 'x'\n", r#"{"a":1,"b":"x"}"#),
        (
            "a:\n- b: 1\n  c: 2\n- d: 3\n",
            r#"{"a":[{"b":1,"c":2},{"d":3}]}"#,
        ),
        (
            "a: {b: [1, 2.5, true, ~]}",
            r#"{"a":{"b":[1,2.5,true,null]}}"#,
        ),
        (
            "a: no\nb: 0x1F\nc: 0o17\nd: 1.2.3.4\ne: -5",
            r#"{"a":"no","b":31,"c":15,"d":"1.2.3.4","e":-5}"#,
        ),
        (
            "a: \"5\"\nb: '~'\nc: |\n  x\n  y\n",
            r#"{"a":"5","b":"~","c":"x\ny\n"}"#,
        ),
        ("1: a\n~: b", r#"{"1":"a","~":"b"}"#),
        (
            "a: 10.0.0.5:21000\nb: nan\nc: .inf",
            r#"{"a":"10.0.0.5:21000","b":"nan","c":".inf"}"#,
        ),
    ];
    for (text, same) in table {
        let documents = parse_yaml(text).unwrap_or_else(|error| panic!("{error} in {text}"));
        assert_eq!(documents.len(), 1, "{text}");
        assert!(documents[0] == json(same), "{text}");
    }
}

#[test]
fn yaml_files_hold_several_documents() {
    let documents = parse_yaml("---\na: 1\n---\n---\nb: 2\n...\n").expect("yaml");
    assert!(documents == [json(r#"{"a":1}"#), json(r#"{"b":2}"#)]);
    assert!(parse_yaml("# nothing\n").expect("yaml").is_empty());
}

#[test]
fn yaml_that_grows_or_hides_is_refused() {
    let table = [
        (
            "a: &x [1]\nb: *x\n",
            "2:4: aliases (*name) are not read; write the value out",
        ),
        ("a: !!str 1\n", "tags (!name) are not read; remove it"),
        (
            "<<: {a: 1}\n",
            "1:1: merge keys (<<) are not read; write the keys out",
        ),
        (
            "a: 1\na: 2\n",
            "2:1: 'a' is given already on line 1; keep one of the two",
        ),
        ("? [a]\n: 1\n", "a key must be a plain text"),
        ("a: [1\n", "not YAML"),
    ];
    for (text, message) in table {
        let error = parse_yaml(text).expect_err(text);
        assert!(error.to_string().contains(message), "{error} in {text}");
    }
}

#[test]
fn nesting_is_bounded_and_the_bound_is_the_same_everywhere() {
    let deep = 100_000;
    for text in [
        format!("a = {}", "[".repeat(deep)),
        "a {".repeat(deep),
        "a ".repeat(deep),
        format!("{} {{}}", "a ".repeat(deep)),
        "{\"a\":".repeat(deep),
        "[".repeat(deep),
    ] {
        let error = parse_hcl(&text).expect_err("too deep");
        assert!(
            error.what.contains("deep") || text.starts_with('['),
            "{error}"
        );
        parse_json(&text).expect_err("too deep");
    }
    parse_yaml(&"[".repeat(deep)).expect_err("too deep");
    let block: String = (0..200)
        .map(|depth| format!("{}a:\n", " ".repeat(depth)))
        .collect();
    let error = parse_yaml(&block).expect_err("too deep");
    assert!(error.what.contains("deep"), "{error}");
    let fine = config::MAX_DEPTH;
    assert!(parse_json(&format!("{}{}", "[".repeat(fine), "]".repeat(fine))).is_ok());
    assert!(parse_yaml(&format!("{}{}", "[".repeat(fine), "]".repeat(fine))).is_ok());
    assert!(parse_hcl(&format!("{}{}", "a {".repeat(fine), "}".repeat(fine))).is_ok());
}

#[test]
fn nothing_of_a_value_is_shown_by_debug() {
    let file = hcl("token = \"sesame\"");
    assert!(!format!("{file:?} {:?}", at(&file, "token")).contains("sesame"));
}

#[test]
fn an_error_behind_a_block_text_that_is_cut_off_is_inside_the_file() {
    let text = "---\n: >-\n f\n? ";
    let error = parse_yaml(text).unwrap_err();
    assert!(error.span.line <= 4, "{error}");
}
