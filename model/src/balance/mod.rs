//! A training set with its classes made equally large, as the study does it (its section 3.2).
//!
//! Only training samples go in, so nothing of validation or test can come out: every sample that
//! is made has its one or two parents among them. Slices keep their place; what is made follows,
//! class by class. The same seed makes the same set, on any number of threads.
//!
//! Memory: 64 KiB a sample of the set, beside the slices themselves. The study's 4,189 slices take
//! 262 MiB and its 7,530 balanced ones 471 MiB (70% of that, since only the training part is
//! balanced). SMOTE lays out one class at a time for its search: another 64 KiB a sample of the
//! class, and 128 rows of distances a thread.

mod draw;
mod error;
#[cfg(test)]
mod imbalanced_learn_reference;
mod neighbours;
mod origin;
#[cfg(test)]
mod tests;
mod training_set;
mod transform;

use std::{fmt, str::FromStr};

pub use draw::NEIGHBOURS;
pub use error::{BalanceError, UnknownBalance};
pub use origin::Origin;
pub use training_set::{Balanced, balanced, balanced_seeds};
pub use transform::{MAX_DEGREES, MAX_SHIFT, Transform};

/// What is done about classes of unequal size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Balance {
    /// Nothing.
    #[default]
    Original,
    /// Every class is cut down to the smallest, at random.
    Undersample,
    /// Every class is filled up to the largest with flipped, rotated and shifted slices.
    Oversample,
    /// Every class is filled up to the largest with points between a slice and one of its nearest
    /// neighbours of the same class (Chawla et al. 2002).
    Smote,
}

impl Balance {
    /// All, in the order of the study's tables.
    pub const ALL: [Self; 4] = [
        Self::Original,
        Self::Undersample,
        Self::Oversample,
        Self::Smote,
    ];

    /// Sizes of the classes afterwards, from those before.
    pub fn class_counts(self, before: &[u64]) -> Vec<u64> {
        let everywhere = match self {
            Self::Original => None,
            Self::Undersample => before.iter().min(),
            Self::Oversample | Self::Smote => before.iter().max(),
        };
        match everywhere {
            Some(&size) => vec![size; before.len()],
            None => before.to_vec(),
        }
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Original => "original",
            Self::Undersample => "undersample",
            Self::Oversample => "oversample",
            Self::Smote => "smote",
        })
    }
}

impl FromStr for Balance {
    type Err = UnknownBalance;

    fn from_str(text: &str) -> Result<Self, UnknownBalance> {
        let named = Self::ALL
            .into_iter()
            .find(|balance| balance.to_string() == text);
        named.ok_or_else(|| UnknownBalance(text.to_owned()))
    }
}
