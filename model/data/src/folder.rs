//! What lies in a data folder, by name.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use protocol::training_job::FilePath;
use unicode_normalization::UnicodeNormalization as _;

use super::DataError;

/// Entries of a folder with their names, sorted: the order of a folder is the disk's. What is hidden is left out. Names are
/// [`composed`]; the paths are as they are.
///
/// # Errors
/// The folder cannot be read, or holds a name that a trainer cannot be told of, or one name twice.
pub(super) fn entries(folder: &Path) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut entries = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !FilePath::can_be_sent(&entry.path()) {
            let reason = format!("the name {name:?} is not Unicode: rename it");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        if !name.starts_with('.') {
            let before = entries.insert(composed(&name), entry.path());
            if before.is_some() {
                let reason = format!("two entries are called {name:?}, in other bytes: rename one");
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
        }
    }
    Ok(entries)
}

/// A name as it is compared: composed (NFC). A Mac writes names of files decomposed.
pub(super) fn composed(name: &str) -> String {
    name.nfc().collect()
}

/// As [`entries`], for a folder that must be there.
pub(super) fn root_entries(root: &Path) -> Result<BTreeMap<String, PathBuf>, DataError> {
    entries(root).map_err(|error| DataError::Folder {
        path: root.to_owned(),
        reason: error.to_string(),
    })
}

/// Whether a name is that of a NIfTI file.
pub(super) fn is_nifti(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with(".nii") || name.ends_with(".nii.gz")
}

/// Whether a name is that of a table.
pub(super) fn is_table(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // "~$.." is what a spreadsheet program leaves beside a file that is open.
    [".xlsx", ".csv", ".tsv"]
        .iter()
        .any(|end| name.ends_with(end))
        && !name.starts_with("~$")
}

/// The clinical table beside the folders of the patients: `clinical.*`, else the one called "patient info",
/// as in MS60, else the only one.
pub(super) fn find_table(
    root: &Path,
    entries: &BTreeMap<String, PathBuf>,
) -> Result<PathBuf, DataError> {
    let tables: Vec<_> = entries.iter().filter(|(name, _)| is_table(name)).collect();
    let first = |named: fn(&str) -> bool| {
        let mut tables = tables.iter();
        tables.find(|(name, _)| named(&name.to_ascii_lowercase()))
    };
    let chosen = first(|name| name.starts_with("clinical."))
        .or_else(|| first(|name| name.contains("patient info") || name.contains("patient_info")));
    let path = root.to_owned();
    match (chosen, tables.as_slice()) {
        (Some((_, table)), _) | (None, [(_, table)]) => Ok((*table).clone()),
        (None, []) => Err(DataError::NoTable { path }),
        (None, several) => Err(DataError::SeveralTables {
            path,
            count: several.len(),
        }),
    }
}

/// The ID in the name of a patient's folder: what follows "Patient-", if it starts so.
pub(super) fn patient_id(name: &str) -> Option<&str> {
    let (prefix, id) = name.split_once('-')?;
    prefix.eq_ignore_ascii_case("patient").then(|| id.trim())
}
