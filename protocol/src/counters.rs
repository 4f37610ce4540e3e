//! The counters of each sum (PROTOCOL.md 3.3): what they count, in which order and unit, how many digits they have, how a hospital's
//! own are written and how opened ones are read.
//!
//! | purpose | counters, in order |
//! |---|---|
//! | `stats` | contributions; training slices of each class; for each feature the patients that have it, its sum and its sum of squares in 1/256 |
//! | `update` | contributions; values that the clip cut off |
//! | `evaluation` | contributions; the confusion matrix row by row (a row a true class); summed validation loss and summed training loss in 1/65536; training steps |
//!
//! ```
//! use protocol::counters::UpdateCounters;
//!
//! let own = UpdateCounters { contributions: 1, saturated: 4 };
//! assert_eq!(UpdateCounters::read(&own.write()), Ok(own));
//! ```

use crate::{
    codec::{Decode, Encode, Text},
    vocabulary::{Purpose, Task},
};

/// A counter of a sum: an unsigned whole number, added exactly.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CounterSpec {
    /// What it counts.
    pub name: Text,
    /// Base-256 digits; a value above 256^digits - 1 is clamped and reported.
    pub digits: u8,
}

/// The counters of a sum of this purpose. Their names are in the layout's hash, so parties that mean different things share no sum.
pub fn specs(purpose: Purpose, task: Task, features: usize) -> Vec<CounterSpec> {
    let classes = task.classes();
    let mut specs = vec![spec("contributions", 3)];
    match purpose {
        Purpose::Stats => {
            specs.extend(
                (0..classes).map(|class| spec(format!("training slices of class {class}"), 3)),
            );
            for feature in 0..features {
                specs.extend([
                    spec(format!("patients with feature {feature}"), 3),
                    spec(format!("sum of feature {feature} in 1/256"), 5),
                    spec(format!("sum of squares of feature {feature} in 1/256"), 6),
                ]);
            }
        }
        Purpose::Update => specs.push(spec("saturated values", 4)),
        Purpose::Evaluation => {
            for class in 0..classes {
                specs.extend((0..classes).map(|predicted| {
                    spec(format!("slices of class {class} seen as {predicted}"), 3)
                }));
            }
            specs.extend([
                spec("validation loss in 1/65536", 6),
                spec("training loss in 1/65536", 6),
                spec("training steps", 3),
            ]);
        }
    }
    specs
}

fn spec(name: impl Into<String>, digits: u8) -> CounterSpec {
    CounterSpec {
        name: Text(name.into()),
        digits,
    }
}

/// Features are not negative and at most 100: flags, years, percents of a range.
const FEATURE_UNITS: f64 = 256.0;
const LOSS_UNITS: f64 = 65_536.0;

/// A list of another length than the sum's counters have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found} counters are not those of a sum of purpose {}", purpose.name())]
pub struct WrongCounters {
    /// What the sum is for.
    pub purpose: Purpose,
    /// How many there are.
    pub found: usize,
}

/// What `stats` sums: of one hospital, or of all contributors.
#[derive(Clone, Debug, PartialEq)]
pub struct StatsCounters {
    /// How many hospitals are in it.
    pub contributions: u64,
    /// Training slices of each class.
    pub class_counts: Vec<u64>,
    /// The features of the patients in training.
    pub features: Vec<FeatureSums>,
}

/// One clinical feature, over the patients that have it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FeatureSums {
    /// How many have it.
    pub patients: u64,
    /// Sum of its values, none of which is negative.
    pub sum: f64,
    /// Sum of their squares.
    pub sum_of_squares: f64,
}

impl StatsCounters {
    /// The counters, in order; sums are rounded to 1/256.
    pub fn write(&self) -> Vec<u64> {
        let mut counters = vec![self.contributions];
        counters.extend(&self.class_counts);
        for feature in &self.features {
            counters.extend([
                feature.patients,
                in_units(feature.sum, FEATURE_UNITS),
                in_units(feature.sum_of_squares, FEATURE_UNITS),
            ]);
        }
        counters
    }

