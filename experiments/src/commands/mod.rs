//! The command line: one options struct a command, no logic in the parser.

mod bench;
mod phantom;
mod reproduce;
mod simulate;
mod typed_options;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{simulation, stopping::STOPPED_BY_A_SIGNAL};

pub use self::{
    bench::{BenchCryptoOptions, BenchOptions, BenchTrainingOptions},
    phantom::PhantomOptions,
    reproduce::{BalanceName, ModelName, ReproduceOptions, TaskChoice},
    simulate::{ConditioningName, ProfileName, SimulateOptions, UpdatesName},
    typed_options::{SimulateCommand, TypedOptions},
};

/// Runs whole federations and single-site trainings on this machine, and measures them.
#[derive(Parser)]
#[command(name = "experiments", version, propagate_version = true)]
pub struct Experiments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Simulate(SimulateCommand),
    Phantom(PhantomOptions),
    Bench(BenchOptions),
    Reproduce(ReproduceOptions),
}

impl Experiments {
    /// Runs the command. 0 when it did what was asked, 1 when it could not, 3 when a signal stopped it; what went wrong is on stderr.
    /// (The parser itself ends with 2 on options that do not exist.)
    pub fn execute(self) -> ExitCode {
        let logs = tracing_subscriber::EnvFilter::try_from_default_env()
            .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error,model=warn"));
        tracing_subscriber::fmt()
            .with_env_filter(logs)
            .with_writer(std::io::stderr)
            .init();
        let result = match self.command {
            Command::Simulate(command) => simulation::simulate(&command),
            Command::Phantom(options) => options.execute(),
            Command::Bench(options) => options.execute(),
            Command::Reproduce(options) => options.execute(),
        };
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error:#}");
                if simulation::was_interrupted(&error) {
                    ExitCode::from(STOPPED_BY_A_SIGNAL)
                } else {
                    ExitCode::FAILURE
                }
            }
        }
    }
}

/// The names as they are typed.
macro_rules! shown_as_typed {
    ($($name:ty),*) => {$(
        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let value = clap::ValueEnum::to_possible_value(self).expect("no value is skipped");
                formatter.write_str(value.get_name())
            }
        }
    )*};
}

shown_as_typed!(
    ConditioningName,
    ProfileName,
    UpdatesName,
    BalanceName,
    ModelName
);
