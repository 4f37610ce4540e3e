//! The receiver operating characteristic as a curve, and the band that holds it.

use super::{
    Interval, Level, Prediction, auroc,
    bootstrap::{Resampling, interval},
};

/// Steps of the false positive rate at which a band is given.
const BAND_STEPS: usize = 100;

/// What calling every sample positive that scores `threshold` or more gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RocPoint {
    /// Share of the negative samples that are called positive.
    pub false_positive_rate: f64,
    /// Share of the positive samples that are.
    pub true_positive_rate: f64,
    /// Infinite in the first point, where nothing is called positive.
    pub threshold: f32,
}

/// From (0, 0) to (1, 1), a point for each score that occurs, from the highest down. `None`
/// without a positive or without a negative sample.
///
/// `samples` are pairs of (score, is positive); scores must not be NaN.
pub fn roc_curve(samples: impl IntoIterator<Item = (f32, bool)>) -> Option<Vec<RocPoint>> {
    let mut samples: Vec<(f32, bool)> = samples.into_iter().collect();
    samples.sort_by(|a, b| b.0.total_cmp(&a.0));
    let positives = samples.iter().filter(|(_, positive)| *positive).count();
    let negatives = samples.len() - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    let (mut found, mut seen) = (0, 0);
    let mut point = |threshold: f32, tied: &[(f32, bool)]| {
        found += tied.iter().filter(|(_, positive)| *positive).count();
        seen += tied.len();
        RocPoint {
            false_positive_rate: (seen - found) as f64 / negatives as f64,
            true_positive_rate: found as f64 / positives as f64,
            threshold,
        }
    };
    let mut curve = vec![point(f32::INFINITY, &[])];
    let steps = samples.chunk_by(|a, b| a.0 == b.0);
    curve.extend(steps.map(|tied| point(tied[0].0, tied)));
    Some(curve)
}

/// The curve of one class against the rest, with what the bootstrap says of it.
#[derive(Clone, Debug, PartialEq)]
pub struct RocBand {
    /// The curve of all predictions.
    pub curve: Vec<RocPoint>,
    /// The area under it.
    pub auroc: f64,
    /// 95% interval of the area.
    pub auroc_interval: Option<Interval>,
    /// At false positive rates from 0 to 1: (the rate, 95% interval of the true positive rate),
    /// each rate for itself. Empty where there is no interval of the area.
    pub band: Vec<(f64, Interval)>,
}

/// The curve of class `class` against the rest; draws patients as
/// [`bootstrap`](super::bootstrap()) does, the same ones for the same seed. `None` where the class
/// does not occur, or nothing else does.
///
/// # Panics
/// If a prediction has no probability of the class.
pub fn roc_band(
    slices: &[Prediction],
    class: usize,
    level: Level,
    draws: usize,
    seed: u64,
) -> Option<RocBand> {
    let scored = |one: &Prediction| (one.probabilities[class], one.label == class);
    let resampling = Resampling::new(slices, level);
    let curve = roc_curve(resampling.everyone().map(scored))?;
    let drawn: Vec<Option<AreaAndCurve>> = resampling.draw(draws, seed, |predictions| {
        let area = auroc(predictions.clone().map(scored))?;
        Some((area, roc_curve(predictions.map(scored))?))
    });
    let of_draws = |value: &dyn Fn(&AreaAndCurve) -> f64| {
        interval(drawn.iter().map(|draw| draw.as_ref().map(value)))
    };
    let rates = (0..=BAND_STEPS).map(|step| step as f64 / BAND_STEPS as f64);
    let band = rates.filter_map(|rate| {
        let interval = of_draws(&|(_, curve)| true_positive_rate_at(curve, rate))?;
        Some((rate, interval))
    });
    Some(RocBand {
        auroc: auroc(resampling.everyone().map(scored))?,
        auroc_interval: of_draws(&|(area, _)| *area),
        band: band.collect(),
        curve,
    })
}

type AreaAndCurve = (f64, Vec<RocPoint>);

/// The most that is reached at a false positive rate of no more than `rate`, or the line towards
/// the next point.
fn true_positive_rate_at(curve: &[RocPoint], rate: f64) -> f64 {
    let next = curve.partition_point(|point| point.false_positive_rate <= rate);
    let before = curve[next - 1];
    match curve.get(next) {
        None => before.true_positive_rate,
        Some(after) => {
            let run = after.false_positive_rate - before.false_positive_rate;
            let rise = after.true_positive_rate - before.true_positive_rate;
            before.true_positive_rate + rise * (rate - before.false_positive_rate) / run
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 60 patients of 2 slices; 48 of them score on the right side of 0.5.
    fn predictions() -> Vec<Prediction> {
        let slice = |patient: usize| {
            let label = patient % 2;
            let right = !patient.is_multiple_of(5);
            let score = if (label == 1) == right { 0.75 } else { 0.25 };
            Prediction {
                patient,
                label,
                probabilities: vec![1.0 - score, score],
            }
        };
        (0..60)
            .flat_map(|patient| vec![slice(patient); 2])
            .collect()
    }

    #[test]
    fn two_scores_make_one_corner_and_the_band_is_as_wide_as_the_binomial_says() {
        for (level, per_patient) in [(Level::Slice, 2.0), (Level::Patient, 1.0)] {
            let roc = roc_band(&predictions(), 1, level, 1000, 1).expect("both classes");
            let corner = RocPoint {
                false_positive_rate: 0.2,
                true_positive_rate: 0.8,
                threshold: 0.75,
            };
            assert_eq!(roc.curve.len(), 3);
            assert_eq!(roc.curve[1], corner, "{per_patient} slices a patient");
            assert!((roc.auroc - 0.8).abs() < 1e-12);
            // The area is the mean of two rates of 30 patients each.
            let normal = 1.96 * (2.0 * 0.2 * 0.8 / 30.0_f64).sqrt() / 2.0;
            let [low, high] = roc.auroc_interval.expect("defined");
            assert!((low - (0.8 - normal)).abs() < 0.03, "{low}");
            assert!((high - (0.8 + normal)).abs() < 0.03, "{high}");
            assert_eq!(roc.band.len(), BAND_STEPS + 1);
            for &(rate, [low, high]) in &roc.band {
                let on_curve = true_positive_rate_at(&roc.curve, rate);
                assert!(low <= on_curve && on_curve <= high, "{rate}: {low} {high}");
            }
            assert_eq!(roc.band[BAND_STEPS], (1.0, [1.0, 1.0]));
        }
    }

    #[test]
    fn between_points_the_curve_is_a_line_and_on_a_step_its_upper_end() {
        let scores = [(0.9, true), (0.8, false), (0.7, true), (0.7, false)];
        let curve = roc_curve(scores).expect("both classes");
        for (rate, expected) in [(0.0, 0.5), (0.5, 0.5), (0.75, 0.75), (1.0, 1.0)] {
            assert_eq!(true_positive_rate_at(&curve, rate), expected);
        }
    }

    #[test]
    fn without_both_kinds_there_is_no_curve() {
        assert_eq!(roc_curve([(0.5, true)]), None);
        assert_eq!(roc_curve([]), None);
        let mut one_class = predictions();
        one_class.retain(|prediction| prediction.label == 0);
        assert_eq!(roc_band(&one_class, 1, Level::Slice, 10, 1), None);
        let none_drawn = roc_band(&predictions(), 1, Level::Slice, 0, 1).expect("a curve");
        assert_eq!((none_drawn.auroc_interval, none_drawn.band), (None, vec![]));
    }
}
