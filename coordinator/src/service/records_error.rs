//! Why the records of a run cannot be kept.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::store::StoreError;

/// Why the records of a run cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// A file or folder.
    #[error("cannot write {}; check that the state folder (setting `state`) is writable and its disk is not full", path.display())]
    File {
        /// The file or folder that cannot be written.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Another process has the folder.
    #[error("another coordinator is running on the state folder {}; stop it, or give this one another folder with the setting `state` or with --state", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The file system has no locks.
    #[error("cannot lock {}; the state folder (setting `state`) must be on a disk of this machine", path.display())]
    Lock {
        /// The lock's file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The database, or a file that it refers to, cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RecordsError {
    /// For `map_err`.
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}
