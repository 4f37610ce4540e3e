//! What the `stats` sum tells every hospital: class counts for the weights of the loss, means and deviations of the features.

use super::conditioning::weights::{ScaledFeatures, bound};
use model_data::{FeatureScaling, FeatureSchema, FeatureSpec, card::CardFeature, impute_and_scale};
use protocol::{
    counters::{FeatureSums, StatsCounters},
    labels::class_weights,
    manifest::Manifest,
    vocabulary::ConditioningForm,
};

/// What a hospital knows of its own patients, as far as the vault needs it.
pub struct ClinicalRecords {
    /// The features of each patient, counted ([`model_data::FeatureSpec::counted`]), in the trainer's order of patients.
    pub features: Vec<Vec<Option<f64>>>,
    /// Which features these are.
    pub schema: FeatureSchema,
    /// Whether the patient has slices in the training set: only those count in the statistics.
    pub in_training: Vec<bool>,
    /// Training slices of each class.
    pub class_counts: Vec<u64>,
    /// Patients with slices in the validation set: for people here, who see this hospital's own accuracy.
    pub validation_patients: usize,
}

impl ClinicalRecords {
    /// Of a run of these features, in their order.
    ///
    /// # Errors
    /// The first that was not read.
    pub fn of_run(self, schema: &FeatureSchema) -> Result<Self, &FeatureSpec> {
        let places = self.schema.places_of(schema)?;
        let of_patient = |features: &Vec<Option<f64>>| -> Vec<Option<f64>> {
            places.iter().map(|&place| features[place]).collect()
        };
        Ok(Self {
            features: self.features.iter().map(of_patient).collect(),
            schema: schema.clone(),
            ..self
        })
    }

    /// Features with the missing ones replaced by the federation's means, scaled as the form of conditioning takes them, and clipped to
    /// ±8.
    pub fn scaled(&self, statistics: &Statistics, form: ConditioningForm) -> Vec<ScaledFeatures> {
        let ranges = counted_ranges(&self.schema);
        let scaling = FeatureScaling::of(form, &ranges, &statistics.deviations);
        self.features
            .iter()
            .map(|features| {
                let mut scaled = impute_and_scale(features, &statistics.means, &scaling);
                bound(&mut scaled);
                scaled
            })
            .collect()
    }
}

/// Lowest and highest value of each feature, counted.
pub fn counted_ranges(schema: &FeatureSchema) -> Vec<[f64; 2]> {
    let features = schema.iter();
    features
        .map(|feature| feature.range().map(|end| feature.counted(end)))
        .collect()
}

/// The federation's statistics, as opened from the `stats` sum.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Training slices of each class over all contributors.
    pub class_counts: Vec<u64>,
    /// Mean of each feature over the training patients that have it; 0 where nobody has.
    pub means: Vec<f64>,
    /// Standard deviation of each feature, likewise.
    pub deviations: Vec<f64>,
}

/// What this hospital contributes to the `stats` sum.
pub fn own_counters(records: &ClinicalRecords) -> StatsCounters {
    let sums = |feature: usize| {
        let patients = records.features.iter().zip(&records.in_training);
        let in_training = patients.filter(|(_, in_training)| **in_training);
        let present: Vec<f64> = in_training
            .filter_map(|(features, _)| features[feature])
            .collect();
        FeatureSums {
            patients: present.len() as u64,
            sum: present.iter().sum(),
            sum_of_squares: present.iter().map(|value| value * value).sum(),
        }
    };
    StatsCounters {
        contributions: 1,
        class_counts: records.class_counts.clone(),
        features: (0..records.schema.count()).map(sums).collect(),
    }
}

impl From<&StatsCounters> for Statistics {
    fn from(sums: &StatsCounters) -> Self {
        let features = sums.features.len();
        let (mut means, mut deviations) = (vec![0.0; features], vec![0.0; features]);
        for (number, feature) in sums.features.iter().enumerate() {
            let count = feature.patients as f64;
            if count > 0.0 {
                let mean = feature.sum / count;
                means[number] = mean;
                deviations[number] = (feature.sum_of_squares / count - mean * mean)
                    .max(0.0)
                    .sqrt();
            }
        }
        Self {
            class_counts: sums.class_counts.clone(),
            means,
            deviations,
        }
    }
}

impl Statistics {
    /// Whether there is a mean and a deviation of each feature that the run uses, and a count of each class.
    pub fn are_of(&self, manifest: &Manifest) -> bool {
        let features = manifest.used_features().count();
        self.class_counts.len() == manifest.task.classes()
            && [self.means.len(), self.deviations.len()] == [features; 2]
    }

