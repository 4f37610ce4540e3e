//! A share of counted cases, with how well so few of them know it.

/// How many of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Of those, this many.
    pub part: u64,
    /// All.
    pub whole: u64,
}

impl Share {
    /// 0 to 1; `None` of nothing.
    pub fn value(self) -> Option<f64> {
        (self.whole > 0).then(|| self.part as f64 / self.whole as f64)
    }

    /// Wilson's 95% interval of a proportion (Wilson 1927): it stays within [0, 1] and is not empty where all cases are alike. `None` of
    /// nothing.
    pub fn interval(self) -> Option<[f64; 2]> {
        let share = self.value()?;
        let count = self.whole as f64;
        let z2 = Z * Z;
        let middle = share + z2 / (2.0 * count);
        let spread = Z * (share * (1.0 - share) / count + z2 / (4.0 * count * count)).sqrt();
        let scale = 1.0 + z2 / count;
        Some([
            ((middle - spread) / scale).max(0.0),
            ((middle + spread) / scale).min(1.0),
        ])
    }
}

/// What a test for two classes reports, the class 1 being what is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperatingPoint {
    /// Of those of class 1, the share that is called so.
    pub sensitivity: Share,
    /// Of those of class 0, the share that is called so.
    pub specificity: Share,
    /// Of those called class 1, the share that is.
    pub positive_predictive_value: Share,
    /// Of those called class 0, the share that is.
    pub negative_predictive_value: Share,
}

impl OperatingPoint {
    /// From pairs of (score of class 1, is of class 1), where a score above `threshold` is called class 1.
    ///
    /// At 0.5 these are the classes of [`Prediction::class`](super::Prediction::class), which gives a tie to class 0.
    pub fn at(threshold: f32, samples: impl IntoIterator<Item = (f32, bool)>) -> Self {
        let mut counts = [[0; 2]; 2];
        for (score, positive) in samples {
            counts[usize::from(positive)][usize::from(score > threshold)] += 1;
        }
        let [
            [true_negative, false_positive],
            [false_negative, true_positive],
        ] = counts;
        let of = |part, other| Share {
            part,
            whole: part + other,
        };
        Self {
            sensitivity: of(true_positive, false_negative),
            specificity: of(true_negative, false_positive),
            positive_predictive_value: of(true_positive, false_positive),
            negative_predictive_value: of(true_negative, false_negative),
        }
    }
}

/// Of the normal distribution, for 95% on both sides.
const Z: f64 = 1.959_963_984_540_054;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_statsmodels() {
        // statsmodels.stats.proportion.proportion_confint(part, whole, method="wilson")
        for (part, whole, [low, high]) in [
            (12, 12, [0.757_505_993_344_758_9, 1.0]),
            (0, 5, [0.0, 0.434_482_464_783_174_87]),
            (7, 20, [0.181_191_824_101_082_03, 0.567_145_723_314_763_8]),
        ] {
            let [ours_low, ours_high] = Share { part, whole }.interval().expect("of something");
            assert!((ours_low - low).abs() < 1e-9, "{part}/{whole}: {ours_low}");
            assert!(
                (ours_high - high).abs() < 1e-9,
                "{part}/{whole}: {ours_high}"
            );
        }
        assert_eq!(Share { part: 0, whole: 0 }.interval(), None);
    }

    #[test]
    fn a_score_at_the_threshold_is_called_negative() {
        let samples = [
            (0.5, true),
            (0.6, true),
            (0.4, false),
            (0.9, false),
            (0.1, false),
        ];
        let point = OperatingPoint::at(0.5, samples);
        let share = |part, whole| Share { part, whole };
        assert_eq!(point.sensitivity, share(1, 2));
        assert_eq!(point.specificity, share(2, 3));
        assert_eq!(point.positive_predictive_value, share(1, 2));
        assert_eq!(point.negative_predictive_value, share(2, 3));
    }
}
