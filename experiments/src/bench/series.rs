use std::collections::BTreeMap;

use super::clock::median;

/// Seconds by the stem of an operation.
pub type Times = BTreeMap<String, f64>;

/// The times of one column, round after round.
#[derive(Default)]
pub struct Series(BTreeMap<String, Vec<f64>>);

impl Series {
    /// Adds a round.
    pub fn push(&mut self, times: Times) {
        for (stem, seconds) in times {
            self.0.entry(stem).or_default().push(seconds);
        }
    }

    /// Over the rounds.
    pub fn median(&self, stem: &str) -> Option<f64> {
        self.0.get(stem).map(|samples| median(samples.clone()))
    }

    /// The median of the rounds' ratios, these times over the others.
    pub fn ratio(&self, others: &Self, stem: &str) -> Option<f64> {
        self.ratio_of(stem, others, stem)
    }

    /// The same for two operations.
    pub fn ratio_of(&self, stem: &str, others: &Self, other: &str) -> Option<f64> {
        let rounds = self.0.get(stem)?.iter().zip(others.0.get(other)?);
        Some(median(
            rounds.map(|(these, others)| these / others).collect(),
        ))
    }
}
