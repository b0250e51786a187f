//! JSON (RFC 8259) to a tree of values with their places.
//!
//! serde_json gives places only for errors of syntax, not for values that turn out wrong later, so
//! this reads the text itself. A key given twice is refused: readers of JSON disagree about which
//! one counts (RFC 8259 section 4).

use crate::cursor::{Cursor, MAX_DEPTH};
use crate::decimal::Decimal;
use crate::error::SyntaxError;
use crate::hcl::{too_deep, twice};
use crate::value::{Data, Object, Span, Value};

/// Reads a whole file.
///
/// # Errors
/// Names the first place that cannot be read.
pub fn parse_json(text: &str) -> Result<Value, SyntaxError> {
    let mut reader = Reader {
        at: Cursor::new(text),
    };
    reader.skip_blank();
    let value = reader.value(0)?;
    reader.skip_blank();
    match reader.at.peek() {
        None => Ok(value),
        Some(_) => Err(SyntaxError::new(
            reader.at.span(),
            "text follows after the end of the JSON",
        )),
    }
}

struct Reader<'a> {
    at: Cursor<'a>,
}

impl Reader<'_> {
    fn skip_blank(&mut self) {
        self.at
            .take_while(|c| matches!(c, ' ' | '\t' | '\r' | '\n'));
    }

    fn value(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        let span = self.at.span();
        if depth > MAX_DEPTH {
            return Err(too_deep(span));
        }
        let data = match self.at.peek() {
            Some('{') => Data::Object(self.object(span, depth)?),
            Some('[') => Data::List(self.list(span, depth)?),
            Some('"') => Data::Text(self.text()?),
            Some('-' | '0'..='9') => self.number()?,
            Some(c) if c.is_ascii_alphabetic() => {
                match self.at.take_while(|c| c.is_ascii_alphanumeric()) {
                    "true" => Data::Bool(true),
                    "false" => Data::Bool(false),
                    "null" => Data::Null,
                    word => {
                        let what = format!("'{word}' is no value; quote a text");
                        return Err(SyntaxError::new(span, what));
                    }
                }
            }
            Some(c) => {
                let what = format!("{c:?} stands where a value should be");
                return Err(SyntaxError::new(span, what));
            }
            None => {
                return Err(SyntaxError::new(
                    span,
                    "the file ends where a value should be",
                ));
            }
        };
        Ok(Value::new(span, data))
    }

    fn object(&mut self, open: Span, depth: usize) -> Result<Object, SyntaxError> {
        self.at.next();
        let mut object = Object::new();
        self.skip_blank();
        if self.at.eat('}') {
            return Ok(object);
        }
        loop {
            self.skip_blank();
            let span = self.at.span();
            match self.at.peek() {
                Some('"') => {}
                None => return Err(unclosed(open, '}')),
                Some('}') => return Err(SyntaxError::new(span, "remove the ',' before this '}'")),
                Some(_) => {
                    return Err(SyntaxError::new(
                        span,
                        "a key in double quotes belongs here",
                    ));
                }
            }
            let key = self.text()?;
            self.skip_blank();
            if !self.at.eat(':') {
                return Err(SyntaxError::new(self.at.span(), "':' belongs after a key"));
            }
            self.skip_blank();
            let value = self.value(depth.saturating_add(1))?;
            let name = key.clone();
            object
                .insert(key, span, value)
                .map_err(|first| twice(&name, span, first))?;
            self.skip_blank();
            if self.at.eat('}') {
                return Ok(object);
            }
            self.comma(open, '}')?;
        }
    }

    fn list(&mut self, open: Span, depth: usize) -> Result<Vec<Value>, SyntaxError> {
        self.at.next();
        let mut items = Vec::new();
        self.skip_blank();
        if self.at.eat(']') {
            return Ok(items);
        }
        loop {
            self.skip_blank();
            items.push(self.value(depth.saturating_add(1))?);
            self.skip_blank();
            if self.at.eat(']') {
                return Ok(items);
            }
            self.comma(open, ']')?;
        }
    }

    fn comma(&mut self, open: Span, close: char) -> Result<(), SyntaxError> {
        if self.at.eat(',') {
            return Ok(());
        }
        match self.at.peek() {
            None => Err(unclosed(open, close)),
            Some(_) => {
                let what = format!("',' or '{close}' belongs here");
                Err(SyntaxError::new(self.at.span(), what))
            }
        }
    }

    fn number(&mut self) -> Result<Data, SyntaxError> {
        let span = self.at.span();
        let text = self
            .at
            .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.'));
        let bad = || SyntaxError::new(span, format!("'{text}' is not a number; quote a text"));
        if !is_json_number(text) {
            return Err(bad());
        }
        if let Ok(whole) = text.parse::<i64>() {
            return Ok(Data::Int(whole));
        }
        Decimal::parse(text).map(Data::Decimal).ok_or_else(bad)
    }

    fn text(&mut self) -> Result<String, SyntaxError> {
        let open = self.at.span();
        self.at.next();
        let mut text = String::new();
        loop {
            let span = self.at.span();
            match self.at.next() {
                None => return Err(unclosed(open, '"')),
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escape(span)?),
                Some(c) if c < ' ' => {
                    let what = format!("write {c:?} as an escape within a text");
                    return Err(SyntaxError::new(span, what));
                }
                Some(c) => text.push(c),
            }
        }
    }

    fn escape(&mut self, span: Span) -> Result<char, SyntaxError> {
        let c = match self.at.next() {
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => return self.unicode_escape(span),
            _ => return Err(SyntaxError::new(span, "this is no escape of JSON")),
        };
        Ok(c)
    }

    /// `\uXXXX`, of which two make one character beyond the first plane.
    fn unicode_escape(&mut self, span: Span) -> Result<char, SyntaxError> {
        let first = self.at.digits(4, 16)?;
        let code = if (0xd800..0xdc00).contains(&first) {
            let second = if self.at.eat('\\') && self.at.eat('u') {
                self.at.digits(4, 16)?
            } else {
                0
            };
            match second.checked_sub(0xdc00) {
                Some(low) if low < 0x400 => 0x10000 + (first.saturating_sub(0xd800) << 10) + low,
                _ => first,
            }
        } else {
            first
        };
        char::from_u32(code)
            .ok_or_else(|| SyntaxError::new(span, "this escape is half of a surrogate pair"))
    }
}

/// RFC 8259 section 6: no leading zero, no bare point, no plus sign.
fn is_json_number(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent
            .is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
}

fn unclosed(open: Span, close: char) -> SyntaxError {
    SyntaxError::new(
        open,
        format!("what begins here has no end; close it with '{close}'"),
    )
}
