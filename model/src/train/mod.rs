//! Training: one hospital's part of a round (local epochs from the common model, or an evaluation
//! of it), and the whole of it at a single site, as the study did it; and, for an audit, what a single update would tell.

mod dataset;
mod error;
mod evaluation;
mod inversion;
mod memory;
mod optimiser;
mod plateau;
mod proximal;
#[cfg(test)]
mod pytorch_reference;
mod settings;
mod single_site;
#[cfg(test)]
mod tests;
mod trainer;
mod training;

pub use dataset::{Dataset, DatasetError};
pub(crate) use dataset::{DatasetBuilder, pixels_of};
pub use error::TrainError;
pub use evaluation::Evaluation;
pub use inversion::{FoundImages, Search, SeenGradient};
pub use plateau::Plateau;
pub use settings::TrainingSettings;
pub use single_site::{EpochRecord, Fit, FitSettings, InputSource};
pub use trainer::{TrainOutcome, Trainer};
pub use training::Training;
