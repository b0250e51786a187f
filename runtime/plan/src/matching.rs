//! Which filter chain a server name selects.
//!
//! Envoy's rule: an exact name before a `*.suffix`, a longer suffix before a shorter one, any suffix before "any
//! other name"; no going back once something matched. The table is built once for a Plan, and a look-up costs one
//! binary search per label of the name.

use alloc::{rc::Rc, string::String, vec::Vec};

use crate::{FilterChain, ServerNames, order::sort_by_name};

/// The server names of a listener's chains, ready for look-ups.
#[derive(Debug, Default)]
pub struct ServerNameTable {
    /// Sorted by name.
    exact: Vec<(String, usize)>,
    /// Sorted by suffix, without the leading `*.`.
    suffixes: Vec<(String, usize)>,
    any: Option<usize>,
}

impl ServerNameTable {
    /// The table of these chains. Of several chains with the same match the first counts.
    #[must_use]
    pub fn new(chains: &[Rc<FilterChain>]) -> Self {
        let mut table = Self::default();
        for (at, chain) in chains.iter().enumerate() {
            match &chain.server_names {
                ServerNames::Exact(name) => table.exact.push((name.to_ascii_lowercase(), at)),
                ServerNames::Suffix(suffix) => {
                    table.suffixes.push((suffix.to_ascii_lowercase(), at))
                }
                ServerNames::Any => table.any = table.any.or(Some(at)),
            }
        }
        for names in [&mut table.exact, &mut table.suffixes] {
            sort_by_name(names, |(name, _)| name);
            names.dedup_by(|later, first| later.0 == first.0);
        }
        table
    }

    /// The index of the chain that a name selects. The name is lower case.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<usize> {
        let search = |names: &[(String, usize)], name: &str| {
            let at = names
                .binary_search_by(|(known, _)| known.as_str().cmp(name))
                .ok()?;
            names.get(at).map(|(_, chain)| *chain)
        };
        let suffixes = name
            .match_indices('.')
            .filter_map(|(dot, _)| name.get(dot + 1..));
        search(&self.exact, name)
            .or_else(|| {
                suffixes
                    .into_iter()
                    .find_map(|suffix| search(&self.suffixes, suffix))
            })
            .or(self.any)
    }
}

#[cfg(test)]
mod tests {
    use alloc::{string::ToString, vec};

    use proptest::prelude::*;

    use super::*;
    use crate::Route;

    fn chains(names: Vec<ServerNames>) -> Vec<Rc<FilterChain>> {
        let chain =
            |server_names| Rc::new(FilterChain::passthrough(server_names, Route::SniCluster));
        names.into_iter().map(chain).collect()
    }

    fn exact(name: &str) -> ServerNames {
        ServerNames::Exact(name.to_string())
    }

    fn suffix(name: &str) -> ServerNames {
        ServerNames::Suffix(name.to_string())
    }

    #[test]
    fn exact_beats_suffix_beats_any() {
        let names = vec![
            ServerNames::Any,
            suffix("b.c"),
            suffix("a.b.c"),
            exact("x.a.b.c"),
            suffix("c"),
        ];
        let table = ServerNameTable::new(&chains(names));
        assert_eq!(table.find("x.a.b.c"), Some(3));
        assert_eq!(table.find("y.a.b.c"), Some(2));
        assert_eq!(
            table.find("z.y.a.b.c"),
            Some(2),
            "any depth below the suffix"
        );
        assert_eq!(
            table.find("a.b.c"),
            Some(1),
            "a suffix does not match itself"
        );
        assert_eq!(table.find("b.c"), Some(4));
        assert_eq!(table.find("c"), Some(0));
        assert_eq!(table.find("xa.b.c"), Some(1), "labels match whole");
        assert_eq!(table.find(""), Some(0));
    }

    #[test]
    fn nothing_matches_where_no_chain_takes_any() {
        let table = ServerNameTable::new(&chains(vec![exact("a.b"), suffix("c")]));
        assert_eq!(table.find("b"), None);
        assert_eq!(table.find(".c"), Some(1));
        assert_eq!(table.find("c"), None);
    }

    #[test]
    fn the_first_of_two_equal_matches_counts_and_case_does_not() {
        let table = ServerNameTable::new(&chains(vec![
            exact("A.b"),
            exact("a.B"),
            suffix("C.d"),
            suffix("c.D"),
        ]));
        assert_eq!(table.find("a.b"), Some(0));
        assert_eq!(table.find("x.c.d"), Some(2));
    }

    /// The rule in the fewest words, to hold the table against.
    fn slow(names: &[ServerNames], name: &str) -> Option<usize> {
        let rank = |candidate: &ServerNames| match candidate {
            ServerNames::Exact(known) if known == name => Some(usize::MAX),
            ServerNames::Suffix(known) => {
                let below = name.strip_suffix(known.as_str())?.ends_with('.');
                below.then_some(known.len() + 1)
            }
            ServerNames::Any => Some(0),
            ServerNames::Exact(_) => None,
        };
        let ranked = names
            .iter()
            .enumerate()
            .filter_map(|(at, known)| Some((rank(known)?, at)));
        ranked
            .max_by_key(|(rank, at)| (*rank, usize::MAX - at))
            .map(|(_, at)| at)
    }

    proptest! {
        #[test]
        fn the_table_agrees_with_the_rule(
            names in prop::collection::vec(("[ab](\\.[ab]){0,3}", 0..4_u8), 0..12),
            name in "[ab](\\.[ab]){0,4}",
        ) {
            let names: Vec<ServerNames> = names
                .into_iter()
                .map(|(name, kind)| match kind {
                    0 => ServerNames::Any,
                    1 => ServerNames::Exact(name),
                    _ => ServerNames::Suffix(name),
                })
                .collect();
            prop_assert_eq!(ServerNameTable::new(&chains(names.clone())).find(&name), slow(&names, &name));
        }
    }
}
