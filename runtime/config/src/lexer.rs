//! HCL 1 text to tokens.
//!
//! Follows the scanner of hashicorp/hcl v1 (hcl/scanner/scanner.go), which is what Consul reads
//! its files with: identifiers may hold `-` and `.`, newlines mean nothing outside strings and
//! heredocs, `${ … }` in a string is kept as it stands, quotes and line ends in it included.
//! Stricter in one thing: a number that runs into letters (`80ms`) is refused, because HCL reads
//! it as a number and a key.

use crate::cursor::Cursor;
use crate::decimal::Decimal;
use crate::error::SyntaxError;
use crate::value::Span;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Ident(String),
    /// A quoted string or a heredoc, unescaped.
    Text(String),
    /// `true` or `false`, which are never keys.
    Bool(bool),
    Int(i64),
    Decimal(Decimal),
    OpenBrace,
    CloseBrace,
    OpenBracket,
    CloseBracket,
    Comma,
    Equals,
    End,
}

impl Token {
    /// The token in the words of an error message.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Ident(name) => format!("'{name}'"),
            Self::Text(_) => "a text".into(),
            Self::Bool(value) => format!("'{value}'"),
            Self::Int(_) | Self::Decimal(_) => "a number".into(),
            Self::OpenBrace => "'{'".into(),
            Self::CloseBrace => "'}'".into(),
            Self::OpenBracket => "'['".into(),
            Self::CloseBracket => "']'".into(),
            Self::Comma => "','".into(),
            Self::Equals => "'='".into(),
            Self::End => "the end of the file".into(),
        }
    }
}

