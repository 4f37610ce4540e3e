//! One hospital's part of a round: local epochs from the common model, or an evaluation of it.

mod dataset;
mod error;
mod evaluation;
mod settings;
#[cfg(test)]
mod tests;
mod trainer;
#[cfg(test)]
mod twin;

pub use dataset::{Dataset, DatasetError, class_weights};
pub(crate) use dataset::{DatasetBuilder, pixels_of};
pub use error::TrainError;
pub use evaluation::Evaluation;
pub use settings::TrainingSettings;
pub use trainer::{Filter, TrainOutcome, Trainer};
