//! Reasons in this program's own words.
//!
//! The reasons of a check may name files, patients and series. On a page that names none, a reason is looked for in these lists and told
//! in the words beside it; one that is not found is told as another reason. So no word of a file or of a table can slip through.

/// A reason, and what a person can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Why.
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

const COPY_AGAIN: &str = "Copy it again from where it came from.";
const CONVERT_AGAIN: &str = "Convert it again from what the scanner gave.";
const EXPORT_AGAIN: &str = "Export the series again from the archive.";
const TO_NIFTI: &str = "Convert it to a single .nii.gz file.";

/// The first that fits is taken.
const FILES: &[(&str, Known)] = &[
    known(
        "a link that leads nowhere",
        "The file is a link that leads nowhere.",
        "Fetch the file (datalad get, git annex get), or copy it here.",
    ),
    known(
        "a pointer to it",
        "The file was not fetched: there is only a pointer to it.",
        "Fetch it (datalad get, git annex get, git lfs pull).",
    ),
    known("empty (0 bytes)", "The file is empty.", COPY_AGAIN),
    known(
        "there is no such file",
        "The manifest names a file that is not there.",
        "Correct the path in the manifest, or put the file there.",
    ),
    known(
        "damaged on its way",
        "The packed file is damaged.",
        COPY_AGAIN,
    ),
    known(
        "holds files of two patients",
        "The folder holds files of two patients.",
        "Part them into a folder for each patient.",
    ),
    known(
        "holds examinations of several dates",
        "The folder holds examinations of several dates, and which belongs to the EDSS is not known.",
        "Leave one, or name one by its SeriesInstanceUID in a column such as 'FLAIR series' of the table.",
    ),
    known(
        "no series is called",
        "No series is called by the name of the contrast.",
        "Name the series in a column such as 'FLAIR series' of the table.",
    ),
    known(
        "several series could be",
        "Several series could be meant.",
        "Name one in a column such as 'FLAIR series' of the table.",
    ),
    known(
        "is incomplete:",
        "A file of the series cannot be read, so the series is incomplete.",
        EXPORT_AGAIN,
    ),
    known(
        "holds the pair",
        "The scan is a pair of files, .hdr and .img.",
        TO_NIFTI,
    ),
    known(
        ".hdr and .img pair",
        "The scan is a pair of files, .hdr and .img.",
        TO_NIFTI,
    ),
    known(
        "a format that is not read here",
        "The scan has a format that is not read.",
        TO_NIFTI,
    ),
    known(
        "has no scan of the name that is looked for",
        "The scans of the patient have other names than those that are looked for.",
        "Call them ID-Flair.nii.gz, ID-T1.nii.gz, ID-T2.nii.gz, or write a manifest.csv.",
    ),
    known("not a NIfTI-1 file", "It is no NIfTI-1 file.", TO_NIFTI),
    known(
        "where a single 3D volume is needed",
        "The file holds several volumes, or a single plane.",
        "Leave the one volume that is meant.",
    ),
    known(
        "than any scan has",
        "The header tells of more voxels than any scan has: it is damaged.",
        COPY_AGAIN,
    ),
    known(
        "is not a real number",
        "The voxels are of a kind that is not read (complex numbers, or colours).",
        "Convert them to real numbers.",
    ),
    known(
        "header field",
        "A field of the NIfTI header is out of range.",
        CONVERT_AGAIN,
    ),
    known(
        "neither its sform nor its qform",
        "The file does not say how it lies in the patient.",
        "Set its sform or its qform, for example with nibabel.",
    ),
    known(
        "no volume has the dimensions",
        "The header tells of sizes that no scan has.",
        COPY_AGAIN,
    ),
    known(
        "voxels, ",
        "The sizes in the header do not fit the number of voxels.",
        COPY_AGAIN,
    ),
    known(
        "voxel spacing",
        "The distance of the voxels is one that no scan has.",
        CONVERT_AGAIN,
    ),
    known(
        "are not finite numbers",
        "Some voxels are infinite or not a number.",
        "Replace them, for example by 0, or convert it again from what the scanner gave.",
    ),
    known(
        "no axial plane shows any tissue",
        "The scan shows nothing: all of it is background.",
        "Look at it; put the right scan there.",
    ),
    known(
        "lie at the same place",
        "Two images of a series lie at the same place: several echoes or times, or copies.",
        "Leave one image for each place, or name another series in the table.",
    ),
    known(
        "slices are missing between",
        "Slices are missing from the series.",
        EXPORT_AGAIN,
    ),
    known(
        "slices are not equally spaced",
        "The slices of the series are not equally spaced.",
        "Export the series again, or name another one in the table.",
    ),
    known(
        "shifted sideways",
        "The slices are shifted sideways (a tilted gantry).",
        "Name another series in the table.",
    ),
    known(
        "has another",
        "The files of the series differ in what must be equal.",
        "Leave the files of one series.",
    ),
    known(
        "a series without files",
        "The series has no files.",
        EXPORT_AGAIN,
    ),
    known(
        "encoded as",
        "The pixels are compressed in a way that is not read.",
        "Convert it to explicit VR little endian, for example with gdcmconv --raw.",
    ),
    known(
        "Siemens mosaic",
        "It is a Siemens mosaic: many slices side by side in one image.",
        "Convert the series with dcm2niix, or export it without mosaic.",
    ),
    known(
        "compressed pixels are damaged",
        "The compressed pixels are damaged.",
        EXPORT_AGAIN,
    ),
    known("not a DICOM file", "It is no DICOM file.", EXPORT_AGAIN),
    known(
        "meta information is damaged",
        "The DICOM file is damaged.",
        EXPORT_AGAIN,
    ),
    known(
        "data set is damaged",
        "The DICOM file is damaged.",
        EXPORT_AGAIN,
    ),
    known(
        "holds no image",
        "The DICOM file holds no image.",
        EXPORT_AGAIN,
    ),
    known(
        "truncated",
        "The file is shorter than its header says.",
        COPY_AGAIN,
    ),
    known(
        "cannot be read",
        "The file cannot be opened.",
        "See that this account may read it, and that its drive is there.",
    ),
    known(
        " is missing",
        "An attribute that is needed is missing from the DICOM file.",
        EXPORT_AGAIN,
    ),
    known(
        "is out of range",
        "An attribute of the DICOM file is out of range.",
        EXPORT_AGAIN,
    ),
    known(
        "which is not read",
        "It is a kind of image that is not read.",
        "Convert the series with dcm2niix, or name another one in the table.",
    ),
];

