//! A text in quotes, as JSON has it (RFC 8259 section 7). Logs, requests to Consul and what is shown of a Plan have it.

use alloc::string::String;
use core::fmt::Write as _;

/// Appends the text in quotes.
pub fn quote(to: &mut String, text: &str) {
    to.push('"');
    for character in text.chars() {
        match character {
            '"' => to.push_str("\\\""),
            '\\' => to.push_str("\\\\"),
            '\n' => to.push_str("\\n"),
            character if character.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(to, "\\u{:04x}", u32::from(character));
            }
            character => to.push(character),
        }
    }
    to.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_what_cannot_be_shown_are_escaped() {
        let mut quoted = String::new();
        quote(&mut quoted, "a \"b\" \\ \n\t\u{7f}é");
        assert_eq!(quoted, r#""a \"b\" \\ \n\u0009\u007fé""#);
    }
}
