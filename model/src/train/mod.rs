//! One hospital's part of a round: local epochs from the common model, or an evaluation of it.

mod adamw;
mod dataset;
mod evaluation;
mod trainer;
#[cfg(test)]
mod twin;

pub use dataset::{Dataset, DatasetError, class_weights};
pub use evaluation::Evaluation;
pub use trainer::{Filter, TrainError, TrainOutcome, Trainer, TrainingSettings};
