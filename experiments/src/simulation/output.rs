//! The output folder: everything is written beside it and moved there at the end, so that nothing half-written is ever found.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use host::private_folder::make_private_folder;
use serde::Serialize;
use tempfile::TempDir;

/// A folder in the making. Dropped before [`Output::finish`], it leaves nothing.
pub struct Output {
    /// Beside the final folder, so that moving is renaming.
    workshop: TempDir,
    destination: PathBuf,
}

impl Output {
    /// Prepares the way to `destination`, which is absent or empty.
    ///
    /// # Errors
    /// A parent folder that cannot be made or written to.
    pub fn new(destination: &Path) -> anyhow::Result<Self> {
        let parent = match destination.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let cannot = || {
            format!(
                "--out {}: cannot write to {}",
                destination.display(),
                parent.display()
            )
        };
        fs::create_dir_all(parent).with_context(cannot)?;
        let workshop = tempfile::Builder::new()
            .prefix(".simulation-")
            .tempdir_in(parent)
            .with_context(cannot)?;
        let output = Self {
            workshop,
            destination: destination.to_owned(),
        };
        for folder in [output.finished(), output.vaults()] {
            // The report shows slices.
            make_private_folder(&folder).with_context(cannot)?;
        }
        Ok(output)
    }

    /// Where vaults keep their journals; gone at the end, as large as the updates are.
    pub fn vaults(&self) -> PathBuf {
        self.workshop.path().join("vaults")
    }

    /// Where a file is to be written.
    pub fn path(&self, name: &str) -> PathBuf {
        self.finished().join(name)
    }

    /// Writes a file, and makes the folder that its name asks for.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, name: &str, contents: &[u8]) -> anyhow::Result<()> {
        let path = self.path(name);
        let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
        folder
            .and_then(|()| fs::write(path, contents))
            .with_context(|| format!("cannot write {name}"))
    }

    /// Writes a file of JSON.
    ///
    /// # Errors
    /// What the system says.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> anyhow::Result<()> {
        let mut text =
            serde_json::to_vec_pretty(value).with_context(|| format!("cannot write {name}"))?;
        text.push(b'\n');
        self.write(name, &text)
    }

    /// Writes a file of JSON lines.
    ///
    /// # Errors
    /// What the system says.
    pub fn write_json_lines<T: Serialize>(&self, name: &str, values: &[T]) -> anyhow::Result<()> {
        let mut text = Vec::new();
        for value in values {
            serde_json::to_writer(&mut text, value)
                .with_context(|| format!("cannot write {name}"))?;
            text.push(b'\n');
        }
        self.write(name, &text)
    }

    /// Puts the folder in its place.
    ///
    /// # Errors
    /// When something has appeared there meanwhile.
    pub fn finish(self) -> anyhow::Result<()> {
        if self.destination.exists() {
            // Only when it is empty; not every system renames onto an empty folder.
            fs::remove_dir(&self.destination).with_context(|| {
                format!(
                    "--out {}: the folder is no longer empty",
                    self.destination.display()
                )
            })?;
        }
        fs::rename(self.finished(), &self.destination)
            .with_context(|| format!("cannot move the results to {}", self.destination.display()))
    }

    fn finished(&self) -> PathBuf {
        self.workshop.path().join("finished")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_appears_when_it_is_finished_and_not_before() {
        let root = tempfile::tempdir().expect("a folder");
        let destination = root.path().join("runs").join("first");
        let output = Output::new(&destination).expect("writable");
        output.write_json("a.json", &[1, 2]).expect("written");
        output
            .write_json_lines("b.jsonl", &[1, 2])
            .expect("written");
        assert!(!destination.exists());
        output.finish().expect("moved");
        assert_eq!(
            fs::read_to_string(destination.join("b.jsonl")).expect("there"),
            "1\n2\n"
        );
        assert_eq!(
            fs::read_dir(root.path().join("runs"))
                .expect("there")
                .count(),
            1,
            "the workshop is gone"
        );
    }

    #[test]
    fn what_is_not_finished_leaves_nothing() {
        let root = tempfile::tempdir().expect("a folder");
        let destination = root.path().join("first");
        Output::new(&destination)
            .expect("writable")
            .write("a", b"b")
            .expect("written");
        assert_eq!(fs::read_dir(root.path()).expect("there").count(), 0);
    }

    #[test]
    fn an_empty_folder_is_taken_and_a_filled_one_is_not() {
        let root = tempfile::tempdir().expect("a folder");
        let destination = root.path().join("first");
        fs::create_dir(&destination).expect("made");
        Output::new(&destination)
            .expect("writable")
            .finish()
            .expect("moved");
        let late = Output::new(&destination).expect("writable");
        fs::write(destination.join("other"), "x").expect("written");
        assert!(late.finish().is_err());
    }
}