    /// The features as a card tells them: in the units of the clinical table.
    pub fn for_card(&self, schema: &FeatureSchema) -> Vec<CardFeature> {
        let counted = self.means.iter().zip(&self.deviations);
        let features = schema.iter().zip(counted);
        let features = features.map(|(feature, (&mean, &deviation))| CardFeature {
            name: feature.name.0.clone(),
            kind: Some(feature.kind),
            from: feature.from,
            to: feature.to,
            mean: feature.value_of(mean),
            deviation: feature.difference_of(deviation),
        });
        features.collect()
    }

    /// The weight of each class in the loss.
    pub fn class_weights(&self) -> Vec<f64> {
        class_weights(&self.class_counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model_data::Feature;
    use protocol::vocabulary::Task;

    /// As they are read from a sum of several hospitals' counters.
    fn opened(lists: &[Vec<u64>]) -> Statistics {
        let sums: Vec<u64> = (0..lists[0].len())
            .map(|place| lists.iter().map(|list| list[place]).sum())
            .collect();
        Statistics::from(&StatsCounters::read(Task::Binary, 9, &sums).expect("a stats sum"))
    }

    #[test]
    fn sums_of_two_hospitals_give_the_pooled_mean_and_deviation() {
        let with = |age: Option<f64>| {
            let mut features = vec![Some(0.0); 9];
            features[1] = age;
            features
        };
        let one = ClinicalRecords {
            features: vec![with(Some(30.0)), with(None)],
            in_training: vec![true, true],
            schema: FeatureSchema::study(),
            class_counts: vec![3, 1],
            validation_patients: 0,
        };
        let two = ClinicalRecords {
            features: vec![with(Some(50.0)), with(Some(40.0)), with(Some(99.0))],
            in_training: vec![true, true, false],
            schema: FeatureSchema::study(),
            class_counts: vec![0, 5],
            validation_patients: 0,
        };
        let statistics = opened(&[one, two].map(|records| own_counters(&records).write()));
        assert_eq!(statistics.class_counts, [3, 6]);
        assert!((statistics.means[1] - 40.0).abs() < 1e-2);
        assert!((statistics.deviations[1] - (200.0_f64 / 3.0).sqrt()).abs() < 1e-2);
        assert_eq!(statistics.means[0], 0.0);
    }

    #[test]
    fn a_run_takes_the_features_that_it_names_in_its_order() {
        let schema = |texts: &[&str]| FeatureSchema::parse(texts).expect("features");
        let records = || ClinicalRecords {
            features: vec![
                vec![Some(1.0), None, Some(44.0)],
                vec![None, Some(7.0), Some(33.0)],
            ],
            schema: schema(&["sex", "lesions: 0..100", "age"]),
            in_training: vec![true, true],
            class_counts: vec![1, 1],
            validation_patients: 0,
        };
        let run = schema(&["age", "Lesions: 0..100"]);
        let of_run = records().of_run(&run).expect("both are read");
        assert_eq!(
            of_run.features,
            [[Some(44.0), None], [Some(33.0), Some(7.0)]]
        );
        assert_eq!(own_counters(&of_run).features.len(), 2);
        let run = schema(&["age", "disease duration"]);
        let missing = records().of_run(&run).err().map(FeatureSpec::to_string);
        assert_eq!(missing.as_deref(), Some("disease duration"));
    }

    #[test]
    fn features_that_nobody_has_or_that_are_constant_stay_finite() {
        let mut features = vec![None; 9];
        features[1] = Some(33.3);
        let records = ClinicalRecords {
            features: vec![features.clone(); 7],
            schema: FeatureSchema::study(),
            in_training: vec![true; 7],
            class_counts: vec![7, 0],
            validation_patients: 0,
        };
        let statistics = opened(&[own_counters(&records).write()]);
        assert_eq!((statistics.means[0], statistics.deviations[0]), (0.0, 0.0));
        assert!((statistics.means[1] - 33.3).abs() < 1e-2);
        let deviations = statistics.deviations.clone();
        let ranges = Feature::RANGES.to_vec();
        for scaling in [
            FeatureScaling::Unit { ranges },
            FeatureScaling::ZScore { deviations },
        ] {
            let scaled = impute_and_scale(&features, &statistics.means, &scaling);
            assert!(
                scaled
                    .iter()
                    .all(|value| value.is_finite() && value.abs() < 10.0),
                "{scaled:?}"
            );
        }
        assert!(
            statistics
                .class_weights()
                .iter()
                .all(|weight| weight.is_finite())
        );
    }
}
