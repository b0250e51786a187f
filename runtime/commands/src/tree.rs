//! Any serializable value as a tree of words, to be shown to a person or to a program.
//!
//! It shows what there is without knowing it, so a new part of a Plan is shown too. What is called `Secret` is never shown, wherever
//! it stands. Durations are in seconds, as text.

use std::fmt::{self, Display, Write as _};

use serde::ser::{
    Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use plan::quote::quote;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tree {
    /// Nothing, as the option that is not taken.
    Nothing,
    /// A number or a truth, as it is written.
    Plain(String),
    /// A text.
    Text(String),
    List(Vec<Self>),
    /// Fields, in the order of their declaration.
    Map(Vec<(String, Self)>),
}

impl Tree {
    /// The value as a tree.
    pub(crate) fn of<T: Serialize>(value: &T) -> Self {
        value
            .serialize(Trees)
            .unwrap_or_else(|error| Self::Text(error.0))
    }

    /// As JSON (RFC 8259), in one line.
    pub(crate) fn json(&self, out: &mut String) {
        match self {
            Self::Nothing => out.push_str("null"),
            Self::Plain(plain) => out.push_str(plain),
            Self::Text(text) => quote(out, text),
            Self::List(list) => {
                out.push('[');
                for (at, item) in list.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    item.json(out);
                }
                out.push(']');
            }
            Self::Map(fields) => {
                out.push('{');
                for (at, (name, value)) in fields.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    quote(out, name);
                    out.push(':');
                    value.json(out);
                }
                out.push('}');
            }
        }
    }

    /// As lines for a person, each indented by so many steps; what is not there is left out.
    pub(crate) fn lines(&self, depth: usize, out: &mut String) {
        let indent = "  ".repeat(depth);
        match self {
            Self::Map(fields) => {
                for (name, value) in fields {
                    match value.line() {
                        Some(line) if line.is_empty() => {}
                        Some(line) => drop(writeln!(out, "{indent}{name}: {line}")),
                        None => {
                            let _ = writeln!(out, "{indent}{name}:");
                            value.lines(depth + 1, out);
                        }
                    }
                }
            }
            Self::List(list) => {
                for item in list {
                    match (item.line(), item.name()) {
                        (Some(line), _) => drop(writeln!(out, "{indent}{line}")),
                        (None, name) => {
                            let _ = writeln!(out, "{indent}{}:", name.unwrap_or_default());
                            item.lines(depth + 1, out);
                        }
                    }
                }
            }
            other => drop(writeln!(
                out,
                "{indent}{}",
                other.line().unwrap_or_default()
            )),
        }
    }

    /// In one line, if it fits: a word, or a few of them.
    pub(crate) fn line(&self) -> Option<String> {
        match self {
            Self::Nothing => Some(String::new()),
            Self::Plain(text) | Self::Text(text) if !text.contains('\n') => Some(text.clone()),
            Self::Text(text) => Some(format!("{} lines of text", text.lines().count())),
            Self::Plain(_) => None,
            Self::List(list) => {
                let lines: Option<Vec<String>> = list.iter().map(Self::word).collect();
                lines.map(|lines| lines.join(", "))
            }
            Self::Map(fields) => {
                let mut line = String::new();
                for (name, value) in fields.iter().filter(|(_, value)| *value != Self::Nothing) {
                    let separator = if line.is_empty() { "" } else { ", " };
                    let _ = write!(line, "{separator}{name} {}", value.word()?);
                }
                Some(line).filter(|line| line.len() <= MAX_LINE)
            }
        }
    }

    /// As a part of a line: a word, or a choice and what it holds.
    fn word(&self) -> Option<String> {
        match self {
            Self::Nothing | Self::Plain(_) | Self::Text(_) => self.line(),
            Self::Map(fields) => match fields.as_slice() {
                [(name, value)] if value.is_word() => Some(format!("{name} {}", value.line()?)),
                [(name, value @ Self::Map(_))] => Some(format!("{name} ({})", value.line()?)),
                _ => None,
            },
            Self::List(_) => None,
        }
    }

    fn is_word(&self) -> bool {
        matches!(self, Self::Plain(_) | Self::Text(_))
    }

    /// What tells it from others in a list: its name, or what stands for one.
    pub(crate) fn name(&self) -> Option<String> {
        let Self::Map(fields) = self else { return None };
        let named = |key: &&str| fields.iter().find(|(name, _)| name == key);
        let (_, value) = NAMES.iter().find_map(named)?;
        value.line()
    }
}

