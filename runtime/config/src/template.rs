//! Addresses by interface: `{{ GetInterfaceIP "eth0" }}`, `{{ GetPrivateIP }}`, and pipelines of lists.
//!
//! The words are those of go-sockaddr, which Consul's agent and `consul connect envoy` take addresses by
//! (<https://pkg.go.dev/github.com/hashicorp/go-sockaddr/template>), and mean what they mean there: an interface is named by a regular
//! expression that may fit anywhere in its name, the largest network goes first, IPv4 before IPv6. Go's template language around them is
//! not here; what is not understood is refused by its name. Never asks the system: the interfaces are an argument.

mod addresses;
mod name;

use std::net::IpAddr;

use addresses::{Filter, Key, sort};
use name::Pattern;

/// An address of an interface of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The interface's name.
    pub name: String,
    /// The address.
    pub ip: IpAddr,
    /// How many bits of it name its network.
    pub prefix: u8,
    /// Whether the interface is up.
    pub up: bool,
    /// Whether the default route leads through the interface.
    pub default: bool,
}

/// Whether there is anything to fill in.
#[must_use]
pub fn is_template(text: &str) -> bool {
    text.contains("{{")
}

/// Puts addresses in the place of what stands in double braces. `interfaces` are in the kernel's order.
///
/// # Errors
/// What is not understood, or that no address fits.
pub fn fill_template(text: &str, interfaces: &[InterfaceAddress]) -> Result<String, String> {
    let (mut filled, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((inside, after)) = after.split_once("}}") else {
            return Err(format!("'{text}' has '{{{{' without '}}}}'"));
        };
        filled.push_str(before);
        let found =
            evaluate(inside, interfaces).map_err(|why| format!("{{{{{inside}}}}}: {why}"))?;
        filled.push_str(&found);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// What a stage of a pipeline hands on.
enum Handed<'a> {
    List(Vec<&'a InterfaceAddress>),
    Text(String),
}

/// What can be written, for whoever wrote something else.
const KNOWN: &str = "GetInterfaceIP, GetPrivateIP, GetPublicIP, GetAllInterfaces, GetPrivateInterfaces, GetPublicInterfaces, \
                     GetDefaultInterfaces, include, exclude, sort, limit, attr and join are";

fn evaluate(inside: &str, interfaces: &[InterfaceAddress]) -> Result<String, String> {
    let mut handed = None;
    for stage in stages(inside)? {
        let (word, arguments) = match stage.as_slice() {
            [Token::Word(word), arguments @ ..] => (*word, arguments),
            _ => return Err("a function is missing".to_owned()),
        };
        let arguments: Vec<&str> = arguments.iter().map(Token::text).collect();
        handed = Some(match handed {
            None => source(word, &arguments, interfaces)?,
            Some(Handed::List(list)) => step(word, &arguments, list)?,
            Some(Handed::Text(_)) => {
                return Err(format!("nothing is left for '{word}' to work on"));
            }
        });
    }
    match handed {
        Some(Handed::Text(text)) if !text.is_empty() => Ok(text),
        Some(Handed::Text(_)) => Err("no interface of this machine has such an address".to_owned()),
        _ => Err(r#"this is a list; end it with | attr "address""#.to_owned()),
    }
}

/// The first stage.
fn source<'a>(
    word: &str,
    arguments: &[&str],
    interfaces: &'a [InterfaceAddress],
) -> Result<Handed<'a>, String> {
    let all = || interfaces.iter().collect();
    // Those that are private or public, the one of the default route first.
    let sorted = |filter: Filter<'_>| -> Vec<&'a InterfaceAddress> {
        let fits = [Filter::Forwardable, Filter::Up(true), filter];
        let mut list: Vec<_> = all();
        list.retain(|it| fits.iter().all(|filter| filter.takes(it)));
        sort(
            &mut list,
            &[Key::Default, Key::Type, Key::Size].map(|key| (key, false)),
        );
        list
    };
    let first = |list: Vec<&InterfaceAddress>| Handed::Text(address_of(list.first()));
    Ok(match (word, arguments) {
        ("GetAllInterfaces" | ".", []) => Handed::List(all()),
        ("GetDefaultInterfaces", []) => {
            Handed::List(interfaces.iter().filter(|it| it.default).collect())
        }
        ("GetPrivateInterfaces", []) => Handed::List(sorted(Filter::Private(true))),
        ("GetPublicInterfaces", []) => Handed::List(sorted(Filter::Private(false))),
        ("GetPrivateIP", []) => first(sorted(Filter::Private(true))),
        ("GetPublicIP", []) => first(sorted(Filter::Private(false))),
        ("GetInterfaceIP", [name]) => {
            let name = Filter::Name(Pattern::new(name)?);
            let mut list: Vec<_> = all();
            list.retain(|it| name.takes(it) && Filter::Forwardable.takes(it));
            sort(&mut list, &[Key::Type, Key::Size].map(|key| (key, false)));
            first(list)
        }
        ("GetInterfaceIP", _) => return Err("give the name of one interface".to_owned()),
        _ => return Err(unknown(word)),
    })
}

/// A stage on a list.
fn step<'a>(
    word: &str,
    arguments: &[&str],
    mut list: Vec<&'a InterfaceAddress>,
) -> Result<Handed<'a>, String> {
    Ok(match (word, arguments) {
        ("include" | "exclude", [selector, value]) => {
            let filter = Filter::new(selector, value)?;
            list.retain(|it| filter.takes(it) == (word == "include"));
            Handed::List(list)
        }
        ("sort", [keys]) => {
            let keys: Result<Vec<_>, _> = keys.split(',').map(Key::new).collect();
            sort(&mut list, &keys?);
            Handed::List(list)
        }
        ("limit", [count]) => {
            let count = count
                .parse()
                .map_err(|_| format!("'{count}' is no number"))?;
            list.truncate(count);
            Handed::List(list)
        }
        ("attr", ["address"]) => Handed::Text(address_of(list.first())),
        ("join", ["address", between]) => {
            let texts: Vec<String> = list.iter().map(|it| it.ip.to_string()).collect();
            Handed::Text(texts.join(between))
        }
        ("attr" | "join", [other, ..]) if *other != "address" => {
            return Err(format!(
                "{word} \"{other}\" is no address; only \"address\" is supported"
            ));
        }
        ("include" | "exclude" | "sort" | "limit" | "attr" | "join", _) => {
            return Err(format!("'{word}' has too few or too many arguments"));
        }
        _ => return Err(unknown(word)),
    })
}

