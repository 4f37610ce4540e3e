//! A cell of the tables: one training, what it was asked for and what came of it.

use std::fmt;

use model::metrics::Prediction;
use protocol::{labels::Task, training_job::SplitKind, vocabulary::ConditioningForm};
use serde::{Deserialize, Serialize};

use super::options::{BalanceName, ModelName};

/// Which training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CellKey {
    /// What is told apart.
    pub task: Task,
    /// How the training set was balanced.
    pub balance: BalanceName,
    /// Which network.
    pub model: ModelName,
    /// What clinical features do to it; that of the study where they condition nothing.
    #[serde(default)]
    pub form: ConditioningForm,
    /// How the patients were cut.
    pub split: SplitKind,
    /// Of the split, the start, the order and the dropout, from 1.
    pub seed: u32,
}

impl CellKey {
    /// The network, and the form of its conditioning unless it is the study's: `hybrid`, `hybrid-late`.
    pub fn network(&self) -> String {
        match self.form {
            ConditioningForm::Study => self.model.to_string(),
            form => format!("{}-{form}", self.model),
        }
    }

    /// The file's name without its ending: `binary-smote-hybrid-patient-seed-3`.
    pub fn stem(&self) -> String {
        let Self {
            task,
            balance,
            split,
            seed,
            ..
        } = self;
        format!("{task}-{balance}-{}-{split}-seed-{seed}", self.network())
    }
}

/// For people: "binary, smote, hybrid, split by patient, seed 3".
impl fmt::Display for CellKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            task,
            balance,
            split,
            seed,
            ..
        } = self;
        write!(
            formatter,
            "{task}, {balance}, {}, split by {split}, seed {seed}",
            self.network()
        )
    }
}

/// What came of a training: everything that tables and pictures are made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Which training.
    pub key: CellKey,
    /// Samples it was trained on, by class, after balancing.
    pub train_counts: Vec<u64>,
    /// Every epoch.
    pub epochs: Vec<CellEpoch>,
    /// The epoch that was kept, from 1.
    pub best_epoch: usize,
    /// Whether it ended before the last epoch.
    pub stopped_early: bool,
    /// Every slice of the test set.
    pub test: Vec<TestSlice>,
    /// How what is given of each patient came about; none without clinical features.
    pub conditioning: Option<CellConditioning>,
    /// What it took.
    pub seconds: f64,
}

/// One epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellEpoch {
    /// It was trained with.
    pub learning_rate: f64,
    /// Mean of the batches' losses.
    pub train_loss: f64,
    /// Class-weighted.
    pub validation_loss: f64,
    /// `[truth][prediction]`.
    pub validation_confusion: Vec<Vec<u64>>,
}

/// What the kept model says of a test slice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestSlice {
    /// Index of the patient in the cohort.
    pub patient: usize,
    /// Index among the patient's slices.
    pub slice: usize,
    /// The class it has.
    pub label: usize,
    /// Of each class.
    pub probabilities: Vec<f32>,
}

/// What was given of the patients in a training: filters, or shifts of logits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CellConditioning {
    /// Ciphertexts multiplied and decrypted; 0 in plaintext.
    pub products: u64,
    /// Values that were used.
    pub values: u64,
    /// Of those, how many are not what the plaintext product gives: it lay within the encryption's error of a boundary
    /// between two steps of the rounding.
    pub values_that_differ: u64,
    /// The largest difference of a decrypted product from the plaintext one, before rounding and clipping.
    pub max_abs_error: f64,
    /// Encrypting, multiplying, decrypting, checking.
    pub seconds: f64,
}

impl Cell {
    /// The test set as the metrics take it.
    pub fn predictions(&self) -> Vec<Prediction> {
        let prediction = |slice: &TestSlice| Prediction {
            patient: slice.patient,
            label: slice.label,
            probabilities: slice.probabilities.clone(),
        };
        self.test.iter().map(prediction).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_everything_and_differ() {
        let key = CellKey {
            task: Task::Binary,
            balance: BalanceName::Smote,
            model: ModelName::PlainConditioned,
            form: ConditioningForm::Study,
            split: SplitKind::Patient,
            seed: 3,
        };
        assert_eq!(key.stem(), "binary-smote-plain-conditioned-patient-seed-3");
        assert_eq!(
            key.to_string(),
            "binary, smote, plain-conditioned, split by patient, seed 3"
        );
        let late = CellKey {
            form: ConditioningForm::Late,
            ..key
        };
        assert_eq!(
            late.stem(),
            "binary-smote-plain-conditioned-late-patient-seed-3"
        );
    }
}
