//! Why a program ends without having done what it was asked, and the exit code that says so.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use crate::output::printable;

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

/// With all causes; one that the error before it has told already is not told twice.
fn in_words(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

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

    /// The same failure, told in other words.
    #[must_use]
    pub fn map(self, told: impl FnOnce(anyhow::Error) -> anyhow::Error) -> Self {
        match self {
            Self::Run(error) => Self::Run(told(error)),
            Self::Settings(error) => Self::Settings(told(error)),
            Self::Stopped(error) => Self::Stopped(told(error)),
        }
    }

    /// The exit code alone.
    pub fn code(&self) -> u8 {
        match self {
            Self::Run(_) => 1,
            Self::Settings(_) => 2,
            Self::Stopped(_) => 3,
        }
    }

    /// Tells the user on stderr, with all causes, and gives the exit code.
    pub fn report(&self) -> ExitCode {
        let (Self::Run(error) | Self::Settings(error) | Self::Stopped(error)) = self;
        // Not `eprintln!`, which panics when stderr is a closed pipe or a full disk.
        let _ = writeln!(io::stderr(), "error: {}", printable(&in_words(error)));
        ExitCode::from(self.code())
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let cause =
            anyhow!("policy.max_rounds is 1").context("the policy refuses: policy.max_rounds is 1");
        assert_eq!(
            in_words(&cause),
            "the policy refuses: policy.max_rounds is 1"
        );
        let other = anyhow!("no such file").context("cannot read a.toml");
        assert_eq!(in_words(&other), "cannot read a.toml: no such file");
    }
}
