//! Why the demo ended before its end.

use std::fmt;

/// What went wrong, in a sentence, and what to do about it where that is known.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            hint: None,
        }
    }

    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    pub(crate) fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// For `map_err`: the error after what was being done.
pub(crate) fn while_doing<E: fmt::Display>(what: impl Into<String>) -> impl FnOnce(E) -> Failure {
    let what = what.into();
    move |error| Failure::new(format!("{what}: {error}"))
}

/// What to do about an address that somebody else has.
pub(crate) fn taken(address: &str, where_to_change: &str) -> String {
    format!(
        "another demo may be running. `ss -ltnp` shows who has {address}; stop that, or change the \
         port in {where_to_change}"
    )
}
