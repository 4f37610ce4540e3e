//! Files of a patient that give no image: foreign, without one, unusable, copies.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{FileError, Identity, series::same_image};
use crate::{Absent, BadFile};

/// Why a file gives no image.
pub(super) enum Unread {
    /// It is not DICOM.
    Foreign,
    /// It is a report, a directory, and the like.
    NoImage,
    /// In words.
    Bad(String),
}

pub(super) fn identity(path: &Path) -> Result<Identity, Unread> {
    if let Some(absent) = Absent::of(path) {
        let end = path.extension().map(|end| end.to_ascii_lowercase());
        let other = end.is_some_and(|end| NOT_IMAGES.iter().any(|other| end == *other));
        return Err(if other {
            Unread::Foreign
        } else {
            Unread::Bad(absent.to_string())
        });
    }
    Identity::read(path).map_err(|error| match error {
        FileError::NotDicom => Unread::Foreign,
        FileError::NoImage => Unread::NoImage,
        error => Unread::Bad(error.to_string()),
    })
}

/// Ends of names of files that may well be empty.
const NOT_IMAGES: [&str; 8] = ["txt", "log", "md", "json", "xml", "csv", "tsv", "lock"];

/// Files with the SOPInstanceUID of another one.
#[derive(Default)]
pub(super) struct Copies {
    first: BTreeMap<String, PathBuf>,
    skipped: Skipped,
    /// A file that is another image, although its UID says the same.
    different: Option<PathBuf>,
}

impl Copies {
    /// Whether the file is a copy of an earlier one: the UID alone does not say, as some anonymisers give one to all.
    pub(super) fn has(&mut self, uid: &str, path: &Path) -> bool {
        let Some(first) = self.first.get(uid) else {
            self.first.insert(uid.to_owned(), path.to_owned());
            return false;
        };
        let is_copy = same_image(first, path);
        if is_copy {
            self.skipped.add(path.to_owned());
        } else {
            self.different.get_or_insert(path.to_owned());
        }
        is_copy
    }

    pub(super) fn warnings(self, folder: &Path) -> Vec<String> {
        let skipped = self
            .skipped
            .warning(folder, ["is a copy of another", "are copies of others"]);
        let different = self.different.map(|first| {
            format!(
                "{}: different images have one SOPInstanceUID, which is not relied on (the first is {})",
                folder.display(),
                first.display()
            )
        });
        skipped.into_iter().chain(different).collect()
    }
}

/// Images that cannot be read, by their folder and the reason.
#[derive(Default)]
pub(super) struct Unusable(BTreeMap<(PathBuf, String), Vec<PathBuf>>);

impl Unusable {
    pub(super) fn add(&mut self, path: PathBuf, reason: String) {
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        self.0.entry((folder, reason)).or_default().push(path);
    }

    /// The first file of each folder and reason; how many there are is part of the reason.
    pub(super) fn groups(self) -> impl Iterator<Item = BadFile> {
        let groups = self.0.into_iter();
        groups.filter_map(|((_, reason), paths)| {
            let path = paths.first()?.clone();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let reason = match paths.len() {
                1 => reason,
                count => format!("{reason} ({count} files; the first is {name})"),
            };
            Some(BadFile { path, reason })
        })
    }
}

/// Files passed over, counted.
#[derive(Default)]
pub(super) struct Skipped {
    count: usize,
    first: Option<PathBuf>,
}

impl Skipped {
    pub(super) fn add(&mut self, path: PathBuf) {
        self.count += 1;
        self.first.get_or_insert(path);
    }

    /// `what` the files are: one, and several.
    pub(super) fn warning(self, folder: &Path, what: [&str; 2]) -> Option<String> {
        let (first, folder) = (self.first?, folder.display());
        let first = first.display();
        Some(match self.count {
            1 => format!("{folder}: 1 file {}, skipped ({first})", what[0]),
            count => format!(
                "{folder}: {count} files {}, skipped (the first is {first})",
                what[1]
            ),
        })
    }
}
