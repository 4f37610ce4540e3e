//! A hospital's patients, parted: clinical features for the vault, scans for the trainer, labels and split for both.

use std::sync::Arc;

use model::train::{Dataset, DatasetError};
use model_data::{
    Cuts, Edss, FEATURES, Feature, FeatureRanges, Patient, Split, SplitError, SplitKind, split,
};
use protocol::manifest::{LabelScheme, Manifest, Task};

use crate::vault::statistics::ClinicalRecords;

/// How a hospital cuts its patients into training, validation and test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SplitPlan {
    /// By patient or by slice.
    pub kind: SplitKind,
    /// The same seed gives the same split.
    pub seed: u64,
}

/// The classes of a run: the same at every hospital.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Labels {
    /// How many, and their names.
    pub task: Task,
    /// Where EDSS is cut.
    pub scheme: LabelScheme,
}

/// The vault's part: features and labels, no scan.
pub struct ClinicalTable {
    features: Vec<[Option<f64>; FEATURES]>,
    ranges: FeatureRanges,
    scores: Vec<(Edss, usize)>,
    plan: SplitPlan,
}

/// The trainer's part: scans and labels, no clinical feature.
pub struct ImageSet {
    patients: Arc<Vec<Patient>>,
    plan: SplitPlan,
}

/// Data that cannot be cut into training, validation and test.
#[derive(Debug, thiserror::Error)]
pub enum HospitalDataError {
    /// Too few patients or slices.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// Slices that do not fit the network.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
}

/// Parts the patients. Their order is kept on both sides: it is how filters find their patient.
pub fn separate(mut patients: Vec<Patient>, plan: SplitPlan) -> (ClinicalTable, ImageSet) {
    let scores = patients
        .iter()
        .map(|patient| (patient.edss, patient.slices.len()))
        .collect();
    let features = patients
        .iter_mut()
        .map(|patient| std::mem::replace(&mut patient.features, [None; FEATURES]))
        .collect();
    (
        ClinicalTable {
            features,
            ranges: Feature::RANGES,
            scores,
            plan,
        },
        ImageSet {
            patients: Arc::new(patients),
            plan,
        },
    )
}

impl ClinicalTable {
    /// Features of other columns than the standard ones, as percents of their public ranges.
    ///
    /// The counters of the federation's statistics are made for numbers that are not negative and not above 100.
    pub fn in_percent_of(mut self, ranges: &FeatureRanges) -> Self {
        for patient in &mut self.features {
            for (feature, [from, to]) in patient.iter_mut().zip(ranges) {
                *feature = feature.map(|value| (value - from) / (to - from) * 100.0);
            }
        }
        self.ranges = [[0.0, 100.0]; FEATURES];
        self
    }

    /// What the vault needs for a run with these labels.
    ///
    /// # Errors
    /// [`HospitalDataError::Split`].
    pub fn records(&self, labels: Labels) -> Result<ClinicalRecords, HospitalDataError> {
        let split = split_of(&self.scores, labels, self.plan)?;
        let mut in_training = vec![false; self.features.len()];
        let mut class_counts = vec![0; labels.task.classes()];
        for sample in &split.train {
            in_training[sample.patient] = true;
            class_counts[labels.class_of(self.scores[sample.patient].0)] += 1;
        }
        Ok(ClinicalRecords {
            features: self.features.clone(),
            ranges: self.ranges,
            in_training,
            class_counts,
        })
    }

    /// Number of patients.
    pub fn patients(&self) -> usize {
        self.features.len()
    }
}

impl ImageSet {
    /// The split for these labels: the same as the vault's.
    ///
    /// # Errors
    /// [`HospitalDataError::Split`].
    pub fn split(&self, labels: Labels) -> Result<Split, HospitalDataError> {
        let scores: Vec<_> = self
            .patients
            .iter()
            .map(|patient| (patient.edss, patient.slices.len()))
            .collect();
        split_of(&scores, labels, self.plan)
    }

    /// Samples of the split as a data set.
    ///
    /// # Errors
    /// [`HospitalDataError::Dataset`].
    pub fn dataset(
        &self,
        samples: &[model_data::Sample],
        labels: Labels,
    ) -> Result<Dataset, HospitalDataError> {
        Ok(Dataset::new(&self.patients, samples, |patient| {
            labels.class_of(patient.edss)
        })?)
    }

    /// The patients, without features.
    pub fn patients(&self) -> &[Patient] {
        &self.patients
    }
}

