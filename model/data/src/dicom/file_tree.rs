//! The files below a patient's folder, and which of them are DICOM.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use super::preface::{Beginning, PREAMBLE};
use crate::folder::entries;

/// The files below a folder.
#[derive(Default)]
pub(super) struct Tree {
    pub files: Vec<PathBuf>,
    /// Folders that were reached by a link.
    pub linked: Vec<PathBuf>,
    /// Folders that have been entered: links may lead in a circle.
    entered: BTreeSet<PathBuf>,
}

impl Tree {
    /// Every file below a folder, in the order of names, and links that lead nowhere.
    pub(super) fn of(folder: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        tree.collect(folder, DEEPEST)?;
        Ok(tree)
    }

    fn collect(&mut self, folder: &Path, levels: usize) -> io::Result<()> {
        let place = fs::canonicalize(folder)?;
        if !self.entered.insert(place) {
            return Ok(());
        }
        for path in entries(folder)?.into_values() {
            if path.is_dir() {
                if path.is_symlink() {
                    self.linked.push(fs::canonicalize(&path)?);
                }
                if levels > 0 {
                    self.collect(&path, levels - 1)?;
                }
            } else if path.is_file() || path.is_symlink() {
                if self.files.len() == MAX_FILES {
                    return Err(io::Error::other("holds more files than a patient has"));
                }
                self.files.push(path);
            }
        }
        Ok(())
    }
}

/// Whether a file begins as DICOM files do, with or without their preamble.
pub(crate) fn is_dicom(path: &Path) -> bool {
    use io::Read;
    let mut start = vec![];
    let file = fs::File::open(path).and_then(|file| {
        let mut file = file.take(PREAMBLE as u64);
        file.read_to_end(&mut start)
    });
    file.is_ok() && Beginning::of(&start).is_some()
}

/// Whether a folder, or one below it, has a DICOM file among its first few.
pub(crate) fn holds_dicom(folder: &Path) -> bool {
    const PROBED: usize = 16;
    fn probe(folder: &Path, levels: usize, left: &mut usize) -> bool {
        let Ok(found) = entries(folder) else {
            return false;
        };
        found.into_values().any(|path| {
            if *left == 0 {
                return false;
            }
            match fs::metadata(&path) {
                Ok(kind) if kind.is_dir() => levels > 0 && probe(&path, levels - 1, left),
                Ok(_) => {
                    *left -= 1;
                    is_dicom(&path)
                }
                Err(_) => false,
            }
        })
    }
    let mut left = PROBED;
    probe(folder, DEEPEST, &mut left)
}

/// Folders within folders; deeper ones are not a patient's.
const DEEPEST: usize = 8;
/// Files of one patient.
const MAX_FILES: usize = 1 << 17;
