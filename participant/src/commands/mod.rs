//! What can be asked of the participant on a command line. Data goes to stdout, the log to stderr.

mod data;
mod data_report;
mod data_set;
mod diary;
mod progress;
mod run;

use clap::{Parser, Subcommand};
use host::{failure::Failure, output::LogArguments};

/// One hospital's part in a federation: trains on its scans and takes part in sealed sums. Scans, clinical records and keys stay
/// on this machine.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES, max_term_width = 120)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// The log.
    #[command(flatten)]
    pub log: LogArguments,
}

/// The subcommands.
#[derive(Subcommand)]
pub enum Command {
    // Their help is the text at the structs, which is longer than a variant's could be.
    Run(run::Run),
    Data(data::Data),
}

impl Command {
    /// Does it.
    pub fn execute(self) -> Result<(), Failure> {
        match self {
            Self::Run(run) => run.execute(),
            Self::Data(data) => data.execute(),
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  try it out: three hospitals and a coordinator, as folders in ./federation
    coordinator init --trial 3 federation
  run them, each in a terminal of its own; in which order does not matter
    coordinator serve --config federation/coordinator/coordinator.toml
    participant run --config federation/hospital-1/participant.toml
  look at a data set before anything is trained on it
    participant data check federation/hospital-1/data
  other settings for one run, by flags or through the environment
    participant run --data /srv/mri --split slice --set policy.max_rounds=20
    MYELIN__TRAINING__DEVICE=cpu participant run --log-format json 2> run.log

What goes where:
  stdout                     one line at the end, a JSON object with the hash of the common model
  stderr                     the log
  STATE/model.safetensors    the common model, with model.json, its card
  STATE/slices               prepared slices, so that the next start is quick: images of patients, safe to delete
  STATE/journal.sqlite       what this hospital has answered for; and host.key: never lose them, never put old ones back

Exit codes:
  0  done: the run is complete
  1  the run has failed
  2  a wrong flag, setting, key, certificate, roster, address or data set
  3  stopped by a signal before the end of the run";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
