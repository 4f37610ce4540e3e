//! What this hospital's own data say of the common model: loss and accuracy, and where the model looks in slices of its patients. It
//! is for people here: it is not sent and not logged. The numbers are kept for the report of the run
//! ([`learning_history`](crate::learning_history)); pictures are not on disk.

use std::sync::Arc;

use protocol::{
    counted::counted,
    digests::LearningRound,
    labels::Task,
    training_job::{EvaluatedCounts, HeatedSlices},
};

/// One of them.
#[derive(Clone)]
pub enum OwnResult {
    /// The model was trained here.
    Trained {
        /// For which learning round.
        learning_round: LearningRound,
        /// Mean loss of the last epoch's batches.
        loss: f64,
    },
    /// The common model was evaluated here.
    Evaluated(OwnEvaluation),
    /// The common model was looked at.
    Heated(Arc<OwnHeat>),
}

/// The common model on this hospital's validation slices alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OwnEvaluation {
    /// The learning round that the model comes from.
    pub learning_round: LearningRound,
    /// Mean loss of a slice; NaN without any.
    pub loss: f64,
    /// Share of the slices that were classified rightly; NaN without any.
    pub accuracy: f64,
    /// Validation slices.
    pub slices: u64,
    /// Patients that they are of.
    pub patients: usize,
    /// Classes that these patients have.
    pub classes: usize,
}

impl OwnEvaluation {
    /// Of the counts that the trainer gave.
    pub fn of(learning_round: LearningRound, patients: usize, counts: &EvaluatedCounts) -> Self {
        let counters = counts.counters((0.0, 0));
        Self {
            learning_round,
            loss: counters.validation_loss(),
            accuracy: counters.accuracy(),
            slices: counters.slices(),
            patients,
            classes: counters.classes_there(),
        }
    }

    /// Why the accuracy says little, if it does.
    pub fn caution(&self) -> Option<String> {
        let few = self.patients < MIN_PATIENTS;
        let patients = counted(self.patients, ["patient", "patients"]);
        match (few, self.classes < 2) {
            (false, false) => None,
            (true, false) => Some(format!(
                "{patients}: too few for an accuracy that means something (at least {MIN_PATIENTS})"
            )),
            (false, true) => Some(format!(
                "{patients}, all of one class: a model that always says this class is right each time"
            )),
            (true, true) => Some(format!(
                "{patients}, all of one class: the accuracy means nothing (at least {MIN_PATIENTS} patients of two classes)"
            )),
        }
    }
}

/// Slices of patients of this hospital, with the heat of the common model. No patient is named, and their order says nothing.
pub struct OwnHeat {
    /// The learning round that the model comes from.
    pub learning_round: LearningRound,
    /// What their classes are of.
    pub task: Task,
    /// One of each patient that is shown.
    pub slices: HeatedSlices,
}

/// Of fewer, one patient more or less is 10 points of accuracy.
const MIN_PATIENTS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluation(patients: usize, confusion: [[u64; 2]; 2]) -> OwnEvaluation {
        let counts = EvaluatedCounts {
            confusion: confusion.map(Vec::from).into(),
            loss_sum: 6.0,
        };
        OwnEvaluation::of(LearningRound::new(2), patients, &counts)
    }

    #[test]
    fn loss_and_accuracy_are_means_over_the_slices_of_this_hospital() {
        let own = evaluation(12, [[4, 1], [1, 2]]);
        assert_eq!((own.loss, own.accuracy, own.slices), (0.75, 0.75, 8));
        assert_eq!((own.classes, own.caution()), (2, None));
    }

    #[test]
    fn an_accuracy_of_few_patients_or_of_one_class_comes_with_a_word() {
        let few = evaluation(9, [[4, 1], [1, 2]]).caution();
        assert!(
            few.is_some_and(|said| said.contains("9 patients") && said.contains("at least 10"))
        );
        let one_class = evaluation(30, [[40, 1], [0, 0]]).caution();
        assert!(one_class.is_some_and(|said| said.contains("one class")));
        let both = evaluation(1, [[0, 0], [1, 2]]).caution();
        assert!(both.is_some_and(|said| said.contains("1 patient,") && said.contains("one class")));
    }
}
