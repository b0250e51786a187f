//! The offline matrix as the README has it: made of what was seen.

use crate::edge::Gone;

/// What the clock of a node shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shows {
    Right,
    In1970,
    Ahead,
}

/// A cell of the matrix, apart from what is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) restarted: bool,
    pub(crate) clock: Shows,
    pub(crate) leaf_ended: bool,
    pub(crate) is_gateway: bool,
}

impl Case {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let both = [false, true];
        let clocks = [Shows::Right, Shows::In1970, Shows::Ahead];
        both.into_iter().flat_map(move |restarted| {
            clocks.into_iter().flat_map(move |clock| {
                both.into_iter().flat_map(move |leaf_ended| {
                    both.into_iter().map(move |is_gateway| Self {
                        restarted,
                        clock,
                        leaf_ended,
                        is_gateway,
                    })
                })
            })
        })
    }
}

/// What a node says of how long it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasting {
    ForEver,
    /// So many hours by a clock that may be right.
    Hours(u64),
    /// So many hours, or less: the clock is known to be behind.
    AtMost(u64),
    Over,
}

impl Lasting {
    /// Reads a node's page `/status`.
    pub(crate) fn read(status: &str) -> Self {
        let lines = status.lines();
        let line = lines
            .filter_map(|line| line.strip_prefix("without it  "))
            .next();
        let line = line.expect("the page says so");
        let Some(rest) = line.strip_prefix("goes on for ") else {
            assert!(line.contains(" ended "), "{line}");
            return Self::Over;
        };
        if rest.starts_with("ever") {
            return Self::ForEver;
        }
        let (hours, rest) = rest.split_once(" hours").expect("a number of hours");
        let hours = hours.parse().expect("a number");
        if rest.starts_with(" at most") {
            Self::AtMost(hours)
        } else {
            Self::Hours(hours)
        }
    }
}

/// What was seen of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Whether new connections get through: out and in of a sidecar, through a gateway.
    pub(crate) out: bool,
    pub(crate) into: bool,
    /// Whether those that were open still are, where there were any.
    pub(crate) open: Option<bool>,
    pub(crate) lasting: Lasting,
    /// Whether new ones get through once the clock is right.
    pub(crate) once_right: bool,
}

impl Seen {
    fn words(&self) -> String {
        let new = match (self.out, self.into) {
            (true, true) => match self.lasting {
                Lasting::ForEver => "all, for ever",
                // Consul gives a new one well before: what was left of 72 hours when it went away.
                Lasting::Hours(70..72) => "all, until its leaf ends: in 72 hours at most",
                Lasting::AtMost(70..72) => "all, until peers see its leaf end: in 72 hours at most",
                other => panic!("it all works, and it says {other:?}"),
            }
            .to_owned(),
            (false, false) => {
                let until = match self.once_right {
                    true => "until the clock is right",
                    false => "until Consul is back",
                };
                match self.open {
                    Some(true) => return format!("what is open goes on; nothing new {until}"),
                    Some(false) | None => format!("nothing {until}"),
                }
            }
            (true, false) => "new connections out, none in".to_owned(),
            (false, true) => "new connections in, none out".to_owned(),
        };
        match self.open {
            Some(false) => format!("{new}; what was open was cut"),
            Some(true) | None => new,
        }
    }
}

/// The table of all that was seen.
pub(crate) fn table(seen: &[(Gone, Case, Seen)]) -> String {
    let mut text = "| lictor was | its clock | its leaf | a gateway forwards | a sidecar forwards |\n|---|---|---|---|---|\n".to_owned();
    for case in Case::all().filter(|case| case.is_gateway) {
        let sidecar = Case {
            is_gateway: false,
            ..case
        };
        let restarted = if case.restarted {
            "restarted"
        } else {
            "running"
        };
        let clock = match case.clock {
            Shows::Right => "right",
            Shows::In1970 => "1970",
            Shows::Ahead => "a year ahead",
        };
        let leaf = if case.leaf_ended { "ended" } else { "good" };
        let [gateway, sidecar] = [case, sidecar].map(|case| cell(seen, case));
        text += &format!("| {restarted} | {clock} | {leaf} | {gateway} | {sidecar} |\n");
    }
    text
}

/// What was seen in a case, once where it is the same whatever was gone.
fn cell(seen: &[(Gone, Case, Seen)], case: Case) -> String {
    let of = |gone: Gone| {
        let found = seen.iter().find(|(is, of, _)| (*is, *of) == (gone, case));
        found.expect("every cell is run").2.words()
    };
    let (agent, servers, link) = (of(Gone::Agent), of(Gone::Servers), of(Gone::Link));
    if agent == servers && servers == link {
        return agent;
    }
    format!("without an agent: {agent}; without servers: {servers}; without the link: {link}")
}
