//! A place in a text that moves forward one character at a time and knows its line and column.
//!
//! Shared by the HCL lexer and the JSON reader. Both read a `&str`, so a character is never torn.

use crate::error::SyntaxError;
use crate::value::Span;

/// Deepest nesting of lists and objects that is read. Consul's deepest definition nests eight;
/// the parsers and everything after them recurse, so the bound also keeps the stack small.
pub const MAX_DEPTH: usize = 64;

#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    rest: &'a str,
    span: Span,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        // A byte order mark is what some editors leave; it is no part of the first key.
        Self {
            rest: text.strip_prefix('\u{feff}').unwrap_or(text),
            span: Span::START,
        }
    }

    /// The place after the last character of a text.
    pub(crate) fn end_of(text: &str) -> Span {
        let mut cursor = Cursor::new(text);
        while cursor.next().is_some() {}
        cursor.span
    }

    pub(crate) const fn span(&self) -> Span {
        self.span
    }

    pub(crate) const fn rest(&self) -> &'a str {
        self.rest
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(crate) fn peek_second(&self) -> Option<char> {
        self.rest.chars().nth(1)
    }

    pub(crate) fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next()?;
        self.rest = chars.as_str();
        if c == '\n' {
            self.span.line = self.span.line.saturating_add(1);
            self.span.column = 1;
        } else {
            self.span.column = self.span.column.saturating_add(1);
        }
        Some(c)
    }

    /// Takes one character when it is `wanted`.
    pub(crate) fn eat(&mut self, wanted: char) -> bool {
        let there = self.peek() == Some(wanted);
        if there {
            self.next();
        }
        there
    }

    /// Takes characters as long as they fit and gives them as they stand in the text.
    pub(crate) fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let whole = self.rest;
        while self.peek().is_some_and(&fits) {
            self.next();
        }
        let taken = whole.len().saturating_sub(self.rest.len());
        whole.get(..taken).unwrap_or_default()
    }

    /// Takes everything up to the end of the line, and gives it without the line end.
    pub(crate) fn take_line(&mut self) -> &'a str {
        let line = self.take_while(|c| c != '\n');
        self.next();
        line
    }

    /// Takes `count` digits of `radix`, as after `\x` or `\u`.
    pub(crate) fn digits(&mut self, count: u32, radix: u32) -> Result<u32, SyntaxError> {
        let mut number = 0_u32;
        for _ in 0..count {
            let digit = self.peek().and_then(|c| c.to_digit(radix)).ok_or_else(|| {
                SyntaxError::new(self.span, format!("an escape needs {count} digits here"))
            })?;
            self.next();
            number = number.wrapping_mul(radix).wrapping_add(digit);
        }
        Ok(number)
    }
}
