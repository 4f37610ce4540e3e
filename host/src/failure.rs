//! Why a program ends without having done what it was asked, and the exit code that says so.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

/// The end of a program that has not done its work.
#[derive(Debug)]
pub enum Failure {
    /// The work did not end well: exit code 1.
    Run(anyhow::Error),
    /// Something that the user has to set right; nothing was started: exit code 2, which is also a wrong flag's.
    Settings(anyhow::Error),
    /// A signal came before the end: exit code 3.
    Stopped(anyhow::Error),
}

/// A text of another party as it can be shown on a terminal: without control characters, and not without end.
fn printable(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars().take(MAX_SHOWN) {
        match character {
            '\n' | '\t' => shown.push(character),
            other if other.is_control() => shown.extend(other.escape_default()),
            other => shown.push(other),
        }
    }
    if text.chars().nth(MAX_SHOWN).is_some() {
        shown.push_str(" ...");
    }
    shown
}

const MAX_SHOWN: usize = 4_000;

impl Failure {
    /// For `map_err`.
    pub fn run(error: impl Into<anyhow::Error>) -> Self {
        Self::Run(error.into())
    }

    /// For `map_err`.
    pub fn settings(error: impl Into<anyhow::Error>) -> Self {
        Self::Settings(error.into())
    }

    /// For `map_err`.
    pub fn stopped(error: impl Into<anyhow::Error>) -> Self {
        Self::Stopped(error.into())
    }

    /// Tells the user on stderr, with all causes, and gives the exit code.
    pub fn report(&self) -> ExitCode {
        let (error, code) = match self {
            Self::Run(error) => (error, 1),
            Self::Settings(error) => (error, 2),
            Self::Stopped(error) => (error, 3),
        };
        // Not `eprintln!`, which panics when stderr is a closed pipe or a full disk.
        let _ = writeln!(io::stderr(), "error: {}", printable(&format!("{error:#}")));
        ExitCode::from(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_party_says_cannot_write_over_the_terminal() {
        assert_eq!(
            printable("gone\u{1b}[2J\r\nbut\tread"),
            "gone\\u{1b}[2J\\r\nbut\tread"
        );
        let long = printable(&"é".repeat(5_000));
        assert_eq!(long.chars().count(), MAX_SHOWN + 4);
    }
}
