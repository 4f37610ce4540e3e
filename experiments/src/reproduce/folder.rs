//! The output folder of a reproduction, which is also its memory: what is in it is whole, whenever the program ends. Only its owner
//! can look into it. One run works in it alone, or several shards of one do, which come and go.
//!
//! ```text
//! DIR/configuration.json   what the run is
//!    /data.json            what the patients were
//!    /cells/NAME.json      a finished training
//!    /models/NAME.safetensors   kept for pictures
//!    /tables.json, tables.md, report.html
//!    /pictures/NAME.png
//!    /.lock                held by a run alone, or by all its shards together
//!    /locks/NAME.lock      held by the shard that is at this training, gone with the tables
//!    /slurm/               what Slurm makes of stdout and stderr
//! ```

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use host::private_folder::make_private_folder;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    cell::{Cell, CellKey},
    claims::{Claim, Claims, LOCKS},
    configuration::Configuration,
    locks::Lock,
};

/// An opened folder.
pub struct Folder {
    root: PathBuf,
    /// Of the run that is to be continued.
    recorded: Option<Configuration>,
    /// Whether it was not there before.
    is_new: bool,
    /// None where no other process can be in it.
    claims: Option<Claims>,
    /// None where it is only looked at.
    _lock: Option<Lock>,
}

/// What a process wants of the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// To begin a run, alone.
    Begin,
    /// To go on with the run in it, alone.
    GoOn,
    /// To begin the run or go on with it, beside other shards.
    Share,
}

