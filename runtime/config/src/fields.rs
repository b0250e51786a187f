//! From the tree of values to typed records: keys by any of their spellings, values by Consul's
//! weak typing, and every error with its file, place and key.
//!
//! Not serde: its derived readers stop at the first error and know no places. [`record!`] gives a
//! struct, its reader and its [`Shape`] from one list of fields; the shape also serves the
//! did-you-mean and the reading of YAML that lost its indentation.

use std::cell::RefCell;
use std::rc::Rc;

use crate::error::{Error, Errors, Note};
use crate::suggest::{did_you_mean, normal};
use crate::value::{Data, Entry, Object, Span, Value};

/// Where errors and notes about one file are gathered.
pub(crate) struct Reading {
    pub(crate) file: Rc<str>,
    pub(crate) errors: RefCell<Errors>,
    pub(crate) notes: RefCell<Vec<Note>>,
}

impl Reading {
    pub(crate) fn new(file: &str) -> Self {
        Self {
            file: Rc::from(file),
            errors: RefCell::new(Errors::default()),
            notes: RefCell::new(Vec::new()),
        }
    }

    pub(crate) fn top(&self) -> At<'_> {
        At {
            reading: self,
            parent: None,
            step: Step::Top,
        }
    }
}

/// A file, a place in it and the path of the key there: what a later error needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named.
    pub file: Rc<str>,
    /// Where in it.
    pub span: Span,
    /// The path of the key from the top of the file.
    pub key: String,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            file: Rc::from(""),
            span: Span::START,
            key: String::new(),
        }
    }
}

impl Place {
    /// An error about a key below this place, or about the place itself when `key` is empty.
    pub(crate) fn error(&self, key: &str, what: impl Into<String>) -> Error {
        let dot = if key.is_empty() || self.key.is_empty() {
            ""
        } else {
            "."
        };
        Error {
            file: Rc::clone(&self.file),
            span: Some(self.span),
            key: format!("{}{dot}{key}", self.key),
            what: what.into(),
        }
    }

    pub(crate) fn note(&self, key: &str, why: impl Into<String>) -> Note {
        let Error {
            file,
            span,
            key,
            what,
        } = self.error(key, why);
        Note {
            file,
            span,
            key,
            why: what,
        }
    }

    /// `file:line`, to point to from another place.
    pub(crate) fn short(&self) -> String {
        format!("{}:{}", self.file, self.span.line)
    }
}

/// The path to the value that is being read.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    reading: &'a Reading,
    parent: Option<&'a Self>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Top,
    Key(&'a str),
    Item(usize),
}

impl<'a> At<'a> {
    pub(crate) const fn key(&'a self, key: &'a str) -> Self {
        Self {
            reading: self.reading,
            parent: Some(self),
            step: Step::Key(key),
        }
    }

    pub(crate) const fn item(&'a self, index: usize) -> Self {
        Self {
            reading: self.reading,
            parent: Some(self),
            step: Step::Item(index),
        }
    }

    pub(crate) fn place(&self, span: Span) -> Place {
        Place {
            file: Rc::clone(&self.reading.file),
            span,
            key: self.path(),
        }
    }

    /// Records an error and gives `None`, the answer of a reader that failed.
    pub(crate) fn refuse<T>(&self, span: Span, what: impl Into<String>) -> Option<T> {
        self.reading
            .errors
            .borrow_mut()
            .push(self.place(span).error("", what));
        None
    }

    pub(crate) fn note(&self, span: Span, why: impl Into<String>) {
        self.reading
            .notes
            .borrow_mut()
            .push(self.place(span).note("", why));
    }

    fn path(&self) -> String {
        let mut path = self.parent.map(Self::path).unwrap_or_default();
        match self.step {
            Step::Top => {}
            Step::Key(key) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(key);
            }
            Step::Item(index) => path.push_str(&format!("[{index}]")),
        }
        path
    }
}

/// A type that can be read from a value. Reading goes on after an error: the field keeps its
/// default, and the whole is thrown away at the end because the error is recorded.
pub(crate) trait Read: Default {
    /// What such a value looks like in a file.
    const HOLDS: Holds;

    /// Reads the value; `None` after recording an error.
    fn read(value: &Value, at: &At<'_>) -> Option<Self>;
}

/// What the value of a key looks like.
#[derive(Clone, Copy)]
pub(crate) enum Holds {
    /// A text, number or bool, or a list of such.
    Scalar,
    /// One object with known keys.
    Object(fn() -> &'static Shape),
    /// A list of objects with known keys.
    Objects(fn() -> &'static Shape),
    /// An object whose keys are the operator's.
    Free,
}

/// The keys of a record.
pub(crate) struct Shape {
    /// What it is, in the words of an error message.
    pub(crate) what: &'static str,
    /// The keys that are read.
    pub(crate) keys: &'static [(&'static str, Holds)],
    /// The keys that Consul knows and lictor does not use.
    pub(crate) known: &'static [&'static str],
}

