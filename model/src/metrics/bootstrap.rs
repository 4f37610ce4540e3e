//! Percentile bootstrap (Efron 1979) over patients: slices of one patient are not independent.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;

use super::{Metrics, Prediction, per_patient};

/// Lower and upper end of a 95% interval.
pub type Interval = [f64; 2];

/// What counts as one prediction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Every slice.
    Slice,
    /// Every patient, by the mean of the slices' probabilities.
    Patient,
}

/// 95% intervals; `None` where a score is undefined in more than half of the draws.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Intervals {
    /// Of the accuracy.
    pub accuracy: Option<Interval>,
    /// Of the balanced accuracy.
    pub balanced_accuracy: Option<Interval>,
    /// Of the macro precision.
    pub precision_macro: Option<Interval>,
    /// Of the macro recall.
    pub recall_macro: Option<Interval>,
    /// Of the macro F1.
    pub f1_macro: Option<Interval>,
    /// Of the AUROC.
    pub auroc: Option<Interval>,
}

/// Draws as many patients as there are, with replacement, `draws` times.
///
/// # Panics
/// As [`Metrics::of`].
pub fn bootstrap(
    slices: &[Prediction],
    classes: usize,
    level: Level,
    draws: usize,
    seed: u64,
) -> Intervals {
    let units = match level {
        Level::Slice => slices.to_vec(),
        Level::Patient => per_patient(slices),
    };
    let mut by_patient: BTreeMap<usize, Vec<&Prediction>> = BTreeMap::new();
    for unit in &units {
        by_patient.entry(unit.patient).or_default().push(unit);
    }
    let patients: Vec<Vec<&Prediction>> = by_patient.into_values().collect();
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let drawn: Vec<Metrics> = (0..if patients.is_empty() { 0 } else { draws })
        .map(|_| {
            let chosen: Vec<usize> = (0..patients.len())
                .map(|_| rng.random_range(0..patients.len()))
                .collect();
            let predictions = chosen
                .iter()
                .flat_map(|&patient| patients[patient].iter().copied());
            Metrics::of_all(predictions, classes)
        })
        .collect();
    let interval = |score: fn(&Metrics) -> Option<f64>| {
        let mut scores: Vec<f64> = drawn.iter().filter_map(score).collect();
        scores.sort_by(f64::total_cmp);
        let enough = !scores.is_empty() && scores.len() * 2 >= drawn.len();
        enough.then(|| [0.025, 0.975].map(|share| quantile(&scores, share)))
    };
    Intervals {
        accuracy: interval(|metrics| Some(metrics.confusion.accuracy())),
        balanced_accuracy: interval(|metrics| Some(metrics.confusion.balanced_accuracy())),
        precision_macro: interval(|metrics| Some(metrics.confusion.macro_average().precision)),
        recall_macro: interval(|metrics| Some(metrics.confusion.macro_average().recall)),
        f1_macro: interval(|metrics| Some(metrics.confusion.macro_average().f1)),
        auroc: interval(|metrics| metrics.auroc),
    }
}

/// Linear between order statistics, as numpy does; `sorted` is not empty.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 40 patients of 3 slices; every fifth patient is taken for the other class throughout.
    fn predictions() -> Vec<Prediction> {
        let slice = |patient: usize| {
            let label = patient % 2;
            let says = if patient.is_multiple_of(5) {
                1 - label
            } else {
                label
            };
            let mut probabilities = vec![0.2; 2];
            probabilities[says] = 0.8;
            Prediction {
                patient,
                label,
                probabilities,
            }
        };
        (0..40)
            .flat_map(|patient| vec![slice(patient); 3])
            .collect()
    }

    #[test]
    fn intervals_hold_the_estimate_and_are_as_wide_as_the_binomial_says() {
        let normal = 1.96 * (0.8_f64 * 0.2 / 40.0).sqrt();
        for level in [Level::Slice, Level::Patient] {
            let intervals = bootstrap(&predictions(), 2, level, 1000, 1);
            let [low, high] = intervals.accuracy.expect("defined");
            assert!((low - (0.8 - normal)).abs() < 0.04, "{low}");
            assert!((high - (0.8 + normal)).abs() < 0.04, "{high}");
            assert!(intervals.auroc.is_some());
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_intervals() {
        let by_seed = |seed| bootstrap(&predictions(), 2, Level::Slice, 50, seed);
        assert_eq!(by_seed(3), by_seed(3));
        assert_ne!(by_seed(3), by_seed(4));
    }

    #[test]
    fn one_class_has_no_interval_of_the_auroc_and_nobody_has_none_at_all() {
        let mut one_class = predictions();
        one_class.retain(|prediction| prediction.label == 0);
        let intervals = bootstrap(&one_class, 2, Level::Slice, 20, 1);
        assert_eq!(intervals.auroc, None);
        assert!(intervals.accuracy.is_some());
        let nobody = bootstrap(&[], 2, Level::Slice, 20, 1);
        assert_eq!(nobody.accuracy, None);
    }

    #[test]
    fn quantiles_are_numpys() {
        let sorted = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(quantile(&sorted, 0.5), 3.0);
        assert_eq!(quantile(&sorted, 0.0), 1.0);
        assert!((quantile(&sorted, 0.975) - 7.7).abs() < 1e-12);
    }
}
