//! The trainer's part of a hospital's data: scans and scores to cut labels from, no clinical feature.

use std::sync::Arc;

use model::train::{Dataset, DatasetError};
use model_data::{Edss, FEATURES, Patient, Sample, Slice, Split, SplitError, split_by_labels};
use protocol::{labels::Labels, training_job::SplitPlan};

/// Scans and labels. Clones share the images.
#[derive(Clone)]
pub struct ImageSet {
    patients: Arc<Vec<Patient>>,
    plan: SplitPlan,
}

impl ImageSet {
    /// The patients' order is that of the filters. Features that they still have are dropped.
    pub fn new(mut patients: Vec<Patient>, plan: SplitPlan) -> Self {
        for patient in &mut patients {
            patient.features = [None; FEATURES];
        }
        Self {
            patients: Arc::new(patients),
            plan,
        }
    }

    /// Of patients whose names are not known; one without slices is left out, as the vault leaves it out.
    pub fn of_slices(
        patients: impl IntoIterator<Item = (Edss, Vec<Slice>)>,
        plan: SplitPlan,
    ) -> Self {
        let patients = patients
            .into_iter()
            .filter(|(_, slices)| !slices.is_empty())
            .map(|(edss, slices)| Patient {
                id: String::new(),
                edss,
                features: [None; FEATURES],
                slices,
            });
        Self::new(patients.collect(), plan)
    }

    /// The split for these labels: the same as the vault's.
    ///
    /// # Errors
    /// Too few patients or slices.
    pub fn split(&self, labels: Labels) -> Result<Split, SplitError> {
        let scores: Vec<_> = self
            .patients
            .iter()
            .map(|patient| (patient.edss, patient.slices.len()))
            .collect();
        split_by_labels(&scores, labels, self.plan)
    }

    /// Samples of the split as a data set.
    ///
    /// # Errors
    /// Slices that do not fit the network.
    pub fn dataset(&self, samples: &[Sample], labels: Labels) -> Result<Dataset, DatasetError> {
        Dataset::new(&self.patients, samples, |patient| {
            labels.class_of(patient.edss)
        })
    }

    /// What the split is drawn from.
    pub fn split_seed(&self) -> u64 {
        self.plan.seed
    }

    /// The patients, without features.
    pub fn patients(&self) -> &[Patient] {
        &self.patients
    }
}
