//! What a network has to better, and what no network can: the clinical features alone, and the best that a phantom allows. (Images
//! alone are a network, `plain`.)
//!
//! Both follow from the configuration and the patients, so whoever makes the tables makes the same.

use anyhow::Context;
use model::{balance::balanced_seeds, metrics::Prediction};
use model_data::Patient;
use protocol::{
    labels::{Labels, Task, class_weights},
    training_job::SplitKind,
    vocabulary::ConditioningForm,
};

use super::{
    cell::CellKey,
    configuration::{Configuration, balance_of},
    options::{BalanceName, ModelName},
    seeds::balance_seed,
    split_cohort::SplitCohort,
};
use crate::{
    logistic_regression::{Example, LogisticRegression},
    reachable::{Evidence, reachable_auroc},
};

/// Both.
#[derive(Default)]
pub struct Baselines {
    /// For each task, training set and split, in the order of the configuration.
    pub features_alone: Vec<FeaturesAlone>,
    /// For each task; none for other data than a phantom.
    pub reachable: Vec<Reachable>,
}

/// A logistic regression of the clinical features, tested on the slices that the networks of the same task, split and seed are tested
/// on.
pub struct FeaturesAlone {
    /// What is told apart.
    pub task: Task,
    /// How the training set was balanced.
    pub balance: BalanceName,
    /// How the patients were cut.
    pub split: SplitKind,
    /// What it says of every test slice, by repetition.
    pub runs: Vec<Vec<Prediction>>,
}

/// The AUROC by patient that the best classifier would have on patients such as a phantom's; none where a class has nobody.
#[derive(Clone, Copy, Debug)]
pub struct Reachable {
    /// What is told apart.
    pub task: Task,
    /// From the lesion volume and the clinical features.
    pub both: Option<f64>,
    /// From the lesion volume, and age, of which atrophy tells.
    pub images: Option<f64>,
    /// From the clinical features.
    pub features: Option<f64>,
}

impl Baselines {
    /// Computes them, in seconds.
    ///
    /// # Errors
    /// Patients that cannot be split or balanced.
    pub fn new(patients: &[Patient], configuration: &Configuration) -> anyhow::Result<Self> {
        let mut features_alone = Vec::new();
        for &task in &configuration.task {
            for &balance in &configuration.balance {
                for &split in &configuration.split {
                    let of_seed = |seed| {
                        // Networks share split and training set: which one is named does not matter.
                        let key = CellKey {
                            task,
                            balance,
                            model: ModelName::Plain,
                            form: ConditioningForm::Study,
                            split,
                            seed,
                        };
                        says_of_test(patients, &key, configuration).with_context(|| {
                            format!(
                                "features alone: {task}, {balance}, split by {split}, seed {seed}"
                            )
                        })
                    };
                    let runs = (1..=configuration.seeds).map(of_seed);
                    features_alone.push(FeaturesAlone {
                        task,
                        balance,
                        split,
                        runs: runs.collect::<anyhow::Result<_>>()?,
                    });
                }
            }
        }
        Ok(Self {
            features_alone,
            reachable: reachable(configuration),
        })
    }
}

/// A patient counts as its samples do for a network: how many the balanced training set has of it, by the weight of their class. The
/// weights add up to the number of patients trained on.
fn says_of_test(
    patients: &[Patient],
    key: &CellKey,
    configuration: &Configuration,
) -> anyhow::Result<Vec<Prediction>> {
    let cuts = configuration.cuts();
    let parts = SplitCohort::new(patients, key, cuts)?;
    let by_class = balanced_seeds(
        patients,
        &parts.split.train,
        key.task,
        cuts,
        balance_of(key.balance),
        balance_seed(key.seed),
    )?;
    let counts: Vec<u64> = by_class.iter().map(|seeds| seeds.len() as u64).collect();
    let mut weights = vec![0.0; patients.len()];
    for (seeds, weight) in by_class.iter().zip(class_weights(&counts)) {
        for seed in seeds {
            weights[seed.patient] += weight;
        }
    }
    let sum: f64 = weights.iter().sum();
    let trained_on = weights.iter().filter(|&&weight| weight > 0.0).count();
    let scores = parts.z_scores(patients);
    let examples: Vec<Example> = weights
        .iter()
        .zip(&scores)
        .zip(&parts.classes)
        .filter(|((weight, _), _)| **weight > 0.0)
        .map(|((weight, features), &class)| Example {
            features: features.clone(),
            class,
            weight: weight * trained_on as f64 / sum,
        })
        .collect();
    let model = LogisticRegression::fit(&examples, key.task.classes());
    let says = |patient: usize| {
        let probabilities = model.probabilities(&scores[patient]).into_iter();
        probabilities.map(|share| share as f32).collect()
    };
    let test = parts.split.test.iter();
    Ok(test
        .map(|sample| Prediction {
            patient: sample.patient,
            label: parts.classes[sample.patient],
            probabilities: says(sample.patient),
        })
        .collect())
}

