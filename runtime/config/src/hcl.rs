//! HCL 1 to a tree of values.
//!
//! Follows the parser of hashicorp/hcl v1 (hcl/parser/parser.go): a key is a name or a quoted
//! text; `=` may stand before an object or not; several keys in a row nest (`service "web" { }`
//! is `service = { web = { } }`); items of an object are separated by nothing, line ends or one
//! comma; a block that is repeated makes a list. A text whose first character is `{` is JSON, as
//! for `hcl.Decode`. Stricter in one thing: a key given twice is refused unless both are blocks,
//! where HCL lets the last one win silently.

use crate::cursor::MAX_DEPTH;
use crate::error::SyntaxError;
use crate::json;
use crate::lexer::{Lexer, Token};
use crate::value::{Data, Object, Span, Value};

/// Reads a whole file.
///
/// # Errors
/// Names the first place that cannot be read.
pub fn parse_hcl(text: &str) -> Result<Value, SyntaxError> {
    if text
        .trim_start_matches('\u{feff}')
        .trim_start()
        .starts_with('{')
    {
        return json::parse_json(text);
    }
    let mut parser = Parser::new(text)?;
    let object = parser.object_items(&Token::End, 0)?;
    Ok(Value::new(Span::START, Data::Object(object)))
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    token: Token,
    span: Span,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Self, SyntaxError> {
        let mut lexer = Lexer::new(text);
        let (token, span) = lexer.next()?;
        Ok(Self { lexer, token, span })
    }

    fn advance(&mut self) -> Result<Token, SyntaxError> {
        let (token, span) = self.lexer.next()?;
        self.span = span;
        Ok(std::mem::replace(&mut self.token, token))
    }

    fn refuse<T>(&self, expected: &str) -> Result<T, SyntaxError> {
        let what = format!(
            "{} stands where {expected} should be",
            self.token.describe()
        );
        Err(SyntaxError::new(self.span, what))
    }

    /// Items up to `end`, which is not taken.
    fn object_items(&mut self, end: &Token, depth: usize) -> Result<Object, SyntaxError> {
        if depth > MAX_DEPTH {
            return Err(too_deep(self.span));
        }
        let mut object = Object::new();
        while self.token != *end {
            self.item(&mut object, depth)?;
            if self.token == Token::Comma {
                self.advance()?;
            }
        }
        Ok(object)
    }

    fn item(&mut self, object: &mut Object, depth: usize) -> Result<(), SyntaxError> {
        let mut keys = Vec::new();
        loop {
            let span = self.span;
            match &mut self.token {
                Token::Ident(name) | Token::Text(name) => {
                    keys.push((std::mem::take(name), span));
                    self.advance()?;
                }
                _ => break,
            }
            if keys.len() > MAX_DEPTH {
                return Err(too_deep(span));
            }
        }
        let Some((last, last_span)) = keys.pop() else {
            return self.refuse("a key");
        };
        let value_span = self.span;
        let (value, block) = match self.token {
            Token::Equals if keys.is_empty() => {
                self.advance()?;
                let value = self.value(depth)?;
                let block = matches!(value.data, Data::Object(_));
                (value, block)
            }
            Token::Equals => return self.refuse("'{' (several keys in a row begin a block)"),
            Token::OpenBrace => {
                let inner = depth.saturating_add(keys.len());
                (self.value(inner)?, true)
            }
            _ => return self.refuse("'=' or '{' after a key"),
        };
        // `a "b" { }` is a block b in a block a: wrapped from the inside out.
        let mut value = value;
        let (mut key, mut span) = (last, last_span);
        while let Some((outer, outer_span)) = keys.pop() {
            let mut wrapped = Object::new();
            insert(&mut wrapped, key, span, value, block)?;
            value = Value::new(value_span, Data::Object(wrapped));
            (key, span) = (outer, outer_span);
        }
        insert(object, key, span, value, block)
    }

    fn value(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        let span = self.span;
        let data = match &mut self.token {
            Token::Text(text) => Data::Text(std::mem::take(text)),
            Token::Bool(value) => Data::Bool(*value),
            Token::Int(value) => Data::Int(*value),
            Token::Decimal(value) => Data::Decimal(value.clone()),
            Token::OpenBrace => {
                self.advance()?;
                let object = self.object_items(&Token::CloseBrace, depth.saturating_add(1));
                Data::Object(self.closed(object, span)?)
            }
            Token::OpenBracket => {
                self.advance()?;
                Data::List(self.list_items(span, depth.saturating_add(1))?)
            }
            Token::Ident(name) => {
                let what = format!("'{name}' stands where a value should be; quote a text");
                return Err(SyntaxError::new(span, what));
            }
            _ => return self.refuse("a value"),
        };
        self.advance()?;
        Ok(Value::new(span, data))
    }

    fn list_items(&mut self, open: Span, depth: usize) -> Result<Vec<Value>, SyntaxError> {
        if depth > MAX_DEPTH {
            return Err(too_deep(self.span));
        }
        let mut items = Vec::new();
        loop {
            match self.token {
                Token::CloseBracket => return Ok(items),
                Token::End => {
                    return Err(SyntaxError::new(
                        open,
                        "this list has no end; close it with ']'",
                    ));
                }
                _ => items.push(self.value(depth)?),
            }
            match self.token {
                Token::Comma => {
                    self.advance()?;
                }
                Token::CloseBracket | Token::End => {}
                _ => return self.refuse("',' or ']' in a list"),
            }
        }
    }

    /// Says where a block began when the file ended before it did.
    fn closed(
        &self,
        object: Result<Object, SyntaxError>,
        open: Span,
    ) -> Result<Object, SyntaxError> {
        object.map_err(|error| {
            if self.token == Token::End && error.span == self.span {
                SyntaxError::new(open, "this block has no end; close it with '}'")
            } else {
                error
            }
        })
    }
}

fn insert(
    object: &mut Object,
    key: String,
    span: Span,
    value: Value,
    block: bool,
) -> Result<(), SyntaxError> {
    let name = key.clone();
    let done = if block || matches!(value.data, Data::List(_) | Data::Text(_)) {
        object.insert_block(key, span, value)
    } else {
        object.insert(key, span, value)
    };
    done.map_err(|first| twice(&name, span, first))
}

pub(crate) fn twice(key: &str, span: Span, first: Span) -> SyntaxError {
    let what = format!(
        "'{key}' is given already on line {}; keep one of the two",
        first.line
    );
    SyntaxError::new(span, what)
}

pub(crate) fn too_deep(span: Span) -> SyntaxError {
    SyntaxError::new(
        span,
        format!("nested more than {MAX_DEPTH} deep; nothing of Consul's is"),
    )
}
