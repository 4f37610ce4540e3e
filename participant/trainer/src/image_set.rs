//! The trainer's part of a hospital's data: scans and scores to cut labels from, no clinical feature.

use std::sync::Arc;

use model::train::{Dataset, DatasetError};
use model_data::{Edss, Patient, Sample, Slice, Split, SplitError, split_by_labels};
use protocol::{labels::Labels, training_job::SplitPlan};

/// Scans and labels. Clones share the images.
#[derive(Clone)]
pub struct ImageSet {
    patients: Arc<Vec<Patient>>,
    cut: Cut,
}

/// How training, validation and test come about.
#[derive(Clone)]
enum Cut {
    Drawn(SplitPlan),
    Given(Split),
}

impl ImageSet {
    /// The patients' order is that of the filters. Features that they still have are dropped.
    pub fn new(mut patients: Vec<Patient>, plan: SplitPlan) -> Self {
        for patient in &mut patients {
            patient.features.clear();
        }
        Self {
            patients: Arc::new(patients),
            cut: Cut::Drawn(plan),
        }
    }

    /// The patients of several sets, one set after another, each cut as it is in its own: what one site would have that has them all.
    ///
    /// # Errors
    /// A set with too few patients or slices.
    pub fn pooled<'a>(
        sets: impl IntoIterator<Item = &'a Self>,
        labels: Labels,
    ) -> Result<Self, SplitError> {
        let mut patients = Vec::new();
        let mut pooled = Split {
            train: vec![],
            validation: vec![],
            test: vec![],
        };
        for set in sets {
            let before = patients.len();
            let moved = |samples: Vec<Sample>| {
                samples.into_iter().map(move |sample| Sample {
                    patient: before + sample.patient,
                    ..sample
                })
            };
            let own = set.split(labels)?;
            pooled.train.extend(moved(own.train));
            pooled.validation.extend(moved(own.validation));
            pooled.test.extend(moved(own.test));
            patients.extend(set.patients.iter().cloned());
        }
        Ok(Self {
            patients: Arc::new(patients),
            cut: Cut::Given(pooled),
        })
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
                features: vec![],
                slices,
            });
        Self::new(patients.collect(), plan)
    }

    /// The split for these labels: the same as the vault's.
    ///
    /// # Errors
    /// Too few patients or slices.
    pub fn split(&self, labels: Labels) -> Result<Split, SplitError> {
        let plan = match &self.cut {
            Cut::Drawn(plan) => *plan,
            Cut::Given(split) => return Ok(split.clone()),
        };
        let scores: Vec<_> = self
            .patients
            .iter()
            .map(|patient| (patient.edss, patient.slices.len()))
            .collect();
        split_by_labels(&scores, labels, plan)
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

    /// What the split is drawn from; 0 of pooled sets.
    pub fn split_seed(&self) -> u64 {
        match &self.cut {
            Cut::Drawn(plan) => plan.seed,
            Cut::Given(_) => 0,
        }
    }

    /// The patients, without features.
    pub fn patients(&self) -> &[Patient] {
        &self.patients
    }
}

#[cfg(test)]
mod tests {
    use protocol::{
        labels::{LabelScheme, Task},
        training_job::SplitKind,
    };

    use super::*;

    #[test]
    fn pooled_patients_are_cut_as_each_set_cuts_its_own() {
        let set = |patients: usize, seed: u64| {
            let patients = (0..patients).map(|number| {
                let edss =
                    Edss::new(if number % 2 == 0 { 1.0 } else { 5.0 }).expect("on the scale");
                let slice = Slice {
                    axial_index: number as u32,
                    pixels: vec![number as f32; 128 * 128].into(),
                };
                (edss, vec![slice; 2])
            });
            let kind = SplitKind::Patient;
            ImageSet::of_slices(patients, SplitPlan { kind, seed })
        };
        let labels = Labels {
            task: Task::Binary,
            scheme: LabelScheme::AsWritten,
        };
        let sets = [set(12, 1), set(9, 2)];
        let pooled = ImageSet::pooled(&sets, labels).expect("each can be cut");
        assert_eq!(pooled.patients().len(), 21);
        let all = pooled.split(labels).expect("given");
        let [one, other] = [0, 1].map(|place: usize| sets[place].split(labels).expect("cut"));
        for (all, one, other) in [
            (&all.train, &one.train, &other.train),
            (&all.validation, &one.validation, &other.validation),
            (&all.test, &one.test, &other.test),
        ] {
            let moved = other.iter().map(|sample| Sample {
                patient: sample.patient + 12,
                ..*sample
            });
            let expected: Vec<Sample> = one.iter().copied().chain(moved).collect();
            assert_eq!(*all, expected);
        }
    }
}