fn unknown(word: &str) -> String {
    format!("'{word}' is not supported here; {KNOWN}")
}

fn address_of(first: Option<&&InterfaceAddress>) -> String {
    first.map(|it| it.ip.to_string()).unwrap_or_default()
}

enum Token<'a> {
    Word(&'a str),
    Text(String),
}

impl Token<'_> {
    fn text(&self) -> &str {
        match self {
            Self::Word(word) => word,
            Self::Text(text) => text,
        }
    }
}

/// The stages between the bars, as tokens.
fn stages(inside: &str) -> Result<Vec<Vec<Token<'_>>>, String> {
    let mut stages = vec![Vec::new()];
    let mut rest = inside.trim_start();
    while let Some(first) = rest.chars().next() {
        let token = match first {
            '|' => {
                stages.push(Vec::new());
                rest = rest.strip_prefix('|').unwrap_or_default().trim_start();
                continue;
            }
            '"' => {
                let (text, after) = quoted(rest)?;
                rest = after;
                Token::Text(text)
            }
            '`' => {
                let raw = rest.strip_prefix('`').unwrap_or_default();
                let (text, after) = raw.split_once('`').ok_or("a text has no end")?;
                rest = after;
                Token::Text(text.to_owned())
            }
            _ => {
                let ends = |c: char| c.is_whitespace() || matches!(c, '|' | '"' | '`');
                let (word, after) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
                rest = after;
                Token::Word(word)
            }
        };
        if let Some(stage) = stages.last_mut() {
            stage.push(token);
        }
        rest = rest.trim_start();
    }
    Ok(stages)
}

/// A text in double quotes, and what is behind it. A backslash stands for what follows it, but before letters, where Go has
/// others in mind.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let (mut read, mut escaped) = (String::new(), false);
    for (at, c) in text.char_indices().skip(1) {
        match (escaped, c) {
            (true, c) if c.is_alphanumeric() => {
                return Err(format!("\\{c} is not supported in a text"));
            }
            (false, '\\') => escaped = true,
            (false, '"') => return Ok((read, text.get(at + 1..).unwrap_or_default())),
            _ => {
                read.push(c);
                escaped = false;
            }
        }
    }
    Err("a text has no end".to_owned())
}

#[cfg(test)]
#[path = "template/tests.rs"]
mod tests;
