//! "Did you mean …?" for a key or a word that nobody knows.

/// Words that are further apart than this are no typing errors of each other.
const MAX_DISTANCE: usize = 2;

/// `; did you mean 'x'?` for the known word that is nearest, or nothing when none is near.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let wanted = normal(word);
    let nearest = known
        .map(|candidate| (distance(&wanted, &normal(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= MAX_DISTANCE.min(candidate.len() / 2))
        .min_by_key(|(distance, _)| *distance);
    nearest.map_or_else(String::new, |(_, candidate)| {
        format!("; did you mean '{candidate}'?")
    })
}

/// How Consul compares keys: without regard to case and to underscores.
pub(crate) fn normal(key: &str) -> String {
    key.chars()
        .filter(|c| *c != '_')
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

/// How many letters are to be put in, left out, changed or swapped with a neighbour.
fn distance(one: &str, other: &str) -> usize {
    let one: Vec<char> = one.chars().collect();
    let other: Vec<char> = other.chars().collect();
    if one.len().abs_diff(other.len()) > MAX_DISTANCE {
        return usize::MAX;
    }
    // Rows of the matrix of Damerau and Levenshtein: two letters ago, one ago, now.
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i.saturating_add(1)];
        for (j, b) in other.iter().enumerate() {
            let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX);
            let changed = cell(&last, j).saturating_add(usize::from(a != b));
            let put_in = cell(&row, j).saturating_add(1);
            let left_out = cell(&last, j.saturating_add(1)).saturating_add(1);
            let mut least = changed.min(put_in).min(left_out);
            let swapped =
                i > 0 && j > 0 && one.get(i - 1) == Some(b) && other.get(j - 1) == Some(a);
            if swapped {
                least = least.min(cell(&before, j - 1).saturating_add(1));
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_known_word_is_offered_and_a_far_one_is_not() {
        let known = ["datacenter", "domain", "partition", "id"];
        let ask = |word| did_you_mean(word, known.into_iter());
        assert_eq!(ask("datacentre"), "; did you mean 'datacenter'?");
        assert_eq!(ask("DataCnter"), "; did you mean 'datacenter'?");
        assert_eq!(ask("parittion"), "; did you mean 'partition'?");
        assert_eq!(ask("port"), "");
        assert_eq!(ask("xy"), "");
        assert_eq!(ask(""), "");
    }

    #[test]
    fn a_swap_counts_once() {
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("abc", "ac"), 1);
        assert_eq!(distance("", "ab"), 2);
    }
}
