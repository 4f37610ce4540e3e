//! What a model said of patients, as files: tables and JSON, pictures and heat maps, DICOM objects, derivatives of BIDS; and DICOM
//! objects sent to an archive. No libtorch, no clock, no patient of its own: everything comes in as [`Predictions`].
//!
//! ```text
//! Predictions --check--> write_results --> a folder, whole or not at all
//!                                            dicom/*.dcm --store--> an archive (C-STORE)
//! ```
//!
//! Every output says that it is not for diagnosis ([`NOTICE`]): a column of each table, a field of the JSON, a strip in each
//! picture, texts of the DICOM objects and of the NIfTI headers.

mod bids;
mod check;
mod dicom;
mod error;
mod heat_volume;
mod json;
mod notice;
mod picture;
mod predictions;
mod private_tree;
mod safe_name;
mod store;
mod tables;
#[cfg(test)]
mod testing;
mod write;

pub use check::PredictionsError;
pub use dicom::source::SourceError;
pub use error::ResultsError;
pub use model_data::{Contrast, ScanFiles, SliceGrid};
pub use notice::{NOTICE, NOTICE_IN_FULL};
pub use predictions::{
    MAX_CLASS_CHARS, MAX_CLASSES, MAX_FLAGS, MAX_PATIENT_BYTES, MAX_PLANES, MAX_SCANS,
    MAX_TEXT_BYTES, PatientPrediction, PredictedBy, Predictions, SLICE_PIXELS, ScanOrigin,
    SlicePicture, SlicePrediction,
};
pub use store::{
    AeTitle, AeTitleError, Archive, ArchiveError, Outcome, StoreError, StoreFault, Stored, store,
};
pub use write::{Outputs, Written, write_results};
