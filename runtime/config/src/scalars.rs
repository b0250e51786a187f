//! Consul's weak typing of single values, lists and maps (mapstructure's `WeaklyTypedInput`):
//! `"8080"` is a port, `1` is a text where a text belongs, a single value is a list of one.

use std::time::Duration;

use crate::fields::{At, Holds, Place, Read, the_object};
use crate::suggest::did_you_mean;
use crate::value::{Data, Object, Value};
use plan::duration::parse_duration;

impl Read for String {
    const HOLDS: Holds = Holds::Scalar;

    fn read(value: &Value, at: &At<'_>) -> Option<Self> {
        match &value.data {
            Data::Text(text) => Some(text.clone()),
            Data::Int(number) => Some(number.to_string()),
            Data::Decimal(number) => Some(number.as_str().to_owned()),
            // mapstructure writes a bool as a digit.
            Data::Bool(truth) => Some(if *truth { "1" } else { "0" }.to_owned()),
            Data::Null => Some(Self::new()),
            _ => at.refuse(
                value.span,
                format!("a text is needed, not {}", value.data.kind()),
            ),
        }
    }
}

impl Read for bool {
    const HOLDS: Holds = Holds::Scalar;

    fn read(value: &Value, at: &At<'_>) -> Option<Self> {
        match &value.data {
            Data::Bool(truth) => Some(*truth),
            Data::Int(number) => Some(*number != 0),
            Data::Null => Some(false),
            Data::Text(text) => match text.as_str() {
                "true" | "True" | "TRUE" | "t" | "T" | "1" => Some(true),
                "false" | "False" | "FALSE" | "f" | "F" | "0" | "" => Some(false),
                _ => at.refuse(value.span, "true or false is needed"),
            },
            _ => at.refuse(
                value.span,
                format!("true or false is needed, not {}", value.data.kind()),
            ),
        }
    }
}

macro_rules! whole_numbers {
    ($($type:ty),*) => {$(
        impl Read for $type {
            const HOLDS: Holds = Holds::Scalar;

            fn read(value: &Value, at: &At<'_>) -> Option<Self> {
                let number = match &value.data {
                    Data::Int(number) => Some(*number),
                    Data::Text(text) => text.trim().parse().ok(),
                    _ => None,
                };
                let read = number.and_then(|number| Self::try_from(number).ok());
                let (least, most) = (Self::MIN, Self::MAX);
                read.or_else(|| {
                    let kind = value.data.kind();
                    let what = match number {
                        Some(number) => format!("{number} is not within {least} to {most}"),
                        None => format!("a whole number is needed, not {kind}"),
                    };
                    at.refuse(value.span, what)
                })
            }
        }
    )*};
}
whole_numbers!(u8, u16, u32, i64);

/// A duration with its unit, as everywhere in `lictor { }`.
impl Read for Duration {
    const HOLDS: Holds = Holds::Scalar;

    fn read(value: &Value, at: &At<'_>) -> Option<Self> {
        match &value.data {
            Data::Text(text) => match parse_duration(text) {
                Ok(duration) => Some(duration),
                Err(what) => at.refuse(value.span, what),
            },
            Data::Int(0) => Some(Self::ZERO),
            _ => at.refuse(
                value.span,
                "a duration needs a unit and quotes, as in \"1m30s\"",
            ),
        }
    }
}

/// A duration in a config entry, where Consul reads a plain number as nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsulDuration(pub Duration);

impl Read for ConsulDuration {
    const HOLDS: Holds = Holds::Scalar;

    fn read(value: &Value, at: &At<'_>) -> Option<Self> {
        match &value.data {
            Data::Int(number) => match u64::try_from(*number) {
                Ok(nanoseconds) => Some(Self(Duration::from_nanos(nanoseconds))),
                Err(_) => at.refuse(value.span, "a duration cannot be negative"),
            },
            _ => Duration::read(value, at).map(Self),
        }
    }
}

/// A text that is never shown: an ACL token.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for whoever sends it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

impl Read for Secret {
    const HOLDS: Holds = Holds::Scalar;

    fn read(value: &Value, at: &At<'_>) -> Option<Self> {
        String::read(value, at).map(Self)
    }
}

impl<T: Read> Read for Option<T> {
    const HOLDS: Holds = T::HOLDS;

    fn read(value: &Value, at: &At<'_>) -> Option<Self> {
        match value.data {
            Data::Null if matches!(T::HOLDS, Holds::Scalar) => Some(None),
            _ => T::read(value, at).map(Some),
        }
    }
}

impl<T: Read> Read for Box<T> {
    const HOLDS: Holds = T::HOLDS;

    fn read(value: &Value, at: &At<'_>) -> Option<Self> {
        T::read(value, at).map(Self::new)
    }
}

impl<T: Read> Read for Vec<T> {
    const HOLDS: Holds = match T::HOLDS {
        Holds::Object(shape) | Holds::Objects(shape) => Holds::Objects(shape),
        other => other,
    };

    fn read(value: &Value, at: &At<'_>) -> Option<Self> {
        match &value.data {
            Data::List(items) => {
                let read = |(index, item)| T::read(item, &at.item(index));
                Some(items.iter().enumerate().filter_map(read).collect())
            }
            Data::Null => Some(Self::new()),
            _ => T::read(value, at).map(|item| vec![item]),
        }
    }
}

