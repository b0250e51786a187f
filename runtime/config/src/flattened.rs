//! YAML that lost its indentation, read by the schema of service definitions.
//!
//! Some copies of Consul's documentation print every line of a YAML example at the first column.
//! As YAML that means something else, or nothing. A person still sees what it meant, by knowing
//! which key belongs where; so does this: a key goes to the deepest open object that knows it and
//! does not have it yet, `- key` begins an item of the deepest open list whose items know the key,
//! and a key that no object knows goes to the deepest open map of the operator's. Tried only where
//! reading it as YAML failed, and always told in a note.

use crate::error::SyntaxError;
use crate::fields::{Holds, Read, Shape};
use crate::service::ServiceDefinition;
use crate::value::{Data, Object, Span, Value};
use crate::yaml::parse_yaml;

/// Whether no line is indented although the text has lines to indent.
pub(crate) fn lost_indentation(text: &str) -> bool {
    text.lines().count() > 1 && !text.lines().any(|line| line.starts_with([' ', '\t']))
}

/// Reads the text as one document.
///
/// # Errors
/// Names the first line that finds no place.
pub(crate) fn read_by_schema(text: &str) -> Result<Value, SyntaxError> {
    let mut reader = Reader {
        root: Open::new(String::new(), Span::START, top),
        inner: Vec::new(),
    };
    reader.root.current = Some(Object::new());
    for (number, line) in (1_u32..).zip(text.lines()) {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') || line == "---" {
            continue;
        }
        reader.line(line, number)?;
    }
    reader.close_above(0)?;
    Ok(reader.root.value())
}

/// What may stand at the top.
fn top() -> &'static Shape {
    const TOP: Shape = Shape {
        what: "a file",
        keys: &[
            ("service", <Vec<ServiceDefinition> as Read>::HOLDS),
            ("services", <Vec<ServiceDefinition> as Read>::HOLDS),
        ],
        known: &[],
    };
    &TOP
}

/// A map of the operator's, or a list of scalars: no key is known to belong there.
fn unknown() -> &'static Shape {
    const UNKNOWN: Shape = Shape {
        what: "a map",
        keys: &[],
        known: &[],
    };
    &UNKNOWN
}

/// A key whose value is not complete yet.
struct Open {
    key: String,
    span: Span,
    shape: &'static Shape,
    /// A map whose keys are the operator's.
    free: bool,
    /// Whether `-` was seen: the value is a list.
    listed: bool,
    items: Vec<Value>,
    /// The object, or the last object of the list.
    current: Option<Object>,
}

impl Open {
    fn new(key: String, span: Span, shape: fn() -> &'static Shape) -> Self {
        let (free, listed) = (false, false);
        Self {
            key,
            span,
            shape: shape(),
            free,
            listed,
            items: Vec::new(),
            current: None,
        }
    }

    fn takes(&self, key: &str, item: bool) -> bool {
        let knows = self.shape.holds(key).is_some();
        match (&self.current, item) {
            (None, true) => knows,
            (Some(_), true) => knows && self.listed,
            (None, false) => knows && !self.listed,
            (Some(object), false) => knows && object.value(key).is_none(),
        }
    }

    fn end_item(&mut self) {
        if let Some(object) = self.current.take() {
            self.items.push(Value::new(self.span, Data::Object(object)));
        }
    }

    fn value(mut self) -> Value {
        if self.listed {
            self.end_item();
            return Value::new(self.span, Data::List(self.items));
        }
        let data = self.current.map_or(Data::Null, Data::Object);
        Value::new(self.span, data)
    }
}

struct Reader {
    root: Open,
    /// The open keys below the root, each within the one before.
    inner: Vec<Open>,
}

impl Reader {
    fn line(&mut self, line: &str, number: u32) -> Result<(), SyntaxError> {
        let (item, text) = match line.strip_prefix("- ") {
            Some(text) => (true, text),
            None => (false, line),
        };
        let shift = if item { 2 } else { 0 };
        let moved = |span: Span| Span {
            line: number,
            column: span.column.saturating_add(shift),
        };
        let here = Span {
            line: number,
            column: 1,
        };
        let mut documents = parse_yaml(text)
            .map_err(|error| SyntaxError::new(moved(error.span), error.what))?
            .into_iter();
        let Some(value) = documents.next() else {
            return Ok(());
        };
        match value.data {
            Data::Object(object) => {
                for entry in object.entries() {
                    let value = Value::new(moved(entry.value.span), entry.value.data.clone());
                    self.key(entry.key.clone(), moved(entry.span), value, item)?;
                }
                Ok(())
            }
            data => match self.inner.last_mut() {
                Some(open) if item && open.current.is_none() => {
                    open.listed = true;
                    open.items.push(Value::new(here, data));
                    Ok(())
                }
                _ => Err(SyntaxError::new(here, "this line belongs to no key")),
            },
        }
    }

    fn key(
        &mut self,
        key: String,
        span: Span,
        value: Value,
        item: bool,
    ) -> Result<(), SyntaxError> {
        let known = self.inner.iter().rposition(|open| open.takes(&key, item));
        let root = || self.root.takes(&key, item).then_some(0);
        let free = || self.inner.iter().rposition(|open| open.free && !item);
        let after = |at: usize| at.saturating_add(1);
        let depth = known
            .map(after)
            .or_else(root)
            .or_else(|| free().map(after))
            .ok_or_else(|| {
                SyntaxError::new(
                    span,
                    format!("no open object knows '{key}'; indent the file"),
                )
            })?;
        self.close_above(depth)?;
        let open = match self.inner.last_mut() {
            Some(open) => open,
            None => &mut self.root,
        };
        if item {
            open.end_item();
            open.listed = true;
        }
        let object = open.current.get_or_insert_with(Object::new);
        if value.data != Data::Null {
            return insert(object, key, span, value);
        }
        let mut inner = match open.shape.holds(&key) {
            Some(Holds::Object(shape) | Holds::Objects(shape)) => Open::new(key, span, shape),
            Some(Holds::Scalar | Holds::Free) | None => Open::new(key, span, unknown),
        };
        inner.free = matches!(open.shape.holds(&inner.key), Some(Holds::Free));
        self.inner.push(inner);
        Ok(())
    }

    /// Completes every open key beyond the first `depth` ones.
    fn close_above(&mut self, depth: usize) -> Result<(), SyntaxError> {
        while self.inner.len() > depth {
            let Some(open) = self.inner.pop() else { break };
            let outer = match self.inner.last_mut() {
                Some(outer) => outer,
                None => &mut self.root,
            };
            let (key, span) = (open.key.clone(), open.span);
            insert(
                outer.current.get_or_insert_with(Object::new),
                key,
                span,
                open.value(),
            )?;
        }
        Ok(())
    }
}

fn insert(object: &mut Object, key: String, span: Span, value: Value) -> Result<(), SyntaxError> {
    let name = key.clone();
    object
        .insert(key, span, value)
        .map_err(|first| crate::hcl::twice(&name, span, first))
}
