//! What can be asked of the coordinator on a command line. Data goes to stdout, the log to stderr.

mod init;
mod serve;

use std::{
    fmt::Display,
    io::{self, IsTerminal as _},
    process::ExitCode,
};

use clap::{Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

/// Launches rounds among hospitals, adds their sealed updates and multiplies their encrypted features, and can read neither.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES, max_term_width = 120)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// How the log on stderr is written.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,

    /// How much is logged: error, warn, info, debug or trace, also by module: info,coordinator=debug.
    #[arg(long, global = true, value_name = "LEVEL", default_value = "info")]
    log_level: EnvFilter,
}

/// The subcommands.
#[derive(Subcommand)]
pub enum Command {
    /// Make a federation to try out on one machine: keys, certificates and settings, a folder for each party.
    Init(init::Init),
    /// Run one training: wait until all hospitals have joined, then go through the rounds.
    Serve(serve::Serve),
}

impl Arguments {
    /// Sends the log to stderr.
    pub fn start_log(&self) {
        let log = tracing_subscriber::fmt()
            .with_env_filter(self.log_level.clone())
            .with_writer(io::stderr);
        match self.log_format {
            LogFormat::Text => log
                .with_target(false)
                .with_ansi(io::stderr().is_terminal())
                .init(),
            LogFormat::Json => log.json().init(),
        }
    }
}

impl Command {
    /// Does it.
    pub fn execute(self) -> Result<(), Failure> {
        match self {
            Self::Init(init) => init.execute(),
            Self::Serve(serve) => serve.execute(),
        }
    }
}

/// Why the program ends without having done what it was asked. Each has an exit code; see [`EXAMPLES`].
#[derive(Debug)]
pub enum Failure {
    /// The run did not end well.
    Run(anyhow::Error),
    /// Something that the user has to set right; nothing was started.
    Settings(anyhow::Error),
    /// A signal came before the end.
    Stopped(anyhow::Error),
}

impl Failure {
    fn settings(error: impl Into<anyhow::Error>) -> Self {
        Self::Settings(error.into())
    }

    /// Tells the user, with all causes, and gives the exit code.
    pub fn report(&self) -> ExitCode {
        let (error, code) = match self {
            Self::Run(error) => (error, 1),
            Self::Settings(error) => (error, 2),
            Self::Stopped(error) => (error, 3),
        };
        eprintln!("error: {error:#}");
        ExitCode::from(code)
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// For machines: an object a line.
    Json,
}

/// Writes a line to stdout. A reader that has gone is no reason to fail.
fn say(line: impl Display) {
    let _ = io::Write::write_fmt(&mut io::stdout(), format_args!("{line}\n"));
}

const EXAMPLES: &str = "\
Examples:
  three hospitals and a coordinator, as folders in ./federation
    coordinator init --trial 3 federation
  run them, each in a terminal of its own
    coordinator serve --config federation/coordinator/coordinator.toml
    participant run --config federation/hospital-1/participant.toml
  other settings for one run, by flags or through the environment
    coordinator serve --rounds 2 --set run.conditioning=plain
    MYELIN__RUN__SEED=7 coordinator serve --log-format json 2> run.log

Exit codes:
  0  done: the run is complete
  1  the run has failed
  2  a wrong flag, setting, key, certificate, roster or address; nothing was started
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
