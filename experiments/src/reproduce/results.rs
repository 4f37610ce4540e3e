//! From cells to what is reported: means over the repetitions with their intervals, and differences between them.

use std::collections::BTreeMap;

use model::metrics::{
    CrossedBootstrap, Interval, Level, Metrics, Prediction, Scores, per_patient, score_intervals,
};
use protocol::{training_job::SplitKind, vocabulary::ConditioningForm};

use super::{
    cell::{Cell, CellKey},
    configuration::Configuration,
    options::ModelName,
    seeds::BOOTSTRAP_SEED,
    study::{self, StudyFigures},
};

/// A number of each kind with its 95% interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The numbers.
    pub scores: Scores,
    /// In the order of [`Scores::ALL`].
    pub intervals: [Option<Interval>; 6],
}

/// A row of the tables: the repetitions of one cell.
pub struct Row {
    /// Which; the seed is that of the first repetition.
    pub key: CellKey,
    /// Samples trained on, by class: the mean.
    pub train_counts: Vec<f64>,
    /// By slice.
    pub slice: Estimate,
    /// By patient.
    pub patient: Estimate,
    /// Share of the most frequent class among the slices tested on: what always saying it would reach.
    pub majority: f64,
    /// What the study has.
    pub study: Option<StudyFigures>,
    /// By slice and by patient, of each draw of the bootstrap: for differences.
    draws: [Vec<Scores>; 2],
}

/// A difference of two numbers, paired over repetitions and patients.
pub struct Difference {
    /// Of which rows: "binary, hybrid".
    pub of: String,
    /// How large by slice.
    pub estimate: Estimate,
    /// How large by patient.
    pub patient: Estimate,
}

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
    /// Of those, how many were rounded to another side than in the clear.
    pub values_that_differ: u64,
    /// The largest difference of a decrypted product from the one in the clear.
    pub max_abs_error: f64,
}

/// Everything that is reported.
pub struct Results {
    /// In the order of the configuration.
    pub rows: Vec<Row>,
    /// By slice minus by patient, over the training sets: what the leak is worth. Empty unless both splits were run.
    pub leaks: Vec<Difference>,
    /// Hybrid minus plain, over the training sets: what the clinical features are worth. Empty unless both were run.
    pub conditioning: Vec<Difference>,
    /// None unless both were run.
    pub reference: Option<ReferenceComparison>,
}

impl Results {
    /// Computes them from the cells of a whole run; `patients` is the size of the cohort.
    pub fn new(configuration: &Configuration, cells: &[Cell], patients: usize) -> Self {
        let runs = configuration.seeds as usize;
        let bootstrap = CrossedBootstrap::new(runs, patients, DRAWS, BOOTSTRAP_SEED);
        let mut by_row: BTreeMap<CellKey, Vec<&Cell>> = BTreeMap::new();
        for cell in cells {
            let row = CellKey {
                seed: 1,
                ..cell.key
            };
            by_row.entry(row).or_default().push(cell);
        }
        for repetitions in by_row.values_mut() {
            repetitions.sort_by_key(|cell| cell.key.seed);
        }
        let rows: Vec<Row> = configuration
            .rows()
            .filter_map(|key| Some(Row::new(key, by_row.get(&key)?, &bootstrap)))
            .collect();
        Self {
            leaks: differences(
                &rows,
                |key| key.split == SplitKind::Slice,
                |key| CellKey {
                    split: SplitKind::Patient,
                    ..key
                },
                |key| format!("{}, {}", key.task, key.network()),
            ),
            conditioning: differences(
                &rows,
                |key| key.model == ModelName::Hybrid,
                |key| CellKey {
                    model: ModelName::Plain,
                    form: ConditioningForm::Study,
                    ..key
                },
                |key| match key.form {
                    ConditioningForm::Study => format!("{}, split by {}", key.task, key.split),
                    form => format!("{}, split by {}, {form}", key.task, key.split),
                },
            ),
            reference: ReferenceComparison::new(cells, &rows),
            rows,
        }
    }
}

impl Row {
    fn new(key: CellKey, cells: &[&Cell], bootstrap: &CrossedBootstrap) -> Self {
        let classes = key.task.classes();
        let runs: Vec<Vec<Prediction>> = cells.iter().map(|cell| cell.predictions()).collect();
        let estimate = |level| {
            let point = |slices: &Vec<Prediction>| match level {
                Level::Slice => Scores::of(&Metrics::of(slices, classes)),
                Level::Patient => Scores::of(&Metrics::of(&per_patient(slices), classes)),
            };
            let points: Vec<Scores> = runs.iter().map(point).collect();
            let draws = bootstrap.scores(&runs, classes, level);
            let estimate = Estimate {
                scores: Scores::mean(&points),
                intervals: score_intervals(&draws),
            };
            (estimate, draws)
        };
        let (slice, of_slices) = estimate(Level::Slice);
        let (patient, of_patients) = estimate(Level::Patient);
        let mut train_counts = vec![0.0; classes];
        for cell in cells {
            for (mean, &count) in train_counts.iter_mut().zip(&cell.train_counts) {
                *mean += count as f64 / cells.len() as f64;
            }
        }
        Self {
            key,
            train_counts,
            slice,
            patient,
            majority: majority(&runs, classes),
            study: study::figures(key.task, key.balance, key.model)
                .filter(|_| key.form == ConditioningForm::Study),
            draws: [of_slices, of_patients],
        }
    }
}

