//! The list of trainings with their numbers, and the part of a shard.

use super::{cell::CellKey, shard::Shard};

/// A training with its number in the list, from 1.
pub type Numbered = (usize, CellKey);

/// The trainings of a part, or all.
pub fn share(cells: &[CellKey], shard: Option<Shard>) -> Vec<Numbered> {
    let numbered = (1..).zip(cells.iter().copied());
    numbered
        .filter(|(number, _)| shard.is_none_or(|shard| shard.has(number - 1)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reproduce::{Configuration, ModelName, options::ReproduceOptions};

    #[test]
    fn every_training_is_of_one_shard_and_shards_are_alike() {
        let whole = Configuration::new(&ReproduceOptions::default(), None)
            .expect("fine")
            .cells();
        for of in [1, 2, 3, 4, 5, 6, 7, 12, 24, 48, 239, 240, 241] {
            let parts = (1..=of).map(|number| {
                let shard = format!("{number}/{of}").parse();
                share(&whole, Some(shard.expect("a shard")))
            });
            let mut seen = vec![0; whole.len()];
            for part in parts {
                assert!(part.len().abs_diff(whole.len() / of) <= 1, "{of}");
                let hybrid = part
                    .iter()
                    .filter(|(_, key)| key.model == ModelName::Hybrid)
                    .count();
                let fair = part.len() / 3;
                assert!(
                    of > 24 || hybrid.abs_diff(fair) <= 2 + fair / 4,
                    "{of}: {hybrid} of {}",
                    part.len()
                );
                for (number, key) in part {
                    assert_eq!(whole[number - 1], key);
                    seen[number - 1] += 1;
                }
            }
            assert!(seen.iter().all(|&times| times == 1), "{of}");
        }
        assert_eq!(share(&whole, None).len(), whole.len());
    }
}
