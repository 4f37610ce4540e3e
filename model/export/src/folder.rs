//! The folder that an export goes into: each file whole or not there, and a list of what was written.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use model_data::whole_file::write_whole;

/// Where files go, by names below one folder.
pub struct OutputFolder {
    root: PathBuf,
    written: Vec<PathBuf>,
}

impl OutputFolder {
    /// It is made with the first file.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            written: Vec::new(),
        }
    }

    /// Writes a file; `name` is a path of this crate, with `/` between folders.
    ///
    /// # Errors
    /// What the system says, with the path.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), WriteError> {
        let path = self.root.join(name);
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        made.and_then(|()| write_whole(&path, bytes))
            .map_err(|source| WriteError {
                path: path.clone(),
                source,
            })?;
        self.written.push(path);
        Ok(())
    }

    /// Paths of all files, in the order in which they were written.
    pub fn into_written(self) -> Vec<PathBuf> {
        self.written
    }
}

/// A file cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", path.display())]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}