    /// Reads opened counters.
    ///
    /// # Errors
    /// [`WrongCounters`] when there are not as many as a `stats` sum of this task and so many features has.
    pub fn read(task: Task, features: usize, counters: &[u64]) -> Result<Self, WrongCounters> {
        let wrong = WrongCounters {
            purpose: Purpose::Stats,
            found: counters.len(),
        };
        let (&contributions, rest) = counters.split_first().ok_or(wrong.clone())?;
        let (class_counts, sums) = rest.split_at_checked(task.classes()).ok_or(wrong.clone())?;
        let (sums, rest) = sums.as_chunks();
        if sums.len() != features || !rest.is_empty() {
            return Err(wrong);
        }
        let features = sums
            .iter()
            .map(|&[patients, sum, sum_of_squares]| FeatureSums {
                patients,
                sum: sum as f64 / FEATURE_UNITS,
                sum_of_squares: sum_of_squares as f64 / FEATURE_UNITS,
            });
        Ok(Self {
            contributions,
            class_counts: class_counts.to_vec(),
            features: features.collect(),
        })
    }
}

/// What an `update` sum counts beside the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateCounters {
    /// How many hospitals are in it.
    pub contributions: u64,
    /// Values that the clip cut off.
    pub saturated: u64,
}

impl UpdateCounters {
    /// The counters, in order.
    pub fn write(&self) -> Vec<u64> {
        vec![self.contributions, self.saturated]
    }

    /// Reads opened counters.
    ///
    /// # Errors
    /// [`WrongCounters`] when there are not two.
    pub fn read(counters: &[u64]) -> Result<Self, WrongCounters> {
        match *counters {
            [contributions, saturated] => Ok(Self {
                contributions,
                saturated,
            }),
            _ => Err(WrongCounters {
                purpose: Purpose::Update,
                found: counters.len(),
            }),
        }
    }
}

/// What an `evaluation` sums: the common model on the validation slices, and the training that led to it.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluationCounters {
    /// How many hospitals are in it.
    pub contributions: u64,
    /// `confusion[truth][prediction]`, in validation slices.
    pub confusion: Vec<Vec<u64>>,
    /// Sum of the validation slices' losses.
    pub validation_loss_sum: f64,
    /// Sum of the training steps' losses.
    pub training_loss_sum: f64,
    /// Steps of the last training.
    pub training_steps: u64,
}

impl EvaluationCounters {
    /// One hospital's: its validation, and mean loss and steps of its last training.
    pub fn of_one(
        confusion: Vec<Vec<u64>>,
        validation_loss_sum: f64,
        (training_loss, training_steps): (f64, u32),
    ) -> Self {
        Self {
            contributions: 1,
            confusion,
            validation_loss_sum,
            training_loss_sum: training_loss * f64::from(training_steps),
            training_steps: training_steps.into(),
        }
    }

    /// The counters, in order; losses are rounded to 1/65536.
    pub fn write(&self) -> Vec<u64> {
        let mut counters = vec![self.contributions];
        counters.extend(self.confusion.iter().flatten());
        counters.extend([
            in_units(self.validation_loss_sum, LOSS_UNITS),
            in_units(self.training_loss_sum, LOSS_UNITS),
            self.training_steps,
        ]);
        counters
    }

    /// Reads opened counters; the number of classes follows from how many there are.
    ///
    /// # Errors
    /// [`WrongCounters`] when no number of classes gives so many.
    pub fn read(counters: &[u64]) -> Result<Self, WrongCounters> {
        let wrong = WrongCounters {
            purpose: Purpose::Evaluation,
            found: counters.len(),
        };
        let [
            contributions,
            cells @ ..,
            validation,
            training,
            training_steps,
        ] = counters
        else {
            return Err(wrong);
        };
        let classes = cells.len().isqrt();
        if classes == 0 || classes * classes != cells.len() {
            return Err(wrong);
        }
        Ok(Self {
            contributions: *contributions,
            confusion: cells.chunks(classes).map(<[u64]>::to_vec).collect(),
            validation_loss_sum: *validation as f64 / LOSS_UNITS,
            training_loss_sum: *training as f64 / LOSS_UNITS,
            training_steps: *training_steps,
        })
    }

