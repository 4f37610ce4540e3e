//! Why a training set cannot be balanced.

use super::{Balance, NEIGHBOURS};
use crate::train::DatasetError;

/// Why a training set cannot be balanced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BalanceError {
    /// There is nothing to make equally large.
    #[error(
        "no training sample is of class {class}, so {balance} cannot balance it: use original, \
         other cuts of the scores, another seed of the split, or more patients of the class"
    )]
    EmptyClass {
        /// Name of the class.
        class: &'static str,
        /// What was asked for.
        balance: Balance,
    },
    /// Fewer samples than a sample and its neighbours.
    #[error(
        "smote takes {NEIGHBOURS} neighbours of the same class, so it needs {} training samples of class {class} and \
         has {found}: use oversample or undersample, another seed of the split, or more patients of the class",
        NEIGHBOURS + 1
    )]
    FewSamples {
        /// Name of the class.
        class: &'static str,
        /// Training samples of the class.
        found: usize,
    },
    /// Samples that make no data set.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
}

/// Not the name of a balance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown balance {0:?}: use original, undersample, oversample or smote")]
pub struct UnknownBalance(pub String);
