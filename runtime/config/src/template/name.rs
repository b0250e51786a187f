//! Names of interfaces, by as much of Go's regular expressions as they need.
//!
//! Letters, digits and what else names have stand for themselves; `.`, `\d` and `[0-9]`, `*`, `+` and `?`, `^` and `$`, and
//! `|` between alternatives mean what they mean there. Time is bounded by the product of both lengths: all ways to fit are followed
//! together.

/// A pattern.
pub(super) struct Pattern<'a>(Vec<Alternative<'a>>);

struct Alternative<'a> {
    atoms: Vec<Atom<'a>>,
    from_start: bool,
    to_end: bool,
}

struct Atom<'a> {
    fits: Fits<'a>,
    /// `*` and `?`.
    may_lack: bool,
    /// `*` and `+`.
    may_repeat: bool,
}

#[derive(Clone, Copy)]
enum Fits<'a> {
    Any,
    Digit,
    Char(&'a str),
}

impl<'a> Pattern<'a> {
    /// Reads one.
    pub(super) fn new(text: &'a str) -> Result<Self, String> {
        let alternatives: Result<_, _> = text.split('|').map(Alternative::new).collect();
        alternatives.map(Self).map_err(|odd| {
            format!("'{odd}' in the name '{text}' is not supported; letters, digits, . \\d [0-9] * + ? ^ $ and | are")
        })
    }

    /// Whether a name fits.
    pub(super) fn fits(&self, name: &str) -> bool {
        self.0.iter().any(|alternative| alternative.fits(name))
    }
}

impl<'a> Alternative<'a> {
    /// Reads one, or gives what is not understood.
    fn new(text: &'a str) -> Result<Self, String> {
        let start = text.strip_prefix('^');
        let rest = start.unwrap_or(text);
        let end = rest.strip_suffix('$').filter(|rest| !rest.ends_with('\\'));
        let mut rest = end.unwrap_or(rest);
        let mut atoms: Vec<Atom<'a>> = Vec::new();
        while let Some(c) = rest.chars().next() {
            let (this, mut after) = rest.split_at(c.len_utf8());
            let repeats = (matches!(c, '*' | '?'), matches!(c, '*' | '+'));
            if repeats != (false, false) {
                match atoms.last_mut() {
                    Some(atom) if !atom.may_lack && !atom.may_repeat => {
                        (atom.may_lack, atom.may_repeat) = repeats;
                    }
                    _ => return Err(c.to_string()),
                }
                rest = after;
                continue;
            }
            let fits = match c {
                '.' => Fits::Any,
                '[' => {
                    after = after.strip_prefix("0-9]").ok_or("[")?;
                    Fits::Digit
                }
                '\\' => match after.chars().next() {
                    Some('d') => {
                        after = after.strip_prefix('d').unwrap_or_default();
                        Fits::Digit
                    }
                    Some(escaped) if !escaped.is_alphanumeric() => {
                        let (escaped, behind) = after.split_at(escaped.len_utf8());
                        after = behind;
                        Fits::Char(escaped)
                    }
                    _ => return Err("\\".to_owned()),
                },
                '^' | '$' | '(' | ')' | ']' | '{' | '}' => return Err(c.to_string()),
                _ => Fits::Char(this),
            };
            atoms.push(Atom {
                fits,
                may_lack: false,
                may_repeat: false,
            });
            rest = after;
        }
        Ok(Self {
            atoms,
            from_start: start.is_some(),
            to_end: end.is_some(),
        })
    }

    fn fits(&self, name: &str) -> bool {
        // Before which atoms one may be: at the end of the list all have fitted.
        let mut places = vec![false; self.atoms.len() + 1];
        enter(&mut places, &self.atoms, 0);
        let fitted = |places: &[bool]| places.last() == Some(&true);
        for c in name.chars() {
            if fitted(&places) && !self.to_end {
                return true;
            }
            let mut next = vec![false; places.len()];
            for (at, atom) in self.atoms.iter().enumerate() {
                let fits = match atom.fits {
                    Fits::Any => true,
                    Fits::Digit => c.is_ascii_digit(),
                    Fits::Char(text) => text.starts_with(c),
                };
                if fits && places.get(at) == Some(&true) {
                    enter(&mut next, &self.atoms, at + 1);
                    if atom.may_repeat {
                        enter(&mut next, &self.atoms, at);
                    }
                }
            }
            if !self.from_start {
                enter(&mut next, &self.atoms, 0);
            }
            places = next;
        }
        fitted(&places)
    }
}

/// Marks a place, and those behind atoms that may lack.
fn enter(places: &mut [bool], atoms: &[Atom<'_>], from: usize) {
    let mut at = from;
    while let Some(place) = places.get_mut(at).filter(|place| !**place) {
        *place = true;
        match atoms.get(at) {
            Some(atom) if atom.may_lack => at += 1,
            _ => break,
        }
    }
}
