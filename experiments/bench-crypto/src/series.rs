//! Times of a column, round after round.

use std::collections::BTreeMap;

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

/// The middle of the samples, or the mean of the two in the middle; not a number if there are none.
pub fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    let middle = samples.len() / 2;
    match (samples.get(middle), samples.len() % 2) {
        (None, _) => f64::NAN,
        (Some(upper), 1) => *upper,
        (Some(upper), _) => (samples[middle - 1] + upper) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(vec![]).is_nan());
    }
}
