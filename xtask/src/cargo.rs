//! Starting cargo with libtorch in its environment.

use std::env;
use std::ffi::{OsStr, OsString};
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context, Result};

use crate::libtorch::Libtorch;

/// Builds `experiments` for release and runs `experiments simulate ARGUMENTS` in the caller's working folder.
///
/// # Errors
///
/// When cargo cannot be started; what cargo or the simulation reports is in the exit code.
pub fn simulate(libtorch: &Libtorch, arguments: &[OsString]) -> Result<ExitCode> {
    let fixed = [
        "run",
        "--release",
        "--package",
        "experiments",
        "--bin",
        "experiments",
        "--",
        "simulate",
    ];
    run(libtorch, &fixed, arguments)
}

/// Runs every test of the workspace; the last line is the test runner's own.
///
/// # Errors
///
/// When cargo cannot be started; failing tests are in the exit code.
pub fn test(libtorch: &Libtorch, arguments: &[OsString]) -> Result<ExitCode> {
    run(libtorch, &["test", "--workspace"], arguments)
}

fn run(libtorch: &Libtorch, fixed: &[&str], arguments: &[OsString]) -> Result<ExitCode> {
    // Cargo names itself to what it runs, so that a chosen toolchain stays chosen.
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(&cargo);
    command.args(
        fixed
            .iter()
            .map(OsStr::new)
            .chain(arguments.iter().map(OsString::as_os_str)),
    );
    libtorch.add_to(&mut command);
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", cargo.display()))?;
    Ok(exit_code(status))
}

fn exit_code(status: ExitStatus) -> ExitCode {
    // A program ended by a signal has no code of its own.
    let code = status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1);
    ExitCode::from(code)
}