/// The mean over repetitions.
fn majority(runs: &[Vec<Prediction>], classes: usize) -> f64 {
    let of_run = |run: &Vec<Prediction>| {
        let count = |class| run.iter().filter(|one| one.label == class).count();
        (0..classes).map(count).max().unwrap_or(0) as f64 / run.len().max(1) as f64
    };
    runs.iter().map(of_run).sum::<f64>() / runs.len().max(1) as f64
}

/// Rows of one kind minus their partners, averaged over the training sets of each group.
fn differences(
    rows: &[Row],
    is_minuend: impl Fn(&CellKey) -> bool,
    partner: impl Fn(CellKey) -> CellKey,
    group: impl Fn(&CellKey) -> String,
) -> Vec<Difference> {
    let mut names: Vec<String> = Vec::new();
    let mut groups: BTreeMap<String, Vec<(&Row, &Row)>> = BTreeMap::new();
    for row in rows.iter().filter(|row| is_minuend(&row.key)) {
        let wanted = partner(row.key);
        let Some(other) = rows.iter().find(|other| other.key == wanted) else {
            continue;
        };
        let name = group(&row.key);
        if !names.contains(&name) {
            names.push(name.clone());
        }
        groups.entry(name).or_default().push((row, other));
    }
    let difference = |of: String| {
        let pairs = &groups[&of];
        let mean_of = |each: &dyn Fn(&(&Row, &Row)) -> Scores| {
            Scores::mean(&pairs.iter().map(each).collect::<Vec<Scores>>())
        };
        let estimate = |level: usize, scores: fn(&Row) -> Scores| {
            let draws: Vec<Scores> = (0..DRAWS)
                .map(|draw| {
                    mean_of(&|(row, other)| row.draws[level][draw].minus(&other.draws[level][draw]))
                })
                .collect();
            Estimate {
                scores: mean_of(&|(row, other)| scores(row).minus(&scores(other))),
                intervals: score_intervals(&draws),
            }
        };
        Difference {
            of,
            estimate: estimate(0, |row| row.slice.scores),
            patient: estimate(1, |row| row.patient.scores),
        }
    };
    names.into_iter().map(difference).collect()
}

impl ReferenceComparison {
    fn new(cells: &[Cell], rows: &[Row]) -> Option<Self> {
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
            let accuracy = |row: &Row| row.slice.scores.accuracy;
            if let Some((ours, theirs)) = accuracy(hybrid).zip(reference.and_then(accuracy)) {
                comparison.largest_mean_accuracy_difference = (ours - theirs)
                    .abs()
                    .max(comparison.largest_mean_accuracy_difference);
            }
        }
        (comparison.pairs > 0).then_some(comparison)
    }
}

/// Of the bootstrap.
const DRAWS: usize = 1000;

#[cfg(test)]
pub(super) mod tests {
    use protocol::labels::Task;

    use super::*;
    use crate::reproduce::{
        cell::{CellConditioning, TestSlice},
        options::{BalanceName, ReproduceOptions, TaskChoice},
    };

    /// Two training sets, three networks, two splits, two seeds.
    pub fn configuration() -> Configuration {
        let options = ReproduceOptions {
            task: Some(TaskChoice::Binary),
            balance: Some(vec![BalanceName::Original, BalanceName::Smote]),
            seeds: Some(2),
            ..ReproduceOptions::default()
        };
        Configuration::new(&options, None).expect("fine")
    }

    /// Twenty patients, ten a seed, two slices each; `wrong` says which of the ten are taken for the other class.
    fn cell(key: CellKey, wrong: impl Fn(usize) -> bool) -> Cell {
        let slice = |number: usize| {
            let of_seed = number / 2;
            let patient = 10 * (key.seed as usize - 1) + of_seed;
            let label = patient % 2;
            let says = if wrong(of_seed) { 1 - label } else { label };
            let mut probabilities = vec![0.25; 2];
            probabilities[says] = 0.75;
            TestSlice {
                patient,
                slice: number % 2,
                label,
                probabilities,
            }
        };
        Cell {
            key,
            train_counts: vec![30, 10 + u64::from(key.seed)],
            epochs: vec![],
            best_epoch: 1,
            stopped_early: false,
            test: (0..20).map(slice).collect(),
            conditioning: (key.model == ModelName::Hybrid).then_some(CellConditioning {
                values: 90,
                values_that_differ: 1,
                max_abs_error: 1e-9 * f64::from(key.seed),
                ..CellConditioning::default()
            }),
            seconds: 1.0,
        }
    }

