//! What can be asked of the participant on a command line. Data goes to stdout, the log to stderr.

mod data;
mod data_report;
mod data_set;
mod diary;
mod progress;
mod run;

use clap::{Parser, Subcommand};
use host::{failure::Failure, output::LogArguments, transcript::TranscriptArguments};

/// One hospital's program in a federation: it trains on the hospital's scans and takes part in the sealed sums. Scans, clinical
/// records and keys stay on this machine.
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
    Transcript(TranscriptArguments),
}

impl Command {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        match self {
            Self::Run(run) => run.execute(),
            Self::Data(data) => data.execute(),
            Self::Transcript(transcript) => transcript.execute(),
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  make a demonstration: three hospitals and a coordinator, as folders in ./federation
    coordinator init --demo 3 federation
  run the programs, each in its own terminal, in any order
    coordinator serve --config federation/coordinator/coordinator.toml
    participant run --config federation/hospital-1/participant.toml
  check a data set before training on it
    participant data check federation/hospital-1/data
  check the coordinator's signed record of a run, without the network
    participant transcript verify --roster federation/hospital-1/roster.json transcript.jsonl
  change settings for one run, by flags or by environment variables
    participant run --data /srv/mri --split slice --set policy.max_rounds=20
    MYELIN__TRAINING__DEVICE=cpu participant run --log-format json 2> run.log

Output (STATE is the state folder):
  stdout                     one line at the end: a JSON object with the hash of the common model
  stderr                     the log
  STATE/model.safetensors    the common model after every opened update; model.json beside it is its card
  STATE/model-best.safetensors  that of the best round, as the run says, with its card model-best.json
  STATE/runs                 the same files of every run, in a folder of its own: no run overwrites another's
  STATE/initial              models from elsewhere, put here by hand for a run that starts from one
  STATE/slices               prepared slices, which make the next start faster; they are images of patients, and safe to delete
  STATE/journal.sqlite       what this hospital has already answered, and where it is in the run: stopped at any moment, it goes
                             on there. Keep it and the *.key files beside it: never delete them, and never restore them from
                             a backup

Exit codes:
  0  the run is complete
  1  the run has failed
  2  a flag, setting, key, certificate, roster, address or data set is wrong
  3  a signal stopped the program before the end of the run";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
