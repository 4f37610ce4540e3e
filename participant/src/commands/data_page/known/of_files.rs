//! Why scans are left out.

use super::{Known, known};

/// The first that fits is taken.
pub const FILES: &[(&str, Known)] = &[
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
        "finite number",
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
        "missing between",
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

const COPY_AGAIN: &str = "Copy it again from where it came from.";
const CONVERT_AGAIN: &str = "Convert it again from what the scanner gave.";
const EXPORT_AGAIN: &str = "Export the series again from the archive.";
const TO_NIFTI: &str = "Convert it to a single .nii.gz file.";
