//! What can go wrong in a round's training.

use tch::TchError;
use torch_ffi::AdamWError;

use crate::network::LengthMismatch;

/// Why a round's training or evaluation did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrainError {
    /// The model has another length than the network.
    #[error(transparent)]
    Model(#[from] LengthMismatch),
    /// Too few patients, or values for a network that takes none.
    #[error(
        "filters or shifts of {found} patients supplied, where the patients and the architecture need {needed}"
    )]
    Inputs {
        /// Patients needed.
        needed: usize,
        /// Patients given.
        found: usize,
    },
    /// Another number of values of each patient than the form of conditioning has.
    #[error("{found} values of each patient supplied, where the network takes {needed}")]
    InputWidth {
        /// Values needed.
        needed: usize,
        /// Values given.
        found: usize,
    },
    /// A value beyond the limit of the form of conditioning, or one that is not a number.
    #[error("a value of patient {patient} is not clipped to [-{limit}, {limit}]")]
    InputRange {
        /// Index of the patient.
        patient: usize,
        /// Largest magnitude.
        limit: u8,
    },
    /// Whoever makes the filters or shifts of each batch could not.
    #[error("no filters or shifts for a batch: {reason}")]
    InputSource {
        /// What went wrong, in words.
        reason: String,
    },
    /// A label that the classifier has no output for.
    #[error("a sample of class {class} for a classifier of {classes} classes")]
    Class {
        /// Class of the sample.
        class: usize,
        /// Classes of the network.
        classes: usize,
    },
    /// A setting is out of range.
    #[error("training setting {setting} is out of range")]
    Settings {
        /// Its name.
        setting: &'static str,
    },
    /// Training has diverged, or the model held values that are not finite.
    #[error("the loss is not finite in epoch {epoch}, batch {batch}")]
    NonFiniteLoss {
        /// From 1; 0 in an evaluation.
        epoch: usize,
        /// From 1.
        batch: usize,
    },
    /// The device has too little memory, even for half a batch.
    #[error(
        "no memory for {samples} samples at a time, after halving the batch once: take a smaller batch, free memory on the \
         device, or use --device cpu ({reason})"
    )]
    OutOfMemory {
        /// Samples of the last attempt.
        samples: usize,
        /// What libtorch says.
        reason: String,
    },
    /// libtorch refuses to compute.
    #[error("libtorch cannot compute: {reason}")]
    Torch {
        /// What it says.
        reason: String,
    },
}

impl TrainError {
    /// What libtorch says when it finds no memory, on a CUDA device or in the machine; else `None`.
    pub(super) fn exhausted(&self) -> Option<&str> {
        match self {
            Self::Torch { reason } => {
                let texts = ["out of memory", "can't allocate memory"];
                texts
                    .iter()
                    .any(|text| reason.contains(text))
                    .then_some(reason)
            }
            _ => None,
        }
    }
}

impl From<TchError> for TrainError {
    fn from(error: TchError) -> Self {
        let reason = match error {
            TchError::Torch(reason) => without_backtrace(&reason),
            other => other.to_string(),
        };
        Self::Torch { reason }
    }
}

impl From<AdamWError> for TrainError {
    fn from(error: AdamWError) -> Self {
        let reason = without_backtrace(&error.to_string());
        Self::Torch { reason }
    }
}

/// libtorch tells where in its own code it was, on the lines after the first.
fn without_backtrace(reason: &str) -> String {
    reason.lines().next().unwrap_or_default().to_owned()
}
