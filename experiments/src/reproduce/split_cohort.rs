//! A cohort cut for one task, split and repetition: what the trainings of all networks and balances have in common.

use anyhow::{Context, bail};
use model_data::{
    Cuts, FEATURES, Feature, FeatureScaling, Patient, Sample, Split, SplitKind, Task,
    impute_and_scale, split,
};
use protocol::vocabulary::ConditioningForm;

use super::{cell::CellKey, patient_inputs::Features, seeds::split_seed};

/// The patients of one cell, split into training, validation and test.
pub struct SplitCohort {
    /// Training, validation and test.
    pub split: Split,
    /// Class of every patient.
    pub classes: Vec<usize>,
    /// Of every patient: missing values are the mean of the patients that are trained on.
    pub features: Features,
    /// Slices of every patient, for counts.
    slices: Vec<usize>,
}

impl SplitCohort {
    /// Cuts the patients.
    ///
    /// # Errors
    /// A class without a patient, or with fewer than there are parts to be cut into; a training set without one. All name the
    /// cell and the way out.
    pub fn new(patients: &[Patient], key: &CellKey, cuts: Cuts) -> anyhow::Result<Self> {
        let task = key.task;
        let classes: Vec<usize> = patients
            .iter()
            .map(|patient| task.class_of(patient.edss, cuts))
            .collect();
        let slices: Vec<usize> = patients
            .iter()
            .map(|patient| patient.slices.len())
            .collect();
        let cell = || format!("{}, split by {}, seed {}", key.task, key.split, key.seed);
        check_classes(task, key.split, &classes, &slices).with_context(cell)?;
        let units: Vec<_> = classes
            .iter()
            .copied()
            .zip(slices.iter().copied())
            .collect();
        let split = split(&units, key.split, split_seed(key.seed)).with_context(cell)?;
        let parts = Self {
            features: features(patients, &split.train, key.form),
            split,
            classes,
            slices,
        };
        if let Some(absent) = absent_class(task, &parts.counts(&parts.split.train)) {
            bail!(
                "{}: no slice of class '{absent}' is left to train on; {WAYS_OUT}",
                cell()
            );
        }
        Ok(parts)
    }

    /// Slices of each class.
    pub fn counts(&self, samples: &[Sample]) -> Vec<u64> {
        let mut counts = vec![0; self.number_of_classes()];
        for sample in samples {
            counts[self.classes[sample.patient]] += 1;
        }
        counts
    }

    /// Slices of each class over the whole cohort.
    pub fn cohort_counts(&self) -> Vec<u64> {
        let mut counts = vec![0; self.number_of_classes()];
        for (&class, &slices) in self.classes.iter().zip(&self.slices) {
            counts[class] += slices as u64;
        }
        counts
    }

    /// What a person should know of the parts: classes that validation or test lack.
    pub fn remarks(&self, task: Task) -> Vec<String> {
        let parts = [
            ("validation", &self.split.validation),
            ("test", &self.split.test),
        ];
        let remark = |(name, samples): (&str, &Vec<Sample>)| {
            let absent = absent_class(task, &self.counts(samples))?;
            Some(format!("the {name} set has no slice of class '{absent}'"))
        };
        parts.into_iter().filter_map(remark).collect()
    }

    /// Features of every patient by the mean and the deviation of those that are trained on; missing ones are at the mean.
    pub fn z_scores(&self, patients: &[Patient]) -> Vec<Box<[f64]>> {
        let (means, deviations) = moments(patients, &self.split.train);
        let deviations = deviations.to_vec();
        scaled(patients, &means, &FeatureScaling::ZScore { deviations })
    }

    fn number_of_classes(&self) -> usize {
        self.classes.iter().max().map_or(0, |highest| highest + 1)
    }
}

fn check_classes(
    task: Task,
    split: SplitKind,
    classes: &[usize],
    slices: &[usize],
) -> anyhow::Result<()> {
    for (class, name) in task.class_names().iter().enumerate() {
        let of_class = classes.iter().zip(slices).filter(|(own, _)| **own == class);
        let with_slices = of_class.filter(|(_, slices)| **slices > 0);
        let (unit, found) = match split {
            SplitKind::Patient => ("patients", with_slices.count()),
            SplitKind::Slice => ("slices", with_slices.map(|(_, slices)| slices).sum()),
        };
        match found {
            0 => bail!("class '{name}' has no patient; {WAYS_OUT}"),
            1 | 2 => bail!(
                "class '{name}' has {found} {unit}, fewer than the three parts (training, validation, test); {WAYS_OUT}{}",
                if split == SplitKind::Patient {
                    ", or --split slice, which leaks"
                } else {
                    ""
                }
            ),
            _ => {}
        }
    }
    Ok(())
}

fn absent_class(task: Task, counts: &[u64]) -> Option<&'static str> {
    let mut names = task.class_names().iter().enumerate();
    names
        .find(|(class, _)| counts.get(*class).is_none_or(|&count| count == 0))
        .map(|(_, name)| *name)
}

/// Features as the form takes them.
fn features(patients: &[Patient], train: &[Sample], form: ConditioningForm) -> Features {
    let (means, deviations) = moments(patients, train);
    let scaling = FeatureScaling::of(form, &Feature::RANGES, &deviations);
    Features::new(form, scaled(patients, &means, &scaling))
}

fn scaled(
    patients: &[Patient],
    means: &[f64; FEATURES],
    scaling: &FeatureScaling,
) -> Vec<Box<[f64]>> {
    let of = |patient: &Patient| impute_and_scale(&patient.features, means, scaling);
    patients.iter().map(of).collect()
}

