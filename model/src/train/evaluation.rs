//! What an evaluation of the common model counts.

use super::Dataset;
use crate::metrics::Prediction;

/// The common model on the samples of one data set.
///
/// Confusion matrix, loss and count are what a federation sums; the probabilities stay with
/// whoever holds the samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// `confusion[truth][prediction]`, counts of samples.
    pub confusion: Vec<Vec<u64>>,
    /// Sum of the cross-entropies (natural logarithm), classes unweighted.
    pub loss_sum: f64,
    /// Samples.
    pub count: u64,
    /// Softmax of each sample, in the order of the data set.
    pub probabilities: Vec<Vec<f32>>,
}

impl Evaluation {
    /// Pairs every sample's probabilities with its truth; `dataset` is the one evaluated.
    /// Patients are numbered from `first_patient`, so that those of several hospitals can be pooled.
    pub fn predictions(&self, dataset: &Dataset, first_patient: usize) -> Vec<Prediction> {
        let samples = dataset.patients().iter().zip(dataset.labels());
        let paired = samples.zip(&self.probabilities);
        paired
            .map(|((patient, label), probabilities)| Prediction {
                patient: first_patient + patient,
                label,
                probabilities: probabilities.clone(),
            })
            .collect()
    }

    /// Nothing counted yet.
    pub(super) fn empty(classes: usize) -> Self {
        Self {
            confusion: vec![vec![0; classes]; classes],
            loss_sum: 0.0,
            count: 0,
            probabilities: vec![],
        }
    }

    /// Counts a sample by its log-probabilities; of equal ones the lowest class is predicted.
    pub(super) fn add(&mut self, log_probabilities: &[f64], label: usize) {
        let highest = log_probabilities.iter().copied().fold(f64::MIN, f64::max);
        let prediction = log_probabilities.iter().position(|&log| log == highest);
        self.confusion[label][prediction.unwrap_or(0)] += 1;
        self.loss_sum -= log_probabilities[label];
        self.count += 1;
        self.probabilities.push(
            log_probabilities
                .iter()
                .map(|log| log.exp() as f32)
                .collect(),
        );
    }
}
