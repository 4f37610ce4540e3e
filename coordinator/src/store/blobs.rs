//! Files by name, in a folder of their own: what facts refer to and is too large for them.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
};

use crypto::hash::Digest;
use host::private_folder::{create_private_file, make_private_folder};

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
        make_private_folder(folder).map_err(at(folder))?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// Keeps bytes under a name; they survive a loss of power from here on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn keep(&self, name: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        self.write(&self.path(name), bytes)
    }

    /// As [`keep`](Self::keep), for bytes that end with those kept under the name `tail`: they are not written a second time, but
    /// linked, so that they take no more room. Where that is not possible all bytes are written.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn keep_with_tail(
        &self,
        name: &Digest,
        bytes: &[u8],
        tail: &Digest,
    ) -> Result<(), StoreError> {
        let [head_path, tail_path] = self.halves(name);
        match shared_tail(bytes, &self.path(tail)) {
            Ok(Some(head)) if link(&self.path(tail), &tail_path).is_ok() => {
                self.write(&head_path, head)
            }
            _ => self.keep(name, bytes),
        }
    }

    /// The files whose bytes, one behind the other, are kept under a name; none if it is not kept.
    pub fn files(&self, name: &Digest) -> Option<Vec<PathBuf>> {
        let whole = self.path(name);
        let halves = self.halves(name);
        if whole.is_file() {
            Some(vec![whole])
        } else if halves.iter().all(|path| path.is_file()) {
            Some(halves.into())
        } else {
            None
        }
    }

    fn halves(&self, name: &Digest) -> [PathBuf; 2] {
        ["head", "tail"].map(|half| self.path(name).with_extension(half))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let unfinished = path.with_extension("new");
        let write = || {
            let mut file = create_private_file(&unfinished)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&unfinished, path)?;
            // The name is on disk only with its folder.
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(|error| {
            // What is there of it takes room that others may need.
            let _ = fs::remove_file(&unfinished);
            at(path)(error)
        })
    }

    /// Makes sure that the folder can be written.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn probe(&self) -> Result<(), StoreError> {
        let path = self.folder.join("probe");
        self.write(&path, &[0; PROBE_BYTES])?;
        fs::remove_file(&path).map_err(at(&path))
    }

    /// Removes what a process that was stopped has left: unfinished files, and those whose names are not among `needed`. Files that
    /// are no blob are left alone. One that cannot be removed stays, with a warning: it only takes room.
    ///
    /// # Errors
    /// [`StoreError`] if the folder cannot be read.
    pub fn retain(&self, needed: &BTreeSet<Digest>) -> Result<(), StoreError> {
        for entry in fs::read_dir(&self.folder).map_err(at(&self.folder))? {
            let path = entry.map_err(at(&self.folder))?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let mut name = Digest::default();
            let is_blob = stem.is_some_and(|stem| hex::decode_to_slice(stem, &mut name).is_ok());
            let is_unfinished = path.extension().is_some_and(|end| end == "new");
            if is_blob && (is_unfinished || !needed.contains(&name)) {
                tracing::debug!(file = %path.display(), "removing a file that nothing refers to");
                if let Err(error) = fs::remove_file(&path) {
                    tracing::warn!(
                        file = %path.display(),
                        %error,
                        "a file that is not needed any more stays for now"
                    );
                }
            }
        }
        Ok(())
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
        let [head, tail] = self.halves(name);
        for path in [self.path(name), head, tail] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(at(&path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Where the bytes under a name are, if there are any.
    pub fn path(&self, name: &Digest) -> PathBuf {
        self.folder.join(hex::encode(name))
    }
}

/// What comes before the bytes of a file at the end of these bytes; none if they end otherwise.
fn shared_tail<'a>(bytes: &'a [u8], file: &Path) -> io::Result<Option<&'a [u8]>> {
    let file = File::open(file)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let Some((head, mut rest)) = bytes
        .len()
        .checked_sub(length)
        .map(|place| bytes.split_at(place))
    else {
        return Ok(None);
    };
    let mut file = BufReader::new(file);
    let mut piece = [0; PIECE_BYTES];
    while !rest.is_empty() {
        let piece = &mut piece[..rest.len().min(PIECE_BYTES)];
        file.read_exact(piece)?;
        let (expected, others) = rest.split_at(piece.len());
        if *piece != *expected {
            return Ok(None);
        }
        rest = others;
    }
    Ok(Some(head))
}

