//! What a model said of patients: plain data, checked ([`Predictions::check`]) before anything is written.

use model_data::{Contrast, IMAGE_SIDE, ScanError, ScanFiles, ScanSource, SliceGrid};

/// Pixels of one slice.
pub const SLICE_PIXELS: usize = IMAGE_SIDE * IMAGE_SIDE;
/// Longest name of a patient, in bytes.
pub const MAX_PATIENT_BYTES: usize = 256;
/// Most classes.
pub const MAX_CLASSES: usize = 64;
/// Longest name of a class, in characters: what DICOM leaves for it in the meaning of a code.
pub const MAX_CLASS_CHARS: usize = 40;
/// Most flags of a patient.
pub const MAX_FLAGS: usize = 64;
/// Longest other text, in bytes.
pub const MAX_TEXT_BYTES: usize = 1024;
/// Most axial planes of a scan.
pub const MAX_PLANES: usize = 1 << 16;
/// Most scans of a patient.
pub const MAX_SCANS: usize = 64;

/// What one model said of some patients.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    /// The model.
    pub model: PredictedBy,
    /// Names of the classes, in their order.
    pub classes: Vec<String>,
    /// Each with a name of its own.
    pub patients: Vec<PatientPrediction>,
    /// Name and version of the program: "myelin 0.1.0".
    pub made_by: String,
    /// When: ISO 8601 with its distance from UTC, such as "2026-12-01T12:00:00Z".
    pub date: String,
}

/// Which model predicted, and how.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct PredictedBy {
    /// SHA-256 of the model, as 64 lower-case hexadecimal digits.
    pub model_hash: String,
    /// The run that it comes from, where that is known.
    pub run: Option<String>,
    /// The round after which it was taken.
    pub learning_round: u32,
    /// Whether the transcript of the run has this model.
    pub in_transcript: bool,
    /// How clinical features entered, in words.
    pub conditioning: String,
}

/// What was said of one patient.
#[derive(Clone, Debug, PartialEq)]
pub struct PatientPrediction {
    /// The name by which the hospital knows the patient.
    pub patient: String,
    /// The predicted class, an index of [`Predictions::classes`].
    pub class: usize,
    /// Of each class: the mean over the slices.
    pub probabilities: Vec<f32>,
    /// Of the predicted class's probability over the slices, the 2.5% percentile.
    pub low: f32,
    /// As `low`, the 97.5% percentile.
    pub high: f32,
    /// What to know before this is relied on, in plain sentences.
    pub flags: Vec<String>,
    /// What was said of each slice.
    pub slices: Vec<SlicePrediction>,
    /// The scans that the slices are of.
    pub scans: Vec<ScanOrigin>,
}

/// What was said of one slice.
#[derive(Clone, Debug, PartialEq)]
pub struct SlicePrediction {
    /// An index of [`PatientPrediction::scans`].
    pub scan: usize,
    /// Its place in the scan's axial stack, from the feet up, from 0.
    pub index: u32,
    /// Of each class.
    pub probabilities: Vec<f32>,
    /// The slice and what the model looked at, where that was asked for.
    pub picture: Option<SlicePicture>,
}

/// A slice, and what in it spoke for the predicted class. Row by row, 128 x 128: row 0 is the front of the head, column 0 the
/// patient's right.
#[derive(Clone, PartialEq)]
pub struct SlicePicture {
    /// Grey values.
    pub pixels: Vec<u8>,
    /// Grad-CAM, from 0 to 1.
    pub heat: Vec<f32>,
}

/// Sizes only: pixels are a patient's.
impl std::fmt::Debug for SlicePicture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SlicePicture")
            .field("pixels", &self.pixels.len())
            .finish_non_exhaustive()
    }
}

/// A scan that slices were cut from.
#[derive(Clone, Debug, PartialEq)]
pub struct ScanOrigin {
    /// What kind of image.
    pub contrast: Contrast,
    /// Its files. What comes out as DICOM is made of scans that came in as DICOM.
    pub files: ScanFiles,
    /// Where its slices lie in the world; without it there is no heat map of the scan as a volume.
    pub grid: Option<SliceGrid>,
}

impl ScanOrigin {
    /// A scan as an inventory lists it; its grid is read from the headers of its files.
    ///
    /// # Errors
    /// Whatever keeps the files from being a volume, as far as headers say.
    pub fn of(source: &ScanSource) -> Result<Self, ScanError> {
        Ok(Self {
            contrast: source.contrast,
            grid: Some(SliceGrid::read(&source.files)?),
            files: source.files.clone(),
        })
    }

    /// Its files, where they are DICOM.
    pub(crate) fn dicom(&self) -> Option<&[std::path::PathBuf]> {
        match &self.files {
            ScanFiles::Dicom(paths) => Some(paths),
            ScanFiles::Nifti(_) => None,
        }
    }
}

impl PatientPrediction {
    /// Of each scan its contrast, and a number from the second of one contrast on: `flair`, `flair-2`.
    pub(crate) fn scan_names(&self) -> Vec<String> {
        let name = |(place, scan): (usize, &ScanOrigin)| {
            let alike = |other: &&ScanOrigin| other.contrast == scan.contrast;
            let contrast = scan.contrast.name();
            match self.scans[..place].iter().filter(alike).count() {
                0 => contrast.to_owned(),
                before => format!("{contrast}-{}", before + 1),
            }
        };
        self.scans.iter().enumerate().map(name).collect()
    }

    /// The slices of a scan that have a picture.
    pub(crate) fn pictures(&self, scan: usize) -> impl Iterator<Item = (u32, &SlicePicture)> {
        let of_scan = self.slices.iter().filter(move |slice| slice.scan == scan);
        of_scan.filter_map(|slice| Some((slice.index, slice.picture.as_ref()?)))
    }
}
