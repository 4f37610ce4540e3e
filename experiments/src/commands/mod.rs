//! The command line: one options struct a command, no logic in the parser.

mod bench;
mod phantom;

use clap::{Parser, Subcommand};
use host::{failure::Failure, output::LogArguments};

use self::{bench::BenchOptions, phantom::PhantomOptions};
use crate::{
    audit::{self, AuditOptions},
    reproduce::{self, ReproduceCommand},
    simulation::{self, SimulateCommand, Steps},
};

/// Runs whole federations and single-site trainings on this machine, measures them, and attacks what protects them.
#[derive(Parser)]
#[command(name = "experiments", version = version::VERSION, propagate_version = true, after_help = EXIT_CODES)]
// What is worth telling of a run that goes well, a simulation tells itself.
#[command(mut_arg("log_level", |argument| argument.default_value("error,model=warn")))]
pub struct Experiments {
    #[command(subcommand)]
    command: Command,

    /// The log.
    #[command(flatten)]
    pub log: LogArguments,
}

#[derive(Subcommand)]
enum Command {
    Simulate(SimulateCommand),
    Phantom(PhantomOptions),
    Bench(BenchOptions),
    Reproduce(ReproduceCommand),
    Audit(AuditOptions),
}

impl Experiments {
    /// Runs the command. What parties of a simulation do is noted in `steps`, if they are beside the log.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn execute(self, steps: &Steps) -> Result<(), Failure> {
        match self.command {
            Command::Simulate(command) => simulation::simulate(&command, steps),
            Command::Phantom(options) => options.execute(),
            Command::Bench(options) => options.execute(),
            Command::Reproduce(command) => reproduce::reproduce(&command),
            Command::Audit(options) => audit::audit(&options),
        }
    }
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed
  2  an option, a folder or the data cannot be used; nothing was started
  3  a signal stopped the program before the end";
