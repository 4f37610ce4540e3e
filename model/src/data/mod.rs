//! Scans and clinical rows in, normalised slices and labelled patients out.

mod features;
mod labels;
mod patient;
mod slices;
mod split;
mod volume;

pub use features::{FEATURES, Feature, FeatureScaling, impute_and_scale};
pub use labels::{Cuts, Task};
pub use patient::{Edss, Patient};
pub use slices::{IMAGE_SIDE, Slice, SliceChoice, SliceError, axial_slices};
pub use split::{Sample, Split, SplitError, SplitKind, split};
pub use volume::{Volume, VolumeError};
