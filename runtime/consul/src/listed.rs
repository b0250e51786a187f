//! Names of a catalog: thousands, so they are kept in one piece instead of one allocation each.

use plan::order::sort;

/// Names, sorted, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listed {
    text: Box<str>,
    /// Where each name ends in the text.
    ends: Box<[u32]>,
}

impl Listed {
    /// All of them, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).filter_map(|at| self.get(at))
    }

    /// Whether this is one of them.
    pub(crate) fn has(&self, name: &str) -> bool {
        let (mut from, mut to) = (0, self.ends.len());
        while from < to {
            let middle = from.midpoint(to);
            match self.get(middle).map(|known| known.cmp(name)) {
                Some(std::cmp::Ordering::Less) => from = middle + 1,
                Some(std::cmp::Ordering::Greater) => to = middle,
                Some(std::cmp::Ordering::Equal) => return true,
                None => return false,
            }
        }
        false
    }

    fn get(&self, at: usize) -> Option<&str> {
        let place = |end: &u32| usize::try_from(*end).unwrap_or(usize::MAX);
        let from = match at.checked_sub(1) {
            Some(before) => place(self.ends.get(before)?),
            None => 0,
        };
        self.text.get(from..place(self.ends.get(at)?))
    }
}

impl From<Vec<String>> for Listed {
    fn from(mut names: Vec<String>) -> Self {
        sort(&mut names);
        names.dedup();
        let mut end = 0_usize;
        let ends = names.iter().map(|name| {
            end += name.len();
            u32::try_from(end).unwrap_or(u32::MAX)
        });
        Self {
            ends: ends.collect(),
            text: names.concat().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_in_order_and_are_found() {
        let names = ["web", "", "api", "web", "apis"].map(str::to_owned);
        let listed = Listed::from(names.to_vec());
        assert_eq!(
            listed.iter().collect::<Vec<_>>(),
            ["", "api", "apis", "web"]
        );
        for name in ["web", "", "api", "apis"] {
            assert!(listed.has(name), "{name}");
        }
        for name in ["a", "apia", "apis.", "zeb"] {
            assert!(!listed.has(name), "{name}");
        }
        let none = Listed::default();
        assert!(!none.has("") && none.iter().next().is_none());
    }
}