/// A longer map is shown a field a line.
const MAX_LINE: usize = 90;

/// Fields by which the parts of a Plan are told apart.
const NAMES: [&str; 4] = ["name", "trust_domain", "server_names", "address"];

/// Never happens: a tree has room for everything.
#[derive(Debug)]
pub(crate) struct Failed(String);

impl Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

impl serde::ser::Error for Failed {
    fn custom<T: Display>(text: T) -> Self {
        Self(text.to_string())
    }
}

/// Makes trees.
struct Trees;

/// A tree with several parts that is being made.
struct Parts {
    /// The variant, if it is one of an enumeration.
    variant: Option<&'static str>,
    name: &'static str,
    list: Vec<Tree>,
    fields: Vec<(String, Tree)>,
}

impl Parts {
    fn new(name: &'static str, variant: Option<&'static str>) -> Self {
        Self {
            variant,
            name,
            list: Vec::new(),
            fields: Vec::new(),
        }
    }

    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
        self.list.push(value.serialize(Trees)?);
        Ok(())
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Failed> {
        self.fields.push((name.to_owned(), value.serialize(Trees)?));
        Ok(())
    }

    fn list(self) -> Result<Tree, Failed> {
        Ok(within(self.variant, Tree::List(self.list)))
    }

    fn map(self) -> Result<Tree, Failed> {
        let tree = match (self.name, self.fields.as_slice()) {
            ("Duration", [(_, Tree::Plain(seconds)), (_, Tree::Plain(nanos))]) => {
                let fraction = format!("{:0>9}", nanos);
                let fraction = fraction.trim_end_matches('0');
                let dot = if fraction.is_empty() { "" } else { "." };
                Tree::Text(format!("{seconds}{dot}{fraction}s"))
            }
            _ => Tree::Map(self.fields),
        };
        Ok(within(self.variant, tree))
    }
}

fn within(variant: Option<&'static str>, tree: Tree) -> Tree {
    match variant {
        Some(variant) => Tree::Map(vec![(variant.to_owned(), tree)]),
        None => tree,
    }
}

macro_rules! plain {
    ($($method:ident: $kind:ty),*) => {
        $(fn $method(self, value: $kind) -> Result<Tree, Failed> {
            Ok(Tree::Plain(value.to_string()))
        })*
    };
}

impl Serializer for Trees {
    type Ok = Tree;
    type Error = Failed;
    type SerializeSeq = Parts;
    type SerializeTuple = Parts;
    type SerializeTupleStruct = Parts;
    type SerializeTupleVariant = Parts;
    type SerializeMap = Parts;
    type SerializeStruct = Parts;
    type SerializeStructVariant = Parts;

    plain! {
        serialize_bool: bool,
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64
    }

    fn serialize_f32(self, _: f32) -> Result<Tree, Failed> {
        Err(Failed::custom("a plan has no fractions"))
    }

    fn serialize_f64(self, _: f64) -> Result<Tree, Failed> {
        Err(Failed::custom("a plan has no fractions"))
    }

    fn serialize_char(self, value: char) -> Result<Tree, Failed> {
        Ok(Tree::Text(value.to_string()))
    }

    fn serialize_str(self, value: &str) -> Result<Tree, Failed> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<Tree, Failed> {
        Ok(Tree::Text(format!("{} bytes", value.len())))
    }

