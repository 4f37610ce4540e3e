//! One hospital's data, parted between its vault, its trainer and what only a simulation takes: the test set.

use std::collections::BTreeMap;

use anyhow::{Context, anyhow};
use crypto::sealed_sum::HospitalId;
use model::train::Dataset;
use model_data::{Edss, FeatureSchema, Patient, ScanSource, Slice};
use participant::{hospital_data::ClinicalTable, vault::statistics::ClinicalRecords};
use protocol::{labels::Labels, training_job::SplitPlan};
use trainer::ImageSet;

use super::{cohorts::DealtPatient, plan::Plan, seeds::split_seed};

/// A hospital before the run.
pub struct HospitalData {
    /// Its number.
    pub id: HospitalId,
    /// For the vault.
    pub table: ClinicalTable,
    /// For the trainer.
    pub images: ImageSet,
    /// For a trainer that is a program: the files of each patient.
    pub scans: Vec<Vec<ScanSource>>,
    /// What the vault will read from the table, for the check of the sums.
    pub records: ClinicalRecords,
    /// For the test at the end.
    pub test: TestSet,
    /// Slices it trains on.
    pub training_slices: usize,
    /// Slices it validates on.
    pub validation_slices: usize,
}

/// A hospital's test slices.
pub struct TestSet {
    /// Images and labels.
    pub dataset: Dataset,
    /// One slice a patient, to be shown in the report.
    pub examples: Vec<Example>,
    /// Of each patient, by the place in the hospital's table.
    pub scores: BTreeMap<usize, Edss>,
}

/// A slice to be shown.
pub struct Example {
    /// Which of the hospital's test patients, from 1. Not the name: a report is made to be shown.
    pub patient: usize,
    /// Which sample of the data set it is.
    pub sample: usize,
    /// The slice.
    pub slice: Slice,
}

impl HospitalData {
    /// Cuts and parts the patients of a hospital.
    ///
    /// # Errors
    /// Too few patients or slices to cut.
    pub fn new(id: HospitalId, dealt: Vec<DealtPatient>, plan: &Plan) -> anyhow::Result<Self> {
        let labels = plan.labels();
        let split = SplitPlan {
            kind: plan.split,
            seed: split_seed(plan.seed, id),
        };
        let (patients, scans) = dealt
            .into_iter()
            .map(|DealtPatient { patient, scans }| (patient, scans))
            .unzip();
        let (table, images) = separate(patients, split);
        let name = || format!("the data of hospital {id}");
        let used = plan.run.conditioning.used(&plan.run.features);
        let records = table.records(labels).with_context(name)?;
        let records = records.of_run(&used);
        let records = records.map_err(|missing| anyhow!("the feature {missing} was not read"))?;
        let parts = images.split(labels).with_context(name)?;
        Ok(Self {
            id,
            test: TestSet::new(&images, &parts.test, labels).with_context(name)?,
            training_slices: parts.train.len(),
            validation_slices: parts.validation.len(),
            table,
            images,
            scans,
            records,
        })
    }

    /// Optimiser steps of a round.
    pub fn local_steps(&self, batch_size: u32, local_epochs: u32) -> u32 {
        let batches = self.training_slices.div_ceil(batch_size as usize);
        u32::try_from(batches)
            .unwrap_or(u32::MAX)
            .saturating_mul(local_epochs)
    }
}

/// Parts the patients: features and scores for the vault, scans and scores for the trainer. Their order is kept on both sides: it is
/// how filters find their patient.
fn separate(patients: Vec<Patient>, plan: SplitPlan) -> (ClinicalTable, ImageSet) {
    let of_vault = patients
        .iter()
        .map(|patient| (patient.edss, patient.features.clone(), patient.slices.len()));
    let table = ClinicalTable::new(FeatureSchema::study(), of_vault, plan);
    (table, ImageSet::new(patients, plan))
}

impl TestSet {
    fn new(
        images: &ImageSet,
        samples: &[model_data::Sample],
        labels: Labels,
    ) -> anyhow::Result<Self> {
        let dataset = images.dataset(samples, labels)?;
        let patients = samples.iter().map(|sample| sample.patient);
        let scores: BTreeMap<usize, Edss> = patients
            .map(|patient| (patient, images.patients()[patient].edss))
            .collect();
        let number = |patient: usize| scores.range(..=patient).count();
        let mut examples: Vec<Example> = Vec::new();
        let mut place = 0;
        while place < samples.len() {
            let patient = samples[place].patient;
            let of_patient = samples[place..]
                .iter()
                .take_while(|sample| sample.patient == patient)
                .count();
            // The middle one: the lowest and highest slices show little.
            let sample = place + of_patient / 2;
            let source = &images.patients()[patient];
            examples.push(Example {
                patient: number(patient),
                sample,
                slice: source.slices[samples[sample].slice].clone(),
            });
            place += of_patient;
        }
        Ok(Self {
            dataset,
            examples,
            scores,
        })
    }
}

#[cfg(test)]
mod tests {
    use model_data::FEATURES;
    use protocol::{
        labels::{LabelScheme, Task},
        training_job::SplitKind,
    };

    use super::*;

    /// The study's two readings of itself: twelve patients from 0.5 to 6.0, of whom eight are above 2.0 and four above 4.0.
    #[test]
    fn the_scheme_cuts_vault_and_trainer_alike() {
        let patient = |half: usize| Patient {
            id: String::new(),
            edss: Edss::new(half as f64 / 2.0).expect("on the scale"),
            features: vec![None; FEATURES],
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
            let labels = Labels {
                task: Task::Binary,
                scheme,
            };
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
}
