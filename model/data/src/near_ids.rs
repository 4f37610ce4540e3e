//! IDs that nearly match: 1 and 001, 1.0 and 1, "p-7" and "P7".

use std::collections::BTreeMap;

use super::folder::composed;

/// Pairs of a left and a right name that differ only in zeros in front, a trailing ".0", capitals, spaces or marks; as places in the
/// two lists. A name that has several such partners has none.
pub(super) fn pairs<'a>(
    left: impl IntoIterator<Item = &'a str>,
    right: impl IntoIterator<Item = &'a str>,
) -> Vec<(usize, usize)> {
    let mut cores: BTreeMap<String, [Vec<usize>; 2]> = BTreeMap::new();
    let left = left.into_iter().enumerate().map(|name| (0, name));
    let right = right.into_iter().enumerate().map(|name| (1, name));
    for (side, (place, name)) in left.chain(right) {
        cores.entry(core(name)).or_default()[side].push(place);
    }
    let pairs = cores.into_iter().filter(|(core, _)| !core.is_empty());
    let mut pairs: Vec<(usize, usize)> = pairs
        .filter_map(
            |(_, [left, right])| match (left.as_slice(), right.as_slice()) {
                (&[left], &[right]) => Some((left, right)),
                _ => None,
            },
        )
        .collect();
    pairs.sort_unstable();
    pairs
}

/// What is left of a name without what people and programs leave out or add.
fn core(name: &str) -> String {
    let lower = composed(name.trim()).to_lowercase();
    let lower = ["patient", "sub", "subject"]
        .iter()
        .find_map(|prefix| lower.strip_prefix(prefix)?.strip_prefix(['-', '_', ' ']))
        .unwrap_or(&lower);
    let lower = lower.strip_suffix(".0").unwrap_or(lower);
    let mut core = String::new();
    let mut in_number = false;
    for letter in lower.chars().filter(|letter| letter.is_alphanumeric()) {
        let is_digit = letter.is_ascii_digit();
        if letter == '0' && !in_number {
            continue;
        }
        in_number = is_digit;
        core.push(letter);
    }
    core
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nearly_matches_is_paired_and_what_could_be_several_is_not() {
        let left = ["1", "2.0", "ms-7", "x", "10", "0"];
        let right = ["Patient-001", "sub-02", "MS007", "y", "010", "0010", "00"];
        assert_eq!(pairs(left, right), [(0, 0), (1, 1), (2, 2)]);
        assert_eq!(pairs(["100"], ["10"]), []);
        assert_eq!(pairs(["A1"], ["a 01"]), [(0, 0)]);
    }
}