impl Shape {
    /// What the key holds, if this shape has it.
    pub(crate) fn holds(&self, key: &str) -> Option<Holds> {
        let key = normal(key);
        let read = self
            .keys
            .iter()
            .find(|(name, _)| normal(name) == key)
            .map(|(_, holds)| *holds);
        let known = || {
            self.known
                .iter()
                .find(|name| normal(name) == key)
                .map(|_| Holds::Scalar)
        };
        read.or_else(known)
    }
}

/// The entries of one object while a record is read from them.
pub(crate) struct Fields<'a> {
    at: &'a At<'a>,
    span: Span,
    entries: Vec<(String, &'a Entry)>,
}

impl<'a> Fields<'a> {
    /// Checks that the value is an object, or a list of one as HCL 1 makes of a block, and that
    /// every key is one of the shape's and there once.
    pub(crate) fn open(value: &'a Value, at: &'a At<'a>, shape: &Shape) -> Option<Self> {
        let mut fields = Self {
            at,
            span: value.span,
            entries: Vec::new(),
        };
        if let Some(object) = the_object(value, at, shape.what)? {
            for entry in object.entries() {
                fields.admit(entry, shape);
            }
        }
        Some(fields)
    }

    fn admit(&mut self, entry: &'a Entry, shape: &Shape) {
        let key = normal(&entry.key);
        let at = self.at.key(&entry.key);
        if let Some((_, first)) = self.entries.iter().find(|(taken, _)| *taken == key) {
            let line = first.span.line;
            let what = format!("the same key as '{}' on line {line}; keep one", first.key);
            at.refuse::<()>(entry.span, what);
        } else if shape.keys.iter().any(|(name, _)| normal(name) == key) {
            self.entries.push((key, entry));
        } else if shape.known.iter().any(|name| normal(name) == key) {
            at.note(entry.span, "known to Consul, not used by lictor");
        } else {
            let names = shape
                .keys
                .iter()
                .map(|(name, _)| *name)
                .chain(shape.known.iter().copied());
            let hint = did_you_mean(&entry.key, names);
            at.refuse::<()>(entry.span, format!("{} has no such key{hint}", shape.what));
        }
    }

    pub(crate) fn place(&self) -> Place {
        self.at.place(self.span)
    }

    /// The field, or its default when it is absent or wrong.
    pub(crate) fn take<T: Read>(&self, name: &str) -> T {
        let name = normal(name);
        let found = self.entries.iter().find(|(key, _)| *key == name);
        let read = found.and_then(|(_, entry)| T::read(&entry.value, &self.at.key(&entry.key)));
        read.unwrap_or_default()
    }
}

/// The one object that a value is; nothing for null, which YAML makes of an empty key.
pub(crate) fn the_object<'a>(
    value: &'a Value,
    at: &At<'_>,
    what: &str,
) -> Option<Option<&'a Object>> {
    match &value.data {
        Data::Object(object) => Some(Some(object)),
        Data::Null => Some(None),
        Data::List(items) => match items.as_slice() {
            [] => Some(None),
            [
                Value {
                    data: Data::Object(object),
                    ..
                },
            ] => Some(Some(object)),
            [_] => at.refuse(
                value.span,
                format!("{what} is an object, not {}", value.data.kind()),
            ),
            [first, second, ..] => {
                let (first, second) = (first.span.line, second.span.line);
                let places = format!("lines {first} and {second}");
                at.refuse(
                    value.span,
                    format!("{what} is given more than once ({places}); keep one"),
                )
            }
        },
        _ => at.refuse(
            value.span,
            format!("{what} is an object, not {}", value.data.kind()),
        ),
    }
}

/// Declares a record: the struct, its reader, its shape. Every record knows its place.
macro_rules! record {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident ($what:literal) {
            $( $(#[$field_meta:meta])* $field:ident : $type:ty, )*
        }
        $( known { $( $known:literal ),* $(,)? } )?
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default)]
        $vis struct $name {
            /// Where it stands.
            #[allow(dead_code, reason = "not every record is pointed to by a later error")]
            $vis place: $crate::fields::Place,
            $( $(#[$field_meta])* $vis $field: $type, )*
        }

        impl $name {
            pub(crate) fn shape() -> &'static $crate::fields::Shape {
                const SHAPE: $crate::fields::Shape = $crate::fields::Shape {
                    what: $what,
                    keys: &[$((
                        $crate::fields::field_name(stringify!($field)),
                        <$type as $crate::fields::Read>::HOLDS,
                    )),*],
                    known: &[$( $( $known ),* )?],
                };
                &SHAPE
            }
        }

        impl $crate::fields::Read for $name {
            const HOLDS: $crate::fields::Holds = $crate::fields::Holds::Object(Self::shape);

            fn read(value: &$crate::value::Value, at: &$crate::fields::At<'_>) -> Option<Self> {
                let fields = $crate::fields::Fields::open(value, at, Self::shape())?;
                Some(Self {
                    place: fields.place(),
                    $( $field: fields.take($crate::fields::field_name(stringify!($field))), )*
                })
            }
        }
    };
}
pub(crate) use record;

/// A field's name as a key: `r#type` is `type`.
pub(crate) const fn field_name(name: &'static str) -> &'static str {
    if let [b'r', b'#', ..] = name.as_bytes()
        && let Some((_, rest)) = name.split_at_checked(2)
    {
        return rest;
    }
    name
}
