//! The results in the making: a folder inside that of the unfinished simulation, until it is put in its place.

use std::{fs, io, path::PathBuf};

use anyhow::Context;
use host::private_folder::make_private_folder;
use model_data::whole_file::write_whole;
use serde::Serialize;

use super::unfinished::Unfinished;

/// The folder of results that are being written.
pub struct Output(PathBuf);

impl Output {
    /// An empty folder for the results.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(unfinished: &Unfinished) -> anyhow::Result<Self> {
        let folder = unfinished.path(FINISHED);
        let make = || {
            match fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            // The report shows slices.
            make_private_folder(&folder)
        };
        make().with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self(folder))
    }

    /// Where a file is to be written.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file, synced, and makes the folder that its name asks for.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, name: &str, contents: &[u8]) -> anyhow::Result<()> {
        let path = self.path(name);
        let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
        folder
            .and_then(|()| write_whole(&path, contents))
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

    /// Puts the folder in its place; that of the unfinished simulation goes.
    ///
    /// # Errors
    /// When something has appeared there meanwhile.
    pub fn finish(self, unfinished: Unfinished) -> anyhow::Result<()> {
        unfinished.finish(FINISHED)
    }
}

const FINISHED: &str = "finished";