/// Means and deviations of features; nothing of validation or test enters them.
fn moments(patients: &[Patient], train: &[Sample]) -> ([f64; FEATURES], [f64; FEATURES]) {
    let mut trained_on = vec![false; patients.len()];
    for sample in train {
        trained_on[sample.patient] = true;
    }
    let (mut means, mut deviations) = ([0.0; FEATURES], [0.0; FEATURES]);
    for feature in 0..FEATURES {
        let trained_on = patients.iter().zip(&trained_on).filter(|(_, own)| **own);
        let present: Vec<f64> = trained_on
            .filter_map(|(patient, _)| patient.features[feature])
            .collect();
        if !present.is_empty() {
            let count = present.len() as f64;
            let mean = present.iter().sum::<f64>() / count;
            let squares = present.iter().map(|value| (value - mean).powi(2));
            means[feature] = mean;
            deviations[feature] = (squares.sum::<f64>() / count).sqrt();
        }
    }
    (means, deviations)
}

const WAYS_OUT: &str =
    "use more patients (--patients for the phantom), other cuts (--labels) or another --task";

#[cfg(test)]
mod tests {
    use model_data::{Edss, Slice};

    use super::*;
    use crate::reproduce::options::{BalanceName, ModelName};

    fn patient(edss: f64, slices: usize, age: Option<f64>) -> Patient {
        let mut features = vec![Some(0.0); FEATURES];
        features[1] = age;
        let slice = |axial_index| Slice {
            axial_index: axial_index as u32,
            pixels: Box::default(),
        };
        Patient {
            id: "x".to_owned(),
            edss: Edss::new(edss).expect("on the scale"),
            features,
            slices: (0..slices).map(slice).collect(),
        }
    }

    fn cohort(scores: &[f64]) -> Vec<Patient> {
        scores
            .iter()
            .map(|&edss| patient(edss, 3, Some(40.0)))
            .collect()
    }

    fn key(task: Task, split: SplitKind) -> CellKey {
        CellKey {
            task,
            balance: BalanceName::Original,
            model: ModelName::Plain,
            form: ConditioningForm::Study,
            split,
            seed: 7,
        }
    }

    fn refusal(scores: &[f64], task: Task, split: SplitKind) -> String {
        let refused = SplitCohort::new(&cohort(scores), &key(task, split), Cuts::AS_WRITTEN);
        format!("{:#}", refused.map(|_| ()).expect_err("refused"))
    }

    #[test]
    fn a_class_without_a_patient_names_the_cell_and_the_way_out() {
        let refusal = refusal(&[1.0; 12], Task::Binary, SplitKind::Patient);
        for part in [
            "binary, split by patient, seed 7",
            "'higher' has no patient",
            "--labels",
        ] {
            assert!(refusal.contains(part), "{refusal}");
        }
    }

    #[test]
    fn fewer_patients_than_parts_cannot_be_split_by_patient_but_by_slice() {
        let scores = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 3.0, 3.0];
        let refusal = refusal(&scores, Task::Binary, SplitKind::Patient);
        for part in ["'higher' has 2 patients", "--split slice"] {
            assert!(refusal.contains(part), "{refusal}");
        }
        let by_slice = key(Task::Binary, SplitKind::Slice);
        let parts =
            SplitCohort::new(&cohort(&scores), &by_slice, Cuts::AS_WRITTEN).expect("splits");
        assert_eq!(parts.cohort_counts(), [18, 6]);
        let whole: Vec<u64> = [
            &parts.split.train,
            &parts.split.validation,
            &parts.split.test,
        ]
        .map(|samples| parts.counts(samples))
        .into_iter()
        .reduce(|sum, counts| sum.iter().zip(&counts).map(|(a, b)| a + b).collect())
        .expect("three parts");
        assert_eq!(whole, [18, 6]);
    }

    #[test]
    fn a_part_that_lacks_a_class_is_remarked_on() {
        let mut scores = vec![1.0; 20];
        scores.extend([3.0; 20]);
        scores.extend([5.0; 3]);
        let key = key(Task::Multiclass, SplitKind::Patient);
        let parts = SplitCohort::new(&cohort(&scores), &key, Cuts::AS_WRITTEN).expect("splits");
        let remarks = parts.remarks(Task::Multiclass);
        let absent = [&parts.split.validation, &parts.split.test]
            .into_iter()
            .filter(|samples| parts.counts(samples)[2] == 0)
            .count();
        assert_eq!(remarks.len(), absent);
    }

    #[test]
    fn missing_features_are_the_mean_of_those_trained_on() {
        let mut patients = cohort(&[1.0, 1.0, 1.0, 1.0, 1.0, 3.0, 3.0, 3.0, 3.0, 3.0]);
        patients[0].features[1] = None;
        for patient in &mut patients[1..5] {
            patient.features[1] = Some(20.0);
        }
        let train = [1, 2, 5].map(|patient| Sample { patient, slice: 0 });
        let mean = (20.0 + 20.0 + 40.0) / 3.0;
        let study = features(&patients, &train, ConditioningForm::Study);
        assert!((study.of(0)[1] - mean / 100.0).abs() < 1e-12);
        let late = features(&patients, &train, ConditioningForm::Late);
        let deviation = (2.0 * (20.0_f64 - mean).powi(2) + (40.0 - mean).powi(2)) / 3.0;
        assert_eq!(late.of(0)[1], 0.0);
        assert!((late.of(5)[1] - (40.0 - mean) / deviation.sqrt()).abs() < 1e-12);
    }
}
