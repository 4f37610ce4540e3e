//! The clinical records of the cohort's hospitals: three patients each, a little different everywhere.

use crypto::sealed_sum::HospitalId;
use participant::vault::{RecordSource, UnusableRecords, statistics::ClinicalRecords};
use protocol::labels::Labels;

/// Where a hospital's vault has its records from.
pub(crate) struct Records(pub(crate) HospitalId);

impl RecordSource for Records {
    fn records(&self, labels: Labels) -> Result<ClinicalRecords, UnusableRecords> {
        Ok(records(self.0, labels.task.classes()))
    }
}

/// The records of one hospital for a task with so many classes.
pub(crate) fn records(hospital: HospitalId, classes: usize) -> ClinicalRecords {
    let base = f64::from(hospital.get());
    let patient = |number: u8| {
        let age = 20.0 + base + f64::from(number);
        let (sex, duration, motor, visual) = (Some(1.0), Some(3.0), Some(1.0), Some(0.0));
        let age = Some(age);
        vec![sex, age, None, duration, None, motor, None, visual, None]
    };
    ClinicalRecords {
        schema: model_data::FeatureSchema::study(),
        features: (0..3).map(patient).collect(),
        in_training: vec![true, true, false],
        class_counts: (0..classes as u64).map(|class| 10 + class).collect(),
        validation_patients: 1,
    }
}
