//! The study repeated at one site, several times, and its tables beside ours.
//!
//! ```text
//! options -> configuration -> patients -> cells, J at a time: parts -> training set -> network, source of inputs -> fit -> test
//!                 |                         |
//!              folder (what is finished stays) ------> results: means, intervals, differences, beside baselines; pictures -> tables.json, tables.md, report.html
//! ```
//!
//! Tables and pictures are made from the patients and the files of the cells and of the kept models alone, so a run that was interrupted
//! and continued ends with the same bytes as one that was not. So does one whose cells several processes have made, each its shard.

mod baselines;
mod begun;
mod cell;
mod claims;
mod cohort;
mod command_line;
mod configuration;
mod dealing;
mod document;
mod findings;
mod folder;
mod illustrations;
mod list;
mod locks;
mod models;
mod options;
mod patient_inputs;
mod reference_comparison;
mod report;
mod results;
mod results_files;
mod row;
mod scored;
mod seeds;
mod shard;
mod side_by_side;
mod slurm_script;
mod split_cohort;
mod study;
mod tables;
mod training;
mod training_jobs;
mod training_progress;

use anyhow::Context;
use host::failure::Failure;

use self::begun::Begun;
pub use self::{
    cell::{Cell, CellConditioning, CellEpoch, CellKey, TestSlice},
    configuration::Configuration,
    options::{BalanceName, ModelName, ReproduceOptions},
};
use crate::{stopping::Stopping, typed_options::Typed};

/// `reproduce` as it was typed.
pub type ReproduceCommand = Typed<ReproduceOptions>;

/// Runs a reproduction, or what is left of one, or a shard of it: the files into its folder, a few lines to stdout. Or tells of one
/// without training anything.
///
/// # Errors
/// [`Failure`]: options that do not fit together or the run in the folder, data that cannot be used, a training that fails.
pub fn reproduce(command: &ReproduceCommand) -> Result<(), Failure> {
    let options = &command.options;
    if let Some(file) = &options.slurm_script {
        return slurm_script::write(command, file).map_err(Failure::settings);
    }
    if options.list {
        return list::list(options).map_err(Failure::settings);
    }
    let stopping = Stopping::listen()
        .context("cannot listen for signals")
        .map_err(Failure::run)?;
    let begun = Begun::of(options, &stopping).map_err(Failure::settings)?;
    begun.go_on(options).map_err(Failure::run)
}