/// Another name for a file, in the place of one that may be there.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    match fs::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::hard_link(from, to),
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::File { path, source }
}

/// More than a file system keeps beside the name of a file.
const PROBE_BYTES: usize = 64 << 10;
const PIECE_BYTES: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_refers_to_is_removed_and_other_files_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let blobs = Blobs::open(folder.path()).expect("a folder");
        blobs.probe().expect("it can be written");
        for name in [[1; 32], [2; 32]] {
            blobs.keep(&name, b"bytes").expect("written");
        }
        let unfinished = blobs.path(&[1; 32]).with_extension("new");
        fs::write(unfinished, "beginn").expect("written");
        fs::write(folder.path().join("README"), "ours").expect("written");
        // What cannot be removed is in nobody's way.
        let stubborn = blobs.path(&[3; 32]);
        fs::create_dir(&stubborn).expect("made");
        blobs.retain(&BTreeSet::from([[1; 32]])).expect("removed");
        fs::remove_dir(&stubborn).expect("it was left alone");
        let files = fs::read_dir(folder.path()).expect("a folder");
        let mut names: Vec<_> = files
            .map(|file| {
                file.expect("a file")
                    .file_name()
                    .into_string()
                    .expect("text")
            })
            .collect();
        names.sort();
        assert_eq!(names, [hex::encode([1; 32]), "README".to_owned()]);
    }

    #[test]
    fn bytes_with_a_known_end_take_no_more_room_and_outlive_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let blobs = Blobs::open(folder.path()).expect("a folder");
        let (sum, outcome, other) = ([1; 32], [2; 32], [3; 32]);
        let tail = vec![7; 2 * PIECE_BYTES + 5];
        let whole = [b"head".as_slice(), &tail].concat();
        let read = |name: &Digest| -> Vec<u8> {
            let files = blobs.files(name).expect("kept");
            let bytes = files.iter().map(|file| fs::read(file).expect("read"));
            bytes.collect::<Vec<_>>().concat()
        };
        assert_eq!(blobs.files(&outcome), None);
        blobs.keep(&sum, &tail).expect("written");
        // Twice, as after an error or a restart.
        for _ in 0..2 {
            blobs
                .keep_with_tail(&outcome, &whole, &sum)
                .expect("written");
        }
        assert_eq!(blobs.files(&outcome).map(|files| files.len()), Some(2));
        blobs.discard(&sum).expect("removed");
        assert_eq!(read(&outcome), whole);
        blobs.retain(&BTreeSet::from([outcome])).expect("nothing");
        assert_eq!(read(&outcome), whole);
        // Bytes that end otherwise, and an end that is not there.
        for sum in [outcome, other] {
            blobs.keep_with_tail(&other, &whole, &sum).expect("written");
            assert_eq!(blobs.files(&other).map(|files| files.len()), Some(1));
            assert_eq!(read(&other), whole);
            blobs.discard(&other).expect("removed");
        }
        blobs.discard(&outcome).expect("removed");
        assert_eq!(blobs.files(&outcome), None);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }

    #[test]
    fn a_write_that_fails_leaves_what_was_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let blobs = Blobs::open(folder.path()).expect("a folder");
        blobs.keep(&[1; 32], b"first").expect("written");
        // In the way of the unfinished file.
        let in_the_way = blobs.path(&[1; 32]).with_extension("new");
        fs::create_dir(&in_the_way).expect("made");
        assert!(blobs.keep(&[1; 32], b"second").is_err());
        assert_eq!(blobs.load(&[1; 32]).expect("read"), b"first");
        fs::remove_dir(&in_the_way).expect("removed");
        blobs
            .keep(&[1; 32], b"second")
            .expect("there is room again");
    }

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
