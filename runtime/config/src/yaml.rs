//! YAML 1.2 to trees of values, one a document.
//!
//! The events come from saphyr-parser, which has no unsafe code and gives places. Refused, because
//! no definition of Consul's needs them and they make files of a few bytes grow without bound or
//! mean what nobody sees: aliases, merge keys, tags, keys that are no plain text. Scalars are typed
//! by YAML's core schema (YAML 1.2.2 section 10.3): `no` is a text, not false.

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};

use crate::cursor::{Cursor, MAX_DEPTH};
use crate::decimal::Decimal;
use crate::error::SyntaxError;
use crate::hcl::{too_deep, twice};
use crate::value::{Data, Object, Span, Value};

/// Reads a whole file; an empty document gives nothing.
///
/// # Errors
/// Names the first place that cannot be read.
pub fn parse_yaml(text: &str) -> Result<Vec<Value>, SyntaxError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    read(text).map_err(|mut error| {
        // The parser can be a line ahead where a block text is cut off by the end of the file.
        let end = Cursor::end_of(text);
        if error.span.line >= end.line {
            error.span = error.span.min(end);
        }
        error
    })
}

fn read(text: &str) -> Result<Vec<Value>, SyntaxError> {
    let mut parser = Parser::new_from_str(text);
    let mut documents = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    while let Some(event) = parser.next_event() {
        let (event, place) = event.map_err(|error| scan_error(&error))?;
        let span = span_of(place.start.line(), place.start.col());
        let complete = match event {
            Event::StreamEnd => break,
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {
                continue;
            }
            Event::Alias(_) => {
                let what = "aliases (*name) are not read; write the value out";
                return Err(SyntaxError::new(span, what));
            }
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => {
                return Err(SyntaxError::new(
                    span,
                    "tags (!name) are not read; remove it",
                ));
            }
            Event::Scalar(scalar, style, _, None) => {
                if let Some(Open::Mapping {
                    key: key @ None, ..
                }) = open.last_mut()
                {
                    *key = Some((scalar.into_owned(), span));
                    continue;
                }
                Some(Value::new(
                    span,
                    match style {
                        ScalarStyle::Plain => plain(&scalar),
                        _ => Data::Text(scalar.into_owned()),
                    },
                ))
            }
            Event::SequenceStart(_, None) => {
                begin(
                    &mut open,
                    Open::Sequence {
                        span,
                        items: Vec::new(),
                    },
                    span,
                )?;
                None
            }
            Event::MappingStart(_, None) => {
                begin(
                    &mut open,
                    Open::Mapping {
                        span,
                        object: Object::new(),
                        key: None,
                    },
                    span,
                )?;
                None
            }
            Event::SequenceEnd | Event::MappingEnd => open.pop().map(Open::close),
        };
        if let Some(value) = complete {
            match open.last_mut() {
                None => documents.push(value),
                Some(Open::Sequence { items, .. }) => items.push(value),
                Some(Open::Mapping { object, key, .. }) => add(object, key.take(), value)?,
            }
        }
    }
    documents.retain(|document| document.data != Data::Null);
    Ok(documents)
}

/// A collection that is not closed yet.
enum Open {
    Sequence {
        span: Span,
        items: Vec<Value>,
    },
    Mapping {
        span: Span,
        object: Object,
        key: Option<(String, Span)>,
    },
}

impl Open {
    fn close(self) -> Value {
        match self {
            Self::Sequence { span, items } => Value::new(span, Data::List(items)),
            Self::Mapping { span, object, .. } => Value::new(span, Data::Object(object)),
        }
    }
}

fn begin(open: &mut Vec<Open>, new: Open, span: Span) -> Result<(), SyntaxError> {
    if let Some(Open::Mapping { key: None, .. }) = open.last() {
        return Err(SyntaxError::new(span, "a key must be a plain text"));
    }
    if open.len() > MAX_DEPTH {
        return Err(too_deep(span));
    }
    open.push(new);
    Ok(())
}

fn add(object: &mut Object, key: Option<(String, Span)>, value: Value) -> Result<(), SyntaxError> {
    let Some((key, span)) = key else {
        return Err(SyntaxError::new(value.span, "a value without a key"));
    };
    if key == "<<" {
        return Err(SyntaxError::new(
            span,
            "merge keys (<<) are not read; write the keys out",
        ));
    }
    let name = key.clone();
    object
        .insert(key, span, value)
        .map_err(|first| twice(&name, span, first))
}

/// The core schema: what an unquoted scalar is.
fn plain(text: &str) -> Data {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Data::Null,
        "true" | "True" | "TRUE" => return Data::Bool(true),
        "false" | "False" | "FALSE" => return Data::Bool(false),
        _ => {}
    }
    if let Some(whole) = plain_int(text) {
        return Data::Int(whole);
    }
    match Decimal::parse(text) {
        Some(number) => Data::Decimal(number),
        None => Data::Text(text.to_owned()),
    }
}

fn plain_int(text: &str) -> Option<i64> {
    if let Some(hex) = text
        .strip_prefix("0x")
        .filter(|hex| !hex.starts_with(['+', '-']))
    {
        return i64::from_str_radix(hex, 16).ok();
    }
    if let Some(octal) = text
        .strip_prefix("0o")
        .filter(|octal| !octal.starts_with(['+', '-']))
    {
        return i64::from_str_radix(octal, 8).ok();
    }
    text.parse().ok()
}

/// At the end of a text saphyr names a line that is not there; the last character is meant.
fn scan_error(error: &ScanError) -> SyntaxError {
    let span = span_of(error.marker().line(), error.marker().col());
    SyntaxError::new(span, format!("not YAML: {}", error.info()))
}

/// saphyr counts lines from 1 and columns from 0.
fn span_of(line: usize, column: usize) -> Span {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Span {
        line: count(line).max(1),
        column: count(column).saturating_add(1),
    }
}
