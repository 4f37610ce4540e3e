//! The folder of what must survive a restart: the vault's journal, the host's key that seals its secrets, the ledger of what has left, the last model. One
//! participant at a time works in it.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use crypto::hash::SecretKey32;
use host::{key_files::write_private, private_folder::make_private_folder};
use zeroize::Zeroizing;

use crate::{
    journal::{JournalError, sqlite::SqliteJournal},
    ledger::{self, Ledger, LedgerError},
};

/// The folder, locked until this value is dropped or the process ends.
pub struct StateFolder {
    path: PathBuf,
    _lock: File,
}

impl StateFolder {
    /// Makes the folder unless it is there, for its owner alone, and locks it.
    ///
    /// # Errors
    /// [`StateError::InUse`] when another participant works in it; [`StateError::Write`].
    pub fn open(path: &Path) -> Result<Self, StateError> {
        make_private_folder(path).map_err(at(path))?;
        let lock_path = path.join(LOCK);
        let lock = File::create(&lock_path).map_err(at(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(StateError::InUse {
                path: path.to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(at(&lock_path)(source)),
        }
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the vault's journal; at the first time makes it and the host's key.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn journal(&self) -> Result<SqliteJournal, StateError> {
        Ok(SqliteJournal::open(
            &self.path.join(JOURNAL),
            &self.host_key()?,
        )?)
    }

    /// Opens the ledger of what leaves; at the first time makes it.
    ///
    /// # Errors
    /// [`StateError::Ledger`].
    pub fn ledger(&self) -> Result<Ledger, StateError> {
        Ok(Ledger::open(&self.path.join(ledger::FILE))?)
    }

    fn host_key(&self) -> Result<SecretKey32, StateError> {
        let path = self.path.join(HOST_KEY);
        match fs::read(&path).map(Zeroizing::new) {
            Ok(bytes) => match <[u8; 32]>::try_from(bytes.as_slice()) {
                Ok(key) => Ok(SecretKey32::from_bytes(key)),
                Err(_) => Err(StateError::HostKey { path }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if self.path.join(JOURNAL).exists() {
                    return Err(StateError::HostKeyMissing { path });
                }
                self.make_host_key(&path)
            }
            Err(error) => Err(at(&path)(error)),
        }
    }

    /// Whole or not at all: it is written under another name and renamed.
    fn make_host_key(&self, path: &Path) -> Result<SecretKey32, StateError> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(key.as_mut_slice())
            .map_err(|error| at(path)(io::Error::other(error.to_string())))?;
        let partial = self.path.join(format!("{HOST_KEY}.partial"));
        match fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(at(&partial)(error));
            }
            _ => {}
        }
        write_private(&partial, key.as_slice())
            .and_then(|()| fs::rename(&partial, path))
            .map_err(at(path))?;
        Ok(SecretKey32::from_bytes(*key))
    }
}

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another process has it.
    #[error(
        "another participant is using the state folder {}; stop it first, or set `state` to another folder",
        path.display()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The operating system says no.
    #[error("cannot use {} (setting `state`)", path.display())]
    Write {
        /// What was to be read or written.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file is not a key.
    #[error("{} is not a host key (32 bytes); restore the original file", path.display())]
    HostKey {
        /// The file.
        path: PathBuf,
    },
    /// There is a journal, but not the key it was sealed with.
    #[error("{} is missing, and the journal in the same folder cannot be read without it; restore the original file", path.display())]
    HostKeyMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The ledger cannot be opened.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Write { path, source }
}

const LOCK: &str = "lock";
const HOST_KEY: &str = "host.key";
const JOURNAL: &str = "journal.sqlite";

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(result: Result<SqliteJournal, StateError>) -> StateError {
        match result {
            Ok(_) => panic!("must be refused"),
            Err(error) => error,
        }
    }

    #[test]
    fn two_participants_do_not_share_a_folder() {
        let outside = tempfile::tempdir().expect("a folder");
        let path = outside.path().join("new/state");
        let first = StateFolder::open(&path).expect("made");
        let error = StateFolder::open(&path).err().expect("locked");
        assert!(matches!(error, StateError::InUse { .. }), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()));
        drop(first);
        assert!(StateFolder::open(&path).is_ok());
    }

    #[test]
    fn the_host_key_is_made_once_for_its_owner_alone() {
        let outside = tempfile::tempdir().expect("a folder");
        let state = StateFolder::open(&outside.path().join("state")).expect("made");
        state.journal().expect("made");
        let path = state.path().join(HOST_KEY);
        let key = fs::read(&path).expect("a key");
        assert_eq!(key.len(), 32);
        assert_ne!(key, [0; 32]);
        state.journal().expect("opened again");
        assert_eq!(fs::read(&path).expect("a key"), key);
        #[cfg(unix)]
        for (path, expected) in [(state.path(), 0o700), (path.as_path(), 0o600)] {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(path).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, expected, "{}", path.display());
        }
    }

    #[test]
    fn a_journal_without_its_key_is_not_given_another() {
        let outside = tempfile::tempdir().expect("a folder");
        let state = StateFolder::open(outside.path()).expect("locked");
        state.journal().expect("made");
        let path = state.path().join(HOST_KEY);
        fs::write(&path, [7; 31]).expect("written");
        assert!(matches!(
            refusal(state.journal()),
            StateError::HostKey { .. }
        ));
        fs::remove_file(&path).expect("it is there");
        assert!(matches!(
            refusal(state.journal()),
            StateError::HostKeyMissing { .. }
        ));
        assert!(!path.exists());
    }
}