/// Gives one token after the other; after [`Token::End`] always [`Token::End`].
pub(crate) struct Lexer<'a> {
    at: Cursor<'a>,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            at: Cursor::new(text),
        }
    }

    pub(crate) fn next(&mut self) -> Result<(Token, Span), SyntaxError> {
        self.skip_blank_and_comments()?;
        let span = self.at.span();
        let Some(c) = self.at.peek() else {
            return Ok((Token::End, span));
        };
        let token = match c {
            '"' => self.quoted(span)?,
            '<' => self.heredoc(span)?,
            '0'..='9' | '-' => self.number(span)?,
            c if starts_name(c) => match self.at.take_while(continues_name) {
                "true" => Token::Bool(true),
                "false" => Token::Bool(false),
                name => Token::Ident(name.to_owned()),
            },
            _ => self.punctuation(c, span)?,
        };
        Ok((token, span))
    }

    fn punctuation(&mut self, c: char, span: Span) -> Result<Token, SyntaxError> {
        let token = match c {
            '{' => Token::OpenBrace,
            '}' => Token::CloseBrace,
            '[' => Token::OpenBracket,
            ']' => Token::CloseBracket,
            ',' => Token::Comma,
            '=' => Token::Equals,
            ':' => {
                return Err(SyntaxError::new(
                    span,
                    "':' has no meaning in HCL; write '='",
                ));
            }
            other => {
                let what = format!("the character {other:?} has no meaning here");
                return Err(SyntaxError::new(span, what));
            }
        };
        self.at.next();
        Ok(token)
    }

    fn skip_blank_and_comments(&mut self) -> Result<(), SyntaxError> {
        loop {
            self.at
                .take_while(|c| matches!(c, ' ' | '\t' | '\r' | '\n'));
            let span = self.at.span();
            match (self.at.peek(), self.at.peek_second()) {
                (Some('#'), _) | (Some('/'), Some('/')) => {
                    self.at.take_line();
                }
                (Some('/'), Some('*')) => {
                    self.at.next();
                    self.at.next();
                    loop {
                        match self.at.next() {
                            Some('*') if self.at.eat('/') => break,
                            Some(_) => {}
                            None => {
                                let what = "this comment has no end; close it with '*/'";
                                return Err(SyntaxError::new(span, what));
                            }
                        }
                    }
                }
                _ => return Ok(()),
            }
        }
    }

    fn number(&mut self, span: Span) -> Result<Token, SyntaxError> {
        let whole = self.at.rest();
        let minus = self.at.eat('-');
        let first = self.at.peek();
        if !first.is_some_and(|c| c.is_ascii_digit()) {
            return Err(SyntaxError::new(span, "'-' needs a digit right after it"));
        }
        let hex = first == Some('0') && matches!(self.at.peek_second(), Some('x' | 'X'));
        let mut previous = ' ';
        let mut decimal = false;
        while let Some(c) = self.at.peek() {
            let exponent = !hex && matches!(previous, 'e' | 'E');
            let part_of = c.is_alphanumeric()
                || matches!(c, '.' | '_')
                || (exponent && matches!(c, '+' | '-'));
            if !part_of {
                break;
            }
            decimal |= !hex && matches!(c, '.' | 'e' | 'E');
            previous = c;
            self.at.next();
        }
        let length = whole.len().saturating_sub(self.at.rest().len());
        let text = whole.get(..length).unwrap_or_default();
        let bad = || SyntaxError::new(span, format!("'{text}' is not a number; quote a text"));
        if decimal {
            return Decimal::parse(text).map(Token::Decimal).ok_or_else(bad);
        }
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (digits, radix) = match digits.as_bytes() {
            [b'0', b'x' | b'X', ..] => (digits.get(2..).unwrap_or_default(), 16),
            [b'0', _, ..] => (digits.get(1..).unwrap_or_default(), 8),
            _ => (digits, 10),
        };
        if digits.starts_with('+') {
            return Err(bad());
        }
        // Parsed with its sign, so that the least i64 is in range.
        let signed = if minus {
            format!("-{digits}")
        } else {
            digits.to_owned()
        };
        i64::from_str_radix(&signed, radix)
            .map(Token::Int)
            .map_err(|_| bad())
    }

    fn quoted(&mut self, span: Span) -> Result<Token, SyntaxError> {
        self.at.next();
        let mut text = String::new();
        loop {
            let here = self.at.span();
            match self.at.next() {
                None | Some('\n') => {
                    let what = "this text has no end on its line; close it with '\"'";
                    return Err(SyntaxError::new(span, what));
                }
                Some('"') => return Ok(Token::Text(text)),
                Some('\\') => text.push(self.escape(here)?),
                Some('$') if self.at.peek() == Some('{') => {
                    text.push('$');
                    self.interpolation(&mut text, here)?;
                }
                Some(c) => text.push(c),
            }
        }
    }

    /// `{ … }` after a `$`: kept as it stands, up to the brace that closes it.
    fn interpolation(&mut self, text: &mut String, span: Span) -> Result<(), SyntaxError> {
        let mut open = 0_usize;
        loop {
            let Some(c) = self.at.next() else {
                return Err(SyntaxError::new(span, "'${' has no end; close it with '}'"));
            };
            text.push(c);
            match c {
                '{' => open = open.saturating_add(1),
                '}' => open = open.saturating_sub(1),
                _ => {}
            }
            if open == 0 {
                return Ok(());
            }
        }
    }

    fn escape(&mut self, span: Span) -> Result<char, SyntaxError> {
        let Some(c) = self.at.peek() else {
            return Err(SyntaxError::new(span, "the file ends within an escape"));
        };
        let code = if c.is_digit(8) {
            self.at.digits(3, 8)?
        } else {
            self.at.next();
            match c {
                'a' => 0x07,
                'b' => 0x08,
                'f' => 0x0c,
                'n' => 0x0a,
                'r' => 0x0d,
                't' => 0x09,
                'v' => 0x0b,
                '\\' | '"' => u32::from(c),
                'x' => self.at.digits(2, 16)?,
                'u' => self.at.digits(4, 16)?,
                'U' => self.at.digits(8, 16)?,
                other => {
                    let what = format!("'\\{other}' is no escape; write '\\\\' for a backslash");
                    return Err(SyntaxError::new(span, what));
                }
            }
        };
        char::from_u32(code)
            .ok_or_else(|| SyntaxError::new(span, "this escape names no character of Unicode"))
    }

    fn heredoc(&mut self, span: Span) -> Result<Token, SyntaxError> {
        self.at.next();
        if !self.at.eat('<') {
            return Err(SyntaxError::new(
                span,
                "'<' has no meaning here; a heredoc is '<<NAME'",
            ));
        }
        let unindent = self.at.eat('-');
        let marker = self.at.take_while(|c| c == '_' || c.is_alphanumeric());
        let line_end = self.at.take_line();
        if marker.is_empty() || !line_end.trim_end_matches('\r').is_empty() {
            let what = "a heredoc begins with '<<NAME' and nothing after it on the line";
            return Err(SyntaxError::new(span, what));
        }
        let mut lines = Vec::new();
        loop {
            if self.at.peek().is_none() {
                let what = format!("this heredoc has no end; close it with a line '{marker}'");
                return Err(SyntaxError::new(span, what));
            }
            let line = self.at.take_line();
            let bare = line.trim_end_matches('\r');
            if bare.trim_start() == marker {
                let indent = bare.get(..bare.len().saturating_sub(marker.len()));
                let indent = indent.filter(|_| unindent).unwrap_or_default();
                return Ok(Token::Text(join_heredoc(&lines, indent)));
            }
            lines.push(line);
        }
    }
}

/// The lines of a heredoc, without the indent of its closing marker when all of them have it.
fn join_heredoc(lines: &[&str], indent: &str) -> String {
    let cut = if lines.iter().all(|line| line.starts_with(indent)) {
        indent
    } else {
        ""
    };
    let mut text = String::new();
    for line in lines {
        text.push_str(line.strip_prefix(cut).unwrap_or(line));
        text.push('\n');
    }
    text
}

fn starts_name(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

fn continues_name(c: char) -> bool {
    matches!(c, '_' | '-' | '.') || c.is_alphanumeric()
}
