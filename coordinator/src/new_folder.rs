//! Writing a folder of keys and settings that was not there before.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use host::key_files::write_private;
use protocol::identity::SigningKey;
use zeroize::Zeroizing;

pub(crate) fn refuse_unless_empty(directory: &Path) -> Result<(), FolderError> {
    match fs::read_dir(directory) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(FolderError::NotEmpty {
                directory: directory.to_owned(),
            }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(FolderError::NotAFolder {
                directory: directory.to_owned(),
            })
        }
        Err(error) => Err(at(directory)(error)),
    }
}

pub(crate) fn make_folder(path: &Path) -> Result<(), FolderError> {
    fs::create_dir_all(path).map_err(at(path))
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), FolderError> {
    fs::write(path, bytes).map_err(at(path))
}

pub(crate) fn write_signing_key(path: &Path, key: &SigningKey) -> Result<(), FolderError> {
    let digits = Zeroizing::new(hex::encode(key.to_secret_bytes()));
    write_secret(path, digits.as_bytes())
}

pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), FolderError> {
    write_private(path, bytes).map_err(at(path))
}

pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    let path = path.to_owned();
    move |source| FolderError::Write { path, source }
}

/// Why the folders could not be written.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The folder exists and has files in it.
    #[error("the folder {} is not empty; give one that is empty or does not exist", directory.display())]
    NotEmpty {
        /// The folder asked for.
        directory: PathBuf,
    },
    /// The place is no folder.
    #[error("{} is not a folder; give one that is empty or does not exist", directory.display())]
    NotAFolder {
        /// The path asked for.
        directory: PathBuf,
    },
    /// The operating system refuses to write.
    #[error("cannot write {}", path.display())]
    Write {
        /// What was to be written.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}
