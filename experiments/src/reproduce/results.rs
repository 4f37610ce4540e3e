//! From cells to what is reported: means over the repetitions with their intervals, and differences between them.

use std::collections::BTreeMap;

use model::metrics::{
    CrossedBootstrap, Interval, Level, Metrics, Prediction, Scores, per_patient, score_intervals,
};

use super::{
    cell::{Cell, CellKey},
    configuration::{Configuration, task_of},
    seeds::BOOTSTRAP_SEED,
    study::{self, StudyFigures},
};
use crate::commands::{ModelName, SplitName};

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
    /// By slice, of each draw of the bootstrap: for differences.
    draws: Vec<Scores>,
}

/// A difference of two numbers, paired over repetitions and patients.
pub struct Difference {
    /// Of which rows: "binary, hybrid".
    pub of: String,
    /// How large.
    pub estimate: Estimate,
}

/// How the hybrid network compares with its oracle, over every pair of cells with the same seed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OracleComparison {
    /// Pairs.
    pub pairs: usize,
    /// Of which every probability of every test slice is the same.
    pub identical: usize,
    /// Of which every predicted class is the same.
    pub same_classes: usize,
    /// The largest difference of an accuracy.
    pub largest_accuracy_difference: f64,
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
    pub oracle: Option<OracleComparison>,
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
                |row| {
                    (
                        row.key.split == SplitName::Slice,
                        row.key.split == SplitName::Patient,
                    )
                },
                |key| CellKey {
                    split: SplitName::Patient,
                    ..key
                },
                |key| format!("{}, {}", key.task, key.model),
            ),
            conditioning: differences(
                &rows,
                |row| {
                    (
                        row.key.model == ModelName::Hybrid,
                        row.key.model == ModelName::Plain,
                    )
                },
                |key| CellKey {
                    model: ModelName::Plain,
                    ..key
                },
                |key| format!("{}, split by {}", key.task, key.split),
            ),
            oracle: OracleComparison::new(cells),
            rows,
        }
    }
}

impl Row {
    fn new(key: CellKey, cells: &[&Cell], bootstrap: &CrossedBootstrap) -> Self {
        let classes = task_of(key.task).classes();
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
        let (slice, draws) = estimate(Level::Slice);
        let (patient, _) = estimate(Level::Patient);
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
            study: study::figures(key.task, key.balance, key.model),
            draws,
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

/// Rows of one kind minus their partners of the other, averaged over the training sets of each group.
fn differences(
    rows: &[Row],
    kinds: impl Fn(&Row) -> (bool, bool),
    partner: impl Fn(CellKey) -> CellKey,
    group: impl Fn(&CellKey) -> String,
) -> Vec<Difference> {
    let mut names: Vec<String> = Vec::new();
    let mut groups: BTreeMap<String, Vec<(&Row, &Row)>> = BTreeMap::new();
    for row in rows.iter().filter(|row| kinds(row).0) {
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
        let draws: Vec<Scores> = (0..DRAWS)
            .map(|draw| mean_of(&|(row, other)| row.draws[draw].minus(&other.draws[draw])))
            .collect();
        let estimate = Estimate {
            scores: mean_of(&|(row, other)| row.slice.scores.minus(&other.slice.scores)),
            intervals: score_intervals(&draws),
        };
        Difference { of, estimate }
    };
    names.into_iter().map(difference).collect()
}

impl OracleComparison {
    fn new(cells: &[Cell]) -> Option<Self> {
        let mut comparison = Self::default();
        for hybrid in cells
            .iter()
            .filter(|cell| cell.key.model == ModelName::Hybrid)
        {
            if let Some(account) = hybrid.conditioning {
                comparison.values += account.values;
                comparison.values_that_differ += account.values_that_differ;
                comparison.max_abs_error = comparison.max_abs_error.max(account.max_abs_error);
            }
            let partner = CellKey {
                model: ModelName::PlainConditioned,
                ..hybrid.key
            };
            let Some(oracle) = cells.iter().find(|cell| cell.key == partner) else {
                continue;
            };
            let (ours, theirs) = (hybrid.predictions(), oracle.predictions());
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
        (comparison.pairs > 0).then_some(comparison)
    }
}

/// Of the bootstrap.
const DRAWS: usize = 1000;
