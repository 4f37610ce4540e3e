//! Scans and clinical rows in, normalised slices and labelled patients out.

mod bids;
mod cache;
mod check;
mod clinical_table;
mod cohort;
mod contrast;
mod dicom;
mod dicom_folders;
mod feature_columns;
mod features;
mod folder;
mod inventory;
mod labels;
mod layout;
mod load;
mod manifest;
mod memory;
mod ms60;
mod nifti_frame;
mod orientation;
mod patient;
mod scan;
mod sheet;
mod slices;
mod split;
mod volume;

pub use check::{
    ClassCounts, ContrastCount, DataCheck, FeatureCount, GridCount, NonFinite, OBLIQUE_DEGREES,
    OrientationCounts, ScanName,
};
pub use cohort::{BadFile, BadRow, CacheChoice, Cohort, DataError, LoadOptions, LoadReport};
pub use contrast::{Contrast, ContrastError};
pub use dicom::{FileError as DicomFileError, SeriesError, read_dicom};
pub use feature_columns::{FeatureColumn, FeatureColumnError, FeatureColumns, FeatureRanges};
pub use features::{FEATURES, Feature, FeatureScaling, impute_and_scale};
pub use inventory::{Entry, Inventory, ScanFiles, ScanSource};
pub use labels::{Cuts, EmptyClass, LabelScheme, Task, UnknownLabelScheme};
pub use layout::Layout;
pub use load::{LoadProgress, load_cohort};
pub use patient::{Edss, Patient};
pub use scan::{Placement, Scan, ScanError, read_nifti};
pub use slices::standardise;
pub use slices::{IMAGE_SIDE, Slice, SliceChoice, SliceError, axial_slices};
pub use split::{Sample, Split, SplitError, SplitKind, split};
pub use volume::{SPACINGS_MM, Volume, VolumeError};
