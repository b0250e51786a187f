//! One tree for three formats: what an HCL, JSON or YAML file says, with the place of every key
//! and value, before anything is known of its meaning.
//!
//! A key given twice never reaches this tree as two entries: the parsers either join blocks of the
//! same name into a list, as HCL 1 does, or refuse the file. Strings may hold secrets (tokens), so
//! the tree has no `Debug` of its own contents.

use std::collections::BTreeMap;
use std::fmt;

use crate::decimal::Decimal;

/// Where something stands in its file. Both count from 1; a column is a character, not a byte.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The line, from 1.
    pub line: u32,
    /// The character in the line, from 1.
    pub column: u32,
}

impl Span {
    /// The first character of a file.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A value and where it begins.
#[derive(Clone)]
pub struct Value {
    /// Its first character.
    pub span: Span,
    /// What it is.
    pub data: Data,
}

impl Value {
    /// A value at a place.
    #[must_use]
    pub const fn new(span: Span, data: Data) -> Self {
        Self { span, data }
    }
}

/// Two values are equal when they say the same, wherever they stand.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.data == other.data
    }
}

/// Only the kind and the place.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {:?}", self.data, self.span)
    }
}

/// The contents of a [`Value`].
#[derive(Clone, PartialEq)]
pub enum Data {
    /// JSON's and YAML's null; HCL 1 has none.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Decimal(Decimal),
    /// A text.
    Text(String),
    /// Values in order.
    List(Vec<Value>),
    /// Keys and values.
    Object(Object),
}

impl Data {
    /// What kind of value this is, in the words of an error message.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing (null)",
            Self::Bool(_) => "true or false",
            Self::Int(_) | Self::Decimal(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// Only the kind: the contents may be a secret.
impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

/// Keys and values in the order of the file; no key twice.
#[derive(Clone, Default)]
pub struct Object {
    entries: Vec<Entry>,
    /// Where each key is in `entries`, so that a file of many keys is read in proportion to its size.
    index: BTreeMap<String, usize>,
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

/// One key of an [`Object`] and its value.
#[derive(Clone)]
pub struct Entry {
    /// The key as written.
    pub key: String,
    /// Where the key stands.
    pub span: Span,
    /// What it was given.
    pub value: Value,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.value == other.value
    }
}

/// Only the keys.
impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.entries.iter().map(|entry| &entry.key))
            .finish()
    }
}

impl Object {
    /// An object without keys.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
            index: BTreeMap::new(),
        }
    }

    /// The entries in the order of the file.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The value of exactly this key.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.index
            .get(key)
            .and_then(|at| self.entries.get(*at))
            .map(|entry| &entry.value)
    }

    /// Adds a key.
    ///
    /// # Errors
    /// Gives the place of the key when it is there already.
    pub fn insert(&mut self, key: String, span: Span, value: Value) -> Result<(), Span> {
        if let Some(first) = self.entry_mut(&key) {
            return Err(first.span);
        }
        self.push(key, span, value);
        Ok(())
    }

    /// Adds a block, list or text the way HCL 1 does: a second block of one name makes the key a
    /// list of both. Beside labelled blocks one text may stand, so that `datacenter = "dc1"` and
    /// `datacenter "dc2" { }` can be said in one breath.
    ///
    /// # Errors
    /// Gives the place of the key when the two cannot be joined.
    pub fn insert_block(&mut self, key: String, span: Span, value: Value) -> Result<(), Span> {
        let Some(first) = self.entry_mut(&key) else {
            self.push(key, span, value);
            return Ok(());
        };
        let old = std::mem::replace(&mut first.value.data, Data::Null);
        let old_span = first.value.span;
        let mut items = parts(Value::new(old_span, old));
        let new = parts(value);
        let has_text = matches!(
            items.first(),
            Some(Value {
                data: Data::Text(_),
                ..
            })
        );
        let joined = match new.as_slice() {
            [
                Value {
                    data: Data::Text(_),
                    ..
                },
            ] => !has_text && items.iter().all(is_labelled),
            [] => false,
            blocks if has_text => blocks.iter().all(is_labelled),
            blocks => begins_with_object(&items) && blocks.iter().all(is_object),
        };
        if !joined {
            return Err(first.span);
        }
        // The text stands first, where the next block looks for it.
        match matches!(
            new.first(),
            Some(Value {
                data: Data::Text(_),
                ..
            })
        ) {
            true => drop(items.splice(0..0, new)),
            false => items.extend(new),
        }
        first.value.data = Data::List(items);
        Ok(())
    }

    fn entry_mut(&mut self, key: &str) -> Option<&mut Entry> {
        let at = *self.index.get(key)?;
        self.entries.get_mut(at)
    }

    fn push(&mut self, key: String, span: Span, value: Value) {
        self.index.insert(key.clone(), self.entries.len());
        self.entries.push(Entry { key, span, value });
    }
}

fn parts(value: Value) -> Vec<Value> {
    match value.data {
        Data::List(items) => items,
        data => vec![Value::new(value.span, data)],
    }
}

/// Whether a list is one of blocks; a list that mixes is refused when its meaning is read.
fn begins_with_object(items: &[Value]) -> bool {
    items.first().is_some_and(is_object)
}

fn is_object(value: &Value) -> bool {
    matches!(value.data, Data::Object(_))
}

/// `name "label" { … }`: an object with one key that holds an object.
fn is_labelled(value: &Value) -> bool {
    match &value.data {
        Data::Object(object) => match object.entries() {
            [entry] => is_object(&entry.value),
            _ => false,
        },
        _ => false,
    }
}
