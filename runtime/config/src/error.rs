//! What is wrong with a file, where, and what to do about it.
//!
//! One enum would not help here: nobody but a person acts on these, so an error is a place, a key
//! and a sentence. It never quotes the value of a key that may hold a secret.

use std::fmt;
use std::rc::Rc;

use crate::value::Span;

/// After this many errors reading stops: a person mends the first ones and tries again.
pub const MAX_ERRORS: usize = 20;

/// One thing that is wrong: `file:line:column: key: what; what to do`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The file, as it was named.
    pub file: Rc<str>,
    /// Where in it; `None` when the whole file is meant.
    pub span: Option<Span>,
    /// The key, as a path from the top of the file (`service.proxy.upstreams[1].datacenter`);
    /// empty when it is the text itself that cannot be read.
    pub key: String,
    /// What is wrong and what to do, in one sentence.
    pub what: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_place(f, &self.file, self.span, &self.key)?;
        f.write_str(&self.what)
    }
}

impl std::error::Error for Error {}

/// Everything found wrong, in the order of the files; never empty where it is returned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    list: Vec<Error>,
    left_out: bool,
}

impl Errors {
    /// The errors, at most [`MAX_ERRORS`].
    #[must_use]
    pub fn list(&self) -> &[Error] {
        &self.list
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn push(&mut self, error: Error) {
        if self.list.len() < MAX_ERRORS {
            self.list.push(error);
        } else {
            self.left_out = true;
        }
    }

    pub(crate) fn append(&mut self, other: Self) {
        self.left_out |= other.left_out;
        for error in other.list {
            self.push(error);
        }
    }
}

impl From<Error> for Errors {
    fn from(error: Error) -> Self {
        Self {
            list: vec![error],
            left_out: false,
        }
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.list.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        if self.left_out {
            f.write_str("\nmore errors follow; mend these first")?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

/// Something a person should know although the file is good: `file:line:column: key: why`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The file, as it was named.
    pub file: Rc<str>,
    /// Where in it; `None` when the whole file is meant.
    pub span: Option<Span>,
    /// The key, as a path from the top of the file.
    pub key: String,
    /// What to know.
    pub why: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_place(f, &self.file, self.span, &self.key)?;
        f.write_str(&self.why)
    }
}

fn write_place(
    f: &mut fmt::Formatter<'_>,
    file: &str,
    span: Option<Span>,
    key: &str,
) -> fmt::Result {
    write!(f, "{file}:")?;
    if let Some(span) = span {
        write!(f, "{}:{}:", span.line, span.column)?;
    }
    f.write_str(" ")?;
    if !key.is_empty() {
        write!(f, "{key}: ")?;
    }
    Ok(())
}

/// What a parser found unreadable; it does not know the name of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Where reading stopped.
    pub span: Span,
    /// What is wrong and what to do, in one sentence.
    pub what: String,
}

impl SyntaxError {
    pub(crate) fn new(span: Span, what: impl Into<String>) -> Self {
        Self {
            span,
            what: what.into(),
        }
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.span.line, self.span.column, self.what)
    }
}

impl std::error::Error for SyntaxError {}
