//! Makes folders in MS60 layout.

use std::{fs, path::Path};

use tempfile::TempDir;

use crate::files::{Header, head, workbook};

/// Its name in the data set.
pub const TABLE: &str = "Supplementary Table 1 for patient info .xlsx";
/// As in the original, its typing errors included.
const COLUMNS: [&str; 9] = [
    "ID",
    "Gender",
    "Age",
    "Age of onset",
    "EDSS",
    "Does the time difference between MRI acquisition and EDSS < two months",
    "Types of Medicines",
    "Presenting Symptom",
    " Dose the patient has Co-moroidity",
];
/// Of [`scan`].
pub const DIMS: [i16; 3] = [12, 12, 8];

/// Cells of a row, with bars between.
pub fn row(cells: &str) -> Vec<String> {
    cells.split('|').map(str::to_owned).collect()
}

/// A folder with a table of these rows under a title and the usual header.
pub fn folder(rows: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut sheet = vec![row("Supplementary Table 1"), row(&COLUMNS.join("|"))];
    sheet.extend(rows.iter().map(|cells| row(cells)));
    fs::write(folder.path().join(TABLE), workbook(&sheet)).expect("writes");
    folder
}

/// Writes a file of a patient.
pub fn put(root: &Path, patient: &str, file: &str, bytes: &[u8]) {
    let folder = root.join(format!("Patient-{patient}"));
    fs::create_dir_all(&folder).expect("creates");
    fs::write(folder.join(file), bytes).expect("writes");
}

/// A file that can be used; six of its planes show tissue.
pub fn scan() -> Vec<u8> {
    Header::float32(DIMS).file(&head(DIMS))
}
