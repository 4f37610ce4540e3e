//! What a sealed run keeps in the folder of its unfinished simulation.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use crypto::sealed_sum::HospitalId;

use super::unfinished::Unfinished;

/// Where everything is.
#[derive(Clone, Debug)]
pub struct RunFolder(PathBuf);

impl RunFolder {
    /// Inside this folder.
    pub fn of(unfinished: &Unfinished) -> Self {
        Self(unfinished.path(""))
    }

    /// What the simulation alone knows.
    pub fn notes(&self) -> PathBuf {
        self.0.join("notes.jsonl")
    }

    /// Trained and not checked yet.
    pub fn updates(&self) -> PathBuf {
        self.0.join("updates")
    }

    /// The common model of the round that is the best so far.
    pub fn best_model(&self) -> PathBuf {
        self.models().join("best")
    }

    /// The common model at the end.
    pub fn last_model(&self) -> PathBuf {
        self.models().join("last")
    }

    /// Where the two are.
    pub fn models(&self) -> PathBuf {
        self.0.join("models")
    }

    /// Keys and certificates of all parties.
    pub fn federation(&self) -> PathBuf {
        self.0.join("federation")
    }

    /// The coordinator's state folder.
    pub fn coordinator(&self) -> PathBuf {
        self.0.join("coordinator")
    }

    /// The signed hash chain, which the coordinator writes.
    pub fn transcript(&self) -> PathBuf {
        self.coordinator().join("transcript.jsonl")
    }

    /// The roster of the federation that is simulated.
    pub fn roster(&self) -> PathBuf {
        self.federation().join("coordinator").join("roster.json")
    }

    /// A hospital's state folder.
    pub fn hospital(&self, id: HospitalId) -> PathBuf {
        self.0.join(format!("hospital-{id}"))
    }

    /// All of it.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// Everything in a folder is on disk when this returns, and so are the names of it.
///
/// # Errors
/// What the system says.
pub fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_folder(folder)
}

/// The names in a folder are on disk when this returns.
///
/// # Errors
/// What the system says.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}
