//! Every seed of a reproduction, derived from the number of its repetition.

use crypto::hash::labelled_hash;

/// Of the cut into training, validation and test: the same for every network and training set, so that they are compared on the
/// same patients.
pub fn split_seed(seed: u32) -> u64 {
    number(derived("split", seed))
}

/// Of the balancing of the training set.
pub fn balance_seed(seed: u32) -> u64 {
    number(derived("balance", seed))
}

/// Of the initial weights.
pub fn initial_seed(seed: u32) -> [u8; 32] {
    derived("initial", seed)
}

/// Of shuffles and dropout.
pub fn training_seed(seed: u32) -> [u8; 32] {
    derived("training", seed)
}

/// Of keys and noise of the encryption. A federation takes them from the system; here a run that was interrupted must end as one
/// that was not.
pub fn encryption_seed(seed: u32) -> [u8; 32] {
    derived("encryption", seed)
}

/// Of the bootstrap.
pub const BOOTSTRAP_SEED: u64 = 1;

fn derived(purpose: &str, seed: u32) -> [u8; 32] {
    labelled_hash(
        "reproduction-seed",
        &[purpose.as_bytes(), &seed.to_le_bytes()],
    )
}

fn number(hash: [u8; 32]) -> u64 {
    u64::from_le_bytes(hash[..8].try_into().expect("a hash has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ_by_purpose_and_repetition() {
        let seeds = [
            initial_seed(1),
            initial_seed(2),
            training_seed(1),
            encryption_seed(1),
        ];
        for (place, seed) in seeds.iter().enumerate() {
            assert!(!seeds[..place].contains(seed));
        }
        assert_ne!(split_seed(1), balance_seed(1));
        assert_eq!(split_seed(4), split_seed(4));
    }
}
