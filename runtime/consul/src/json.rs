//! JSON as Consul answers it (RFC 8259), read value by value.
//!
//! Nothing is kept but what the caller takes, so an answer sits in memory once, as text, beside the few fields that matter.
//! What the caller does not know is skipped, and `null` counts as nothing: that is how Go writes empty lists and maps, and
//! how a newer Consul stays readable. It never builds a tree, and never guesses: a value of another type is an error.

use std::{borrow::Cow, fmt};

/// Nesting beyond this is no answer of Consul's, which nests about ten deep.
const MAX_DEPTH: u8 = 64;

/// Why a text cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUnderstood {
    /// The byte, from 0, where it went wrong.
    pub at: usize,
    /// What belongs there.
    pub wanted: &'static str,
}

impl fmt::Display for NotUnderstood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {} belongs there", self.at, self.wanted)
    }
}

impl std::error::Error for NotUnderstood {}

/// What reading gives.
pub(crate) type Read<T = ()> = Result<T, NotUnderstood>;

/// Stands before a value; each call reads one.
pub(crate) struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    depth: u8,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
        }
    }

    /// Nothing may follow the value.
    pub(crate) fn end(&mut self) -> Read {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.wanted("the end"),
        }
    }

    /// An object: `field` is told each key and reads its value, or leaves it. `null` has no fields.
    pub(crate) fn object(&mut self, field: &mut dyn FnMut(&str, &mut Self) -> Read) -> Read {
        if self.null() {
            return Ok(());
        }
        self.open(b'{', "an object")?;
        if !self.eat(b'}') {
            loop {
                self.peek();
                let key = self.quoted("a key")?;
                self.expect(b':', "':'")?;
                self.peek();
                let before = self.at;
                field(&key, self)?;
                if self.at == before {
                    self.skip()?;
                }
                if self.eat(b'}') {
                    break;
                }
                self.expect(b',', "',' or '}'")?;
            }
        }
        self.depth = self.depth.saturating_sub(1);
        Ok(())
    }

    /// A list: `item` reads one value each time it is called. `null` is empty.
    pub(crate) fn list(&mut self, item: &mut dyn FnMut(&mut Self) -> Read) -> Read {
        if self.null() {
            return Ok(());
        }
        self.open(b'[', "a list")?;
        if !self.eat(b']') {
            loop {
                self.peek();
                let before = self.at;
                item(self)?;
                if self.at == before {
                    self.skip()?;
                }
                if self.eat(b']') {
                    break;
                }
                self.expect(b',', "',' or ']'")?;
            }
        }
        self.depth = self.depth.saturating_sub(1);
        Ok(())
    }

    /// An object as a value, which begins as this one; `field` fills it in.
    pub(crate) fn fields<T>(
        &mut self,
        mut value: T,
        mut field: impl FnMut(&mut T, &str, &mut Self) -> Read,
    ) -> Read<T> {
        self.object(&mut |key, reader| field(&mut value, key, reader))?;
        Ok(value)
    }

    /// A list of values.
    pub(crate) fn items<T>(&mut self, item: fn(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        let mut items = Vec::new();
        self.list(&mut |reader| {
            items.push(item(reader)?);
            Ok(())
        })?;
        Ok(items)
    }

    /// A text; `null` is the empty one.
    pub(crate) fn text(&mut self) -> Read<String> {
        if self.null() {
            return Ok(String::new());
        }
        self.quoted("a text").map(Cow::into_owned)
    }

    /// `true` or `false`; `null` is `false`.
    pub(crate) fn flag(&mut self) -> Read<bool> {
        let truth = self.word(b"true");
        if truth || self.word(b"false") || self.null() {
            Ok(truth)
        } else {
            self.wanted("true or false")
        }
    }

    /// A whole number of zero or more; `null` is zero.
    pub(crate) fn count(&mut self) -> Read<u64> {
        if self.null() {
            return Ok(0);
        }
        let start = self.at;
        let number = self.number()?;
        number.parse().map_err(|_| NotUnderstood {
            at: start,
            wanted: "a whole number of zero or more",
        })
    }

    /// A port number; what is none counts as 0, which says that there is no port.
    pub(crate) fn port(&mut self) -> Read<u16> {
        let number = self.count()?;
        Ok(u16::try_from(number).unwrap_or(0))
    }

    /// A number of zero or more with at most two digits after the point that count, times 100.
    pub(crate) fn hundredths(&mut self) -> Read<u32> {
        if self.null() {
            return Ok(0);
        }
        let start = self.at;
        let number = self.number()?;
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let digit = |index| {
            part.as_bytes()
                .get(index)
                .map_or(0, |digit: &u8| u32::from(digit.saturating_sub(b'0')))
        };
        let plain = part.bytes().all(|digit| digit.is_ascii_digit());
        let value = whole.parse::<u32>().ok().filter(|_| plain);
        let value = value.and_then(|whole| {
            whole
                .checked_mul(100)?
                .checked_add(digit(0) * 10 + digit(1))
        });
        value.ok_or(NotUnderstood {
            at: start,
            wanted: "a percentage",
        })
    }

    /// A text, a number, `true` or `false`, as text; `None` for anything else, which is skipped. For maps that Consul passes on
    /// as an operator wrote them.
    pub(crate) fn scalar(&mut self) -> Read<Option<String>> {
        match self.peek() {
            Some(b'"') => self.text().map(Some),
            Some(b'-' | b'0'..=b'9') => self.number().map(|number| Some(number.to_owned())),
            Some(b't' | b'f') => self.flag().map(|flag| Some(flag.to_string())),
            _ => self.skip().map(|()| None),
        }
    }

    /// Takes a `null`, if that is what stands here.
    pub(crate) fn null(&mut self) -> bool {
        self.word(b"null")
    }

    /// Whether an object stands here.
    pub(crate) fn is_object(&mut self) -> bool {
        self.peek() == Some(b'{')
    }

    /// Leaves out a value.
    pub(crate) fn skip(&mut self) -> Read {
        match self.peek() {
            Some(b'{') => self.object(&mut |_, _| Ok(())),
            Some(b'[') => self.list(&mut |_| Ok(())),
            Some(b'"') => self.quoted("a text").map(drop),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            _ => self.flag().map(drop).map_err(|error| NotUnderstood {
                wanted: "a value",
                ..error
            }),
        }
    }

    /// The next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.get(self.at) {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, byte: u8, wanted: &'static str) -> Read {
        if self.eat(byte) {
            Ok(())
        } else {
            self.wanted(wanted)
        }
    }

    fn open(&mut self, byte: u8, wanted: &'static str) -> Read {
        self.expect(byte, wanted)?;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.wanted("an answer that nests less deeply");
        }
        Ok(())
    }

    fn wanted<T>(&self, wanted: &'static str) -> Read<T> {
        Err(NotUnderstood {
            at: self.at,
            wanted,
        })
    }

    /// Takes this word, if it is there.
    fn word(&mut self, word: &[u8]) -> bool {
        self.peek();
        let rest = self.text.get(self.at..).unwrap_or_default();
        let there =
            rest.starts_with(word) && !rest.get(word.len()).is_some_and(u8::is_ascii_alphanumeric);
        if there {
            self.at += word.len();
        }
        there
    }

    fn number(&mut self) -> Read<&'a str> {
        self.peek();
        let rest = self.text.get(self.at..).unwrap_or_default();
        let belongs = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
        let length = rest.iter().take_while(|byte| belongs(byte)).count();
        let number = rest.get(..length).unwrap_or_default();
        match std::str::from_utf8(number) {
            Ok(number) if number.bytes().any(|byte| byte.is_ascii_digit()) => {
                self.at += length;
                Ok(number)
            }
            _ => self.wanted("a number"),
        }
    }

    fn quoted(&mut self, wanted: &'static str) -> Read<Cow<'a, str>> {
        self.expect(b'"', wanted)?;
        let start = self.at;
        let mut unescaped: Option<Vec<u8>> = None;
        loop {
            let Some(byte) = self.text.get(self.at).copied() else {
                return self.wanted("'\"'");
            };
            match byte {
                b'"' => break,
                b'\\' => {
                    let plain = self.text.get(start..self.at).unwrap_or_default();
                    let text = unescaped.get_or_insert_with(|| {
                        // All of it, as a rule: a key that had to move would leave pieces behind.
                        let rest = self.text.get(self.at..).unwrap_or_default();
                        let length = rest.iter().position(|byte| *byte == b'"');
                        let mut text = Vec::with_capacity(plain.len() + length.unwrap_or_default());
                        text.extend_from_slice(plain);
                        text
                    });
                    self.at += 1;
                    let character = self.escape()?;
                    text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                0..=0x1f => return self.wanted("an escape of this control character"),
                other => {
                    if let Some(text) = &mut unescaped {
                        text.push(other);
                    }
                    self.at += 1;
                }
            }
        }
        let end = self.at;
        self.at += 1;
        let not_utf8 = NotUnderstood {
            at: start,
            wanted: "UTF-8",
        };
        match unescaped {
            Some(text) => String::from_utf8(text)
                .map(Cow::Owned)
                .map_err(|_| not_utf8),
            None => std::str::from_utf8(self.text.get(start..end).unwrap_or_default())
                .map(Cow::Borrowed)
                .map_err(|_| not_utf8),
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Read<char> {
        let Some(byte) = self.text.get(self.at).copied() else {
            return self.wanted("an escape");
        };
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = self.hexadecimal()?;
                let mut code = high;
                let follows = self.text.get(self.at..).unwrap_or_default();
                if (0xd800..0xdc00).contains(&high) && follows.starts_with(b"\\u") {
                    self.at += 2;
                    let low = self.hexadecimal()?;
                    code = 0x10000 + ((high - 0xd800) << 10) + (low.wrapping_sub(0xdc00) & 0x3ff);
                    if !(0xdc00..0xe000).contains(&low) {
                        return self.wanted("the second half of a pair");
                    }
                }
                // Go writes half a pair as this too.
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return self.wanted("an escape"),
        })
    }

    fn hexadecimal(&mut self) -> Read<u32> {
        let digits = self.text.get(self.at..self.at + 4).unwrap_or_default();
        let digits = std::str::from_utf8(digits).unwrap_or_default();
        let plain = digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        match u32::from_str_radix(digits, 16) {
            Ok(code) if plain => {
                self.at += 4;
                Ok(code)
            }
            _ => self.wanted("four hexadecimal digits"),
        }
    }
}

/// Reads a whole text by `value`.
pub(crate) fn whole<'a, T>(
    text: &'a [u8],
    value: impl FnOnce(&mut Reader<'a>) -> Read<T>,
) -> Read<T> {
    let mut reader = Reader::new(text);
    let value = value(&mut reader)?;
    reader.end()?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(json: &str) -> Read<String> {
        whole(json.as_bytes(), Reader::text)
    }

    #[test]
    fn values_are_read_and_null_is_nothing() {
        assert_eq!(
            text(r#" "a\"\\\/\b\f\n\r\t\u00e9\u003c\ud83d\ude00é" "#),
            Ok("a\"\\/\u{8}\u{c}\n\r\té<😀é".to_owned())
        );
        assert_eq!(text("null"), Ok(String::new()));
        assert_eq!(text(r#""\ud800""#), Ok("\u{fffd}".to_owned()));
        assert_eq!(whole(b"true", Reader::flag), Ok(true));
        assert_eq!(whole(b"null", Reader::flag), Ok(false));
        assert_eq!(whole(b"18446744073709551615", Reader::count), Ok(u64::MAX));
        assert_eq!(whole(b"70000", Reader::port), Ok(0));
        for (json, value) in [
            ("90", 9000),
            ("33.3", 3330),
            ("33.339", 3333),
            ("0.01", 1),
            ("null", 0),
        ] {
            assert_eq!(
                whole(json.as_bytes(), Reader::hundredths),
                Ok(value),
                "{json}"
            );
        }
        for (json, value) in [
            ("\"5\"", Some("5")),
            ("5.5", Some("5.5")),
            ("true", Some("true")),
            ("[1]", None),
            ("null", None),
        ] {
            assert_eq!(
                whole(json.as_bytes(), Reader::scalar),
                Ok(value.map(str::to_owned)),
                "{json}"
            );
        }
    }

    #[test]
    fn unknown_fields_are_skipped_whatever_they_hold() {
        let json = br#"{"x":{"y":[1,-2.5e3,{"z":null}],"w":"]}\""},"A":"1","v":[],"u":false}"#;
        let mut found = String::new();
        let read = whole(json, |reader| {
            reader.object(&mut |key, value| {
                if key == "A" {
                    found = value.text()?;
                }
                Ok(())
            })
        });
        assert_eq!((read, found.as_str()), (Ok(()), "1"));
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        for (json, at) in [
            ("", 0),
            ("{", 1),
            ("{\"a\"}", 4),
            ("{\"a\":}", 5),
            ("{\"a\":1,}", 7),
            ("[1 2]", 3),
            ("[1,]", 3),
            ("tru", 0),
            ("truex", 0),
            ("\"a", 2),
            ("\"\u{1}\"", 1),
            ("\"\\x\"", 3),
            ("\"\\u12\"", 3),
            ("1 1", 2),
            ("-", 0),
        ] {
            let error = whole(json.as_bytes(), Reader::skip).expect_err(json);
            assert_eq!(error.at, at, "{json}: {error}");
        }
        let deep = "[".repeat(100);
        let error = whole(deep.as_bytes(), Reader::skip).expect_err("too deep");
        assert_eq!(error.at, 65);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = whole(text.as_bytes(), Reader::skip);
            let _ = whole(text.as_bytes(), Reader::scalar);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(prop::sample::select(b"{}[]\",:\\u0123dn-.etrufalsn ".to_vec()), 0..60)) {
            let _ = whole(&bytes, Reader::skip);
        }
    }
}
