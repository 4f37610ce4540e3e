//! `completions` and `man`, alike in every program: what a shell and `man` read is made from the command line itself.

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use clap::{Args, Command};
use clap_complete::Shell;

use crate::{
    failure::Failure,
    output::{place_to_write, say},
};

/// Prints the completions of this program for a shell.
///
/// For bash, for example: coordinator completions bash > ~/.local/share/bash-completion/completions/coordinator
#[derive(Args)]
pub struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Writes the manual pages of this program into a folder, one for each command.
///
/// For all users, for example: coordinator man /usr/local/share/man/man1
#[derive(Args)]
pub struct ManPages {
    /// The folder; it is made if it is not there.
    #[arg(value_name = "DIR", value_parser = place_to_write())]
    folder: PathBuf,
}

impl Completions {
    /// Runs the command; `program` is the whole command line.
    ///
    /// # Errors
    /// None at present.
    pub fn execute(self, mut program: Command) -> Result<(), Failure> {
        let name = program.get_name().to_owned();
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut program, name, &mut text);
        say(String::from_utf8_lossy(&text).trim_end());
        Ok(())
    }
}

impl ManPages {
    /// Runs the command; `program` is the whole command line.
    ///
    /// # Errors
    /// [`Failure`] if the folder cannot be written.
    pub fn execute(self, program: Command) -> Result<(), Failure> {
        let name = program.get_name().to_owned();
        fs::create_dir_all(&self.folder)
            .and_then(|()| clap_mangen::generate_to(program, &self.folder))
            .with_context(|| format!("cannot write manual pages into {}", self.folder.display()))
            .map_err(Failure::Settings)?;
        let page = self.folder.join(format!("{name}.1"));
        say(format_args!("the pages are there: man {}", page.display()));
        Ok(())
    }
}