impl Labels {
    /// Those of a run.
    pub fn of(manifest: &Manifest) -> Self {
        Self {
            task: manifest.task,
            scheme: manifest.label_scheme,
        }
    }

    /// The class of a score.
    pub fn class_of(self, edss: Edss) -> usize {
        model_task(self.task).class_of(edss, self.cuts())
    }

    /// Where EDSS is cut.
    pub fn cuts(self) -> Cuts {
        model_label_scheme(self.scheme).cuts()
    }
}

/// The model's name for a label scheme of the manifest.
pub fn model_label_scheme(scheme: LabelScheme) -> model_data::LabelScheme {
    match scheme {
        LabelScheme::AsWritten => model_data::LabelScheme::AsWritten,
        LabelScheme::AsCounted => model_data::LabelScheme::AsCounted,
    }
}

/// The model's name for a task of the manifest.
pub fn model_task(task: Task) -> model_data::Task {
    match task {
        Task::Binary => model_data::Task::Binary,
        Task::Multiclass => model_data::Task::Multiclass,
    }
}

fn split_of(
    scores: &[(Edss, usize)],
    labels: Labels,
    plan: SplitPlan,
) -> Result<Split, HospitalDataError> {
    let units: Vec<_> = scores
        .iter()
        .map(|&(edss, slices)| (labels.class_of(edss), slices))
        .collect();
    Ok(split(&units, plan.kind, plan.seed)?)
}

#[cfg(test)]
mod tests {
    use model_data::Slice;

    use super::*;

    fn labels(scheme: LabelScheme) -> Labels {
        Labels {
            task: Task::Binary,
            scheme,
        }
    }

    /// The study's two readings of itself: twelve patients from 0.5 to 6.0, of whom eight are above 2.0 and four above 4.0.
    #[test]
    fn the_scheme_cuts_vault_and_trainer_alike() {
        let patient = |half: usize| Patient {
            id: String::new(),
            edss: Edss::new(half as f64 / 2.0).expect("on the scale"),
            features: [None; FEATURES],
            slices: vec![
                Slice {
                    axial_index: 0,
                    pixels: vec![0.0; 128 * 128].into(),
                };
                10
            ],
        };
        let plan = SplitPlan {
            kind: SplitKind::Slice,
            seed: 1,
        };
        let (table, images) = separate((1..=12).map(patient).collect(), plan);
        for (scheme, higher) in [(LabelScheme::AsWritten, 8), (LabelScheme::AsCounted, 4)] {
            let labels = labels(scheme);
            let records = table.records(labels).expect("splits");
            let split = images.split(labels).expect("splits");
            let dataset = images.dataset(&split.train, labels).expect("samples");
            let of_class = |class| dataset.labels().filter(|label| *label == class).count() as u64;
            assert_eq!(records.class_counts, [of_class(0), of_class(1)]);
            // Of ten slices of a patient seven are trained on.
            assert_eq!(
                records.class_counts,
                [7 * (12 - higher), 7 * higher],
                "{scheme:?}"
            );
        }
    }

    #[test]
    fn columns_of_choice_reach_the_vault_as_shares_of_their_ranges() {
        let patient = |value: f64| Patient {
            id: String::new(),
            edss: Edss::new(if value > 5.0 { 6.0 } else { 1.0 }).expect("on the scale"),
            features: [
                Some(value),
                None,
                Some(-value),
                Some(0.0),
                None,
                None,
                None,
                None,
                None,
            ],
            slices: vec![Slice {
                axial_index: 0,
                pixels: [].into(),
            }],
        };
        let patients = (0..12).map(|value| patient(f64::from(value))).collect();
        let plan = SplitPlan {
            kind: SplitKind::Patient,
            seed: 1,
        };
        let mut ranges = Feature::RANGES;
        ranges[0] = [0.0, 20.0];
        ranges[2] = [-40.0, 0.0];
        let (table, _) = separate(patients, plan);
        let records = table
            .in_percent_of(&ranges)
            .records(labels(LabelScheme::AsWritten))
            .expect("splits");
        assert_eq!(records.features[5][..3], [Some(25.0), None, Some(87.5)]);
        let statistics = crate::vault::statistics::Statistics {
            class_counts: vec![1, 1],
            means: [50.0; FEATURES],
            deviations: [1.0; FEATURES],
        };
        let scaled = records.scaled(&statistics);
        assert_eq!(scaled[5][..4], [0.25, 0.5, 0.875, 0.0]);
    }
}
