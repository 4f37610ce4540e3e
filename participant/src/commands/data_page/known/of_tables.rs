//! Why rows of a table are left out, and what else is said of a folder.

use super::{Known, known};

/// Of rows that are left out.
pub const ROWS: &[(&str, Known)] = &[
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

/// Of remarks that leave nothing out.
pub const NOTES: &[(&str, Known)] = &[
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

const NOTHING_TO_DO: &str = "Nothing, if that is right.";
const NAME_IT: &str = "A column such as 'FLAIR series' of the table can name one.";
