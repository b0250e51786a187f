//! What the demo shows: who does what, a line each, in colour on a terminal.
//!
//! Names of the mesh are long since they end in the trust domain; it is left out where it goes
//! without saying.

use std::io::{IsTerminal as _, Write as _};

use crate::TRUST_DOMAIN;
use crate::failure::Failure;
use crate::stage::Node;

/// Who does something.
#[derive(Clone, Copy)]
pub(crate) enum Who {
    /// A client program in dc1, by its name.
    Client(&'static str),
    Proxy(Node),
    /// The app in dc2.
    Api,
}

/// Standard output.
pub(crate) struct Screen {
    colour: bool,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            colour: wanted && std::io::stdout().is_terminal(),
        }
    }

    pub(crate) fn title(&self, text: &str) {
        self.line(&self.paint(BOLD, text));
    }

    /// Text without an actor.
    pub(crate) fn text(&self, text: &str) {
        self.line(text);
    }

    /// Background to what is above it.
    pub(crate) fn aside(&self, text: &str) {
        self.line(&self.paint(DIM, &format!("   {text}")));
    }

    /// Somebody does something.
    pub(crate) fn step(&self, who: Who, text: &str) {
        self.line(&format!("   {} {text}", self.name(who)));
    }

    /// Somebody refuses something, as it should be.
    pub(crate) fn refusal(&self, who: Who, text: &str) {
        self.line(&format!("   {} {}", self.name(who), self.paint(RED, text)));
    }

    pub(crate) fn verdict(&self, text: &str) {
        self.line(&format!("\n{} {text}", self.paint(GREEN, "It works:")));
    }

    pub(crate) fn failure(&self, failure: &Failure) {
        self.line(&format!("\n{} {failure}", self.paint(RED, "It failed:")));
        if let Some(hint) = failure.hint() {
            self.line(hint);
        }
    }

    fn name(&self, who: Who) -> String {
        let (colour, name) = match who {
            Who::Client(name) => (CYAN, String::from(name)),
            Who::Proxy(node @ (Node::GatewayDc1 | Node::GatewayDc2)) => (YELLOW, node.to_string()),
            Who::Proxy(node) => (BLUE, node.to_string()),
            Who::Api => (MAGENTA, String::from("api")),
        };
        self.paint(colour, &format!("{name:<13}"))
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// A reader that is gone is no reason to stop: the exit code still says how it went.
    fn line(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{text}");
        let _ = out.flush();
    }
}

/// A name without the trust domain.
pub(crate) fn short(name: &str) -> &str {
    let spiffe = name
        .strip_prefix("spiffe://")
        .and_then(|name| name.strip_prefix(TRUST_DOMAIN));
    let dns = || name.strip_suffix(TRUST_DOMAIN)?.strip_suffix('.');
    spiffe.or_else(dns).unwrap_or(name)
}

/// A number of bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    match count {
        0..10_000 => format!("{count} B"),
        10_000..10_000_000 => format!("{} KB", count / 1_000),
        _ => format!("{} MB", count / 1_000_000),
    }
}

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "1;32";
const BLUE: &str = "34";
const YELLOW: &str = "33";
const MAGENTA: &str = "35";
const CYAN: &str = "36";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trust_domain_is_left_out_where_it_goes_without_saying() {
        let spiffe = format!("spiffe://{TRUST_DOMAIN}/ns/default/dc/dc1/svc/web");
        assert_eq!(short(&spiffe), "/ns/default/dc/dc1/svc/web");
        let name = crate::server_name("api", "dc2");
        assert_eq!(short(&name), "api.default.dc2.internal");
        assert_eq!(short("spiffe://other.consul/x"), "spiffe://other.consul/x");
        assert_eq!(short("10.0.0.1:8443"), "10.0.0.1:8443");
    }

    #[test]
    fn bytes_are_rounded_down_for_people() {
        assert_eq!(bytes(9_999), "9999 B");
        assert_eq!(bytes(10_999), "10 KB");
        assert_eq!(bytes(16_000_900), "16 MB");
    }
}
