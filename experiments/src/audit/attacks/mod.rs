//! The attacks. Each is a file of its own, or a folder, and knows nothing of the others.

mod ckks_messages;
mod dense_layer;
mod differencing;
mod encrypted;
mod filters;
mod inversion;
mod membership;
mod one_upload;
mod patients;
mod sealed;
mod sums_of_few;

use std::ops::RangeInclusive;

use crypto::hash::labelled_hash;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::{effort::Effort, finding::Finding};
use crate::simulation::Progress;

/// One attack, with its control.
pub struct Attack {
    /// In the list of `docs/THREATS.md`, section 11.
    pub number: u8,
    /// While it runs.
    pub name: &'static str,
    /// Runs it.
    pub run: fn(Effort, u64, &Progress) -> anyhow::Result<Finding>,
}

/// In the order of their numbers.
pub const ATTACKS: &[Attack] = &[
    Attack {
        number: 1,
        name: "clinical features from filters and shifts",
        run: filters::run,
    },
    Attack {
        number: 2,
        name: "clinical features from CKKS messages",
        run: ckks_messages::run,
    },
    Attack {
        number: 3,
        name: "one update from its upload to a sealed sum",
        run: one_upload::run,
    },
    Attack {
        number: 4,
        name: "a slice's features from the dense layer of one update",
        run: dense_layer::run,
    },
    Attack {
        number: 5,
        name: "one update from the models of successive rounds",
        run: differencing::run,
    },
    Attack {
        number: 6,
        name: "one hospital's part of a sum of few",
        run: sums_of_few::run,
    },
    Attack {
        number: 7,
        name: "membership of a patient, from the common model",
        run: membership::run,
    },
    Attack {
        number: 8,
        name: "which slice it was, from one update",
        run: inversion::run,
    },
];

/// The numbers that there are.
pub const NUMBERS: RangeInclusive<i64> = 1..=8;

/// The randomness of one part of an attack: the same for the same seed, and of no use for anything else.
fn randomness(seed: u64, purpose: &str) -> ChaCha20Rng {
    ChaCha20Rng::from_seed(labelled_hash(
        "audit-seed",
        &[purpose.as_bytes(), &seed.to_le_bytes()],
    ))
}

#[cfg(test)]
mod tests {
    use rand_core::Rng as _;

    use super::*;

    #[test]
    fn attacks_are_in_the_order_of_their_numbers() {
        assert!(ATTACKS.is_sorted_by(|one, next| one.number < next.number));
        assert!(
            ATTACKS
                .iter()
                .all(|attack| NUMBERS.contains(&attack.number.into()))
        );
    }

    #[test]
    fn randomness_differs_by_seed_and_purpose() {
        let first = |seed, purpose| randomness(seed, purpose).next_u64();
        assert_eq!(first(1, "a"), first(1, "a"));
        assert_ne!(first(1, "a"), first(2, "a"));
        assert_ne!(first(1, "a"), first(1, "b"));
    }
}
