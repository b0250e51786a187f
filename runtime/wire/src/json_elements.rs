//! A JSON document cut into its elements while it streams in (RFC 8259).
//!
//! Consul answers with an array of instances, or an object by name, that may be megabytes long, while one element is a
//! kilobyte or two. [`Elements`] says where each begins and ends, so that no more than one need be kept. It never reads
//! what is inside: an element's brackets match, and whether it is JSON is for whoever parses it.

use core::fmt;

/// How deep brackets may be within each other, those of the document included. Consul nests about ten deep.
pub const MAX_DEPTH: u32 = 128;

/// Cuts one document. A document that is no array and no object is one element.
#[derive(Clone, Debug, Default)]
pub struct Elements {
    expects: Expects,
    /// The document's own bracket.
    document: Option<Bracket>,
    /// What the element is that is being cut.
    kind: Kind,
    shape: Shape,
    text: Text,
    /// How many brackets are open in the element; at most 127.
    depth: u32,
    /// Whether each of them is a brace; the innermost is the lowest bit.
    braces: u128,
}

/// What comes next in the document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expects {
    /// The document.
    #[default]
    Document,
    /// The first element, or the end.
    First,
    /// An element.
    Element,
    /// The colon behind a key.
    Colon,
    /// A value behind a colon.
    Value,
    /// A comma, or the end.
    Comma,
    /// Nothing; space at most.
    Nothing,
    /// More of an element.
    Inside,
    /// Word that the element is whole.
    Word,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bracket {
    Square,
    Brace,
}

/// How an element began, which says how it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Shape {
    /// A number or a word: it ends before what follows.
    #[default]
    Bare,
    /// With its closing quotation mark.
    Text,
    /// With its closing bracket.
    Bracketed,
}

/// Whether the next byte is part of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Text {
    #[default]
    Outside,
    Inside,
    /// Behind a backslash.
    Escaped,
}

/// What an element is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// The whole document: it is no array and no object.
    #[default]
    Document,
    /// An element of the array.
    Item,
    /// The key of a member of the object, in quotation marks.
    Key,
    /// The value of the member whose key came before it.
    Value,
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut<'a> {
    /// All of the input is taken; more must come, or [`Elements::finish`] be called.
    More,
    /// Bytes of an element, behind those that came before.
    Part(&'a [u8]),
    /// The element is whole.
    End(Kind),
}

/// The document is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotJson(&'static str);

impl fmt::Display for NotJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not JSON: {}", self.0)
    }
}

impl core::error::Error for NotJson {}

