//! A folder that appears whole or not at all, and that its owner alone can look into.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::ResultsError;

/// A folder on its way to its place. Dropped before [`PrivateTree::finish`], it is gone.
pub(crate) struct PrivateTree {
    unfinished: TempDir,
    target: PathBuf,
    /// Those below it in which there are files, and those above these.
    folders: BTreeSet<PathBuf>,
    files: usize,
}

impl PrivateTree {
    /// Begins beside `target`, which must be absent or an empty folder.
    pub(crate) fn begin(target: &Path) -> Result<Self, ResultsError> {
        match fs::read_dir(target).map(|mut inside| inside.next()) {
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(Some(_)) | Err(_) => {
                let path = target.to_owned();
                return Err(ResultsError::Exists { path });
            }
        }
        let mut prefix = target.file_name().unwrap_or_default().to_owned();
        prefix.push(".unfinished-");
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            builder.permissions(fs::Permissions::from_mode(0o700));
        }
        let unfinished = builder
            .tempdir_in(folder_above(target))
            .map_err(at(target))?;
        Ok(Self {
            unfinished,
            target: target.to_owned(),
            folders: BTreeSet::new(),
            files: 0,
        })
    }

    /// Writes a file at a path below the folder.
    pub(crate) fn write(&mut self, relative: &Path, bytes: &[u8]) -> Result<(), ResultsError> {
        self.write_with(relative, |path| {
            let mut file = File::create_new(path)?;
            file.write_all(bytes)
        })
    }

    /// As [`PrivateTree::write`], for a library that wants a path. What lies there afterwards is made private and synced.
    pub(crate) fn write_with(
        &mut self,
        relative: &Path,
        write: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<(), ResultsError> {
        let path = self.unfinished.path().join(relative);
        let done = self.make_folders(relative).and_then(|()| {
            write(&path)?;
            let file = File::open(&path)?;
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt as _;
                file.set_permissions(fs::Permissions::from_mode(0o600))?;
            }
            file.sync_all()
        });
        done.map_err(at(&self.target.join(relative)))?;
        let folders = relative.ancestors().skip(1).map(Path::to_owned);
        self.folders.extend(folders);
        self.files += 1;
        Ok(())
    }

    fn make_folders(&self, relative: &Path) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        let folder = relative.parent().unwrap_or(Path::new(""));
        builder.create(self.unfinished.path().join(folder))
    }

    /// Puts the folder in its place; how many files it has.
    pub(crate) fn finish(self) -> Result<usize, ResultsError> {
        let put = || {
            // A name is on disk only with its folder.
            for folder in &self.folders {
                File::open(self.unfinished.path().join(folder))?.sync_all()?;
            }
            // An empty folder in the place gives way to one of the same name; anything else does not.
            fs::rename(self.unfinished.path(), &self.target)?;
            File::open(folder_above(&self.target))?.sync_all()
        };
        put().map_err(at(&self.target))?;
        // There is nothing left to remove under the old name.
        let _ = self.unfinished.keep();
        Ok(self.files)
    }
}

fn folder_above(target: &Path) -> &Path {
    let above = target.parent().unwrap_or(Path::new("/"));
    if above == Path::new("") {
        Path::new(".")
    } else {
        above
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> ResultsError {
    let path = path.to_owned();
    move |source| ResultsError::Write { path, source }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_tree_appears_whole_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("out");
        let inner = Path::new("heat/p1/a.png");
        let mut dropped = PrivateTree::begin(&target).expect("begun");
        dropped.write(inner, b"x").expect("written");
        drop(dropped);
        assert_eq!(fs::read_dir(folder.path()).expect("read").count(), 0);

        let mut tree = PrivateTree::begin(&target).expect("begun");
        tree.write(inner, b"x").expect("written");
        assert!(!target.exists());
        assert_eq!(tree.finish().expect("moved"), 1);
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&target), 0o700);
        assert_eq!(mode(&target.join("heat/p1")), 0o700);
        assert_eq!(mode(&target.join(inner)), 0o600);
        assert_eq!(fs::read_dir(folder.path()).expect("read").count(), 1);
    }

    #[test]
    fn what_is_there_stays_and_an_empty_folder_is_filled() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = |target: &Path| PrivateTree::begin(target).err().map(|e| e.to_string());
        let full = folder.path().join("full");
        fs::create_dir(&full).expect("made");
        assert_eq!(error(&full), None);
        fs::write(full.join("mine"), "kept").expect("written");
        assert!(error(&full).expect("refused").contains("not empty"));
        assert!(error(&full.join("mine")).is_some(), "a file");
        let nowhere = error(&folder.path().join("absent/out")).expect("refused");
        assert!(
            nowhere.contains("the folder above it must exist"),
            "{nowhere}"
        );
    }
}