const ROWS: &[(&str, Known)] = &[
    known(
        "no ID",
        "The row has no ID.",
        "Write the ID of the patient, or delete the row.",
    ),
    known(
        "letters of its ID are lost",
        "Letters of the ID are lost.",
        "Save the table as CSV UTF-8.",
    ),
    known(
        "its EDSS is missing",
        "The EDSS is missing, or is not a half point from 0 to 10.",
        "Write the EDSS at the time of the images.",
    ),
    known(
        "more cells than the header",
        "The row has more cells than the header: a number with a comma, or a text without quotes?",
        "Part the cells with semicolons, or write numbers with a point.",
    ),
    known(
        "another EDSS",
        "The ID has several rows, and their EDSS differs.",
        "Leave the row that is right.",
    ),
    known(
        "differs from that of the patient's first row",
        "The EDSS differs from that of the patient's first row.",
        "Leave the row that is right.",
    ),
    known(
        "another spelling",
        "The ID is another spelling of one that occurred before.",
        "Leave one of the rows.",
    ),
    known(
        "with an image of this contrast",
        "The ID occurred before, with an image of this contrast.",
        "Leave one of the rows.",
    ),
    known(
        "occurred before",
        "The ID occurred before.",
        "Leave one of the rows.",
    ),
    known(
        "its contrast is not",
        "The contrast is not FLAIR, T1 or T2.",
        "Write one of these.",
    ),
    known(
        "two images of one contrast",
        "The row names two images of one contrast.",
        "Leave one of them.",
    ),
];

const NOTHING_TO_DO: &str = "Nothing, if that is right.";
const NAME_IT: &str = "A column such as 'FLAIR series' of the table can name one.";

const NOTES: &[(&str, Known)] = &[
    known(
        "the table has no column",
        "A column of features is missing from the table: the mean is used.",
        "Add the column, if there is such data; the table of features above says which.",
    ),
    known(
        "onset after age",
        "The age at onset is after the age: the duration is taken as 0.",
        "Correct the row.",
    ),
    known(
        "lies outside of",
        "A value lies outside of its range: the nearer end is taken.",
        "Correct the row, or the range of the column.",
    ),
    known(
        "the others are not used",
        "There are several images of one contrast: the first is used.",
        "Leave the one that is meant, or write a manifest.csv.",
    ),
    known(
        "not DICOM, skipped",
        "Files that are not DICOM are passed over.",
        NOTHING_TO_DO,
    ),
    known(
        "no image, skipped",
        "DICOM files without an image are passed over.",
        NOTHING_TO_DO,
    ),
    known(
        "a copy of another, skipped",
        "Copies of other files are passed over.",
        NOTHING_TO_DO,
    ),
    known(
        "copies of others, skipped",
        "Copies of other files are passed over.",
        NOTHING_TO_DO,
    ),
    known(
        "SOPInstanceUID",
        "Different images have one SOPInstanceUID, which is not relied on.",
        NOTHING_TO_DO,
    ),
    known(
        "no series is called",
        "A patient has no series that is called by the name of a contrast.",
        NAME_IT,
    ),
    known(
        " is used as ",
        "Of several series that could be meant, one is used.",
        NAME_IT,
    ),
    known(
        ": no ",
        "A patient lacks a contrast.",
        "Add the scan, if there is one.",
    ),
];

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
        assert!(
            of_file("a.dcm: PixelSpacing is missing")
                .why
                .contains("attribute")
        );
    }
}
