//! The vault's part of a hospital's data: clinical features, and scores to cut labels from. Scans are the trainer's.

use std::collections::BTreeSet;

use model_data::{Edss, FeatureSchema, SplitError, split_by_labels};
use protocol::{labels::Labels, training_job::SplitPlan};

use crate::vault::statistics::ClinicalRecords;

/// Features and labels, no scan. The trainer's patients are the same in the same order: it is how filters find their patient.
pub struct ClinicalTable {
    /// Counted ([`model_data::FeatureSpec::counted`]).
    features: Vec<Vec<Option<f64>>>,
    schema: FeatureSchema,
    scores: Vec<(Edss, usize)>,
    plan: SplitPlan,
}

impl ClinicalTable {
    /// Of patients with at least one slice: score, features as the table has them, number of slices.
    pub fn new(
        schema: FeatureSchema,
        patients: impl IntoIterator<Item = (Edss, Vec<Option<f64>>, usize)>,
        plan: SplitPlan,
    ) -> Self {
        let (scores, features) = patients
            .into_iter()
            .map(|(edss, features, slices)| ((edss, slices), schema.counted(&features)))
            .unzip();
        Self {
            features,
            schema,
            scores,
            plan,
        }
    }

    /// What the vault needs for a run with these labels.
    ///
    /// # Errors
    /// Too few patients or slices for a split.
    pub fn records(&self, labels: Labels) -> Result<ClinicalRecords, SplitError> {
        let split = split_by_labels(&self.scores, labels, self.plan)?;
        let mut in_training = vec![false; self.features.len()];
        let mut class_counts = vec![0; labels.task.classes()];
        for sample in &split.train {
            in_training[sample.patient] = true;
            class_counts[labels.class_of(self.scores[sample.patient].0)] += 1;
        }
        let in_validation: BTreeSet<usize> = split
            .validation
            .iter()
            .map(|sample| sample.patient)
            .collect();
        Ok(ClinicalRecords {
            features: self.features.clone(),
            schema: self.schema.clone(),
            in_training,
            class_counts,
            validation_patients: in_validation.len(),
        })
    }

    /// Number of patients.
    pub fn patients(&self) -> usize {
        self.features.len()
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
    fn numbers_reach_the_vault_as_percents_of_their_ranges_and_years_as_they_are() {
        let patient = |value: f64| {
            let mut features = vec![None; 9];
            features[0] = Some(value);
            features[2] = Some(-value);
            features[3] = Some(0.0);
            let score = Edss::new(if value > 5.0 { 6.0 } else { 1.0 });
            (score.expect("on the scale"), features, 1)
        };
        let patients = (0..12).map(|value| patient(f64::from(value)));
        let plan = SplitPlan {
            kind: SplitKind::Patient,
            seed: 1,
        };
        let mut texts: Vec<String> = FeatureSchema::study().names().map(str::to_owned).collect();
        texts[0] = "one: 0..20".to_owned();
        texts[2] = "two: -40..0".to_owned();
        let schema = FeatureSchema::parse(&texts).expect("nine");
        let labels = Labels {
            task: Task::Binary,
            scheme: LabelScheme::AsWritten,
        };
        let records = ClinicalTable::new(schema, patients, plan)
            .records(labels)
            .expect("splits");
        // 15% of twelve.
        assert_eq!(records.validation_patients, 2);
        assert_eq!(records.features[5][..3], [Some(25.0), None, Some(87.5)]);
        let statistics = crate::vault::statistics::Statistics {
            class_counts: vec![1, 1],
            means: vec![50.0; 9],
            deviations: vec![1.0; 9],
        };
        let scaled = records.scaled(&statistics, protocol::vocabulary::ConditioningForm::Study);
        assert_eq!(scaled[5][..4], [0.25, 0.5, 0.875, 0.0]);
    }
}
