//! Whether the encryption changes anything: the hybrid network beside its plaintext reference.

use model::metrics::Prediction;

use super::{
    cell::{Cell, CellKey},
    options::ModelName,
    row::Row,
};

/// How the hybrid network compares with its plaintext reference, over every pair of cells with the same seed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ReferenceComparison {
    /// Pairs.
    pub pairs: usize,
    /// Of which every probability of every test slice is the same.
    pub identical: usize,
    /// Of which every predicted class is the same.
    pub same_classes: usize,
    /// The largest difference of a repetition's accuracy.
    pub largest_accuracy_difference: f64,
    /// The largest difference of a row's accuracy, which is the mean over the repetitions.
    pub largest_mean_accuracy_difference: f64,
    /// Values of filters that the hybrid networks used.
    pub values: u64,
    /// Of those, how many were rounded to another side than in plaintext.
    pub values_that_differ: u64,
    /// The largest difference of a decrypted product from the plaintext one.
    pub max_abs_error: f64,
}

impl ReferenceComparison {
    /// Compares the cells of a whole run, and their rows; none unless both networks were run.
    pub fn new(cells: &[Cell], rows: &[Row]) -> Option<Self> {
        let mut comparison = Self::default();
        let partner = |key: CellKey| CellKey {
            model: ModelName::PlainConditioned,
            ..key
        };
        for hybrid in cells
            .iter()
            .filter(|cell| cell.key.model == ModelName::Hybrid)
        {
            if let Some(account) = hybrid.conditioning {
                comparison.values += account.values;
                comparison.values_that_differ += account.values_that_differ;
                comparison.max_abs_error = comparison.max_abs_error.max(account.max_abs_error);
            }
            let wanted = partner(hybrid.key);
            let Some(reference) = cells.iter().find(|cell| cell.key == wanted) else {
                continue;
            };
            let (ours, theirs) = (hybrid.predictions(), reference.predictions());
            let classes = |predictions: &[Prediction]| -> Vec<usize> {
                predictions.iter().map(Prediction::class).collect()
            };
            let accuracy = |predictions: &[Prediction]| {
                let right = predictions.iter().filter(|one| one.class() == one.label);
                right.count() as f64 / predictions.len().max(1) as f64
            };
            comparison.pairs += 1;
            comparison.identical += usize::from(ours == theirs);
            comparison.same_classes += usize::from(classes(&ours) == classes(&theirs));
            let difference = (accuracy(&ours) - accuracy(&theirs)).abs();
            comparison.largest_accuracy_difference =
                comparison.largest_accuracy_difference.max(difference);
        }
        for hybrid in rows.iter().filter(|row| row.key.model == ModelName::Hybrid) {
            let wanted = partner(hybrid.key);
            let reference = rows.iter().find(|row| row.key == wanted);
            let accuracy = |row: &Row| row.scored.slice.scores.accuracy;
            if let Some((ours, theirs)) = accuracy(hybrid).zip(reference.and_then(accuracy)) {
                comparison.largest_mean_accuracy_difference = (ours - theirs)
                    .abs()
                    .max(comparison.largest_mean_accuracy_difference);
            }
        }
        (comparison.pairs > 0).then_some(comparison)
    }
}