impl Folder {
    /// Opens or makes it.
    ///
    /// # Errors
    /// A folder with something in it that is not the run that is wanted; one that other runs or shards work in; one that cannot be
    /// written, or has no locks.
    pub fn open(root: &Path, entry: Entry) -> anyhow::Result<Self> {
        let shown = root.display();
        let occupied = match fs::read_dir(root) {
            Ok(entries) => entries.flatten().any(|entry| {
                let name = entry.file_name();
                BEFORE_A_RUN.iter().all(|before| name != *before)
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => bail!("--out {shown}: {error}; choose another folder"),
        };
        if occupied && entry == Entry::Begin {
            bail!(
                "--out {shown}: the folder is not empty; add --resume to continue the run in it, or choose another one"
            );
        }
        if entry == Entry::GoOn && !occupied {
            bail!(
                "--out {shown}: there is no run in this folder; name that of the run which is to go on"
            );
        }
        if entry == Entry::Share && occupied && Self::look(root)?.recorded.is_none() {
            bail!(
                "--out {shown}: there is something else than a run in this folder; choose another one"
            );
        }
        let is_new = !root.exists();
        let cannot = || format!("--out {shown}: cannot write into this folder");
        if let Some(parent) = root.parent() {
            fs::create_dir_all(parent).with_context(cannot)?;
        }
        // The report shows slices, and cells what is said of every patient.
        make_private_folder(root).with_context(cannot)?;
        let lock = lock(root, entry).with_context(cannot)?;
        let Some(lock) = lock else {
            let others = match Lock::beside_others(&root.join(LOCK)).with_context(cannot)? {
                Some(_) => {
                    "shards of a run are at work in this folder; wait until they end, or choose another folder"
                }
                None => {
                    "another run is using this folder; wait until it ends, or choose another folder"
                }
            };
            bail!("--out {shown}: {others}");
        };
        let folder = Self::look(root)?;
        if folder.recorded.is_none() && occupied {
            bail!(
                "--out {shown}: there is no run in this folder (no {CONFIGURATION}); choose another one"
            );
        }
        Ok(Self {
            is_new,
            claims: (entry == Entry::Share).then(|| Claims::within(root)),
            _lock: Some(lock),
            ..folder
        })
    }

    /// For reading alone, whoever works in it.
    ///
    /// # Errors
    /// A run in it whose configuration cannot be used.
    pub fn look(root: &Path) -> anyhow::Result<Self> {
        let recorded = match read(&root.join(CONFIGURATION)) {
            Ok(recorded) => Some(recorded),
            Err(Unread::Absent) => None,
            Err(Unread::Broken(reason)) => bail!(
                "--out {}: cannot use {CONFIGURATION} in this folder: {reason}; choose another one",
                root.display()
            ),
        };
        Ok(Self {
            root: root.to_owned(),
            recorded,
            is_new: false,
            claims: None,
            _lock: None,
        })
    }

    /// Whether other shards may work in it.
    pub fn is_shared(&self) -> bool {
        self.claims.is_some()
    }

    /// Makes sure that no other process is at this training as long as the value lives; `told` is called before it waits for one.
    ///
    /// # Errors
    /// A lock that cannot be had.
    pub fn claim(&self, key: &CellKey, told: impl FnOnce()) -> anyhow::Result<Claim> {
        match &self.claims {
            Some(claims) => claims.training(key, told),
            None => Ok(Claim::of_a_run_alone()),
        }
    }

    /// Removes what shards have left that nobody needs any more. Nothing in a folder that is shared.
    pub fn tidy(&self) {
        if !self.is_shared() {
            Claims::within(&self.root).remove();
        }
    }

    /// The file that stands in it before a run has begun, and the folder, if that was made for it.
    pub fn before_a_run(&self) -> (PathBuf, Option<PathBuf>) {
        let made = self.is_new.then(|| self.root.clone());
        (self.root.join(LOCK), made)
    }

    /// The run that is to be continued, if one is.
    pub fn recorded(&self) -> Option<&Configuration> {
        self.recorded.as_ref()
    }

    /// Begins the run, or makes sure that it is the one which began.
    ///
    /// # Errors
    /// Another configuration or other patients than those recorded; a file that cannot be written.
    pub fn begin(&self, configuration: &Configuration, fingerprint: &str) -> anyhow::Result<()> {
        let _claim = self.claims.as_ref().map(Claims::beginning).transpose()?;
        match Self::look(&self.root)?.recorded {
            Some(recorded) => configuration.check_same(&recorded)?,
            // First, so that whatever else is in the folder is of a run that can go on.
            None => self.write_json(CONFIGURATION, configuration)?,
        }
        for part in [CELLS, MODELS, PICTURES] {
            let part = self.root.join(part);
            fs::create_dir_all(&part).with_context(|| format!("cannot make {}", part.display()))?;
        }
        match read::<String>(&self.root.join(DATA)) {
            Ok(before) if before != fingerprint => bail!(
                "--out {}: the patients differ from those with which the run in this folder began; put back the data with which it began, \
                 or choose another folder",
                self.root.display()
            ),
            Ok(_) => Ok(()),
            Err(_) => self.write_json(DATA, &fingerprint),
        }
    }

    /// A finished training; none when there is none, or when its file is damaged, which `damaged` is told.
    pub fn cell(&self, key: &CellKey, damaged: impl FnOnce(String)) -> Option<Cell> {
        let name = cell_name(key);
        match read::<Cell>(&self.root.join(&name)) {
            Ok(cell) if cell.key == *key => Some(cell),
            Ok(_) => {
                damaged(format!("{name} is of another training"));
                None
            }
            Err(Unread::Absent) => None,
            Err(Unread::Broken(reason)) => {
                damaged(format!("{name}: {reason}"));
                None
            }
        }
    }

    /// Keeps a finished training.
    ///
    /// # Errors
    /// What the system says.
    pub fn keep(&self, cell: &Cell) -> anyhow::Result<()> {
        self.write_json(&cell_name(&cell.key), cell)
    }

    /// Where the model of a training is kept, if it is.
    pub fn model_path(&self, key: &CellKey) -> PathBuf {
        let models = self.root.join(MODELS);
        models.join(format!("{}.safetensors", key.stem()))
    }

    /// Writes a file of JSON, whole or not at all.
    ///
    /// # Errors
    /// What the system says.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> anyhow::Result<()> {
        let mut text =
            serde_json::to_vec_pretty(value).with_context(|| format!("cannot write {name}"))?;
        text.push(b'\n');
        self.write(name, &text)
    }

    /// Writes a picture.
    ///
    /// # Errors
    /// What the system says.
    pub fn write_picture(&self, name: &str, png: &[u8]) -> anyhow::Result<()> {
        self.write(&format!("{PICTURES}/{name}.png"), png)
    }

    /// Writes a file, whole or not at all.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, name: &str, contents: &[u8]) -> anyhow::Result<()> {
        let path = self.root.join(name);
        let folder = path.parent().unwrap_or(&self.root);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let unfinished = folder.join(format!("{UNFINISHED}{name}"));
        let written =
            fs::write(&unfinished, contents).and_then(|()| fs::rename(&unfinished, &path));
        written.with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The lock of the folder that this entry needs; none if somebody keeps it.
fn lock(root: &Path, entry: Entry) -> anyhow::Result<Option<Lock>> {
    let path = root.join(LOCK);
    let lock = match entry {
        Entry::Begin | Entry::GoOn => Lock::alone(&path),
        Entry::Share => Lock::beside_others(&path),
    };
    Ok(lock?)
}

/// Why there is no value in a file.
enum Unread {
    Absent,
    Broken(String),
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Unread> {
    match fs::read(path) {
        Ok(text) => {
            serde_json::from_slice(&text).map_err(|error| Unread::Broken(error.to_string()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Unread::Absent),
        Err(error) => Err(Unread::Broken(error.to_string())),
    }
}

fn cell_name(key: &CellKey) -> String {
    format!("{CELLS}/{}.json", key.stem())
}

/// What may be in a folder that holds no run.
const BEFORE_A_RUN: [&str; 4] = [
    LOCK,
    LOCKS,
    OUTPUTS_OF_SLURM,
    ".unfinished-configuration.json",
];
const LOCK: &str = ".lock";
/// What Slurm makes of stdout and stderr.
pub const OUTPUTS_OF_SLURM: &str = "slurm";
const CONFIGURATION: &str = "configuration.json";
const DATA: &str = "data.json";
const CELLS: &str = "cells";
const MODELS: &str = "models";
const PICTURES: &str = "pictures";
const UNFINISHED: &str = ".unfinished-";

#[cfg(test)]
mod tests {
    use protocol::vocabulary::ConditioningForm;

    use super::*;
    use crate::reproduce::options::{BalanceName, ModelName, ReproduceOptions};
    use protocol::{labels::Task, training_job::SplitKind};

    fn refusal(root: &Path, entry: Entry) -> String {
        let refused = Folder::open(root, entry).map(|_| ()).expect_err("refused");
        refused.to_string()
    }

    fn configuration() -> Configuration {
        Configuration::new(&ReproduceOptions::default(), None).expect("fine")
    }

    fn cell() -> Cell {
        Cell {
            key: CellKey {
                task: Task::Binary,
                balance: BalanceName::Original,
                model: ModelName::Plain,
                form: ConditioningForm::Study,
                split: SplitKind::Patient,
                seed: 2,
            },
            train_counts: vec![1, 2],
            epochs: vec![],
            best_epoch: 1,
            stopped_early: false,
            test: vec![],
            conditioning: None,
            seconds: 0.1,
        }
    }

    #[test]
    fn what_is_kept_is_found_again_by_a_run_of_the_same_configuration_and_patients() {
        let parent = tempfile::tempdir().expect("a folder");
        let root = parent.path().join("runs").join("one");
        let folder = Folder::open(&root, Entry::Begin).expect("opens");
        assert!(folder.recorded().is_none());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&root).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
        folder.begin(&configuration(), "patients").expect("begins");
        folder.keep(&cell()).expect("kept");
        assert!(refusal(&root, Entry::GoOn).contains("another run is using this folder"));
        drop(folder);

        assert!(refusal(&root, Entry::Begin).contains("--resume"));
        let folder = Folder::open(&root, Entry::GoOn).expect("opens");
        assert_eq!(folder.recorded(), Some(&configuration()));
        let unexpected = |damage: String| panic!("{damage}");
        assert_eq!(folder.cell(&cell().key, unexpected), Some(cell()));
        let other = CellKey {
            seed: 3,
            ..cell().key
        };
        assert_eq!(folder.cell(&other, unexpected), None);
        let refused = folder
            .begin(&configuration(), "others")
            .expect_err("others");
        assert!(refused.to_string().contains("patients"), "{refused}");
        folder
            .begin(&configuration(), "patients")
            .expect("the same");
    }

    #[test]
    fn damaged_and_foreign_files_of_cells_are_told_and_count_as_absent() {
        let parent = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(parent.path(), Entry::Begin).expect("opens");
        folder.begin(&configuration(), "patients").expect("begins");
        for contents in [&b"{"[..], b"", b"[1, 2]", b"\xff"] {
            folder
                .write(&cell_name(&cell().key), contents)
                .expect("written");
            let mut told = String::new();
            assert_eq!(folder.cell(&cell().key, |damage| told = damage), None);
            assert!(
                told.contains("binary-original-plain-patient-seed-2"),
                "{told}"
            );
        }
        let foreign = Cell {
            key: CellKey {
                seed: 9,
                ..cell().key
            },
            ..cell()
        };
        folder
            .write_json(&cell_name(&cell().key), &foreign)
            .expect("written");
        let mut told = String::new();
        assert_eq!(folder.cell(&cell().key, |damage| told = damage), None);
        assert!(told.contains("another training"), "{told}");
    }

    #[test]
    fn a_folder_without_a_run_is_refused_and_an_empty_one_taken() {
        let parent = tempfile::tempdir().expect("a folder");
        let empty = parent.path().join("empty");
        fs::create_dir(&empty).expect("made");
        assert!(refusal(&empty, Entry::GoOn).contains("there is no run in"));
        drop(Folder::open(&empty, Entry::Begin).expect("nothing was left but the lock"));
        fs::write(empty.join("notes"), "mine").expect("written");
        assert!(refusal(&empty, Entry::Begin).contains("not empty"));
        assert!(refusal(&empty, Entry::GoOn).contains("there is no run in"));
        fs::write(empty.join(CONFIGURATION), "{}").expect("written");
        assert!(refusal(&empty, Entry::GoOn).contains("cannot use configuration.json"));
    }

    #[test]
    fn shards_share_a_folder_in_which_nobody_else_works() {
        let parent = tempfile::tempdir().expect("a folder");
        let root = parent.path().join("run");
        let shards = [(); 2].map(|()| Folder::open(&root, Entry::Share).expect("opens"));
        assert!(refusal(&root, Entry::Begin).contains("shards of a run are at work"));
        // Both come before there is a run: one begins it, the other finds it.
        for shard in &shards {
            assert!(shard.recorded().is_none());
            shard.begin(&configuration(), "patients").expect("begins");
        }
        let other = Configuration {
            epochs: 3,
            ..configuration()
        };
        let refused = shards[1].begin(&other, "patients").expect_err("another");
        assert!(
            refused.to_string().contains("epochs was 12, now 3"),
            "{refused}"
        );
        let late = Folder::open(&root, Entry::Share).expect("opens");
        assert_eq!(late.recorded(), Some(&configuration()));
        assert!(refusal(&root, Entry::GoOn).contains("shards of a run are at work"));
        drop((shards, late));

        let alone = Folder::open(&root, Entry::GoOn).expect("opens");
        assert!(refusal(&root, Entry::Share).contains("another run is using"));
        assert!(root.join(LOCKS).exists());
        alone.tidy();
        assert!(!root.join(LOCKS).exists());
    }

    #[test]
    fn what_a_beginning_leaves_when_it_is_killed_is_begun_again_and_a_foreign_folder_is_not() {
        let parent = tempfile::tempdir().expect("a folder");
        let root = parent.path();
        for name in BEFORE_A_RUN {
            if name.starts_with('.') {
                fs::write(root.join(name), "half").expect("written");
            } else {
                fs::create_dir(root.join(name)).expect("made");
            }
        }
        for entry in [Entry::Begin, Entry::Share] {
            assert!(
                Folder::open(root, entry)
                    .expect("opens")
                    .recorded()
                    .is_none()
            );
        }
        fs::write(root.join("notes"), "mine").expect("written");
        assert!(refusal(root, Entry::Share).contains("something else than a run"));
    }
}
