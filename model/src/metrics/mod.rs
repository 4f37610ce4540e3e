//! What is reported of predictions: by slice, by patient, with intervals.

mod auroc;
mod bootstrap;
mod confusion;
mod crossed_bootstrap;
mod prediction;
mod roc;
#[cfg(test)]
mod scikit_learn_reference;

pub use auroc::auroc;
pub use bootstrap::{ClassIntervals, Interval, Intervals, Level, bootstrap};
pub use confusion::{ClassScores, Confusion};
pub use crossed_bootstrap::{CrossedBootstrap, Scores, score_intervals};
pub use prediction::{Metrics, Prediction, per_patient};
pub use roc::{RocBand, RocPoint, roc_band, roc_curve};
