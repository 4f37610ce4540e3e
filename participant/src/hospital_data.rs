//! A hospital's patients, parted: clinical features for the vault, scans for the trainer, labels and split for both.

use std::sync::Arc;

use model::{
    data::{
        Cuts, Edss, FEATURES, Feature, FeatureRanges, Patient, Split, SplitError, SplitKind, split,
    },
    train::{Dataset, DatasetError},
};
use protocol::manifest::Task;

use crate::vault::statistics::ClinicalRecords;

/// How a hospital cuts its patients into training, validation and test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SplitPlan {
    /// By patient or by slice.
    pub kind: SplitKind,
    /// The same seed gives the same split.
    pub seed: u64,
    /// Where EDSS is cut into classes.
    pub cuts: Cuts,
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

    /// What the vault needs for a run of this task.
    ///
    /// # Errors
    /// [`HospitalDataError::Split`].
    pub fn records(&self, task: Task) -> Result<ClinicalRecords, HospitalDataError> {
        let split = split_of(&self.scores, task, self.plan)?;
        let mut in_training = vec![false; self.features.len()];
        let mut class_counts = vec![0; task.classes()];
        for sample in &split.train {
            in_training[sample.patient] = true;
            class_counts[class_of(self.scores[sample.patient].0, task, self.plan)] += 1;
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
    /// The split for this task: the same as the vault's.
    ///
    /// # Errors
    /// [`HospitalDataError::Split`].
    pub fn split(&self, task: Task) -> Result<Split, HospitalDataError> {
        let scores: Vec<_> = self
            .patients
            .iter()
            .map(|patient| (patient.edss, patient.slices.len()))
            .collect();
        split_of(&scores, task, self.plan)
    }

    /// Samples of the split as a data set.
    ///
    /// # Errors
    /// [`HospitalDataError::Dataset`].
    pub fn dataset(
        &self,
        samples: &[model::data::Sample],
        task: Task,
    ) -> Result<Dataset, HospitalDataError> {
        Ok(Dataset::new(&self.patients, samples, |patient| {
            class_of(patient.edss, task, self.plan)
        })?)
    }

    /// The patients, without features.
    pub fn patients(&self) -> &[Patient] {
        &self.patients
    }
}

/// The class of a score in this task.
pub fn class_of(edss: Edss, task: Task, plan: SplitPlan) -> usize {
    model_task(task).class_of(edss, plan.cuts)
}

/// The model's name for a task of the manifest.
pub fn model_task(task: Task) -> model::data::Task {
    match task {
        Task::Binary => model::data::Task::Binary,
        Task::Multiclass => model::data::Task::Multiclass,
    }
}

fn split_of(
    scores: &[(Edss, usize)],
    task: Task,
    plan: SplitPlan,
) -> Result<Split, HospitalDataError> {
    let units: Vec<_> = scores
        .iter()
        .map(|&(edss, slices)| (class_of(edss, task, plan), slices))
        .collect();
    Ok(split(&units, plan.kind, plan.seed)?)
}

#[cfg(test)]
mod tests {
    use model::data::Slice;

    use super::*;

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
            cuts: Cuts::AS_WRITTEN,
        };
        let mut ranges = Feature::RANGES;
        ranges[0] = [0.0, 20.0];
        ranges[2] = [-40.0, 0.0];
        let (table, _) = separate(patients, plan);
        let records = table
            .in_percent_of(&ranges)
            .records(Task::Binary)
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
