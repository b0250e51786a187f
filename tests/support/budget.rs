//! A target's budget: the most that the binary may take there, from `targets/<triple>/budget.toml`.
//!
//! The file is flat, `key = integer` a line with `_` between digits, and read by hand: a TOML crate
//! for a handful of integers would be the largest dependency of the tests. A key that is missing is
//! a failed test, never a budget without a bound.

use std::fs;

/// The value of `key` in the budget of `triple`.
///
/// # Panics
/// When the target has no budget file, or the file does not give `key` an integer.
#[must_use]
#[allow(clippy::panic, reason = "a test without its budget must fail")]
pub fn budget(triple: &str, key: &str) -> u64 {
    let path = format!(
        "{}/../targets/{triple}/budget.toml",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    integer(&text, key).unwrap_or_else(|| panic!("{path} gives {key} no integer"))
}

fn integer(text: &str, key: &str) -> Option<u64> {
    let (_, value) = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .find(|(name, _)| name.trim() == key)?;
    value.trim().replace('_', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_of_a_target_is_read_from_its_file() {
        assert_eq!(budget("x86_64-unknown-linux-gnu", "threads"), 2);
    }

    #[test]
    fn a_key_is_matched_whole_and_comments_are_passed_over() {
        let text = "# threads = 1\nthreads_max = 3\nthreads = 1_024\n";
        assert_eq!(integer(text, "threads"), Some(1024));
        assert_eq!(integer(text, "thread"), None);
        assert_eq!(integer("threads = many", "threads"), None);
    }
}
