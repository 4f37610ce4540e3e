//! `options.json` of an unfinished simulation: what was asked for, in the words of the command line, and where.

use std::{
    env, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::options::{SimulateOptions, UpdatesName};
use crate::typed_options::TypedOptions;

/// The content of `options.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptOptions {
    /// Of the program: another one may compute otherwise.
    code_version: String,
    /// Where relative paths start.
    started_in: PathBuf,
    options: TypedOptions,
}

impl KeptOptions {
    /// What is asked for now.
    pub fn new(options: &TypedOptions) -> Self {
        Self {
            code_version: env!("CARGO_PKG_VERSION").to_owned(),
            started_in: env::current_dir().unwrap_or_default(),
            options: options.clone(),
        }
    }

    /// As the file has it; none where there is no file.
    ///
    /// # Errors
    /// A file that is not one of these.
    pub fn read(path: &Path) -> anyhow::Result<Option<Self>> {
        let cannot = || format!("cannot use {}; put the file back as it was", path.display());
        match fs::read(path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).with_context(cannot),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(cannot),
        }
    }

    /// The file's text.
    pub fn to_json(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).expect("its maps have text for keys");
        text.push(b'\n');
        text
    }

    /// As [`TypedOptions::command_line`].
    pub fn command_line(&self) -> String {
        self.options.command_line()
    }

    /// Whether a run of these options goes on after it was stopped.
    pub fn can_go_on(&self) -> bool {
        let options = self.options.meant::<SimulateOptions>();
        options.is_ok_and(|options| options.updates == UpdatesName::Sealed)
    }

    /// The options to go on with, given those that were typed beside `--resume`.
    ///
    /// # Errors
    /// One that asks for something else; another version of the program.
    pub fn to_go_on(&self, again: &TypedOptions) -> anyhow::Result<SimulateOptions> {
        if self.code_version != env!("CARGO_PKG_VERSION") {
            bail!(
                "--resume: the simulation was begun by version {} of this program, which is {}; go on with that version",
                self.code_version,
                env!("CARGO_PKG_VERSION")
            );
        }
        let same = self.options.check_same::<SimulateOptions>(again);
        same.context("--resume: the simulation goes on with the options that it began with")?;
        let mut options: SimulateOptions = self.options.meant()?;
        if env::current_dir().ok().as_ref() != Some(&self.started_in) {
            // As they were meant then.
            if options.data != "phantom" {
                options.data = self.started_in.join(&options.data).display().to_string();
            }
            let program = options.trainer_program.take();
            options.trainer_program = program.map(|program| self.started_in.join(program));
        }
        Ok(options)
    }
}
