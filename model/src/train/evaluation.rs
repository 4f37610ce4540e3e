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
    /// The same, by class of the truth.
    pub loss_by_class: Vec<f64>,
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

    /// Mean cross-entropy as training weighs it: by class, divided by the sum of the weights.
    /// 0 of nothing.
    pub fn weighted_loss(&self, class_weights: &[f64]) -> f64 {
        let classes = self.confusion.iter().zip(&self.loss_by_class);
        let (mut loss, mut weights) = (0.0, 0.0);
        for ((counts, loss_of_class), weight) in classes.zip(class_weights) {
            loss += weight * loss_of_class;
            weights += weight * counts.iter().sum::<u64>() as f64;
        }
        if weights > 0.0 { loss / weights } else { 0.0 }
    }

    /// Nothing counted yet.
    pub(super) fn empty(classes: usize) -> Self {
        Self {
            confusion: vec![vec![0; classes]; classes],
            loss_sum: 0.0,
            loss_by_class: vec![0.0; classes],
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
        self.loss_by_class[label] -= log_probabilities[label];
        self.count += 1;
        self.probabilities.push(
            log_probabilities
                .iter()
                .map(|log| log.exp() as f32)
                .collect(),
        );
    }
}
