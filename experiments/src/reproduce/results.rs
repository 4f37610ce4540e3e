//! From cells to what is reported: means over the repetitions with their intervals, and differences between them.

use std::collections::BTreeMap;

use protocol::{training_job::SplitKind, vocabulary::ConditioningForm};

use super::{
    baselines::{Baselines, Reachable},
    cell::{Cell, CellKey},
    configuration::Configuration,
    options::ModelName,
    reference_comparison::ReferenceComparison,
    row::{FeaturesRow, Row},
    scored::{Difference, NamedPair, differences, shared_bootstrap},
};

/// Everything that is reported.
pub struct Results {
    /// In the order of the configuration.
    pub rows: Vec<Row>,
    /// In the order of the configuration.
    pub features_alone: Vec<FeaturesRow>,
    /// By slice minus by patient, over the training sets: what the leak is worth. Empty unless both splits were run.
    pub leaks: Vec<Difference>,
    /// Hybrid minus plain, over the training sets: what the clinical features are worth. Without hybrid, its plaintext reference, which
    /// predicts the same, stands for it. Empty unless plain was run beside one of them.
    pub conditioning: Vec<Difference>,
    /// A network minus the clinical features alone, over the training sets: what it is worth.
    pub over_features_alone: Vec<Difference>,
    /// The best that any classifier could reach; empty unless the patients are a phantom.
    pub reachable: Vec<Reachable>,
    /// None unless both were run.
    pub reference: Option<ReferenceComparison>,
}

impl Results {
    /// Computes them from the cells of a whole run and what stands beside them; `patients` is the size of the cohort.
    pub fn new(
        configuration: &Configuration,
        cells: &[Cell],
        baselines: &Baselines,
        patients: usize,
    ) -> Self {
        let bootstrap = shared_bootstrap(configuration.seeds as usize, patients);
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
        let features_alone: Vec<FeaturesRow> = baselines
            .features_alone
            .iter()
            .map(|alone| FeaturesRow::new(alone, &bootstrap))
            .collect();
        Self {
            leaks: differences(leaks(&rows)),
            conditioning: differences(conditioning(&rows)),
            over_features_alone: differences(over_features_alone(&rows, &features_alone)),
            reachable: baselines.reachable.clone(),
            reference: ReferenceComparison::new(cells, &rows),
            rows,
            features_alone,
        }
    }
}

fn leaks(rows: &[Row]) -> impl Iterator<Item = NamedPair<'_>> {
    let by_slice = rows.iter().filter(|row| row.key.split == SplitKind::Slice);
    by_slice.filter_map(move |row| {
        let key = CellKey {
            split: SplitKind::Patient,
            ..row.key
        };
        let name = format!("{}, {}", key.task, key.network());
        Some((name, [&row.scored, &of(rows, key)?.scored]))
    })
}

fn conditioning(rows: &[Row]) -> impl Iterator<Item = NamedPair<'_>> {
    let model = match has_hybrid(rows) {
        true => ModelName::Hybrid,
        false => ModelName::PlainConditioned,
    };
    let conditioned = rows.iter().filter(move |row| row.key.model == model);
    conditioned.filter_map(move |row| {
        let key = CellKey {
            model: ModelName::Plain,
            form: ConditioningForm::Study,
            ..row.key
        };
        let form = match row.key.form {
            ConditioningForm::Study => String::new(),
            form => format!(", {form}"),
        };
        let name = format!("{}, split by {}{form}", key.task, key.split);
        Some((name, [&row.scored, &of(rows, key)?.scored]))
    })
}

/// Of the plaintext reference only where its encrypted twin is not there.
fn over_features_alone<'a>(
    rows: &'a [Row],
    features_alone: &'a [FeaturesRow],
) -> impl Iterator<Item = NamedPair<'a>> {
    let has_hybrid = has_hybrid(rows);
    let compared = move |row: &&Row| !has_hybrid || row.key.model != ModelName::PlainConditioned;
    rows.iter().filter(compared).filter_map(move |row| {
        let mut alone = features_alone.iter();
        let alone = alone.find(|alone| alone.is_beside(&row.key))?;
        let key = row.key;
        let name = format!("{}, {}, split by {}", key.task, key.network(), key.split);
        Some((name, [&row.scored, &alone.scored]))
    })
}

fn has_hybrid(rows: &[Row]) -> bool {
    rows.iter().any(|row| row.key.model == ModelName::Hybrid)
}

fn of(rows: &[Row], key: CellKey) -> Option<&Row> {
    rows.iter().find(|row| row.key == key)
}

#[cfg(test)]
pub(super) mod tests {
    use model::metrics::Prediction;
    use protocol::labels::Task;