    fn serialize_none(self) -> Result<Tree, Failed> {
        Ok(Tree::Nothing)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Tree, Failed> {
        value.serialize(Self)
    }

    fn serialize_unit(self) -> Result<Tree, Failed> {
        Ok(Tree::Nothing)
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<Tree, Failed> {
        self.serialize_str(name)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Tree, Failed> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<Tree, Failed> {
        match name {
            "Secret" => self.serialize_str("(not shown)"),
            _ => value.serialize(self),
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Tree, Failed> {
        Ok(within(Some(variant), value.serialize(self)?))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts, Failed> {
        Ok(Parts::new("", None))
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts, Failed> {
        Ok(Parts::new("", None))
    }

    fn serialize_tuple_struct(self, name: &'static str, _: usize) -> Result<Parts, Failed> {
        Ok(Parts::new(name, None))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts, Failed> {
        Ok(Parts::new(name, Some(variant)))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Parts, Failed> {
        Ok(Parts::new("", None))
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Parts, Failed> {
        Ok(Parts::new(name, None))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts, Failed> {
        Ok(Parts::new(name, Some(variant)))
    }
}

macro_rules! parts {
    ($($of:ident $method:ident $end:ident),*) => {
        $(impl $of for Parts {
            type Ok = Tree;
            type Error = Failed;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
                self.item(value)
            }

            fn end(self) -> Result<Tree, Failed> {
                self.$end()
            }
        })*
    };
}

parts! {
    SerializeSeq serialize_element list,
    SerializeTuple serialize_element list,
    SerializeTupleStruct serialize_field list,
    SerializeTupleVariant serialize_field list
}

macro_rules! fields {
    ($($of:ident),*) => {
        $(impl $of for Parts {
            type Ok = Tree;
            type Error = Failed;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Failed> {
                self.field(name, value)
            }

            fn end(self) -> Result<Tree, Failed> {
                self.map()
            }
        })*
    };
}

fields! { SerializeStruct, SerializeStructVariant }

impl SerializeMap for Parts {
    type Ok = Tree;
    type Error = Failed;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Failed> {
        let key = key.serialize(Trees)?.line().unwrap_or_default();
        self.fields.push((key, Tree::Nothing));
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
        if let Some((_, place)) = self.fields.last_mut() {
            *place = value.serialize(Trees)?;
        }
        Ok(())
    }

    fn end(self) -> Result<Tree, Failed> {
        self.map()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use plan::{Endpoint, EndpointAddress, Health, Identity, Secret, ServerNames};

    use super::*;

    fn json(tree: &Tree) -> String {
        let mut text = String::new();
        tree.json(&mut text);
        text
    }

    #[test]
    fn values_are_shown_in_their_own_words() {
        let endpoint = Endpoint {
            address: EndpointAddress::Socket("10.0.0.1:80".parse().unwrap()),
            weight: 3,
            health: Health::Healthy,
        };
        let tree = Tree::of(&endpoint);
        let expected = r#"{"address":{"Socket":"10.0.0.1:80"},"weight":3,"health":"Healthy"}"#;
        assert_eq!(json(&tree), expected);
        assert_eq!(
            tree.line().unwrap(),
            "address Socket 10.0.0.1:80, weight 3, health Healthy"
        );
        assert_eq!(tree.name().unwrap(), "Socket 10.0.0.1:80");
        let host = EndpointAddress::Host {
            name: "a.example".to_owned(),
            port: 7,
        };
        let host = Tree::of(&vec![host]);
        assert_eq!(host.line().unwrap(), "Host (name a.example, port 7)");
        assert_eq!(json(&Tree::of(&ServerNames::Any)), "\"Any\"");
        assert_eq!(json(&Tree::of(&Some((1, "a\"b")))), r#"[1,"a\"b"]"#);
        assert_eq!(json(&Tree::of(&None::<u8>)), "null");
    }

    #[test]
    fn durations_are_seconds() {
        for (millis, expected) in [
            (0, "\"0s\""),
            (2500, "\"2.5s\""),
            (60_000, "\"60s\""),
            (1, "\"0.001s\""),
        ] {
            assert_eq!(json(&Tree::of(&Duration::from_millis(millis))), expected);
        }
    }

    #[test]
    fn secrets_are_not_shown_wherever_they_are() {
        let identity = Identity {
            name: "web".to_owned(),
            certificates: "line\nline".to_owned(),
            key: Secret::new("the key".to_owned()),
        };
        let tree = Tree::of(&vec![Some(identity)]);
        let mut shown = json(&tree);
        tree.lines(0, &mut shown);
        assert!(!shown.contains("the key"), "{shown}");
        assert!(shown.contains("2 lines of text"), "{shown}");
    }
}
