//! What is reported of predictions: by slice, by patient, with intervals.

mod auroc;
mod bootstrap;
mod confusion;
mod crossed;
#[cfg(test)]
mod oracle;
mod prediction;
mod roc;

pub use auroc::auroc;
pub use bootstrap::{ClassIntervals, Interval, Intervals, Level, bootstrap};
pub use confusion::{ClassScores, Confusion};
pub use crossed::{CrossedBootstrap, Scores, score_intervals};
pub use prediction::{Metrics, Prediction, per_patient};
pub use roc::{RocBand, RocPoint, roc_band, roc_curve};