    use super::*;
    use crate::reproduce::{
        baselines::FeaturesAlone,
        cell::{CellConditioning, TestSlice},
        options::{BalanceName, ReproduceOptions, TaskChoice},
        scored::Estimate,
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

    /// Of whom two in ten are wrong.
    pub fn baselines(configuration: &Configuration) -> Baselines {
        let says =
            |key: CellKey| -> Vec<Prediction> { cell(key, |of_ten| of_ten < 2).predictions() };
        let of_row = |key: CellKey| FeaturesAlone {
            task: key.task,
            balance: key.balance,
            split: key.split,
            runs: (1..=configuration.seeds)
                .map(|seed| says(CellKey { seed, ..key }))
                .collect(),
        };
        let plain = configuration
            .rows()
            .filter(|key| key.model == ModelName::Plain);
        Baselines {
            features_alone: plain.map(of_row).collect(),
            reachable: vec![Reachable {
                task: Task::Binary,
                both: Some(0.95),
                images: Some(0.875),
                features: None,
            }],
        }
    }

    pub fn results(configuration: &Configuration, cells: &[Cell]) -> Results {
        Results::new(configuration, cells, &baselines(configuration), 20)
    }

    fn accuracy(estimate: &Estimate) -> f64 {
        estimate.scores.accuracy.expect("defined")
    }

    #[test]
    fn rows_are_means_over_the_repetitions_in_the_order_of_the_configuration() {
        let configuration = configuration();
        let results = results(&configuration, &cells(&configuration));
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
        assert!((accuracy(&row.scored.slice) - 0.9).abs() < 1e-12);
        assert!((accuracy(&row.scored.patient) - 0.9).abs() < 1e-12);
        assert_eq!(row.scored.majority, 0.5);
        let [low, high] = row.scored.slice.intervals[0].expect("defined");
        assert!(low < 0.9 && high > 0.9, "[{low}, {high}]");
        assert!(row.study.is_some());
    }

    #[test]
    fn differences_are_those_of_the_means_and_paired() {
        let configuration = configuration();
        let results = results(&configuration, &cells(&configuration));
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
        // The reference alone predicts the same.
        let mut without_hybrid = cells(&configuration);
        without_hybrid.retain(|cell| cell.key.model != ModelName::Hybrid);
        let reference = self::results(&configuration, &without_hybrid).conditioning;
        let names = |found: &[Difference]| found.iter().map(|pair| pair.of.clone()).collect();
        let (expected, found): (Vec<_>, Vec<_>) = (names(&results.conditioning), names(&reference));
        assert_eq!(found, expected);
        assert!((accuracy(&reference[0].estimate) - 0.1).abs() < 1e-12);
    }

    #[test]
    fn the_plaintext_reference_is_compared_pair_by_pair() {
        let configuration = configuration();
        let mut cells = cells(&configuration);
        let reference = results(&configuration, &cells).reference.expect("both ran");
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
        let reference = results(&configuration, &cells).reference.expect("both ran");
        assert_eq!((reference.identical, reference.same_classes), (7, 8));
        let hybrid = cells
            .iter_mut()
            .find(|cell| cell.key.model == ModelName::Hybrid);
        hybrid.expect("one").test[19].probabilities = vec![0.9, 0.1];
        let reference = results(&configuration, &cells).reference.expect("both ran");
        assert_eq!((reference.identical, reference.same_classes), (7, 7));
        assert!((reference.largest_accuracy_difference - 0.05).abs() < 1e-12);
        // Of two repetitions.
        assert!((reference.largest_mean_accuracy_difference - 0.025).abs() < 1e-12);
    }

    #[test]
    fn every_network_is_compared_with_the_features_alone() {
        let configuration = configuration();
        let results = results(&configuration, &cells(&configuration));
        assert_eq!(results.features_alone.len(), 2 * 2);
        let found: Vec<(&str, f64)> = results
            .over_features_alone
            .iter()
            .map(|over| (over.of.as_str(), accuracy(&over.patient)))
            .collect();
        // The plaintext reference says what the hybrid network does.
        let expected = [
            ("binary, hybrid, split by patient", 0.1),
            ("binary, hybrid, split by slice", 0.2),
            ("binary, plain, split by patient", 0.0),
            ("binary, plain, split by slice", 0.2),
        ];
        assert_eq!(found.len(), expected.len());
        for ((of, found), (expected_of, value)) in found.iter().zip(expected) {
            assert_eq!(*of, expected_of);
            assert!((found - value).abs() < 1e-12, "{of}: {found}");
        }
        // The same are wrong, in every draw.
        let plain = &results.over_features_alone[2];
        assert_eq!(plain.patient.intervals[0], Some([0.0, 0.0]));
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
        let results = results(&configuration, &[only]);
        assert!(results.leaks.is_empty() && results.conditioning.is_empty());
        assert_eq!(results.reference, None);
        let row = &results.rows[0];
        assert_eq!(
            (row.scored.slice.scores.auroc, row.scored.slice.intervals[5]),
            (None, None)
        );
        assert_eq!(row.key.task, Task::Binary);
    }
}
