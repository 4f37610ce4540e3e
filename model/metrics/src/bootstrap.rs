//! Percentile bootstrap (Efron 1979) over patients: slices of one patient are not independent.

use std::{
    collections::BTreeMap,
    iter::{Copied, Flatten},
};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;

use super::{ClassScores, Metrics, Prediction, per_patient};

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
///
/// Precision, recall and F1 in their micro average have the interval of the accuracy.
#[derive(Clone, Debug, PartialEq)]
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
    /// Of the scores of each class.
    pub per_class: Vec<ClassIntervals>,
}

/// 95% intervals of one class against the rest, over the draws in which the class occurs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassIntervals {
    /// Of the precision.
    pub precision: Option<Interval>,
    /// Of the recall.
    pub recall: Option<Interval>,
    /// Of the F1.
    pub f1: Option<Interval>,
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
    let drawn = Resampling::new(slices, level).draw(draws, seed, |predictions| {
        let metrics = Metrics::of_all(predictions, classes);
        let per_class = metrics.confusion.per_class();
        (metrics, per_class)
    });
    let overall = |score: fn(&Metrics) -> Option<f64>| {
        interval(drawn.iter().map(|(metrics, _)| score(metrics)))
    };
    let of_class = |class: usize| {
        let score = |score: fn(&ClassScores) -> f64| {
            interval(drawn.iter().map(|(_, per_class)| {
                let scores = &per_class[class];
                (scores.support > 0).then(|| score(scores))
            }))
        };
        ClassIntervals {
            precision: score(|scores| scores.precision),
            recall: score(|scores| scores.recall),
            f1: score(|scores| scores.f1),
            auroc: interval(
                drawn
                    .iter()
                    .map(|(metrics, _)| metrics.auroc_of_class[class]),
            ),
        }
    };
    Intervals {
        accuracy: overall(|metrics| Some(metrics.confusion.accuracy())),
        balanced_accuracy: overall(|metrics| Some(metrics.confusion.balanced_accuracy())),
        precision_macro: overall(|metrics| Some(metrics.confusion.macro_average().precision)),
        recall_macro: overall(|metrics| Some(metrics.confusion.macro_average().recall)),
        f1_macro: overall(|metrics| Some(metrics.confusion.macro_average().f1)),
        auroc: overall(|metrics| metrics.auroc),
        per_class: (0..classes).map(of_class).collect(),
    }
}

/// Predictions by patient, to be drawn from.
pub(super) struct Resampling {
    patients: Vec<Vec<Prediction>>,
}

impl Resampling {
    /// Slices, or patients made from them.
    pub fn new(slices: &[Prediction], level: Level) -> Self {
        let units = match level {
            Level::Slice => slices.to_vec(),
            Level::Patient => per_patient(slices),
        };
        let mut by_patient: BTreeMap<usize, Vec<Prediction>> = BTreeMap::new();
        for unit in units {
            by_patient.entry(unit.patient).or_default().push(unit);
        }
        Self {
            patients: by_patient.into_values().collect(),
        }
    }

    /// Every prediction once.
    pub fn everyone(&self) -> impl Iterator<Item = &Prediction> + Clone {
        self.patients.iter().flatten()
    }

    /// What `score` says of each of `draws` draws; of none, if there is nobody to draw.
    pub fn draw<T>(&self, draws: usize, seed: u64, score: impl Fn(Drawn<'_>) -> T) -> Vec<T> {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let draws = if self.patients.is_empty() { 0 } else { draws };
        let one = |_| {
            let chosen: Vec<&[Prediction]> = (0..self.patients.len())
                .map(|_| &*self.patients[rng.random_range(0..self.patients.len())])
                .collect();
            score(chosen.iter().copied().flatten())
        };
        (0..draws).map(one).collect()
    }
}

/// The predictions of the patients of one draw.
pub(super) type Drawn<'a> = Flatten<Copied<std::slice::Iter<'a, &'a [Prediction]>>>;

/// The middle 95% of a score over the draws, unless it is undefined in more than half of them.
pub(super) fn interval(scores: impl ExactSizeIterator<Item = Option<f64>>) -> Option<Interval> {
    let draws = scores.len();
    let mut scores: Vec<f64> = scores.flatten().collect();
    scores.sort_by(f64::total_cmp);
    let enough = !scores.is_empty() && scores.len() * 2 >= draws;
    enough.then(|| [0.025, 0.975].map(|share| quantile(&scores, share)))
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
            let [low, high] = intervals.per_class[1].recall.expect("defined");
            let normal = 1.96 * (0.8_f64 * 0.2 / 20.0).sqrt();
            assert!((low - (0.8 - normal)).abs() < 0.05, "{low}");
            assert!((high - (0.8 + normal)).abs() < 0.05, "{high}");
            assert_eq!(intervals.per_class[1].auroc, intervals.auroc);
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
        assert!(intervals.per_class[0].recall.is_some());
        assert_eq!(intervals.per_class[1].recall, None, "it never occurs");
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
