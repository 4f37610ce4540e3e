//! The vault's part of a hospital's data: clinical features, and scores to cut labels from. Scans are the trainer's.

use std::collections::BTreeSet;

use model_data::{Edss, FEATURES, Feature, FeatureRanges, SplitError, split_by_labels};
use protocol::{labels::Labels, training_job::SplitPlan};

use crate::vault::statistics::ClinicalRecords;

/// Features and labels, no scan. The trainer's patients are the same in the same order: it is how filters find their patient.
pub struct ClinicalTable {
    features: Vec<[Option<f64>; FEATURES]>,
    ranges: FeatureRanges,
    scores: Vec<(Edss, usize)>,
    plan: SplitPlan,
}

impl ClinicalTable {
    /// Of patients with at least one slice: score, features, number of slices.
    pub fn new(
        patients: impl IntoIterator<Item = (Edss, [Option<f64>; FEATURES], usize)>,
        plan: SplitPlan,
    ) -> Self {
        let (scores, features) = patients
            .into_iter()
            .map(|(edss, features, slices)| ((edss, slices), features))
            .unzip();
        Self {
            features,
            ranges: Feature::RANGES,
            scores,
            plan,
        }
    }

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
            ranges: self.ranges,
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
    fn columns_of_choice_reach_the_vault_as_shares_of_their_ranges() {
        let patient = |value: f64| {
            let mut features = [None; FEATURES];
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
        let mut ranges = Feature::RANGES;
        ranges[0] = [0.0, 20.0];
        ranges[2] = [-40.0, 0.0];
        let labels = Labels {
            task: Task::Binary,
            scheme: LabelScheme::AsWritten,
        };
        let records = ClinicalTable::new(patients, plan)
            .in_percent_of(&ranges)
            .records(labels)
            .expect("splits");
        // 15% of twelve.
        assert_eq!(records.validation_patients, 2);
        assert_eq!(records.features[5][..3], [Some(25.0), None, Some(87.5)]);
        let statistics = crate::vault::statistics::Statistics {
            class_counts: vec![1, 1],
            means: [50.0; FEATURES],
            deviations: [1.0; FEATURES],
        };
        let scaled = records.scaled(&statistics, protocol::vocabulary::ConditioningForm::Study);
        assert_eq!(scaled[5][..4], [0.25, 0.5, 0.875, 0.0]);
    }
}
