//! Reasons in this program's own words.
//!
//! The reasons of a check may name files, patients and series. On a page that names none, a reason is looked for in these lists and told
//! in the words beside it; one that is not found is told as another reason. So no word of a file or of a table can slip through.

mod of_files;
mod of_tables;

use self::{
    of_files::FILES,
    of_tables::{NOTES, ROWS},
};

/// A reason, and what a person can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Why something is left out or in doubt, as a sentence.
    pub why: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

/// Of a scan or a folder of scans that is left out.
pub fn of_file(reason: &str) -> Known {
    find(FILES, reason).unwrap_or(OTHER)
}

/// Of a row that is left out.
pub fn of_row(reason: &str) -> Known {
    find(ROWS, reason).unwrap_or(OTHER)
}

/// Of a remark that leaves nothing out.
pub fn of_note(note: &str) -> Known {
    find(NOTES, note).unwrap_or(OTHER)
}

/// Of what is on no list.
pub const OTHER: Known = Known {
    why: "Another reason.",
    remedy: "participant data check DIR --all tells it.",
};

fn find(list: &[(&str, Known)], text: &str) -> Option<Known> {
    let mut list = list.iter();
    let (_, known) = list.find(|(words, _)| text.contains(words))?;
    Some(*known)
}

const fn known(
    words: &'static str,
    why: &'static str,
    remedy: &'static str,
) -> (&'static str, Known) {
    (words, Known { why, remedy })
}

#[cfg(test)]
mod tests {
    use std::{io, path::PathBuf};

    use model_data::{DicomFileError, ScanError, SeriesError, SliceError, VolumeError};

    use super::*;

    /// Every reason of a scan that can be made from here.
    fn reasons() -> Vec<ScanError> {
        let path = || PathBuf::from("Patient-Rossi/rossi.dcm");
        let io = || io::Error::other("the drive is gone");
        let in_series = |source| SeriesError::File {
            path: path(),
            source,
        };
        let files = [
            DicomFileError::Io(io()),
            DicomFileError::NotDicom,
            DicomFileError::Meta,
            DicomFileError::Truncated,
            DicomFileError::Damaged,
            DicomFileError::TooLarge,
            DicomFileError::NoImage,
            DicomFileError::Missing { attribute: "Rows" },
            DicomFileError::Value { attribute: "Rows" },
        ];
        let series = [
            SeriesError::Empty,
            SeriesError::Differs {
                path: path(),
                first: path(),
                what: "size",
            },
            SeriesError::MissingSlices {
                count: 2,
                below: path(),
                above: path(),
            },
            SeriesError::TooLarge { voxels: 1 << 40 },
        ];
        let volumes = [
            VolumeError::Dimensions { dims: [0, 1, 1] },
            VolumeError::NonFinite { voxels: 3 },
        ];
        let mut reasons = vec![
            ScanError::Io(io()),
            ScanError::Gzip(io()),
            ScanError::NotNifti,
            ScanError::Pair,
            ScanError::TooLarge { voxels: 1 << 40 },
            ScanError::Truncated {
                expected: 2,
                found: 1,
            },
            ScanError::DataType { code: 32 },
            ScanError::Slices(SliceError::NoTissue),
        ];
        reasons.extend(files.map(|file| in_series(file).into()));
        reasons.extend(series.map(ScanError::Series));
        reasons.extend(volumes.map(ScanError::Volume));
        reasons
    }

    #[test]
    fn every_reason_of_a_scan_has_words_that_name_nobody() {
        for reason in reasons() {
            let known = of_file(&reason.to_string());
            assert_ne!(known, OTHER, "{reason}");
            assert!(!known.why.contains("ossi") && !known.remedy.is_empty());
        }
        assert_eq!(of_file("Rossi, Anna was out of the scanner"), OTHER);
    }

    #[test]
    fn a_missing_slice_is_not_a_missing_attribute() {
        let slices = of_file("3 slices are missing between a.dcm and b.dcm");
        assert!(slices.why.contains("Slices"));
        assert_eq!(
            of_file("1 slice is missing between a and b").why,
            slices.why
        );
        let voxels =
            [1, 2].map(|voxels| of_file(&VolumeError::NonFinite { voxels }.to_string()).why);
        assert!(
            voxels.iter().all(|why| why.contains("infinite")),
            "{voxels:?}"
        );
        assert!(
            of_file("a.dcm: PixelSpacing is missing")
                .why
                .contains("attribute")
        );
    }
}
