//! What happened in each learning round, as the hospitals themselves learn it from the sums.

use std::collections::BTreeMap;

use protocol::manifest::Task;
use serde::Serialize;

/// One learning round.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RoundRecord {
    /// From 1.
    pub round: u32,
    /// Whose updates are in the sum.
    pub contributors: Vec<u8>,
    /// Mean loss of the last epoch's batches over the hospitals that evaluated; none without an evaluation.
    pub train_loss: Option<f64>,
    /// Of the evaluation's sum; none in a round without one.
    pub validation: Option<Validation>,
    /// Seconds since the start when the round was over.
    pub seconds: f64,
}

/// The common model on all validation sets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Validation {
    /// Mean cross-entropy of a slice, classes unweighted.
    pub loss: f64,
    /// Share of slices seen right.
    pub accuracy: f64,
    /// `confusion[truth][prediction]`, slices.
    pub confusion: Vec<Vec<u64>>,
}

/// All learning rounds so far.
#[derive(Clone, Debug, Default)]
pub struct History(BTreeMap<u32, RoundRecord>);

impl History {
    /// An update was opened.
    pub fn updated(&mut self, round: u32, contributors: Vec<u8>, seconds: f64) {
        let record = self.0.entry(round).or_default();
        (record.round, record.contributors, record.seconds) = (round, contributors, seconds);
    }

    /// An evaluation was opened: its counters, "contributions" first, in the manifest's order.
    pub fn evaluated(&mut self, round: u32, task: Task, counters: &[u64], seconds: f64) {
        let classes = task.classes();
        let record = self.0.entry(round).or_default();
        record.seconds = seconds;
        let Some((counts, rest)) = counters
            .get(1..)
            .and_then(|counters| counters.split_at_checked(classes * classes))
        else {
            return;
        };
        let &[validation_loss, training_loss, steps] = rest else {
            return;
        };
        let confusion: Vec<Vec<u64>> = counts.chunks_exact(classes).map(<[u64]>::to_vec).collect();
        let slices: u64 = counts.iter().sum();
        let right: u64 = (0..classes).map(|class| confusion[class][class]).sum();
        let mean = |sum: u64, count: u64| sum as f64 / FIXED_POINT / count as f64;
        if slices > 0 {
            let accuracy = right as f64 / slices as f64;
            record.validation = Some(Validation {
                loss: mean(validation_loss, slices),
                accuracy,
                confusion,
            });
        }
        record.train_loss = (steps > 0).then(|| mean(training_loss, steps));
    }

    /// The record of one round.
    pub fn round(&self, round: u32) -> Option<&RoundRecord> {
        self.0.get(&round)
    }

    /// In order.
    pub fn into_rounds(self) -> Vec<RoundRecord> {
        self.0.into_values().collect()
    }
}

/// Losses are counted in 1/65536 (the manifest's list of counters).
const FIXED_POINT: f64 = 65_536.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evaluation_is_read_from_its_counters() {
        let mut history = History::default();
        history.updated(1, vec![1, 3], 2.0);
        history.evaluated(
            1,
            Task::Binary,
            &[2, 30, 10, 5, 55, 65_536 * 50, 65_536 * 12, 24],
            3.0,
        );
        let record = history.round(1).expect("kept");
        assert_eq!(record.contributors, [1, 3]);
        assert_eq!(record.train_loss, Some(0.5));
        let validation = record.validation.as_ref().expect("evaluated");
        assert_eq!((validation.loss, validation.accuracy), (0.5, 0.85));
        assert_eq!(validation.confusion, [[30, 10], [5, 55]]);
    }

    #[test]
    fn a_round_without_an_evaluation_says_so() {
        let mut history = History::default();
        history.updated(2, vec![1, 2], 1.0);
        assert_eq!(history.into_rounds()[0].validation, None);
    }
}
