//! What the `stats` sum tells every hospital: class counts for the weights of the loss, means and deviations of the features.

use super::conditioning::weights::bounded;
use model_data::{
    FEATURES, FeatureColumns, FeatureRanges, FeatureScaling, card::CardFeature, impute_and_scale,
};
use protocol::{
    counters::{FeatureSums, StatsCounters},
    labels::class_weights,
    vocabulary::ConditioningForm,
};

/// What a hospital knows of its own patients, as far as the vault needs it.
pub struct ClinicalRecords {
    /// The nine features of each patient, in units in which none is negative, in the trainer's order of patients.
    pub features: Vec<[Option<f64>; FEATURES]>,
    /// Lowest and highest value of each feature in these units, public.
    pub ranges: FeatureRanges,
    /// Whether the patient has slices in the training set: only those count in the statistics.
    pub in_training: Vec<bool>,
    /// Training slices of each class.
    pub class_counts: Vec<u64>,
    /// Patients with slices in the validation set: for people here, who see this hospital's own accuracy.
    pub validation_patients: usize,
}

impl ClinicalRecords {
    /// Features with the missing ones replaced by the federation's means, scaled as the form of conditioning takes them, and clipped to
    /// ±8.
    pub fn scaled(&self, statistics: &Statistics, form: ConditioningForm) -> Vec<[f64; FEATURES]> {
        let scaling = FeatureScaling::of(form, self.ranges, statistics.deviations);
        self.features
            .iter()
            .map(|features| bounded(&impute_and_scale(features, &statistics.means, scaling)))
            .collect()
    }
}

/// The federation's statistics, as opened from the `stats` sum.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Training slices of each class over all contributors.
    pub class_counts: Vec<u64>,
    /// Mean of each feature over the training patients that have it; 0 where nobody has.
    pub means: [f64; FEATURES],
    /// Standard deviation of each feature, likewise.
    pub deviations: [f64; FEATURES],
}

/// What this hospital contributes to the `stats` sum.
pub fn own_counters(records: &ClinicalRecords) -> StatsCounters {
    let features = std::array::from_fn(|feature| {
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
    });
    StatsCounters {
        contributions: 1,
        class_counts: records.class_counts.clone(),
        features,
    }
}

impl From<&StatsCounters> for Statistics {
    fn from(sums: &StatsCounters) -> Self {
        let (mut means, mut deviations) = ([0.0; FEATURES], [0.0; FEATURES]);
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
    /// The features as a card tells them: in the units of the clinical table.
    pub fn for_card(&self, columns: &FeatureColumns) -> Vec<CardFeature> {
        let ranges = columns.ranges();
        // Other columns than the standard ones reach the vault as percents of their ranges.
        let is_percent = matches!(columns, FeatureColumns::Named(_));
        let names = columns.names();
        let features = names.into_iter().zip(ranges).enumerate();
        let features = features.map(|(place, (name, [from, to]))| {
            let (origin, unit) = match is_percent {
                true => (from, (to - from) / 100.0),
                false => (0.0, 1.0),
            };
            CardFeature {
                name: name.to_owned(),
                from,
                to,
                mean: origin + unit * self.means[place],
                deviation: unit * self.deviations[place],
            }
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
        Statistics::from(&StatsCounters::read(Task::Binary, &sums).expect("a stats sum"))
    }

    #[test]
    fn sums_of_two_hospitals_give_the_pooled_mean_and_deviation() {
        let with = |age: Option<f64>| {
            let mut features = [Some(0.0); FEATURES];
            features[1] = age;
            features
        };
        let one = ClinicalRecords {
            features: vec![with(Some(30.0)), with(None)],
            in_training: vec![true, true],
            ranges: Feature::RANGES,
            class_counts: vec![3, 1],
            validation_patients: 0,
        };
        let two = ClinicalRecords {
            features: vec![with(Some(50.0)), with(Some(40.0)), with(Some(99.0))],
            in_training: vec![true, true, false],
            ranges: Feature::RANGES,
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
    fn features_that_nobody_has_or_that_are_constant_stay_finite() {
        let mut features = [None; FEATURES];
        features[1] = Some(33.3);
        let records = ClinicalRecords {
            features: vec![features; 7],
            ranges: Feature::RANGES,
            in_training: vec![true; 7],
            class_counts: vec![7, 0],
            validation_patients: 0,
        };
        let statistics = opened(&[own_counters(&records).write()]);
        assert_eq!((statistics.means[0], statistics.deviations[0]), (0.0, 0.0));
        assert!((statistics.means[1] - 33.3).abs() < 1e-2);
        let deviations = statistics.deviations;
        let ranges = Feature::RANGES;
        for scaling in [
            FeatureScaling::Unit { ranges },
            FeatureScaling::ZScore { deviations },
        ] {
            let scaled = impute_and_scale(&features, &statistics.means, scaling);
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
