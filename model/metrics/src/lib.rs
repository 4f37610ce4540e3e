//! What is reported of predictions: by slice, by patient, with intervals. No libtorch: a report and a hospital need it, too.
#![forbid(unsafe_code)]

mod auroc;
mod bootstrap;
mod calibration;
mod confusion;
mod crossed_bootstrap;
mod outside_head;
mod precision_recall;
mod prediction;
mod roc;
#[cfg(test)]
mod scikit_learn_reference;
mod share;

pub use auroc::auroc;
pub use bootstrap::{ClassIntervals, Interval, Intervals, Level, bootstrap};
pub use calibration::{Calibration, CalibrationBin, calibration};
pub use confusion::{ClassScores, Confusion};
pub use crossed_bootstrap::{CrossedBootstrap, Scores, score_intervals};
pub use outside_head::{PAST_THE_HEAD, heat_outside_head, looks_past_the_head};
pub use precision_recall::{PrecisionRecall, PrecisionRecallPoint, precision_recall};
pub use prediction::{Metrics, Prediction, per_patient};
pub use roc::{RocBand, RocPoint, roc_band, roc_curve};
pub use share::{OperatingPoint, Share};
