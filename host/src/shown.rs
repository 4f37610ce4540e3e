//! How a command shows what it has found: to people or to programs, once or again and again.

use std::{
    io::{self, IsTerminal as _},
    thread::sleep,
    time::Duration,
};

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::{
    failure::Failure,
    output::{printable, say},
};

/// For whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: a JSON object on one line.
    Json,
}

/// The flags of a command that can be watched.
#[derive(Args)]
pub struct Watching {
    /// Show it again every two seconds, until Ctrl-C or the end of the program that is asked.
    #[arg(long)]
    watch: bool,

    /// For people, or one JSON object a line.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// What can be told both ways.
pub trait Shown {
    /// For people.
    fn in_words(&self) -> String;

    /// For programs.
    fn as_json(&self) -> Value;
}

impl Watching {
    /// Shows what `look` finds, and goes on if that is asked for. A program that has ended while it is watched is no failure of the command:
    /// `ended` is said then.
    ///
    /// # Errors
    /// That of the first look.
    pub fn show<T: Shown>(
        &self,
        look: impl Fn() -> Result<T, Failure>,
        ended: &str,
    ) -> Result<(), Failure> {
        self.show_one(&look()?);
        if !self.watch {
            return Ok(());
        }
        loop {
            sleep(BETWEEN_LOOKS);
            let Ok(found) = look() else {
                say(ended);
                return Ok(());
            };
            self.show_one(&found);
        }
    }

    fn show_one(&self, found: &impl Shown) {
        match self.format {
            Format::Json => say(found.as_json()),
            Format::Text => {
                let is_redrawn = self.watch && io::stdout().is_terminal();
                let clear = if is_redrawn { CLEAR } else { "" };
                say(format_args!("{clear}{}", printable(&found.in_words())));
            }
        }
    }
}

const BETWEEN_LOOKS: Duration = Duration::from_secs(2);
/// Clears a terminal, and goes to its upper left corner.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";
