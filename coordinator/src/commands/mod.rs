//! What can be asked of the coordinator on a command line. Data goes to stdout, the log to stderr.

mod doctor;
mod init;
mod members;
mod operator;
mod roster;
mod run;
mod run_history;
mod run_plan;
mod serve;
mod status;

use clap::{CommandFactory as _, Parser, Subcommand};
use host::{
    failure::Failure,
    manual::{Completions, ManPages},
    output::LogArguments,
    transcript::TranscriptArguments,
};

/// The coordinator of a federation: starts the rounds, adds the hospitals' sealed updates and multiplies their encrypted
/// features. It can read neither.
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
    Init(init::Init),
    Invite(members::Invite),
    Requests(members::Requests),
    Approve(members::Approve),
    Members(members::MembersList),
    Remove(members::Remove),
    Roster(roster::RosterCommands),
    Operator(operator::Operator),
    Run(run::Run),
    Serve(serve::Serve),
    Status(status::StatusArguments),
    Doctor(doctor::Doctor),
    Transcript(TranscriptArguments),
    Completions(Completions),
    Man(ManPages),
}

impl Command {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        match self {
            Self::Init(init) => init.execute(),
            Self::Invite(invite) => invite.execute(),
            Self::Requests(requests) => requests.execute(),
            Self::Approve(approve) => approve.execute(),
            Self::Members(members) => members.execute(),
            Self::Remove(remove) => remove.execute(),
            Self::Roster(roster) => roster.execute(),
            Self::Operator(operator) => operator.execute(),
            Self::Run(run) => run.execute(),
            Self::Serve(serve) => serve.execute(),
            Self::Status(status) => status.execute(),
            Self::Doctor(doctor) => doctor.execute(),
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
  run the programs, each in its own terminal
    coordinator serve --config federation/coordinator/coordinator.toml
    participant run --config federation/hospital-1/participant.toml
  go on after a stop, a crash or a restart of the machine: the same command again; or begin another run instead
    coordinator serve --config federation/coordinator/coordinator.toml --new-run
  make a coordinator that hospitals join with keys of their own; then, for each hospital, an invitation
    coordinator init --name \"MS study\" --listen 0.0.0.0:7443 --public coordinator.example.org:7443 coordinator
    coordinator invite \"St. Mary's\" --config coordinator/coordinator.toml
  see whether all is there that a coordinator needs, and what to do if not
    coordinator doctor --config federation/coordinator/coordinator.toml
  see where the run stands, and go on without a hospital that holds it up
    coordinator status --config federation/coordinator/coordinator.toml --watch
    coordinator run without 3 --config federation/coordinator/coordinator.toml
  check the signed record of a run, without the network
    coordinator transcript verify --roster federation/coordinator/roster.json federation/coordinator/state/transcript.jsonl
  keep the operator's key away from the coordinator: sign a run where the key is, and begin it here
    coordinator run sign run.toml --key operator.key --roster roster.json --out run.signed.json
    coordinator serve --config federation/coordinator/coordinator.toml --run run.signed.json
  change settings for one run, by flags or by environment variables
    coordinator serve --rounds 2 --set run.conditioning=plain
    MYELIN__RUN__SEED=7 coordinator serve --log-format json 2> run.log

Exit codes:
  0  the run is complete
  1  the run has failed
  2  a flag, setting, key, certificate, roster, address or state folder is wrong; nothing was started
  3  a signal stopped the program before the end of the run; started again, it goes on";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
