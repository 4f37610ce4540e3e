//! Folders and files of a log: new ones alone, for their owner alone.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::{LogError, at};

/// Makes a folder and those above it, unless they are there.
pub fn make_folder(path: &Path) -> Result<(), LogError> {
    builder().recursive(true).create(path).map_err(at(path))
}

/// Makes a folder that was not there: the first of these names that is free.
pub fn make_new_folder(
    parent: &Path,
    names: impl IntoIterator<Item = String>,
) -> Result<PathBuf, LogError> {
    make_folder(parent)?;
    for name in names {
        let path = parent.join(name);
        match builder().create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| path.clone()).map_err(at(&path)),
        }
    }
    Err(at(parent)(io::ErrorKind::AlreadyExists.into()))
}

/// Makes a file that was not there, for appending.
pub fn create(path: &Path) -> Result<File, LogError> {
    let mut options = OpenOptions::new();
    options.append(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(at(path))
}

/// Puts a file with this content in its place: whole or not there, whatever happens meanwhile. It is written as `unfinished` first.
pub fn put(path: &Path, unfinished: &Path, content: &[u8]) -> Result<File, LogError> {
    match std::fs::remove_file(unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(unfinished)(error)),
        _ => {}
    }
    let mut file = create(unfinished)?;
    file.write_all(content).map_err(at(unfinished))?;
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    std::fs::rename(unfinished, path).map_err(at(path))?;
    Ok(file)
}

fn builder() -> DirBuilder {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}
