//! Why results are not written.

use std::{io, path::PathBuf};

use crate::{check::PredictionsError, dicom::source::SourceError};

/// Why there are no results; then there is nothing in their place either.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// Numbers that do not fit together.
    #[error("the predictions are inconsistent: {0}")]
    Predictions(#[from] PredictionsError),
    /// Something lies where the results were to go.
    #[error("{} is there already and not empty; name another folder, or move this one away", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// The folder above is missing or cannot be written.
    #[error("cannot write {}: {source}; the folder above it must exist, be writable and have room", path.display())]
    Write {
        /// What was to be written.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A library refuses what it is given.
    #[error("cannot encode {what}: {reason}")]
    Encode {
        /// Which kind of file.
        what: &'static str,
        /// What the library says.
        reason: String,
    },
    /// The DICOM files of a scan do not give what a DICOM result needs.
    #[error(
        "no DICOM result for patient {patient:?}: {source}; predict without DICOM results, or mend the scan"
    )]
    Source {
        /// The patient's name, as the hospital has it.
        patient: String,
        /// The cause, in words or as the library gives it.
        source: SourceError,
    },
}

impl ResultsError {
    pub(crate) fn encode(what: &'static str) -> impl FnOnce(Box<dyn std::error::Error>) -> Self {
        move |error| Self::Encode {
            what,
            reason: error.to_string(),
        }
    }
}