impl Elements {
    /// Before a document.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes from the front of `input`; gives how many, and what they are.
    ///
    /// # Errors
    ///
    /// No document goes on like this.
    pub fn next<'a>(&mut self, input: &'a [u8]) -> Result<(usize, Cut<'a>), NotJson> {
        let mut between = 0;
        loop {
            match (self.expects, input.get(between)) {
                (Expects::Word, _) => return Ok((between, self.word())),
                (_, None) => return Ok((between, Cut::More)),
                (Expects::Inside, Some(_)) => break,
                (_, Some(byte)) => {
                    if self.takes(*byte)? {
                        between += 1;
                    }
                }
            }
        }
        let rest = input.get(between..).unwrap_or_default();
        let mut length = 0;
        for byte in rest {
            match self.inside(*byte)? {
                Step::On => length += 1,
                Step::Last => {
                    length += 1;
                    self.expects = Expects::Word;
                    break;
                }
                Step::Behind => {
                    self.expects = Expects::Word;
                    break;
                }
            }
        }
        match rest.get(..length) {
            Some(part) if length > 0 => Ok((between + length, Cut::Part(part))),
            _ => Ok((between, self.word())),
        }
    }

    /// No more bytes come. Gives the element that this ends, if it ends one: a number or a word that is the document.
    ///
    /// # Errors
    ///
    /// The document is not whole.
    pub fn finish(&mut self) -> Result<Option<Kind>, NotJson> {
        match (self.expects, self.kind, self.shape) {
            (Expects::Nothing, ..) => Ok(None),
            (Expects::Inside, Kind::Document, Shape::Bare) => {
                self.expects = Expects::Nothing;
                Ok(Some(Kind::Document))
            }
            _ => Err(NotJson("it ends too early")),
        }
    }

    fn word(&mut self) -> Cut<'static> {
        self.expects = match self.kind {
            Kind::Document => Expects::Nothing,
            Kind::Key => Expects::Colon,
            Kind::Item | Kind::Value => Expects::Comma,
        };
        Cut::End(self.kind)
    }

    /// Whether a byte between elements is taken; if not, an element begins with it.
    fn takes(&mut self, byte: u8) -> Result<bool, NotJson> {
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            return Ok(true);
        }
        let closes = match self.document {
            Some(Bracket::Square) => byte == b']',
            Some(Bracket::Brace) => byte == b'}',
            None => false,
        };
        let next = match (self.expects, byte) {
            (Expects::Document, b'[') => {
                self.document = Some(Bracket::Square);
                Expects::First
            }
            (Expects::Document, b'{') => {
                self.document = Some(Bracket::Brace);
                Expects::First
            }
            (Expects::First | Expects::Comma, _) if closes => Expects::Nothing,
            (Expects::Comma, b',') => Expects::Element,
            (Expects::Colon, b':') => Expects::Value,
            (Expects::Document, _) => return self.begins(Kind::Document, byte),
            (Expects::Value, _) => return self.begins(Kind::Value, byte),
            (Expects::First | Expects::Element, _) => {
                let kind = match self.document {
                    Some(Bracket::Brace) if byte == b'"' => Kind::Key,
                    Some(Bracket::Brace) => return Err(NotJson("a key is no text")),
                    _ => Kind::Item,
                };
                return self.begins(kind, byte);
            }
            _ => return Err(NotJson("a comma, a colon or the end is missing")),
        };
        self.expects = next;
        Ok(true)
    }

    fn begins(&mut self, kind: Kind, byte: u8) -> Result<bool, NotJson> {
        self.shape = match byte {
            b'"' => Shape::Text,
            b'[' | b'{' => Shape::Bracketed,
            b',' | b':' | b']' | b'}' => return Err(NotJson("an element is missing")),
            _ => Shape::Bare,
        };
        self.kind = kind;
        self.expects = Expects::Inside;
        Ok(false)
    }

    /// A byte of an element, or the first one behind it.
    fn inside(&mut self, byte: u8) -> Result<Step, NotJson> {
        if self.shape == Shape::Bare {
            let behind = matches!(
                byte,
                b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' | b']' | b'}'
            );
            return Ok(if behind { Step::Behind } else { Step::On });
        }
        match (self.text, byte) {
            (Text::Escaped, _) => self.text = Text::Inside,
            (Text::Inside, b'\\') => self.text = Text::Escaped,
            (Text::Inside, b'"') => {
                self.text = Text::Outside;
                if self.shape == Shape::Text {
                    return Ok(Step::Last);
                }
            }
            (Text::Inside, _) => {}
            (Text::Outside, b'"') => self.text = Text::Inside,
            (Text::Outside, b'[' | b'{') => {
                self.depth += 1;
                if self.depth >= MAX_DEPTH {
                    return Err(NotJson("brackets are nested too deep"));
                }
                self.braces = self.braces << 1 | u128::from(byte == b'{');
            }
            (Text::Outside, b']' | b'}') => {
                if (self.braces & 1 == 1) != (byte == b'}') {
                    return Err(NotJson("brackets do not match"));
                }
                self.braces >>= 1;
                self.depth -= 1;
                if self.depth == 0 {
                    return Ok(Step::Last);
                }
            }
            (Text::Outside, _) => {}
        }
        Ok(Step::On)
    }
}

/// What a byte is to the element.
enum Step {
    /// Part of it.
    On,
    /// Its last one.
    Last,
    /// The first one behind it.
    Behind,
}
