//! What happened in each learning round, as the hospitals themselves learn it from the sums.

use std::collections::BTreeMap;

use crypto::sealed_sum::HospitalId;
use protocol::{counters::EvaluationCounters, manifest::Task};
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
    /// Each hospital by itself, which only a simulation sees: what the sum is the sum of.
    pub by_hospital: Vec<HospitalRecord>,
    /// Seconds since the start when the round was over.
    pub seconds: f64,
}

/// One hospital in a learning round.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HospitalRecord {
    /// Its number.
    pub hospital: u8,
    /// Mean loss of its last epoch's batches.
    pub train_loss: Option<f64>,
    /// The common model on its validation set.
    pub validation: Option<Validation>,
}

/// The common model on all validation sets, or on one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Validation {
    /// Mean cross-entropy of a slice, classes unweighted.
    pub loss: f64,
    /// Share of slices seen right.
    pub accuracy: f64,
    /// `confusion[truth][prediction]`, slices.
    pub confusion: Vec<Vec<u64>>,
}

impl Validation {
    /// Slices that are seen right, and all.
    pub fn right_of_all(&self) -> (u64, u64) {
        let right = self.confusion.iter().enumerate();
        let right = right.filter_map(|(class, row)| row.get(class)).sum();
        (right, self.confusion.iter().flatten().sum())
    }

    /// Whether no slice is of a second class.
    pub fn is_of_one_class(&self) -> bool {
        let is_there = |row: &&Vec<u64>| row.iter().any(|&slices| slices > 0);
        self.confusion.iter().filter(is_there).count() == 1
    }
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

    /// An evaluation was opened: its counters, "contributions" first, in the manifest's order, and those that each hospital put
    /// into the sum.
    pub fn evaluated(
        &mut self,
        round: u32,
        task: Task,
        counters: &[u64],
        by_hospital: &[(HospitalId, Vec<u64>)],
        seconds: f64,
    ) {
        let record = self.0.entry(round).or_default();
        record.seconds = seconds;
        if let Some((train_loss, validation)) = read(task, counters) {
            (record.train_loss, record.validation) = (train_loss, validation);
        }
        let own = by_hospital.iter().filter_map(|(hospital, counters)| {
            let (train_loss, validation) = read(task, counters)?;
            Some(HospitalRecord {
                hospital: hospital.get(),
                train_loss,
                validation,
            })
        });
        record.by_hospital = own.collect();
    }

    /// The record of one round.
    pub fn round(&self, round: u32) -> Option<&RoundRecord> {
        self.0.get(&round)
    }

    /// The number of the last round.
    pub fn last(&self) -> Option<u32> {
        self.0.keys().next_back().copied()
    }

    /// In order.
    pub fn into_rounds(self) -> Vec<RoundRecord> {
        self.0.into_values().collect()
    }
}

/// Training loss and validation, from the counters of an evaluation; none if there are not as many as there must be.
fn read(task: Task, counters: &[u64]) -> Option<(Option<f64>, Option<Validation>)> {
    let read = EvaluationCounters::read(counters).ok()?;
    if read.confusion.len() != task.classes() {
        return None;
    }
    let training_loss = (read.training_steps > 0).then(|| read.training_loss());
    let validation = (read.slices() > 0).then(|| Validation {
        loss: read.validation_loss(),
        accuracy: read.accuracy(),
        confusion: read.confusion,
    });
    Some((training_loss, validation))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> HospitalId {
        HospitalId::new(number).expect("in range")
    }

    #[test]
    fn an_evaluation_is_read_from_its_counters() {
        let mut history = History::default();
        history.updated(1, vec![1, 3], 2.0);
        history.evaluated(
            1,
            Task::Binary,
            &[2, 30, 10, 5, 55, 65_536 * 50, 65_536 * 12, 24],
            &[
                (id(1), vec![1, 10, 0, 0, 10, 65_536 * 5, 65_536 * 2, 8]),
                (id(3), vec![1, 20, 10, 5, 45, 65_536 * 45, 65_536 * 10, 16]),
                (id(4), vec![1, 2]),
            ],
            3.0,
        );
        let record = history.round(1).expect("kept");
        assert_eq!(record.contributors, [1, 3]);
        assert_eq!(record.train_loss, Some(0.5));
        let validation = record.validation.as_ref().expect("evaluated");
        assert_eq!((validation.loss, validation.accuracy), (0.5, 0.85));
        assert_eq!(validation.confusion, [[30, 10], [5, 55]]);
        let own: Vec<_> = record
            .by_hospital
            .iter()
            .map(|own| {
                (
                    own.hospital,
                    own.train_loss,
                    own.validation.as_ref().map(|of| of.accuracy),
                )
            })
            .collect();
        assert_eq!(
            own,
            [(1, Some(0.25), Some(1.0)), (3, Some(0.625), Some(0.8125))]
        );
    }

    #[test]
    fn a_round_without_an_evaluation_says_so() {
        let mut history = History::default();
        history.updated(2, vec![1, 2], 1.0);
        assert_eq!(history.into_rounds()[0].validation, None);
    }
}
