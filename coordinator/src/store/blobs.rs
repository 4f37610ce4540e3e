//! Files by name, in a folder of their own: what facts refer to and is too large for them.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crypto::hash::Digest;

use super::StoreError;

/// The folder. A file in it is whole or not there: it is written under another name, synced and renamed.
pub struct Blobs {
    folder: PathBuf,
}

impl Blobs {
    /// Opens the folder, or makes it.
    ///
    /// # Errors
    /// [`StoreError`], here and below, names the file or folder.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(folder).map_err(at(folder))?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// Keeps bytes under a name; they survive a loss of power from here on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn keep(&self, name: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path(name);
        let unfinished = path.with_extension("new");
        let write = || {
            let mut file = File::create(&unfinished)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            // The name is on disk only with its folder.
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(at(&path))
    }

    /// The bytes under a name.
    ///
    /// # Errors
    /// [`StoreError`], also when there are none.
    pub fn load(&self, name: &Digest) -> Result<Vec<u8>, StoreError> {
        let path = self.path(name);
        fs::read(&path).map_err(at(&path))
    }

    /// Lets go of a name; that it is not there is not an error.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn discard(&self, name: &Digest) -> Result<(), StoreError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&path)(error)),
            _ => Ok(()),
        }
    }

    fn path(&self, name: &Digest) -> PathBuf {
        self.folder.join(hex::encode(name))
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::File { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_kept_under_their_name_until_they_are_discarded() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || Blobs::open(&folder.path().join("blobs")).expect("a folder");
        let name = [7; 32];
        open().keep(&name, b"first").expect("written");
        open().keep(&name, b"second").expect("replaced");
        assert_eq!(open().load(&name).expect("read"), b"second");
        let files = || fs::read_dir(folder.path().join("blobs")).expect("a folder");
        assert_eq!(files().count(), 1, "nothing unfinished is left");
        open().discard(&name).expect("removed");
        open().discard(&name).expect("once more");
        assert_eq!(files().count(), 0);
        let missing = open().load(&name).expect_err("it is gone");
        assert!(
            missing.to_string().contains(&hex::encode(name)),
            "{missing}"
        );
    }
}
