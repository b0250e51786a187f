//! Writes JSON: the few lines that the raw rounds need. Never reads any.

use std::fmt::Write;

/// An object being written; fields in the order they come.
pub(crate) struct Object {
    text: String,
}

impl Object {
    pub(crate) fn new() -> Self {
        Self {
            text: "{".to_owned(),
        }
    }

    pub(crate) fn text(self, name: &str, value: &str) -> Self {
        let value = quoted(value);
        self.raw(name, &value)
    }

    /// A number; JSON has none for infinities, they become null.
    pub(crate) fn number(self, name: &str, value: f64) -> Self {
        if value.is_finite() {
            self.raw(name, &value.to_string())
        } else {
            self.raw(name, "null")
        }
    }

    /// A value that is JSON already.
    pub(crate) fn raw(mut self, name: &str, value: &str) -> Self {
        if self.text.len() > 1 {
            self.text.push_str(", ");
        }
        self.text.push_str(&quoted(name));
        self.text.push_str(": ");
        self.text.push_str(value);
        self
    }

    pub(crate) fn end(mut self) -> String {
        self.text.push('}');
        self.text
    }
}

/// An array of values that are JSON already, one a line.
pub(crate) fn array(values: &[String]) -> String {
    format!("[\n{}\n]", values.join(",\n"))
}

fn quoted(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            // Writing to a String cannot fail.
            c if c.is_control() => drop(write!(quoted, "\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_control_characters_are_escaped() {
        let object = Object::new()
            .text("a\"b", "c\\d\ne")
            .number("n", 1.5)
            .number("x", f64::NAN);
        assert_eq!(
            object.end(),
            r#"{"a\"b": "c\\d\u000ae", "n": 1.5, "x": null}"#
        );
    }
}
