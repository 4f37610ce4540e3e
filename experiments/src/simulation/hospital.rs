//! One hospital's data, parted between its vault, its trainer and what only a simulation takes: the test set.

use anyhow::Context;
use crypto::sealed_sum::HospitalId;
use model::train::Dataset;
use model_data::{Patient, Slice};
use participant::{
    hospital_data::{ClinicalTable, ImageSet, Labels, SplitPlan, separate},
    vault::statistics::ClinicalRecords,
};

use super::{plan::Plan, seeds::split_seed};

/// A hospital before the run.
pub struct HospitalData {
    /// Its number.
    pub id: HospitalId,
    /// For the vault.
    pub table: ClinicalTable,
    /// For the trainer.
    pub images: ImageSet,
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
}

/// A slice to be shown.
pub struct Example {
    /// The patient's name in the cohort.
    pub patient: String,
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
    pub fn new(id: HospitalId, patients: Vec<Patient>, plan: &Plan) -> anyhow::Result<Self> {
        let labels = plan.labels();
        let split = SplitPlan {
            kind: plan.split,
            seed: split_seed(plan.seed, id),
        };
        let (table, images) = separate(patients, split);
        let name = || format!("the data of hospital {id}");
        let records = table.records(labels).with_context(name)?;
        let parts = images.split(labels).with_context(name)?;
        Ok(Self {
            id,
            test: TestSet::new(&images, &parts.test, labels).with_context(name)?,
            training_slices: parts.train.len(),
            validation_slices: parts.validation.len(),
            table,
            images,
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

impl TestSet {
    fn new(
        images: &ImageSet,
        samples: &[model_data::Sample],
        labels: Labels,
    ) -> anyhow::Result<Self> {
        let dataset = images.dataset(samples, labels)?;
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
                patient: source.id.clone(),
                sample,
                slice: source.slices[samples[sample].slice].clone(),
            });
            place += of_patient;
        }
        Ok(Self { dataset, examples })
    }
}
