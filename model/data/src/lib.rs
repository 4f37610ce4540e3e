//! Scans and clinical rows in, normalised slices and labelled patients out; and a model as a file
//! ([`weights`]) with its card ([`card`]). No libtorch.

mod absent;
mod bids;
mod cache;
pub mod card;
mod cell_words;
mod check;
mod clinical_table;
mod cohort;
mod contrast;
mod dicom;
mod dicom_folders;
mod features;
mod folder;
mod gzip;
mod inventory;
mod layout;
mod load;
mod manifest;
mod memory;
mod ms60;
mod near_ids;
mod nifti_frame;
mod orientation;
mod patient;
mod scan;
mod scanner;
mod sheet;
mod shown_patients;
mod slice_grid;
mod slices;
pub mod small_numbers;
mod split;
mod table_header;
mod table_row;
mod text_table;
mod to_predict;
mod volume;
pub mod weights;
pub mod whole_file;

pub use absent::Absent;
pub use cache::make_cache_folder;
pub use check::{
    ClassCounts, ContrastCount, DataCheck, FeatureCount, GridCount, NonFinite, OBLIQUE_DEGREES,
    OrientationCounts, ScanName, ScannerCount,
};
pub use cohort::{
    BadFile, BadRow, CacheChoice, Cohort, DataError, Doubt, LoadOptions, LoadReport, Scores,
    TableSource,
};
pub use contrast::{Contrast, ContrastError};
pub use dicom::{FileError as DicomFileError, SeriesError, read_dicom, read_dicom_values};
pub use features::{FEATURES, Feature, FeatureRanges, FeatureScaling, impute_and_scale};
pub use inventory::{Entry, Inventory, ReadEntry, ScanFiles, ScanSource};
pub use layout::Layout;
pub use load::{LoadProgress, ReadOptions, Reading, load_cohort, read_scans};
pub use patient::Patient;
/// Words of the domain that are defined where all parties see them.
pub use protocol::{
    features::{FeatureError, FeatureKind, FeatureSchema, FeatureSpec},
    labels::{Cuts, Edss, EmptyClass, LabelScheme, Task},
    training_job::{SliceChoice, SplitKind},
};
pub use scan::{Placement, Scan, ScanError, read_nifti};
pub use scanner::scanner_of;
pub use shown_patients::{ShownPatient, ShownScan};
pub use slice_grid::SliceGrid;
pub use slices::standardise;
pub use slices::{IMAGE_SIDE, Slice, SliceError, axial_slices};
pub use split::{Sample, Split, SplitError, split, split_by_labels};
pub use to_predict::ToPredict;
pub use volume::{SPACINGS_MM, Volume, VolumeError};
