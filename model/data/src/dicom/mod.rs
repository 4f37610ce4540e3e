//! DICOM series of MR images as volumes.
//!
//! A series is one volume when its images lie one behind the other at equal distances. Their order is that of
//! their places in the patient (ImagePositionPatient along the normal of the planes): names of files and
//! InstanceNumber say nothing that can be relied on. Classic images, one a file, and enhanced
//! multi-frame objects are read alike.

mod compressed;
mod dataset;
mod file_tree;
mod folder;
mod geometry;
mod image;
mod jpeg_2000;
mod passed_over;
mod pixels;
mod preface;
mod series;
mod syntax;
mod unknown_sequences;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use dataset::Dataset;
use dicom_core::Tag;
pub(super) use file_tree::{holds_dicom, is_dicom};
pub(super) use folder::{NoSeries, Series};
use protocol::counted::counted;
use series::Identity;
pub use series::read_dicom;
pub(super) use series::{SeriesFrame, series_extent, series_frame};

/// Values of a DICOM file as they stand there, padding included: of those of `wanted` that the object itself has, before its pixels,
/// and that are no longer than 4096 bytes. In its own character set and byte order.
///
/// # Errors
/// Whatever keeps the file from being read.
pub fn read_dicom_values(path: &Path, wanted: &[Tag]) -> Result<BTreeMap<Tag, Vec<u8>>, FileError> {
    Dataset::read_values(path, wanted)
}

/// Why a DICOM file is not an image that can be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Not there, or not readable.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Something else.
    #[error("not a DICOM file")]
    NotDicom,
    /// The file meta information is missing or not as PS3.10 has it.
    #[error("its DICOM file meta information is damaged")]
    Meta,
    /// Shorter than its elements say.
    #[error("truncated")]
    Truncated,
    /// Elements that do not follow from one another.
    #[error("its data set is damaged")]
    Damaged,
    /// More pixels than any scan has.
    #[error("more pixels declared than any scan has: a corrupt header")]
    TooLarge,
    /// Pixels in an encoding that is not read.
    #[error(
        "encoded as {name}, which is not read; convert it to explicit VR little endian, for \
         example with 'gdcmconv --raw' or 'dcmconv'"
    )]
    Syntax {
        /// Name or UID of the transfer syntax.
        name: String,
    },
    /// A report, a directory, or anything else without an image.
    #[error("holds no image")]
    NoImage,
    /// An attribute that a volume cannot do without is not there.
    #[error("{attribute} is missing")]
    Missing {
        /// Keyword in PS3.6.
        attribute: &'static str,
    },
    /// An attribute that is there and means nothing.
    #[error("{attribute} is out of range")]
    Value {
        /// Keyword in PS3.6.
        attribute: &'static str,
    },
    /// Many slices in one image.
    #[error(
        "a Siemens mosaic (many slices side by side in one image), which is not read: convert the series with 'dcm2niix', or export \
         it without mosaic"
    )]
    Mosaic,
    /// Legal DICOM that is not read here.
    #[error("has {what}, which is not read")]
    Unsupported {
        /// What, in words.
        what: &'static str,
    },
    /// Compressed pixels that do not unpack to an image of the declared size.
    #[error("its compressed pixels are damaged: {reason}")]
    Compressed {
        /// Why, in words.
        reason: String,
    },
}

/// Why a series is not a volume.
#[derive(Debug, thiserror::Error)]
pub enum SeriesError {
    /// No file at all.
    #[error("a series without files")]
    Empty,
    /// One of its files cannot be used.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The reason, for people.
        source: FileError,
    },
    /// Files that are not images of one stack.
    #[error("{} has another {what} than {}", path.display(), first.display())]
    Differs {
        /// Which file.
        path: PathBuf,
        /// The file that it differs from.
        first: PathBuf,
        /// In what, in words.
        what: &'static str,
    },
    /// Two images at one place: several echoes, times or a copy.
    #[error(
        "{} and {} lie at the same place: several echoes or times in one series, or a copy",
        path.display(), other.display()
    )]
    SamePlace {
        /// One file.
        path: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// A gap as wide as several.
    #[error(
        "{} missing between {} and {}",
        counted(*count, ["slice is", "slices are"]),
        below.display(),
        above.display()
    )]
    MissingSlices {
        /// How many would fill the gap.
        count: usize,
        /// The file on one side.
        below: PathBuf,
        /// The file on the other.
        above: PathBuf,
    },
    /// Distances that differ.
    #[error(
        "slices are not equally spaced: {} and {} are {found_mm:.3} mm apart, most {usual_mm:.3} mm",
        below.display(), above.display()
    )]
    Spacing {
        /// The file on one side.
        below: PathBuf,
        /// The file on the other.
        above: PathBuf,
        /// Their distance.
        found_mm: f64,
        /// The median of all distances.
        usual_mm: f64,
    },
    /// Slices that do not lie straight behind one another.
    #[error("slices are shifted sideways between {} and {} (a tilted gantry)", below.display(), above.display())]
    Sheared {
        /// The file on one side.
        below: PathBuf,
        /// The file on the other.
        above: PathBuf,
    },
    /// More voxels than any scan has.
    #[error("{voxels} voxels in one series, more than any scan has")]
    TooLarge {
        /// How many.
        voxels: u64,
    },
}
