//! `/etc/resolv.conf`: whom to ask, and how patiently (resolv.conf(5)).
//!
//! The result is always usable: what is missing has the default of the C library, what is out of bounds is brought into
//! them. What was written but is not done here (search lists, addresses with an interface) is named in
//! [`ResolvConf::notes`], so that a log can say why a name resolves elsewhere and not here.

use core::net::{IpAddr, Ipv4Addr};
use heapless::Vec;

/// How the system resolves names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ResolvConf {
    /// Whom to ask, in order; one at least.
    pub nameservers: Vec<IpAddr, MAX_NAMESERVERS>,

    /// How many seconds to wait for one server, 1 to 30.
    pub timeout_seconds: u8,

    /// How many times to go through the servers, 1 to 5.
    pub attempts: u8,

    /// The dots from which a name is asked as written before the search list, 0 to 15. Names are always asked as
    /// written here, so this only tells what other programs do.
    pub ndots: u8,

    /// What was not followed; those past [`MAX_NOTES`] are left out.
    pub notes: Vec<Note, MAX_NOTES>,
}

/// A line that was not followed, or not as written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Note {
    /// Counted from 1.
    pub line: u32,

    /// What was not followed, in words for a log.
    pub what: &'static str,
}

/// Reads the text of the file. Takes time in proportion to it; the caller bounds its length.
pub fn parse(text: &str) -> ResolvConf {
    let mut conf = ResolvConf::unset();
    for (line, number) in text.lines().zip(1..) {
        let mut words = line.split_ascii_whitespace();
        let noted = match words.next() {
            Some("nameserver") => conf.nameserver(words.next().unwrap_or_default()),
            Some("options") => words.map(|word| conf.option(word)).fold(None, Option::or),
            Some("domain" | "search") => Some("a search list; names are asked as they are written"),
            // Comments too: their first word starts with `#` or `;`.
            _ => None,
        };
        if let Some(what) = noted {
            // Full: the rest is left out, as documented.
            let _ = conf.notes.push(Note { line: number, what });
        }
    }
    if conf.nameservers.is_empty() {
        // There is room: the list is empty.
        let _ = conf.nameservers.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    conf
}

impl ResolvConf {
    /// What the C library does where the file says nothing, but for the nameserver.
    fn unset() -> Self {
        Self {
            nameservers: Vec::new(),
            timeout_seconds: 5,
            attempts: 2,
            ndots: 1,
            notes: Vec::new(),
        }
    }

    /// Adds a nameserver, or says why not.
    fn nameserver(&mut self, word: &str) -> Option<&'static str> {
        match word.parse::<IpAddr>() {
            Ok(address) if self.nameservers.contains(&address) => {
                Some("a nameserver that is there already")
            }
            Ok(address) => self
                .nameservers
                .push(address)
                .is_err()
                .then_some("a nameserver after the first three"),
            Err(_) if word.contains('%') => Some("a nameserver with an interface in its address"),
            Err(_) => Some("a nameserver that is not an ip address"),
        }
    }

    /// Follows one option, or says why not. Options that ask for nothing we could do are none of our business.
    fn option(&mut self, word: &str) -> Option<&'static str> {
        let (name, value) = word.split_once(':')?;
        let (setting, bounds) = match name {
            "attempts" => (&mut self.attempts, 1..=5),
            "ndots" => (&mut self.ndots, 0..=15),
            "timeout" => (&mut self.timeout_seconds, 1..=30),
            _ => return None,
        };
        let Ok(number) = value.parse::<u32>() else {
            return Some("an option whose value is not a number");
        };
        let number = u8::try_from(number).unwrap_or(u8::MAX);
        *setting = number.clamp(*bounds.start(), *bounds.end());
        (*setting != number).then_some("an option out of bounds; the nearest bound is used")
    }
}

/// The most nameservers that are asked, as in the C library.
pub const MAX_NAMESERVERS: usize = 3;

/// The most lines that are noted.
pub const MAX_NOTES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;
    use std::vec::Vec;

    fn servers(conf: &ResolvConf) -> Vec<std::string::String> {
        conf.nameservers.iter().map(ToString::to_string).collect()
    }

    fn notes(conf: &ResolvConf) -> Vec<(u32, &'static str)> {
        conf.notes
            .iter()
            .map(|note| (note.line, note.what))
            .collect()
    }

    #[test]
    fn a_usual_file_is_followed_without_a_note() {
        let conf = parse(
            "# made by hand\n;search a\n# search b\nnameserver 10.0.0.1\nnameserver\t2001:db8::1 # second\n\
             options edns0 trust-ad timeout:2 attempts:3\noptions ndots:5 rotate\n",
        );
        assert_eq!(servers(&conf), ["10.0.0.1", "2001:db8::1"]);
        assert_eq!((conf.timeout_seconds, conf.attempts, conf.ndots), (2, 3, 5));
        assert_eq!(notes(&conf), []);
    }

    #[test]
    fn an_empty_file_has_the_defaults_of_the_c_library() {
        let conf = parse("");
        assert_eq!(servers(&conf), ["127.0.0.1"]);
        assert_eq!((conf.timeout_seconds, conf.attempts, conf.ndots), (5, 2, 1));
    }

    #[test]
    fn what_is_not_followed_is_noted() {
        let conf = parse(
            "search a.example\nnameserver fe80::1%eth0\nnameserver x\nnameserver\nnameserver 10.0.0.1\n\
             nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4",
        );
        assert_eq!(servers(&conf), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        let expected = [
            (1, "a search list; names are asked as they are written"),
            (2, "a nameserver with an interface in its address"),
            (3, "a nameserver that is not an ip address"),
            (4, "a nameserver that is not an ip address"),
            (6, "a nameserver that is there already"),
            (9, "a nameserver after the first three"),
        ];
        assert_eq!(notes(&conf), expected);
    }

    #[test]
    fn options_are_brought_into_bounds() {
        let conf =
            parse("options timeout:0 attempts:99999 ndots:16\noptions timeout:x\noptions ndots:-1");
        assert_eq!(
            (conf.timeout_seconds, conf.attempts, conf.ndots),
            (1, 5, 15)
        );
        let number = "an option whose value is not a number";
        let bound = "an option out of bounds; the nearest bound is used";
        assert_eq!(notes(&conf), [(1, bound), (2, number), (3, number)]);
    }

    #[test]
    fn notes_past_the_bound_are_left_out() {
        assert_eq!(parse(&"search a\n".repeat(20)).notes.len(), MAX_NOTES);
    }
}
