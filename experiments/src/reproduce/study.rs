//! What the study printed (Cirillo et al., ITADATA 2025): its Tables 1, 3 and 4.

use protocol::labels::Task;
use serde::Serialize;

use super::options::{BalanceName, ModelName};

/// Four figures of Table 3 or 4, to two places.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StudyFigures {
    /// Accuracy.
    pub accuracy: f64,
    /// Precision; macro, as far as one can tell.
    pub precision: f64,
    /// Recall.
    pub recall: f64,
    /// F1.
    pub f1: f64,
}

/// What Table 3 or 4 has for a cell; the study has no network that is conditioned in plaintext.
pub fn figures(task: Task, balance: BalanceName, model: ModelName) -> Option<StudyFigures> {
    use BalanceName::{Original, Oversample, Smote, Undersample};
    use Task::{Binary, Multiclass};
    let [hybrid, plain] = match (task, balance) {
        (Binary, Original) => [[0.90, 0.32, 0.33, 0.31], [0.99, 0.33, 0.33, 0.33]],
        (Binary, Undersample) => [[0.69, 0.73, 0.59, 0.65], [0.68, 0.70, 0.68, 0.67]],
        (Binary, Oversample) => [[0.67, 0.64, 0.76, 0.69], [0.82, 0.84, 0.82, 0.82]],
        (Binary, Smote) => [[0.84, 0.80, 0.85, 0.82], [0.82, 0.81, 0.82, 0.82]],
        (Multiclass, Original) => [[0.52, 0.49, 0.52, 0.49], [0.64, 0.67, 0.51, 0.50]],
        (Multiclass, Undersample) => [[0.38, 0.39, 0.38, 0.36], [0.31, 0.32, 0.33, 0.31]],
        (Multiclass, Oversample) => [[0.39, 0.40, 0.39, 0.38], [0.33, 0.33, 0.33, 0.32]],
        (Multiclass, Smote) => [[0.43, 0.44, 0.43, 0.42], [0.49, 0.39, 0.49, 0.33]],
    };
    let [accuracy, precision, recall, f1] = match model {
        ModelName::Hybrid => hybrid,
        ModelName::Plain => plain,
        ModelName::PlainConditioned => return None,
    };
    Some(StudyFigures {
        accuracy,
        precision,
        recall,
        f1,
    })
}

/// Table 1: slices of each class.
pub fn counts(task: Task, balance: BalanceName) -> &'static [u64] {
    use BalanceName::{Original, Oversample, Smote, Undersample};
    match (task, balance) {
        (Task::Binary, Original) => &[3765, 424],
        (Task::Binary, Undersample) => &[424, 424],
        (Task::Binary, Oversample | Smote) => &[3765, 3765],
        (Task::Multiclass, Original) => &[2071, 1233, 885],
        (Task::Multiclass, Undersample) => &[885, 885, 885],
        (Task::Multiclass, Oversample | Smote) => &[2071, 2071, 2071],
    }
}

/// Where the study contradicts itself, which no reproduction can settle.
pub const CONTRADICTIONS: [&str; 5] = [
    "Multiclass, original, hybrid: Table 4 has 0.52, 0.49, 0.52, 0.49; the text has 0.58, 0.60, 0.58, 0.57. The table's figures are \
     the ones set beside ours.",
    "Labels: the text cuts EDSS at 2.0 (binary) and at 2.0 and 4.0 (multiclass). Table 1's 424 of 4,189 slices are the six patients \
     above 4.0, and its 2,071, 1,233 and 885 fit cuts below 2.0 and below 4.0: that is `--labels as-counted`.",
    "Binary, original: an accuracy of 0.90 is the share of class 0 in Table 1 (3,765 of 4,189), and a macro recall of 0.33 with two \
     classes is what a three-way output that always says class 0 has. The plaintext 0.99 fits neither.",
    "Support: Tables 3 and 4 give 823 and 3,982, and 885 and 2,071, where Table 1 has totals of 848 and 7,530, and 2,655 and 6,213.",
    "The head is `three-way` in the text for both tasks; here the binary network has two outputs.",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_follow_from_the_original_ones() {
        for task in [Task::Binary, Task::Multiclass] {
            let original = counts(task, BalanceName::Original);
            assert_eq!(original.iter().sum::<u64>(), 4189);
            let smallest = original.iter().min();
            let largest = original.iter().max();
            let all = |balance, size| {
                counts(task, balance)
                    .iter()
                    .all(|count| Some(count) == size)
            };
            assert!(all(BalanceName::Undersample, smallest));
            assert!(all(BalanceName::Oversample, largest));
            assert!(all(BalanceName::Smote, largest));
        }
    }

    #[test]
    fn the_plaintext_reference_is_not_in_the_study() {
        let of = |model| figures(Task::Binary, BalanceName::Smote, model);
        assert_eq!(of(ModelName::PlainConditioned), None);
        assert_eq!(
            of(ModelName::Hybrid).map(|figures| figures.recall),
            Some(0.85)
        );
        assert_eq!(
            of(ModelName::Plain).map(|figures| figures.recall),
            Some(0.82)
        );
    }
}
