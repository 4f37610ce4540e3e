//! What the files of a DICOM scan say of the patient and the study.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use model_data::{DicomFileError, read_dicom_values};

/// The patient and the study (PS3.3, C.7.1.1, C.7.2.1, C.7.2.2), as far as results take them over.
pub(super) const TAKEN_OVER: [(Tag, VR); 19] = [
    (tags::STUDY_DATE, VR::DA),
    (tags::STUDY_TIME, VR::TM),
    (tags::ACCESSION_NUMBER, VR::SH),
    (tags::REFERRING_PHYSICIAN_NAME, VR::PN),
    (tags::TIMEZONE_OFFSET_FROM_UTC, VR::SH),
    (tags::STUDY_DESCRIPTION, VR::LO),
    (tags::PATIENT_NAME, VR::PN),
    (tags::PATIENT_ID, VR::LO),
    (tags::ISSUER_OF_PATIENT_ID, VR::LO),
    (tags::PATIENT_BIRTH_DATE, VR::DA),
    (tags::PATIENT_SEX, VR::CS),
    (tags::PATIENT_AGE, VR::AS),
    (tags::PATIENT_SIZE, VR::DS),
    (tags::PATIENT_WEIGHT, VR::DS),
    (tags::PATIENT_IDENTITY_REMOVED, VR::CS),
    (tags::DEIDENTIFICATION_METHOD, VR::LO),
    (tags::STUDY_INSTANCE_UID, VR::UI),
    (tags::STUDY_ID, VR::SH),
    (tags::SPECIFIC_CHARACTER_SET, VR::CS),
];
/// How a picture has been compressed before.
pub(super) const LOSSY: [(Tag, VR); 3] = [
    (tags::LOSSY_IMAGE_COMPRESSION, VR::CS),
    (tags::LOSSY_IMAGE_COMPRESSION_RATIO, VR::DS),
    (tags::LOSSY_IMAGE_COMPRESSION_METHOD, VR::CS),
];
/// Read besides.
const IDENTIFIERS: [Tag; 3] = [
    tags::SOP_CLASS_UID,
    tags::SOP_INSTANCE_UID,
    tags::SERIES_INSTANCE_UID,
];
/// Begins what switches the character set within a text (ISO 2022).
const ESCAPE: u8 = 0x1b;

/// A scan that came in as DICOM, and what its files say.
pub(super) struct Scan {
    /// Its place among the scans of the patient.
    pub place: usize,
    pub source: Source,
}

/// One scan's files.
pub(super) struct Source {
    /// Values of [`TAKEN_OVER`] and [`LOSSY`] that the first file has, without padding.
    pub values: BTreeMap<Tag, Vec<u8>>,
    pub study: String,
    pub series: String,
    /// In the order of the files.
    pub images: Vec<SourceImage>,
    path: PathBuf,
}

/// A file of a scan.
pub(super) struct SourceImage {
    pub class: String,
    pub instance: String,
}

/// Why DICOM files give no patient and study.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A scan of no files.
    #[error("a scan has no files")]
    Empty,
    /// A file that cannot be read, any more.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The cause, in words or as the library gives it.
        source: DicomFileError,
    },
    /// What every DICOM object has.
    #[error("{} has no usable {attribute}", path.display())]
    Missing {
        /// Which file.
        path: PathBuf,
        /// Keyword in PS3.6.
        attribute: &'static str,
    },
    /// Files that are not of one patient, study or series.
    #[error("{} and {} have different values of {attribute}, and should be of one patient", path.display(), other.display())]
    Differs {
        /// One file.
        path: PathBuf,
        /// Another.
        other: PathBuf,
        /// Keyword in PS3.6.
        attribute: &'static str,
    },
}

impl Source {
    /// Reads the headers of all files.
    pub(super) fn read(files: &[PathBuf]) -> Result<Self, SourceError> {
        let taken = TAKEN_OVER.iter().chain(&LOSSY);
        let mut wanted: Vec<Tag> = taken.map(|(tag, _)| *tag).collect();
        wanted.extend(IDENTIFIERS);
        let mut found: Option<Self> = None;
        for path in files {
            let values = read_dicom_values(path, &wanted).map_err(|source| SourceError::File {
                path: path.clone(),
                source,
            })?;
            let values: BTreeMap<Tag, Vec<u8>> = values
                .into_iter()
                .map(|(tag, value)| (tag, trimmed(value)))
                .collect();
            let uid = |tag, attribute| uid(&values, path, tag, attribute);
            let image = SourceImage {
                class: uid(tags::SOP_CLASS_UID, "SOPClassUID")?,
                instance: uid(tags::SOP_INSTANCE_UID, "SOPInstanceUID")?,
            };
            let file = Self {
                study: uid(tags::STUDY_INSTANCE_UID, "StudyInstanceUID")?,
                series: uid(tags::SERIES_INSTANCE_UID, "SeriesInstanceUID")?,
                values,
                images: vec![image],
                path: path.clone(),
            };
            match &mut found {
                None => found = Some(file),
                Some(first) => {
                    first.same_patient(&file)?;
                    first.same(&file, first.study == file.study, "StudyInstanceUID")?;
                    first.same(&file, first.series == file.series, "SeriesInstanceUID")?;
                    first.images.extend(file.images);
                }
            }
        }
        found.ok_or(SourceError::Empty)
    }

    /// Whether both are of one patient, by the ID that the files have.
    pub(super) fn same_patient(&self, other: &Self) -> Result<(), SourceError> {
        let id = |source: &Self| {
            source
                .values
                .get(&tags::PATIENT_ID)
                .cloned()
                .unwrap_or_default()
        };
        self.same(other, id(self) == id(other), "PatientID")
    }

    fn same(&self, other: &Self, same: bool, attribute: &'static str) -> Result<(), SourceError> {
        if same {
            return Ok(());
        }
        Err(SourceError::Differs {
            path: self.path.clone(),
            other: other.path.clone(),
            attribute,
        })
    }

    /// Whether objects with these values can hold any text. Where they are of ASCII, or in Unicode already, they can be in Unicode;
    /// otherwise the character set of the source stays, and a text of ours has a question mark for what is not ASCII.
    pub(super) fn takes_unicode(&self) -> bool {
        let charset = self.values.get(&tags::SPECIFIC_CHARACTER_SET);
        let ascii = |value: &Vec<u8>| value.iter().all(|byte| byte.is_ascii() && *byte != ESCAPE);
        charset.is_some_and(|charset| charset == b"ISO_IR 192") || self.values.values().all(ascii)
    }
}

fn uid(
    values: &BTreeMap<Tag, Vec<u8>>,
    path: &Path,
    tag: Tag,
    attribute: &'static str,
) -> Result<String, SourceError> {
    let legal = |uid: &String| {
        (1..=64).contains(&uid.len()) && uid.chars().all(|c| c.is_ascii_digit() || c == '.')
    };
    let text = values
        .get(&tag)
        .and_then(|value| String::from_utf8(value.clone()).ok());
    text.filter(legal).ok_or_else(|| SourceError::Missing {
        path: path.to_owned(),
        attribute,
    })
}

/// Without the padding at its end.
fn trimmed(mut value: Vec<u8>) -> Vec<u8> {
    let kept = value.iter().rposition(|byte| !matches!(byte, 0 | b' '));
    value.truncate(kept.map_or(0, |last| last + 1));
    value
}
