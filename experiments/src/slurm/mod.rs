//! Scripts that hand work to Slurm, the engine of many clusters: a job array, each task of which goes on where it was after it was
//! stopped or lost its node, and a job that may follow when all tasks have ended in whatever way.
//!
//! A script is for bash and talks to `sbatch` alone; this program never does.

mod device;
mod nodes;
mod submission;

use std::{
    fs::File,
    io::{ErrorKind, Write as _},
    path::Path,
};

use anyhow::{Context, bail};
use host::output::say;

pub use self::{
    device::needs_gpu,
    nodes::SeenByNodes,
    submission::{Job, Submission},
};
use crate::shell_words::path_in_command;

/// Writes a script to stdout (`-`) or into a new file.
///
/// # Errors
/// A file that is there already, or cannot be written.
pub fn write(script: &str, file: &Path) -> anyhow::Result<()> {
    if file == Path::new("-") {
        say(script.trim_end());
        return Ok(());
    }
    let shown = file.display();
    match File::create_new(file) {
        Ok(mut opened) => {
            let written = opened.write_all(script.as_bytes());
            written.with_context(|| format!("--slurm-script {shown}: cannot write it"))?;
            say(format_args!(
                "{shown} is written; to hand the work to Slurm: bash {} [OPTIONS OF sbatch]",
                path_in_command(file)
            ));
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => bail!(
            "--slurm-script {shown}: it is there already, and is not overwritten; name another file, or remove it"
        ),
        Err(error) => {
            Err(error).with_context(|| format!("--slurm-script {shown}: cannot write it"))
        }
    }
}
