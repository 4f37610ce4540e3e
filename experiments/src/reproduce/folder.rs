//! The output folder of a reproduction, which is also its memory: what is in it is whole, whenever the program ends. Only its owner
//! can look into it.
//!
//! ```text
//! DIR/configuration.json   what the run is
//!    /data.json            what the patients were
//!    /cells/NAME.json      a finished training
//!    /models/NAME.safetensors   kept for pictures
//!    /tables.json, tables.md, report.html
//!    /pictures/NAME.png
//! ```

use std::{
    fs::{self, File, TryLockError},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use host::private_folder::make_private_folder;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    cell::{Cell, CellKey},
    configuration::Configuration,
};

/// An opened folder, which no other run works in meanwhile.
pub struct Folder {
    root: PathBuf,
    /// Of the run that is to be continued.
    recorded: Option<Configuration>,
    /// Whether it was not there before.
    is_new: bool,
    _lock: File,
}

impl Folder {
    /// Opens or makes it.
    ///
    /// # Errors
    /// A folder with something in it and no `resume`; with `resume`, one that holds no run; one that another run works in; one that
    /// cannot be written.
    pub fn open(root: &Path, resume: bool) -> anyhow::Result<Self> {
        let shown = root.display();
        let occupied = match fs::read_dir(root) {
            Ok(entries) => entries.flatten().any(|entry| entry.file_name() != LOCK),
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => bail!("--out {shown}: {error}; choose another folder"),
        };
        if occupied && !resume {
            bail!(
                "--out {shown}: the folder is not empty; add --resume to continue the run in it, or choose another one"
            );
        }
        if resume && !occupied {
            bail!(
                "--resume: there is no run in {shown}; name the folder of the run that is to go on, or leave --resume out to begin one"
            );
        }
        let is_new = !root.exists();
        let cannot = || format!("--out {shown}: cannot write into this folder");
        if let Some(parent) = root.parent() {
            fs::create_dir_all(parent).with_context(cannot)?;
        }
        // The report shows slices, and cells what is said of every patient.
        make_private_folder(root).with_context(cannot)?;
        let lock = File::create(root.join(LOCK)).with_context(cannot)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "--out {shown}: another run is using this folder; wait until it ends, or choose another folder"
            ),
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
        }
        let recorded = match read(&root.join(CONFIGURATION)) {
            Ok(recorded) => Some(recorded),
            Err(Unread::Absent) if !occupied => None,
            Err(Unread::Absent) => bail!(
                "--resume: there is no run in {shown} (no {CONFIGURATION}); choose another --out"
            ),
            Err(Unread::Broken(reason)) => bail!(
                "--resume: cannot use {CONFIGURATION} in {shown}: {reason}; choose another --out"
            ),
        };
        Ok(Self {
            root: root.to_owned(),
            recorded,
            is_new,
            _lock: lock,
        })
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
        if let Some(recorded) = &self.recorded {
            configuration.check_same(recorded)?;
        }
        for part in [CELLS, MODELS, PICTURES] {
            let part = self.root.join(part);
            fs::create_dir_all(&part).with_context(|| format!("cannot make {}", part.display()))?;
        }
        match read::<String>(&self.root.join(DATA)) {
            Ok(before) if before != fingerprint => bail!(
                "--resume: the patients differ from those with which the run in {} began; choose another --out",
                self.root.display()
            ),
            Ok(_) => {}
            Err(_) => self.write_json(DATA, &fingerprint)?,
        }
        self.write_json(CONFIGURATION, configuration)
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

const LOCK: &str = ".lock";
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

    fn refusal(root: &Path, resume: bool) -> String {
        let refused = Folder::open(root, resume).map(|_| ()).expect_err("refused");
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
        let folder = Folder::open(&root, false).expect("opens");
        assert!(folder.recorded().is_none());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&root).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
        folder.begin(&configuration(), "patients").expect("begins");
        folder.keep(&cell()).expect("kept");
        assert!(refusal(&root, true).contains("another run is using this folder"));
        drop(folder);

        assert!(refusal(&root, false).contains("--resume"));
        let folder = Folder::open(&root, true).expect("opens");
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
        let folder = Folder::open(parent.path(), false).expect("opens");
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
        assert!(refusal(&empty, true).contains("there is no run in"));
        drop(Folder::open(&empty, false).expect("nothing was left but the lock"));
        fs::write(empty.join("notes"), "mine").expect("written");
        assert!(refusal(&empty, false).contains("not empty"));
        assert!(refusal(&empty, true).contains("there is no run in"));
        fs::write(empty.join(CONFIGURATION), "{}").expect("written");
        assert!(refusal(&empty, true).contains("cannot use configuration.json"));
    }
}
