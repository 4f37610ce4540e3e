//! The clinical features that condition the network: those of the study, and how any become numbers.

use protocol::{features::STUDY, vocabulary::ConditioningForm};

/// Features of the study; as many as a 3x3 filter has values.
pub const FEATURES: usize = STUDY.len();

/// Lowest and highest value of each feature, fixed and public.
pub type FeatureRanges = [[f64; 2]; FEATURES];

/// A clinical feature of the study, in the order of its vector ([`STUDY`]).
///
/// The neurological signs of the table are left out on purpose: EDSS is computed from them, so
/// they would give the label away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feature {
    /// 0 female, 1 male.
    Sex,
    /// Years.
    Age,
    /// Years.
    AgeAtOnset,
    /// Years since onset: age minus age at onset, not below 0.
    Duration,
    /// 1 when another disease is present, else 0.
    Comorbidity,
    /// 1 when motor symptoms were presented, else 0.
    Motor,
    /// 1 when sensory symptoms were presented, else 0.
    Sensory,
    /// 1 when visual symptoms were presented, else 0.
    Visual,
    /// 1 when disturbed balance was presented, else 0.
    Balance,
}

impl Feature {
    /// Every feature, in the order of a patient's vector.
    pub const ALL: [Self; FEATURES] = [
        Self::Sex,
        Self::Age,
        Self::AgeAtOnset,
        Self::Duration,
        Self::Comorbidity,
        Self::Motor,
        Self::Sensory,
        Self::Visual,
        Self::Balance,
    ];

    /// Place in a patient's vector.
    pub fn index(self) -> usize {
        self as usize
    }

    /// Name for people: "age at onset".
    pub fn name(self) -> &'static str {
        STUDY[self.index()].0
    }

    /// The fixed public ranges, in the order of the vector: years run from 0 to 100, flags to 1.
    pub const RANGES: FeatureRanges = {
        let mut ranges = [[0.0, 1.0]; FEATURES];
        let mut place = 0;
        while place < FEATURES {
            if let Some(range) = STUDY[place].1.range() {
                ranges[place] = range;
            }
            place += 1;
        }
        ranges
    };
}

/// How raw features become the numbers that are multiplied with W, A or u.
#[derive(Clone, Debug, PartialEq)]
pub enum FeatureScaling {
    /// To [0, 1] by the fixed public range of each feature; values outside are clamped.
    Unit {
        /// Lowest and highest value of each.
        ranges: Vec<[f64; 2]>,
    },
    /// (value - mean) / standard deviation; 0 where the deviation is 0.
    ZScore {
        /// Standard deviation over the federation, in the units of the features.
        deviations: Vec<f64>,
    },
}

impl FeatureScaling {
    /// As the form of conditioning takes them.
    pub fn of(form: ConditioningForm, ranges: &[[f64; 2]], deviations: &[f64]) -> Self {
        match form {
            ConditioningForm::Study => Self::Unit {
                ranges: ranges.to_vec(),
            },
            ConditioningForm::Additive | ConditioningForm::Late => Self::ZScore {
                deviations: deviations.to_vec(),
            },
        }
    }
}

/// Replaces what is missing by `means` (over the federation, in the units of the features), then scales. As many values come out as there are features.
pub fn impute_and_scale(
    features: &[Option<f64>],
    means: &[f64],
    scaling: &FeatureScaling,
) -> Box<[f64]> {
    let known = features.iter().zip(means);
    let scaled = known.enumerate().map(|(place, (feature, &mean))| {
        let value = feature.unwrap_or(mean);
        match scaling {
            FeatureScaling::Unit { ranges } => {
                let [from, to] = ranges[place];
                ((value - from) / (to - from)).clamp(0.0, 1.0)
            }
            FeatureScaling::ZScore { deviations } if deviations[place] > 0.0 => {
                (value - mean) / deviations[place]
            }
            FeatureScaling::ZScore { .. } => 0.0,
        }
    });
    scaled.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: [Option<f64>; FEATURES] = [
        Some(1.0),
        Some(40.0),
        Some(25.0),
        Some(15.0),
        None,
        Some(1.0),
        Some(0.0),
        Some(1.0),
        None,
    ];
    const MEANS: [f64; FEATURES] = [0.25, 35.0, 30.0, 5.0, 0.1, 0.5, 0.5, 0.5, 0.3];

    #[test]
    fn the_order_of_the_vector_is_that_of_the_enum() {
        for (place, feature) in Feature::ALL.into_iter().enumerate() {
            assert_eq!(feature.index(), place);
            assert_eq!(STUDY[place].0, feature.name());
        }
    }

    #[test]
    fn unit_scaling_uses_public_ranges_and_imputes_the_mean() {
        assert_eq!(
            *impute_and_scale(
                &RAW,
                &MEANS,
                &FeatureScaling::Unit {
                    ranges: Feature::RANGES.to_vec()
                }
            ),
            [1.0, 0.4, 0.25, 0.15, 0.1, 1.0, 0.0, 1.0, 0.3]
        );
        let mut ranges = Feature::RANGES.to_vec();
        ranges[Feature::Age.index()] = [-10.0, 90.0];
        ranges[Feature::Duration.index()] = [0.0, 10.0];
        let scaled = impute_and_scale(&RAW, &MEANS, &FeatureScaling::Unit { ranges });
        assert_eq!(scaled[1..4], [0.5, 0.25, 1.0]);
    }

    #[test]
    fn z_scores_of_missing_and_of_constant_features_are_zero() {
        let mut deviations = vec![2.0; FEATURES];
        deviations[Feature::Motor.index()] = 0.0;
        assert_eq!(
            *impute_and_scale(&RAW, &MEANS, &FeatureScaling::ZScore { deviations }),
            [0.375, 2.5, -2.5, 5.0, 0.0, 0.0, -0.25, 0.25, 0.0]
        );
    }
}
