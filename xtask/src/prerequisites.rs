//! The tools a fresh machine needs beside Rust, and the commands that install them.

use std::env;
use std::ffi::OsString;
use std::fmt::Write;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

/// A program of the system that a command leans on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// Python 3: runs pip and unpacks what it fetched, or holds the PyTorch to use.
    Python,
    /// pip as a module of that Python: fetches libtorch.
    Pip,
    /// A C++17 compiler: torch-sys compiles its bridge to libtorch.
    CxxCompiler,
}

/// The Python that torch-sys, too, asks for its PyTorch.
pub fn python() -> &'static str {
    if env::var_os("VIRTUAL_ENV").is_some() {
        "python"
    } else {
        "python3"
    }
}

/// Sees whether every one of the tools answers.
///
/// # Errors
///
/// Names all that are missing at once, each with the command that installs it.
pub fn check<'a>(tools: impl IntoIterator<Item = &'a Tool>) -> Result<()> {
    let mut missing: Vec<Tool> = tools
        .into_iter()
        .copied()
        .filter(|tool| !tool.is_present())
        .collect();
    if missing.contains(&Tool::Python) {
        // Its install command brings pip along.
        missing.retain(|tool| *tool != Tool::Pip);
    }
    if missing.is_empty() {
        return Ok(());
    }
    bail!("{}", report(&missing));
}

impl Tool {
    fn is_present(self) -> bool {
        match self {
            Self::Python => answers(python().into(), &["--version"]),
            Self::Pip => answers(python().into(), &["-m", "pip", "--version"]),
            Self::CxxCompiler => answers(cxx_compiler(), &["--version"]),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Python => "Python 3 (python3), which fetches libtorch",
            Self::Pip => "pip for Python 3 (python3 -m pip), which fetches libtorch",
            Self::CxxCompiler => "a C++ compiler (c++, or the one CXX names), which binds libtorch",
        }
    }

    /// System and command.
    fn install_commands(self) -> [(&'static str, &'static str); 3] {
        let [debian, fedora, macos] = match self {
            Self::Python => [
                "sudo apt install python3 python3-pip",
                "sudo dnf install python3 python3-pip",
                "brew install python",
            ],
            Self::Pip => [
                "sudo apt install python3-pip",
                "sudo dnf install python3-pip",
                "python3 -m ensurepip --upgrade",
            ],
            Self::CxxCompiler => [
                "sudo apt install g++",
                "sudo dnf install gcc-c++",
                "xcode-select --install",
            ],
        };
        [
            ("Debian, Ubuntu", debian),
            ("Fedora", fedora),
            ("macOS", macos),
        ]
    }
}

fn answers(program: OsString, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// As the cc crate chooses it: `CXX`, which may carry a wrapper or flags, else `c++`.
fn cxx_compiler() -> OsString {
    env::var("CXX")
        .ok()
        .and_then(|compiler| compiler.split_whitespace().next().map(OsString::from))
        .unwrap_or_else(|| "c++".into())
}

fn report(missing: &[Tool]) -> String {
    let mut text = String::from("this machine lacks");
    for tool in missing {
        write!(text, "\n\n  {}", tool.name()).expect("a String takes every write");
        for (system, command) in tool.install_commands() {
            write!(text, "\n    {:<16}{command}", format!("{system}:"))
                .expect("a String takes every write");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_tool_is_named_with_a_command_for_each_system() {
        let text = report(&[Tool::Pip, Tool::CxxCompiler]);
        for part in [
            "python3 -m pip",
            "apt install python3-pip",
            "dnf install python3-pip",
            "ensurepip",
            "C++ compiler",
        ] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        for part in [
            "Debian, Ubuntu: sudo apt install g++",
            "dnf install gcc-c++",
            "xcode-select",
        ] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
    }

    #[test]
    fn a_program_that_does_not_exist_or_fails_does_not_answer() {
        assert!(!answers("no-program-has-this-name".into(), &[]));
        assert!(!answers("false".into(), &[]));
        assert!(answers("true".into(), &[]));
    }
}