fn reachable(configuration: &Configuration) -> Vec<Reachable> {
    let Some(kind) = configuration.phantom else {
        return Vec::new();
    };
    let of_task = |&task: &Task| {
        let labels = Labels {
            task,
            scheme: configuration.labels,
        };
        let of = |images, features| reachable_auroc(kind, labels, Evidence { images, features });
        Reachable {
            task,
            both: of(true, true),
            images: of(true, false),
            features: of(false, true),
        }
    };
    configuration.task.iter().map(of_task).collect()
}

#[cfg(test)]
mod tests {
    use model::metrics::{Metrics, per_patient};
    use model_data::Sample;
    use phantom::{PhantomKind, PhantomSettings};

    use super::*;
    use crate::{
        phantom_name::PhantomName,
        reproduce::options::{ReproduceOptions, TaskChoice},
    };

    fn configuration() -> Configuration {
        let options = ReproduceOptions {
            phantom: Some(PhantomName::Informative),
            task: Some(TaskChoice::Binary),
            balance: Some(vec![BalanceName::Original, BalanceName::Undersample]),
            seeds: Some(2),
            ..ReproduceOptions::default()
        };
        Configuration::new(&options, None).expect("fine")
    }

    fn cohort() -> Vec<Patient> {
        let settings = PhantomSettings {
            patients: 120,
            slices_per_patient: 2,
            kind: PhantomKind::Informative,
            seed: 3,
        };
        phantom::cohort(&settings, || ())
    }

    #[test]
    fn features_alone_are_tested_where_the_networks_are_and_tell_more_than_chance() {
        let (patients, configuration) = (cohort(), configuration());
        let Baselines {
            features_alone,
            reachable,
        } = Baselines::new(&patients, &configuration).expect("computed");
        assert_eq!(features_alone.len(), 2 * 2);
        let [
            Reachable {
                both: Some(both),
                images: Some(images),
                features: Some(features),
                ..
            },
        ] = reachable[..]
        else {
            panic!("one task: {reachable:?}");
        };
        assert!(both > images && both > features && features > 0.75);
        let mut aurocs = Vec::new();
        for alone in &features_alone {
            assert_eq!(alone.runs.len(), 2);
            for (seed, run) in (1..).zip(&alone.runs) {
                let key = CellKey {
                    task: alone.task,
                    balance: alone.balance,
                    model: ModelName::Hybrid,
                    form: ConditioningForm::Late,
                    split: alone.split,
                    seed,
                };
                let parts = SplitCohort::new(&patients, &key, configuration.cuts());
                let parts = parts.expect("splits");
                let tested = run.iter().map(|one| (one.patient, one.label));
                let of = |sample: &Sample| (sample.patient, parts.classes[sample.patient]);
                assert!(tested.eq(parts.split.test.iter().map(of)));
                aurocs.push(Metrics::of(&per_patient(run), 2).auroc.expect("both"));
            }
        }
        let mean = aurocs.iter().sum::<f64>() / aurocs.len() as f64;
        assert!(mean > 0.7, "{mean}");
        let again = Baselines::new(&patients, &configuration).expect("computed");
        for (one, other) in features_alone.iter().zip(&again.features_alone) {
            assert_eq!(one.runs, other.runs);
        }
        let [original, undersampled] = [0, 2].map(|place| &features_alone[place].runs);
        assert_ne!(original, undersampled, "the training set counts");
    }

    #[test]
    fn of_other_data_nobody_knows_what_can_be_reached() {
        let configuration = Configuration {
            phantom: None,
            ..configuration()
        };
        assert!(reachable(&configuration).is_empty());
    }
}