    /// By patient one of ten is wrong with features and two without; by slice nobody.
    pub fn cells(configuration: &Configuration) -> Vec<Cell> {
        let keys = configuration.cells().into_iter();
        keys.map(|key| {
            let errors = match (key.split, key.model) {
                (SplitKind::Slice, _) => 0,
                (SplitKind::Patient, ModelName::Plain) => 2,
                (SplitKind::Patient, _) => 1,
            };
            cell(key, move |patient| patient < errors)
        })
        .collect()
    }

    fn accuracy(estimate: &Estimate) -> f64 {
        estimate.scores.accuracy.expect("defined")
    }

    #[test]
    fn rows_are_means_over_the_repetitions_in_the_order_of_the_configuration() {
        let configuration = configuration();
        let results = Results::new(&configuration, &cells(&configuration), 20);
        assert_eq!(results.rows.len(), 2 * 3 * 2);
        assert!(
            results
                .rows
                .iter()
                .map(|row| row.key)
                .eq(configuration.rows())
        );
        let row = &results.rows[0];
        assert_eq!(row.train_counts, [30.0, 11.5]);
        assert!((accuracy(&row.slice) - 0.9).abs() < 1e-12);
        assert!((accuracy(&row.patient) - 0.9).abs() < 1e-12);
        assert_eq!(row.majority, 0.5);
        let [low, high] = row.slice.intervals[0].expect("defined");
        assert!(low < 0.9 && high > 0.9, "[{low}, {high}]");
        assert!(row.study.is_some());
    }

    #[test]
    fn differences_are_those_of_the_means_and_paired() {
        let configuration = configuration();
        let results = Results::new(&configuration, &cells(&configuration), 20);
        let leaks: Vec<(&str, f64)> = results
            .leaks
            .iter()
            .map(|leak| (leak.of.as_str(), accuracy(&leak.estimate)))
            .collect();
        let expected = [
            ("binary, hybrid", 0.1),
            ("binary, plain-conditioned", 0.1),
            ("binary, plain", 0.2),
        ];
        for ((of, found), (expected_of, value)) in leaks.iter().zip(expected) {
            assert_eq!(*of, expected_of);
            assert!((found - value).abs() < 1e-12, "{of}: {found}");
        }
        assert_eq!(leaks.len(), 3);
        let [by_patient, by_slice] = &results.conditioning[..] else {
            panic!("one for each split");
        };
        assert!((accuracy(&by_patient.estimate) - 0.1).abs() < 1e-12);
        assert_eq!(by_slice.estimate.intervals[0], Some([0.0, 0.0]));
        // Nobody is worse off with features, so no draw says so.
        let [low, _] = by_patient.estimate.intervals[0].expect("defined");
        assert!(low >= 0.0);
    }

    #[test]
    fn the_plaintext_reference_is_compared_pair_by_pair() {
        let configuration = configuration();
        let mut cells = cells(&configuration);
        let reference = Results::new(&configuration, &cells, 20)
            .reference
            .expect("both ran");
        assert_eq!(
            (reference.pairs, reference.identical, reference.same_classes),
            (8, 8, 8)
        );
        assert_eq!(
            (reference.values, reference.values_that_differ),
            (8 * 90, 8)
        );
        assert_eq!(reference.max_abs_error, 2e-9);
        let hybrid = cells
            .iter_mut()
            .find(|cell| cell.key.model == ModelName::Hybrid);
        let slice = &mut hybrid.expect("one").test[19];
        slice.probabilities = vec![0.26, 0.74];
        let reference = Results::new(&configuration, &cells, 20)
            .reference
            .expect("both ran");
        assert_eq!((reference.identical, reference.same_classes), (7, 8));
        let hybrid = cells
            .iter_mut()
            .find(|cell| cell.key.model == ModelName::Hybrid);
        hybrid.expect("one").test[19].probabilities = vec![0.9, 0.1];
        let reference = Results::new(&configuration, &cells, 20)
            .reference
            .expect("both ran");
        assert_eq!((reference.identical, reference.same_classes), (7, 7));
        assert!((reference.largest_accuracy_difference - 0.05).abs() < 1e-12);
        // Of two repetitions.
        assert!((reference.largest_mean_accuracy_difference - 0.025).abs() < 1e-12);
    }

    #[test]
    fn what_was_not_run_is_not_compared_and_what_is_undefined_is_none() {
        let options = ReproduceOptions {
            task: Some(TaskChoice::Binary),
            balance: Some(vec![BalanceName::Original]),
            model: Some(vec![ModelName::Plain]),
            split: Some(vec![SplitKind::Patient]),
            seeds: Some(1),
            ..ReproduceOptions::default()
        };
        let configuration = Configuration::new(&options, None).expect("fine");
        let mut only = cell(configuration.cells()[0], |_| false);
        only.test.retain(|slice| slice.label == 1);
        let results = Results::new(&configuration, &[only], 20);
        assert!(results.leaks.is_empty() && results.conditioning.is_empty());
        assert_eq!(results.reference, None);
        let row = &results.rows[0];
        assert_eq!(
            (row.slice.scores.auroc, row.slice.intervals[5]),
            (None, None)
        );
        assert_eq!(row.key.task, Task::Binary);
    }
}
