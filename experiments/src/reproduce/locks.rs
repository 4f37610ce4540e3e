//! Advisory locks of files: the system gives them back when their process ends, however it ends, also on another machine.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// A lock that this process holds until it is dropped.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "it is held by being open")] File);

/// Why a file cannot be locked, apart from another process that has it.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// No locks at all.
    #[error(
        "the file system of {} has no file locks, and without them two processes might do the same; use a folder on one that has them (NFS from version 4, Lustre mounted with the option flock)",
        .0.display()
    )]
    NoLocks(PathBuf),
    /// Another reason.
    #[error("cannot lock {}: {}", .0.display(), .1)]
    Unusable(PathBuf, io::Error),
}

impl Lock {
    /// For this process alone; none if another one has it.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn alone(path: &Path) -> Result<Option<Self>, LockError> {
        tried(path, File::try_lock)
    }

    /// Beside others that ask for it so; none if one has it alone.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn beside_others(path: &Path) -> Result<Option<Self>, LockError> {
        tried(path, File::try_lock_shared)
    }

    /// For this process alone, as soon as no other one has it; `told` is called before it waits.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn wait(path: &Path, told: impl FnOnce()) -> Result<Self, LockError> {
        if let Some(lock) = Self::alone(path)? {
            return Ok(lock);
        }
        told();
        let waited = |file: &File| file.lock().map_err(TryLockError::Error);
        let lock = tried(path, waited)?;
        lock.ok_or_else(|| unusable(path, ErrorKind::WouldBlock.into()))
    }
}

/// The lock of the file that is at the path: whoever ends may have removed one that was opened here before, and a lock of that keeps
/// nobody out.
fn tried(
    path: &Path,
    lock: impl Fn(&File) -> Result<(), TryLockError>,
) -> Result<Option<Lock>, LockError> {
    for _ in 0..REMOVALS {
        let file = opened(path)?;
        match lock(&file) {
            Ok(()) if is_at(path, &file) => return Ok(Some(Lock(file))),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(unusable(path, error)),
        }
    }
    let removed = io::Error::other("it is removed again and again");
    Err(unusable(path, removed))
}

#[cfg(unix)]
fn is_at(path: &Path, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    let [there, opened] = [fs::metadata(path), file.metadata()].map(|metadata| {
        metadata
            .map(|metadata| (metadata.dev(), metadata.ino()))
            .ok()
    });
    there.is_some() && there == opened
}

/// There no file is removed that is open.
#[cfg(not(unix))]
fn is_at(_: &Path, _: &File) -> bool {
    true
}

/// For reading and writing: over NFS each kind of lock asks for one of them.
fn opened(path: &Path) -> Result<File, LockError> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    options
        .open(path)
        .map_err(|error| LockError::Unusable(path.to_owned(), error))
}

fn unusable(path: &Path, error: io::Error) -> LockError {
    // ENOLCK has no kind of its own.
    if error.kind() == ErrorKind::Unsupported || error.raw_os_error() == Some(NO_LOCKS_AVAILABLE) {
        return LockError::NoLocks(path.parent().unwrap_or(path).to_owned());
    }
    LockError::Unusable(path.to_owned(), error)
}

/// More than there are others who end at the same moment.
const REMOVALS: usize = 100;
/// `ENOLCK` of Linux.
const NO_LOCKS_AVAILABLE: i32 = 37;

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

    use super::*;

    #[test]
    fn one_alone_keeps_all_others_out_and_several_keep_out_who_would_be_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        let alone = Lock::alone(&path).expect("fine").expect("free");
        assert!(Lock::alone(&path).expect("fine").is_none());
        assert!(Lock::beside_others(&path).expect("fine").is_none());
        drop(alone);
        let both = [(); 2].map(|()| Lock::beside_others(&path).expect("fine").expect("shared"));
        assert!(Lock::alone(&path).expect("fine").is_none());
        drop(both);
        assert!(Lock::alone(&path).expect("fine").is_some());
    }

    #[test]
    fn who_waits_is_told_so_and_comes_next() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        let first = Lock::wait(&path, || panic!("it is free")).expect("free");
        let (tell, told) = mpsc::channel();
        let (have, had) = mpsc::channel();
        let place = path.clone();
        let second = thread::spawn(move || {
            let lock = Lock::wait(&place, || tell.send(()).expect("heard")).expect("free at last");
            have.send(()).expect("heard");
            lock
        });
        told.recv_timeout(Duration::from_secs(30))
            .expect("it waits");
        assert!(had.try_recv().is_err());
        drop(first);
        had.recv_timeout(Duration::from_secs(30))
            .expect("it has it");
        drop(second.join().expect("no panic"));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_was_removed_before_it_was_locked_keeps_nobody_out_and_is_no_lock() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        let is_removed = std::cell::Cell::new(false);
        let lock = tried(&path, |file| {
            if !is_removed.replace(true) {
                fs::remove_file(&path).expect("there");
            }
            file.try_lock()
        });
        let lock = lock.expect("fine").expect("free");
        assert!(path.exists() && Lock::alone(&path).expect("fine").is_none());
        drop(lock);
        assert!(Lock::alone(&path).expect("fine").is_some());
    }

    #[test]
    fn a_file_system_without_locks_is_named_with_the_way_out() {
        for error in [
            io::Error::from(ErrorKind::Unsupported),
            io::Error::from_raw_os_error(NO_LOCKS_AVAILABLE),
        ] {
            let told = unusable(Path::new("runs/ms60/.lock"), error).to_string();
            assert!(
                told.contains("runs/ms60 has no file locks") && told.contains("NFS"),
                "{told}"
            );
        }
        let folder = tempfile::tempdir().expect("a folder");
        let missing = folder.path().join("none/lock");
        let told = Lock::alone(&missing).expect_err("no folder").to_string();
        assert!(told.contains("none/lock"), "{told}");
    }
}
