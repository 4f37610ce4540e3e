//! When a single site's training slows down, and when it stops.

use std::num::NonZeroUsize;

/// How the learning rate falls when the training loss no longer does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plateau {
    /// Epochs in a row without improvement that are let pass; the next one reduces the rate.
    pub patience: usize,
    /// The rate is multiplied by this, in (0, 1).
    pub factor: f64,
}

/// The study's 15 epochs, PyTorch's factor.
impl Default for Plateau {
    fn default() -> Self {
        Self {
            patience: 15,
            factor: 0.1,
        }
    }
}

/// PyTorch's `ReduceLROnPlateau` in its default mode: an epoch improves when its loss is below the
/// best so far by more than a relative 1e-4; after a reduction the count starts again.
pub(super) struct PlateauWatch {
    plateau: Plateau,
    best: f64,
    without_improvement: usize,
}

impl PlateauWatch {
    /// Before the first epoch.
    pub(super) fn new(plateau: Plateau) -> Self {
        Self {
            plateau,
            best: f64::INFINITY,
            without_improvement: 0,
        }
    }

    /// The rate after an epoch of this loss.
    pub(super) fn rate_after(&mut self, loss: f64, rate: f64) -> f64 {
        if loss < self.best * (1.0 - THRESHOLD) {
            self.best = loss;
            self.without_improvement = 0;
        } else {
            self.without_improvement += 1;
        }
        if self.without_improvement <= self.plateau.patience {
            return rate;
        }
        self.without_improvement = 0;
        let reduced = rate * self.plateau.factor;
        if rate - reduced > SMALLEST_CHANGE {
            reduced
        } else {
            rate
        }
    }
}

/// What an epoch was, seen from the validation set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The best so far: to be kept.
    Best,
    /// Not better, with patience left.
    Continue,
    /// Not better, and patience is at its end.
    Stop,
}

/// Ends training once so many epochs in a row have not lowered the validation loss.
pub(super) struct EarlyStop {
    patience: NonZeroUsize,
    best: f64,
    without_improvement: usize,
}

impl EarlyStop {
    /// Before the first epoch.
    pub(super) fn new(patience: NonZeroUsize) -> Self {
        Self {
            patience,
            best: f64::INFINITY,
            without_improvement: 0,
        }
    }

    /// After an epoch; any loss below the best is an improvement.
    pub(super) fn after(&mut self, loss: f64) -> Verdict {
        if loss < self.best {
            self.best = loss;
            self.without_improvement = 0;
            return Verdict::Best;
        }
        self.without_improvement += 1;
        if self.without_improvement >= self.patience.get() {
            Verdict::Stop
        } else {
            Verdict::Continue
        }
    }
}

/// Relative; PyTorch's.
const THRESHOLD: f64 = 1e-4;
/// Smaller changes of the rate are left out, as in PyTorch.
const SMALLEST_CHANGE: f64 = 1e-8;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Recorded {
        patience: usize,
        factor: f64,
        losses: Vec<f64>,
        rates: Vec<f64>,
    }

    /// tests/oracle/make_plateau.py.
    #[test]
    fn rates_fall_as_pytorchs_do() {
        let cases: Vec<Recorded> =
            serde_json::from_str(include_str!("../../tests/oracle/plateau.json"))
                .expect("written by the script");
        assert!(!cases.is_empty());
        for case in cases {
            let mut watch = PlateauWatch::new(Plateau {
                patience: case.patience,
                factor: case.factor,
            });
            let mut rate = 1e-3;
            for (epoch, (loss, expected)) in case.losses.iter().zip(&case.rates).enumerate() {
                rate = watch.rate_after(*loss, rate);
                assert!(
                    (rate - expected).abs() <= 1e-12 * expected,
                    "patience {}, epoch {epoch}: {rate}, PyTorch has {expected}",
                    case.patience
                );
            }
        }
    }

    #[test]
    fn training_stops_when_patience_is_at_its_end_and_any_improvement_renews_it() {
        let mut stop = EarlyStop::new(NonZeroUsize::new(2).expect("not zero"));
        let verdicts = [1.0, 1.0, 0.999_999, 2.0, 0.999_999].map(|loss| stop.after(loss));
        use Verdict::{Best, Continue, Stop};
        assert_eq!(verdicts, [Best, Continue, Best, Continue, Stop]);
    }
}
