//! What can be asked of the participant on a command line. Data goes to stdout, the log to stderr.

mod applied_model;
mod consent;
mod data;
mod data_gaps;
mod data_kinds;
mod data_overview;
mod data_page;
mod data_report;
mod data_set;
mod decide;
mod diary;
mod doctor;
mod dry_run;
mod erase;
mod evaluate;
mod export;
mod join;
mod keys;
mod ledger;
mod ledger_report;
mod own_test;
mod page_file;
mod policy;
mod predict;
mod progress;
mod report;
mod roster;
mod run;
mod runs;
mod status;

use clap::{CommandFactory as _, Parser, Subcommand};
use host::{
    failure::Failure,
    manual::{Completions, ManPages},
    output::LogArguments,
    transcript::TranscriptArguments,
};

/// One hospital's program in a federation: it trains on the hospital's scans and takes part in the sealed sums. Scans, clinical
/// records and keys stay on this machine.
#[derive(Parser)]
#[command(version = version::VERSION, after_help = EXAMPLES, max_term_width = 120)]
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
    Join(join::Join),
    Roster(roster::RosterCommands),
    Keys(keys::Keys),
    Doctor(doctor::Doctor),
    Run(run::Run),
    Status(status::StatusArguments),
    Runs(runs::Runs),
    Approve(decide::Approve),
    Reject(decide::Reject),
    Policy(policy::PolicyArguments),
    Data(data::Data),
    Predict(Box<predict::Predict>),
    Evaluate(Box<evaluate::Evaluate>),
    Export(export::Export),
    Report(report::Report),
    Erase(erase::Erase),
    Ledger(ledger::LedgerArguments),
    Transcript(TranscriptArguments),
    Completions(Completions),
    Man(ManPages),
}

impl Command {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        match self {
            Self::Join(join) => join.execute(),
            Self::Roster(roster) => roster.execute(),
            Self::Keys(keys) => keys.execute(),
            Self::Doctor(doctor) => doctor.execute(),
            Self::Run(run) => run.execute(),
            Self::Status(status) => status.execute(),
            Self::Runs(runs) => runs.execute(),
            Self::Approve(approve) => approve.execute(),
            Self::Reject(reject) => reject.execute(),
            Self::Policy(policy) => policy.execute(),
            Self::Data(data) => data.execute(),
            Self::Predict(predict) => predict.execute(),
            Self::Evaluate(evaluate) => evaluate.execute(),
            Self::Export(export) => export.execute(),
            Self::Report(report) => report.execute(),
            Self::Erase(erase) => erase.execute(),
            Self::Ledger(ledger) => ledger.execute(),
            Self::Transcript(transcript) => transcript.execute(),
            Self::Completions(completions) => completions.execute(Arguments::command()),
            Self::Man(pages) => pages.execute(Arguments::command()),
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
  join a federation with keys of your own: with the line that the coordinator's operator has sent
    participant join TOKEN hospital --data /srv/mri
    participant roster show --config hospital/participant.toml
  see where this hospital stands, while its program runs
    participant status --watch
  look at the runs that were offered to this hospital, and agree to one
    participant runs list
    participant runs show 1f2e3d
    participant approve 1f2e3d
  see whether all is there that a run needs, and what to do if not
    participant doctor --config hospital/participant.toml
  check a data set before training on it
    participant data check federation/hospital-1/data
  apply the model of a run to new scans, for research
    participant predict 1f2e3d /srv/new-patients --config federation/hospital-1/participant.toml
  see what the last run has taught, and how its model does on this hospital's own test patients
    participant report --config federation/hospital-1/participant.toml
  see what a run would send, before anything is sent
    participant run --dry --config federation/hospital-1/participant.toml
  see what has left this hospital, and that nobody has altered the record of it
    participant ledger --config federation/hospital-1/participant.toml
    participant ledger verify --config federation/hospital-1/participant.toml
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
  STATE/runs/RUN/report.html what the run has taught, and how its model does here, with images of patients: for this hospital alone
  STATE/initial              models from elsewhere, put here by hand for a run that starts from one
  STATE/slices               prepared slices, which make the next start faster; they are images of patients, and safe to delete
  STATE/approvals.sqlite     the runs that were offered, and what was decided about them here
  STATE/ledger.sqlite        what has left this hospital, object by object, in all runs: `participant ledger`
  STATE/journal.sqlite       what this hospital has already answered, and where it is in the run: stopped at any moment, it goes
                             on there. Keep it and the *.key files beside it: never delete them, and never restore them from
                             a backup

Exit codes:
  0  the run is complete
  1  the run has failed
  2  a flag, setting, key, certificate, roster, address or data set is wrong, or this hospital declines the run
  3  a signal stopped the program before the end of the run";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
