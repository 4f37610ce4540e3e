//! What a program says: data on stdout, the log on stderr.

use std::{
    fmt::Display,
    io::{self, IsTerminal as _, Write as _},
};

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// The flags about the log, alike in every program: `#[command(flatten)]` them.
#[derive(Args)]
pub struct LogArguments {
    /// The format of the log on stderr.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,

    /// How much is logged: error, warn, info, debug or trace. Also by module: info,protocol=debug.
    #[arg(long, global = true, value_name = "LEVEL", default_value = "info")]
    log_level: EnvFilter,
}

impl LogArguments {
    /// Sends the log to stderr from now on. To be called once.
    ///
    /// # Panics
    /// If the process has a log already.
    pub fn start(&self) {
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

/// Writes a line to stdout. A reader that has gone is no reason to fail.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    /// Text, for people.
    Text,
    /// One JSON object per line, for programs.
    Json,
}
