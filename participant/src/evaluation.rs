//! What the sum of an evaluation tells every hospital about the common model.

/// The validation of the common model over the slices of all contributors.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// `confusion[truth][prediction]`, in slices.
    pub confusion: Vec<Vec<u64>>,
    /// Mean loss over the validation slices; NaN without any.
    pub loss: f64,
    /// Mean loss over the steps of the training before; NaN without any.
    pub training_loss: f64,
}

impl Evaluation {
    /// Reads the opened counters of an evaluation, in the order of
    /// [`Manifest::counters`](protocol::manifest::Manifest::counters); `None` if they are not those of one.
    pub fn from_counters(counters: &[u64]) -> Option<Self> {
        let cells = counters.len().checked_sub(OTHER_COUNTERS)?;
        let classes = cells.isqrt();
        if classes == 0 || classes * classes != cells {
            return None;
        }
        let (confusion, sums) = counters[1..].split_at(cells);
        let &[loss_sum, training_loss_sum, steps] = sums else {
            return None;
        };
        let slices: u64 = confusion.iter().sum();
        let mean = |sum: u64, count: u64| sum as f64 / LOSS_SCALE / count as f64;
        Some(Self {
            confusion: confusion.chunks(classes).map(<[u64]>::to_vec).collect(),
            loss: mean(loss_sum, slices),
            training_loss: mean(training_loss_sum, steps),
        })
    }

    /// Number of validation slices, over all contributors.
    pub fn slices(&self) -> u64 {
        self.confusion.iter().flatten().sum()
    }

    /// Share of the validation slices that were classified rightly; NaN without any.
    pub fn accuracy(&self) -> f64 {
        let right: u64 = self
            .confusion
            .iter()
            .enumerate()
            .map(|(class, row)| row[class])
            .sum();
        right as f64 / self.slices() as f64
    }
}

/// "contributions" before the confusion matrix; two losses and the steps after it.
const OTHER_COUNTERS: usize = 4;
/// Losses are counted in parts of this.
const LOSS_SCALE: f64 = 65_536.0;

#[cfg(test)]
mod tests {
    use protocol::manifest::{Purpose, Task};

    use super::*;

    #[test]
    fn means_are_over_slices_and_steps() {
        let counters = [2, 30, 10, 5, 55, 50 * 65_536, 12 * 65_536, 16];
        let evaluation = Evaluation::from_counters(&counters).expect("an evaluation");
        assert_eq!(evaluation.confusion, [[30, 10], [5, 55]]);
        assert_eq!(evaluation.slices(), 100);
        assert_eq!(evaluation.accuracy(), 0.85);
        assert_eq!((evaluation.loss, evaluation.training_loss), (0.5, 0.75));
    }

    #[test]
    fn the_counters_are_those_of_the_manifest() {
        let mut manifest = protocol::manifest::testing::manifest();
        for task in [Task::Binary, Task::Multiclass] {
            manifest.task = task;
            let names: Vec<_> = manifest
                .counters(Purpose::Evaluation)
                .iter()
                .map(|counter| counter.name.0.clone())
                .collect();
            let read = Evaluation::from_counters(&vec![1; names.len()]).expect("an evaluation");
            assert_eq!(read.confusion.len(), task.classes());
            assert_eq!(names[0], "contributions");
            assert_eq!(
                names[names.len() - 3..],
                [
                    "validation loss in 1/65536",
                    "training loss in 1/65536",
                    "training steps"
                ]
            );
        }
    }

    #[test]
    fn counters_of_another_sum_are_none() {
        for count in [0, 1, 4, 6, 7, 9] {
            assert_eq!(Evaluation::from_counters(&vec![1; count]), None, "{count}");
        }
    }
}
