//! The nine clinical features that condition the network.

use protocol::vocabulary::ConditioningForm;

use super::FeatureRanges;

/// Features of a patient; also the taps of a 3x3 filter.
pub const FEATURES: usize = protocol::network::CONDITIONED_VALUES;

/// A clinical feature, in the order of the vector.
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
        match self {
            Self::Sex => "sex",
            Self::Age => "age",
            Self::AgeAtOnset => "age at onset",
            Self::Duration => "disease duration",
            Self::Comorbidity => "co-morbidity",
            Self::Motor => "motor symptoms",
            Self::Sensory => "sensory symptoms",
            Self::Visual => "visual symptoms",
            Self::Balance => "balance symptoms",
        }
    }

    /// The fixed public ranges, in the order of the vector: years run from 0 to 100, flags to 1.
    pub const RANGES: FeatureRanges = [
        [0.0, 1.0],
        [0.0, 100.0],
        [0.0, 100.0],
        [0.0, 100.0],
        [0.0, 1.0],
        [0.0, 1.0],
        [0.0, 1.0],
        [0.0, 1.0],
        [0.0, 1.0],
    ];
}

/// How raw features become the numbers that are multiplied with W, A or u.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FeatureScaling {
    /// To [0, 1] by the fixed public range of each feature; values outside are clamped.
    Unit {
        /// Of [`super::FeatureColumns::ranges`].
        ranges: FeatureRanges,
    },
    /// (value - mean) / standard deviation; 0 where the deviation is 0.
    ZScore {
        /// Standard deviation over the federation, raw units.
        deviations: [f64; FEATURES],
    },
}

impl FeatureScaling {
    /// As the form of conditioning takes them.
    pub fn of(form: ConditioningForm, ranges: FeatureRanges, deviations: [f64; FEATURES]) -> Self {
        match form {
            ConditioningForm::Study => Self::Unit { ranges },
            ConditioningForm::Additive | ConditioningForm::Late => Self::ZScore { deviations },
        }
    }
}

/// Replaces what is missing by `means` (raw units, over the federation), then scales.
pub fn impute_and_scale(
    features: &[Option<f64>; FEATURES],
    means: &[f64; FEATURES],
    scaling: FeatureScaling,
) -> [f64; FEATURES] {
    std::array::from_fn(|index| {
        let value = features[index].unwrap_or(means[index]);
        match scaling {
            FeatureScaling::Unit { ranges } => {
                let [from, to] = ranges[index];
                ((value - from) / (to - from)).clamp(0.0, 1.0)
            }
            FeatureScaling::ZScore { deviations } if deviations[index] > 0.0 => {
                (value - means[index]) / deviations[index]
            }
            FeatureScaling::ZScore { .. } => 0.0,
        }
    })
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
        }
    }

    #[test]
    fn unit_scaling_uses_public_ranges_and_imputes_the_mean() {
        assert_eq!(
            impute_and_scale(
                &RAW,
                &MEANS,
                FeatureScaling::Unit {
                    ranges: Feature::RANGES
                }
            ),
            [1.0, 0.4, 0.25, 0.15, 0.1, 1.0, 0.0, 1.0, 0.3]
        );
        let mut ranges = Feature::RANGES;
        ranges[Feature::Age.index()] = [-10.0, 90.0];
        ranges[Feature::Duration.index()] = [0.0, 10.0];
        let scaled = impute_and_scale(&RAW, &MEANS, FeatureScaling::Unit { ranges });
        assert_eq!(scaled[1..4], [0.5, 0.25, 1.0]);
    }

    #[test]
    fn z_scores_of_missing_and_of_constant_features_are_zero() {
        let mut deviations = [2.0; FEATURES];
        deviations[Feature::Motor.index()] = 0.0;
        assert_eq!(
            impute_and_scale(&RAW, &MEANS, FeatureScaling::ZScore { deviations }),
            [0.375, 2.5, -2.5, 5.0, 0.0, 0.0, -0.25, 0.25, 0.0]
        );
    }
}
