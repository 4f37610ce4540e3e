//! Whether probabilities are what they say.

use super::Prediction;

/// How well probabilities fit what happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// Mean squared distance of the probabilities from the truth, over all classes and divided by two: 0 at best, 1 at worst (Brier 1950).
    /// Of two classes it is the mean of (p - y)^2.
    pub brier: f64,
    /// For each class, its bins that hold a prediction, from the lowest probability up.
    pub bins: Vec<Vec<CalibrationBin>>,
}

/// Predictions of about the same probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CalibrationBin {
    /// Mean probability of the class.
    pub predicted: f64,
    /// Share that is of the class.
    pub observed: f64,
    /// Predictions.
    pub count: usize,
}

/// In so many bins of equal width; `None` without a prediction.
///
/// # Panics
/// If a label has no probability.
pub fn calibration(predictions: &[Prediction], bins: usize) -> Option<Calibration> {
    let classes = predictions.first()?.probabilities.len();
    let square = |one: &Prediction, class: usize| {
        let truth = if class == one.label { 1.0 } else { 0.0 };
        (f64::from(one.probabilities[class]) - truth).powi(2)
    };
    let squares = predictions.iter().map(|one| match classes {
        // Both classes say the same.
        2 => square(one, 1),
        _ => (0..classes).map(|class| square(one, class)).sum::<f64>() / 2.0,
    });
    let brier = squares.sum::<f64>() / predictions.len() as f64;
    let width = 1.0 / bins as f64;
    let of_class = |class: usize| {
        let mut sums = vec![(0.0, 0_usize, 0_usize); bins];
        for one in predictions {
            let share = f64::from(one.probabilities[class]);
            // A boundary belongs to the bin below it.
            let below = (1..bins).filter(|&edge| edge as f64 * width < share);
            let bin = below.count();
            let (sum, positive, count) = &mut sums[bin];
            *sum += share;
            *positive += usize::from(one.label == class);
            *count += 1;
        }
        let filled = sums.into_iter().filter(|(_, _, count)| *count > 0);
        filled
            .map(|(sum, positive, count)| CalibrationBin {
                predicted: sum / count as f64,
                observed: positive as f64 / count as f64,
                count,
            })
            .collect()
    };
    Some(Calibration {
        brier,
        bins: (0..classes).map(of_class).collect(),
    })
}
