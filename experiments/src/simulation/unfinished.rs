//! The folder of an unfinished simulation: everything that it needs to go on after its process was ended at any moment. It lies beside
//! the output folder, so that moving the results there is renaming, and nothing half-written is ever found in that one.
//!
//! ```text
//! PARENT/NAME                  the output folder: absent or empty until all of it is there
//! PARENT/.NAME.unfinished/     for its owner alone; gone at the end
//!     lock                     held by the process that works here
//!     options.json             what was asked for
//!     notes.jsonl              what the simulation alone knows
//!     updates/                 trained and not checked yet
//!     models/                  the best common model and the last
//!     federation/              keys
//!     coordinator/             the coordinator's state folder
//!     hospital-K/              the hospitals'
//!     finished/                the results in the making
//! ```

use std::{
    fs::{self, File, TryLockError},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use host::private_folder::make_private_folder;
use model_data::whole_file::write_whole;

use super::kept_options::KeptOptions;
use crate::shell_words::path_in_command;

/// The folder, which no other process works in meanwhile. Dropped, it stays if the run can go on from it, and else goes.
pub struct Unfinished {
    folder: PathBuf,
    destination: PathBuf,
    stays: bool,
    _lock: File,
}

impl Unfinished {
    /// For a new simulation whose results go to `destination`, which is absent or empty.
    ///
    /// # Errors
    /// Another simulation of the same results that is not finished, with the two ways out; a parent folder that cannot be made or
    /// written to.
    pub fn begin(destination: &Path, options: &KeptOptions) -> anyhow::Result<Self> {
        let folder = folder_of(destination)?;
        let cannot = || {
            format!(
                "--out {}: cannot write {}",
                destination.display(),
                folder.display()
            )
        };
        if let Some(parent) = folder.parent() {
            fs::create_dir_all(parent).with_context(cannot)?;
        }
        make_private_folder(&folder).with_context(cannot)?;
        let lock = lock(&folder)?;
        match KeptOptions::read(&folder.join(OPTIONS)) {
            // A process that was killed before it had begun, or whose run cannot go on.
            Ok(None) => {}
            Ok(Some(kept)) if !kept.can_go_on() => {}
            Ok(Some(_)) | Err(_) => bail!(
                "--out {shown}: an unfinished simulation of this folder is there; go on with it (experiments simulate --resume \
                 {}), or remove {} to begin anew",
                path_in_command(destination),
                folder.display(),
                shown = destination.display(),
            ),
        }
        let begun = Self {
            folder: folder.clone(),
            destination: destination.to_owned(),
            stays: false,
            _lock: lock,
        };
        begun.clear().with_context(cannot)?;
        write_whole(&begun.path(OPTIONS), &options.to_json()).with_context(cannot)?;
        Ok(begun)
    }

    /// That of a simulation that was begun for `destination` and not finished, with what was asked for then.
    ///
    /// # Errors
    /// There is none, or another process is at it; results are there; options that cannot be read.
    pub fn resume(destination: &Path) -> anyhow::Result<(Self, KeptOptions)> {
        let (shown, folder) = (destination.display(), folder_of(destination)?);
        let is_empty = fs::read_dir(destination).map(|mut entries| entries.next().is_none());
        if !is_empty.unwrap_or(true) {
            if destination.join(SUMMARY).exists() {
                bail!(
                    "--resume {shown}: this simulation is finished; there is nothing to go on with"
                );
            }
            bail!("--resume {shown}: the folder is not empty, and holds no simulation");
        }
        if !folder.is_dir() {
            bail!(
                "--resume {shown}: there is no unfinished simulation of this folder ({} is missing); name the folder that was asked \
                 for with --out, or that the simulation printed when it began",
                folder.display()
            );
        }
        let lock = lock(&folder)?;
        let path = folder.join(OPTIONS);
        let Some(kept) = KeptOptions::read(&path)? else {
            bail!(
                "--resume {shown}: the simulation was stopped before it had begun; begin it anew with --out {}",
                path_in_command(destination)
            );
        };
        if !kept.can_go_on() {
            bail!(
                "--resume {shown}: a simulation with --updates plain does not go on after it was stopped; begin it anew with \
                 --updates plain --out {}",
                path_in_command(destination)
            );
        }
        let resumed = Self {
            folder,
            destination: destination.to_owned(),
            stays: true,
            _lock: lock,
        };
        Ok((resumed, kept))
    }

    /// From here on the run can go on: the folder stays when this process ends before the run does.
    pub fn stay(&mut self) {
        self.stays = true;
    }

    /// The run has failed for good: the folder goes.
    pub fn go(&mut self) {
        self.stays = false;
    }

    /// Whether the run can go on later.
    pub fn stays(&self) -> bool {
        self.stays
    }

    /// Where the results go.
    pub fn destination(&self) -> &Path {
        &self.destination
    }

    /// A file or folder in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Puts the results, which are in the folder `name`, in their place.
    ///
    /// # Errors
    /// When something has appeared there meanwhile.
    pub fn finish(mut self, name: &str) -> anyhow::Result<()> {
        if self.destination.exists() {
            // Only when it is empty; not every system renames onto an empty folder.
            fs::remove_dir(&self.destination).with_context(|| {
                format!(
                    "--out {}: the folder is no longer empty",
                    self.destination.display()
                )
            })?;
        }
        fs::rename(self.path(name), &self.destination).with_context(|| {
            format!("cannot move the results to {}", self.destination.display())
        })?;
        self.stays = false;
        Ok(())
    }

    /// Removes all but the lock.
    fn clear(&self) -> std::io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else if entry.file_name() != LOCK {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.stays {
            // What cannot be removed is cleared when the folder is used again.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// `.NAME.unfinished` beside it.
fn folder_of(destination: &Path) -> anyhow::Result<PathBuf> {
    let Some(name) = destination.file_name() else {
        bail!(
            "{} has no name of its own; give the output folder one",
            destination.display()
        );
    };
    let mut unfinished = std::ffi::OsString::from(".");
    unfinished.push(name);
    unfinished.push(".unfinished");
    Ok(destination.with_file_name(unfinished))
}

fn lock(folder: &Path) -> anyhow::Result<File> {
    let path = folder.join(LOCK);
    let cannot = || format!("cannot use {}", path.display());
    let lock = File::create(&path).with_context(cannot)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => bail!(
            "another process is at the simulation in {}; wait until it ends, or stop it",
            folder.display()
        ),
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => Ok(lock),
        Err(TryLockError::Error(error)) => Err(error).with_context(cannot),
    }
}

const LOCK: &str = "lock";
const OPTIONS: &str = "options.json";
const SUMMARY: &str = "summary.json";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::typed_options::TypedOptions;

    fn options() -> KeptOptions {
        KeptOptions::new(&TypedOptions::default())
    }

    fn refusal<T>(result: anyhow::Result<T>) -> String {
        let error = result.err().expect("refused");
        format!("{error:#}")
    }

    #[test]
    fn what_has_not_begun_leaves_nothing_and_what_can_go_on_stays_and_is_private() {
        let root = tempfile::tempdir().expect("a folder");
        let destination = root.path().join("runs/first");
        drop(Unfinished::begin(&destination, &options()).expect("begun"));
        let left = fs::read_dir(root.path().join("runs")).expect("there");
        assert_eq!(left.count(), 0);

        let mut begun = Unfinished::begin(&destination, &options()).expect("begun");
        begun.stay();
        let folder = begun.path("");
        let busy = refusal(Unfinished::resume(&destination));
        assert!(busy.contains("another process"), "{busy}");
        drop(begun);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(&folder).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
        let again = refusal(Unfinished::begin(&destination, &options()));
        assert!(
            again.contains("--resume") && again.contains("remove"),
            "{again}"
        );

        let (resumed, _) = Unfinished::resume(&destination).expect("there");
        fs::create_dir(resumed.path("finished")).expect("made");
        fs::write(resumed.path("finished/summary.json"), "{}").expect("written");
        assert!(!destination.exists());
        resumed.finish("finished").expect("moved");
        assert!(destination.join("summary.json").exists() && !folder.exists());
        let finished = refusal(Unfinished::resume(&destination));
        assert!(finished.contains("finished"), "{finished}");
    }

    #[test]
    fn what_a_process_has_left_that_was_killed_before_it_began_is_cleared() {
        let root = tempfile::tempdir().expect("a folder");
        let destination = root.path().join("first");
        let missing = refusal(Unfinished::resume(&destination));
        assert!(missing.contains("no unfinished simulation"), "{missing}");
        let folder = root.path().join(".first.unfinished");
        fs::create_dir_all(folder.join("updates")).expect("made");
        let early = refusal(Unfinished::resume(&destination));
        assert!(early.contains("before it had begun"), "{early}");
        let begun = Unfinished::begin(&destination, &options()).expect("begun");
        assert!(!begun.path("updates").exists() && begun.path("options.json").exists());
    }

    #[test]
    fn an_empty_folder_is_taken_and_a_filled_one_is_not() {
        let root = tempfile::tempdir().expect("a folder");
        let destination = root.path().join("first");
        fs::create_dir(&destination).expect("made");
        let finish = |unfinished: Unfinished| {
            fs::create_dir(unfinished.path("finished")).expect("made");
            unfinished.finish("finished")
        };
        finish(Unfinished::begin(&destination, &options()).expect("begun")).expect("moved");
        let late = Unfinished::begin(&destination, &options()).expect("begun");
        fs::write(destination.join("other"), "x").expect("written");
        assert!(finish(late).is_err());
    }
}