/// Values under names of the operator's, in the order of the file: `service "api" { … }`.
#[derive(Clone, Debug)]
pub struct Map<T>(pub Vec<Named<T>>);

/// One value of a [`Map`].
#[derive(Clone, Debug)]
pub struct Named<T> {
    /// Its name.
    pub name: String,
    /// Where its name stands.
    pub place: Place,
    /// The value.
    pub value: T,
}

impl<T> Map<T> {
    /// The value of that name.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&T> {
        self.0
            .iter()
            .find(|named| named.name == name)
            .map(|named| &named.value)
    }
}

/// Adds the entries of one object to a map.
fn add<T: Read>(map: &mut Map<T>, part: &Value, at: &At<'_>) -> Option<()> {
    for entry in the_object(part, at, "a map of names")?.map_or(&[][..], Object::entries) {
        let at = at.key(&entry.key);
        if let Some(first) = map.0.iter().find(|named| named.name == entry.key) {
            let what = format!("given already at {}; keep one", first.place.short());
            at.refuse::<()>(entry.span, what);
        } else if let Some(value) = T::read(&entry.value, &at) {
            let (name, place) = (entry.key.clone(), at.place(entry.span));
            map.0.push(Named { name, place, value });
        }
    }
    Some(())
}

/// A text of its own, and others of its kind under names: `datacenter = "dc1"` beside
/// `datacenter "dc2" { … }`.
#[derive(Clone, Debug)]
pub(crate) struct OwnAndOthers<T> {
    /// The own one.
    pub(crate) own: Option<Spot<String>>,
    /// The others.
    pub(crate) others: Map<T>,
}

impl<T> Default for OwnAndOthers<T> {
    fn default() -> Self {
        Self {
            own: None,
            others: Map::default(),
        }
    }
}

impl<T: Read> Read for OwnAndOthers<T> {
    const HOLDS: Holds = Holds::Free;

    fn read(value: &Value, at: &At<'_>) -> Option<Self> {
        let mut read = Self::default();
        let parts = match &value.data {
            Data::List(items) => items.as_slice(),
            _ => std::slice::from_ref(value),
        };
        for part in parts {
            match part.data {
                Data::Object(_) => add(&mut read.others, part, at)?,
                _ if read.own.is_some() => {
                    return at.refuse(part.span, "given more than once; keep one");
                }
                _ => read.own = Some(Spot::read(part, at)?),
            }
        }
        Some(read)
    }
}

/// A value that knows its place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spot<T> {
    /// Where it stands.
    pub(crate) place: Place,
    /// The value.
    pub(crate) value: T,
}

impl<T: Read> Read for Spot<T> {
    const HOLDS: Holds = T::HOLDS;

    fn read(value: &Value, at: &At<'_>) -> Option<Self> {
        Some(Self {
            place: at.place(value.span),
            value: T::read(value, at)?,
        })
    }
}

impl<T> Default for Map<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Read> Read for Map<T> {
    const HOLDS: Holds = Holds::Free;

    fn read(value: &Value, at: &At<'_>) -> Option<Self> {
        let mut map = Self::default();
        // Labelled blocks of HCL 1 come as a list of objects with one key each.
        let parts = match &value.data {
            Data::List(items) => items.as_slice(),
            _ => std::slice::from_ref(value),
        };
        for part in parts {
            add(&mut map, part, at)?;
        }
        Some(map)
    }
}

/// A map whose values are nobody's business but the proxy's (`proxy.config`): read when asked.
#[derive(Clone, Debug, Default)]
pub struct Opaque {
    /// The keys and values as written.
    pub object: Object,
}

impl Read for Opaque {
    const HOLDS: Holds = Holds::Free;

    fn read(value: &Value, at: &At<'_>) -> Option<Self> {
        let object = the_object(value, at, "this")?.cloned().unwrap_or_default();
        Some(Self { object })
    }
}

/// Finds a word among those that are known, without regard to case.
pub(crate) fn one_of<T: Copy>(value: &Value, at: &At<'_>, words: &[(&str, T)]) -> Option<T> {
    let text = String::read(value, at)?;
    let found = words
        .iter()
        .find(|(word, _)| word.eq_ignore_ascii_case(&text));
    found.map(|(_, meaning)| *meaning).or_else(|| {
        let names: Vec<&str> = words
            .iter()
            .map(|(word, _)| *word)
            .filter(|word| !word.is_empty())
            .collect();
        let hint = did_you_mean(&text, names.iter().copied());
        at.refuse(
            value.span,
            format!("'{text}' is none of {}{hint}", names.join(", ")),
        )
    })
}

/// Declares an enum that is a word in the file.
macro_rules! words {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident {
            $( $(#[$variant_meta:meta])* $variant:ident = $($word:literal)|+, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        $vis enum $name {
            $( $(#[$variant_meta])* $variant, )*
        }

        impl $crate::fields::Read for $name {
            const HOLDS: $crate::fields::Holds = $crate::fields::Holds::Scalar;

            fn read(value: &$crate::value::Value, at: &$crate::fields::At<'_>) -> Option<Self> {
                $crate::scalars::one_of(value, at, &[$( $(($word, Self::$variant)),+ ),*])
            }
        }
    };
}
pub(crate) use words;