    /// Validation slices.
    pub fn slices(&self) -> u64 {
        self.confusion.iter().flatten().sum()
    }

    /// Validation slices that were classified rightly.
    pub fn right(&self) -> u64 {
        let diagonal = self.confusion.iter().enumerate();
        diagonal.map(|(class, row)| row[class]).sum()
    }

    /// Share of the validation slices that were classified rightly; NaN without any.
    pub fn accuracy(&self) -> f64 {
        self.right() as f64 / self.slices() as f64
    }

    /// How many classes the validation slices have.
    pub fn classes_there(&self) -> usize {
        let is_there = |row: &&Vec<u64>| row.iter().any(|&slices| slices > 0);
        self.confusion.iter().filter(is_there).count()
    }

    /// Mean loss of a validation slice; NaN without any.
    pub fn validation_loss(&self) -> f64 {
        self.validation_loss_sum / self.slices() as f64
    }

    /// Mean loss of a training step; NaN without any.
    pub fn training_loss(&self) -> f64 {
        self.training_loss_sum / self.training_steps as f64
    }
}

/// What is negative or not a number counts as nothing.
fn in_units(value: f64, units: f64) -> u64 {
    (value.max(0.0) * units).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FEATURES: usize = 9;
    const TASKS: [Task; 2] = [Task::Binary, Task::Multiclass];

    fn names(purpose: Purpose, task: Task) -> Vec<String> {
        let specs = specs(purpose, task, FEATURES).into_iter();
        specs.map(|spec| spec.name.0).collect()
    }

    /// A counter of value `place` at every place shows which name is read as what.
    fn places(purpose: Purpose, task: Task) -> Vec<u64> {
        (0..specs(purpose, task, FEATURES).len() as u64).collect()
    }

    #[test]
    fn every_name_is_read_as_what_it_says() {
        let (statistics, evaluation) = (Purpose::Stats, Purpose::Evaluation);
        for task in TASKS {
            let (names, counters) = (names(statistics, task), places(statistics, task));
            let read =
                StatsCounters::read(task, FEATURES, &counters).expect("as many as there must be");
            let place = |name: &str| names.iter().position(|other| other == name).expect(name);
            assert_eq!(read.contributions, place("contributions") as u64);
            for (class, &count) in read.class_counts.iter().enumerate() {
                assert_eq!(
                    count,
                    place(&format!("training slices of class {class}")) as u64
                );
            }
            assert_eq!(read.features.len(), FEATURES);
            for (number, feature) in read.features.iter().enumerate() {
                let counter = place(&format!("patients with feature {number}"));
                assert_eq!(feature.patients, counter as u64);
                let counter = place(&format!("sum of feature {number} in 1/256"));
                assert_eq!(feature.sum, counter as f64 / 256.0);
                let counter = place(&format!("sum of squares of feature {number} in 1/256"));
                assert_eq!(feature.sum_of_squares, counter as f64 / 256.0);
            }
        }
        for task in TASKS {
            let (names, counters) = (names(evaluation, task), places(evaluation, task));
            let read = EvaluationCounters::read(&counters).expect("as many as there must be");
            let place = |name: &str| names.iter().position(|other| other == name).expect(name);
            assert_eq!(read.contributions, place("contributions") as u64);
            assert_eq!(read.confusion.len(), task.classes());
            for (class, row) in read.confusion.iter().enumerate() {
                for (predicted, &slices) in row.iter().enumerate() {
                    let name = format!("slices of class {class} seen as {predicted}");
                    assert_eq!(slices, place(&name) as u64);
                }
            }
            let loss = place("validation loss in 1/65536") as f64 / 65_536.0;
            assert_eq!(read.validation_loss_sum, loss);
            let loss = place("training loss in 1/65536") as f64 / 65_536.0;
            assert_eq!(read.training_loss_sum, loss);
            assert_eq!(read.training_steps, place("training steps") as u64);
        }
        assert_eq!(
            names(Purpose::Update, Task::Binary),
            ["contributions", "saturated values"]
        );
    }

    #[test]
    fn means_are_over_slices_and_steps() {
        let counters = [2, 30, 10, 5, 55, 50 * 65_536, 12 * 65_536, 16];
        let evaluation = EvaluationCounters::read(&counters).expect("an evaluation");
        assert_eq!(evaluation.confusion, [[30, 10], [5, 55]]);
        assert_eq!(evaluation.slices(), 100);
        assert_eq!(evaluation.accuracy(), 0.85);
        let losses = (evaluation.validation_loss(), evaluation.training_loss());
        assert_eq!(losses, (0.5, 0.75));
    }

    #[test]
    fn counters_of_another_sum_are_refused() {
        for found in [0, 1, 3, 4, 6, 7, 9] {
            let purpose = Purpose::Evaluation;
            let refused = Err(WrongCounters { purpose, found });
            assert_eq!(EvaluationCounters::read(&vec![1; found]), refused);
        }
        for found in [0, 1, 3] {
            let purpose = Purpose::Update;
            let refused = Err(WrongCounters { purpose, found });
            assert_eq!(UpdateCounters::read(&vec![1; found]), refused);
        }
        for found in [0, 1, 2, 3, 27, 29, 31, 33] {
            let purpose = Purpose::Stats;
            let refused = Err(WrongCounters { purpose, found });
            assert_eq!(
                StatsCounters::read(Task::Binary, FEATURES, &vec![1; found]),
                refused
            );
        }
    }

    #[test]
    fn losses_below_zero_or_not_a_number_count_as_nothing() {
        let written = |loss| EvaluationCounters::of_one(vec![vec![1]], loss, (0.0, 0)).write();
        assert_eq!(written(-1.0), [1, 1, 0, 0, 0]);
        assert_eq!(written(f64::NAN), [1, 1, 0, 0, 0]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            task in prop::sample::select(&TASKS[..]),
            features in 0_usize..50,
            counts in prop::collection::vec(0_u64..1 << 24, 64),
            // In the units of the sums, so that nothing is rounded.
            steps in prop::collection::vec(0_u64..1 << 40, 100),
        ) {
            let classes = task.classes();
            let statistics = StatsCounters {
                contributions: counts[0],
                class_counts: counts[1..=classes].to_vec(),
                features: (0..features).map(|feature| FeatureSums {
                    patients: counts[10 + feature],
                    sum: steps[2 * feature] as f64 / 256.0,
                    sum_of_squares: steps[2 * feature + 1] as f64 / 256.0,
                }).collect(),
            };
            let written = statistics.write();
            prop_assert_eq!(written.len(), specs(Purpose::Stats, task, features).len());
            prop_assert_eq!(StatsCounters::read(task, features, &written), Ok(statistics));

            let evaluation = EvaluationCounters {
                contributions: counts[0],
                confusion: counts[1..].chunks(classes).take(classes).map(<[u64]>::to_vec).collect(),
                validation_loss_sum: steps[0] as f64 / 65_536.0,
                training_loss_sum: steps[1] as f64 / 65_536.0,
                training_steps: counts[20],
            };
            let written = evaluation.write();
            prop_assert_eq!(written.len(), specs(Purpose::Evaluation, task, features).len());
            prop_assert_eq!(EvaluationCounters::read(&written), Ok(evaluation));

            let update = UpdateCounters { contributions: counts[0], saturated: counts[1] };
            prop_assert_eq!(update.write().len(), specs(Purpose::Update, task, features).len());
            prop_assert_eq!(UpdateCounters::read(&update.write()), Ok(update));
        }
    }
}
