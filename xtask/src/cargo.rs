//! Starting cargo with libtorch in its environment.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context, Result};

use crate::libtorch::Libtorch;
use crate::tenseal::target_folder;

/// Builds `experiments` for release and runs `experiments simulate ARGUMENTS` in the caller's working folder.
///
/// # Errors
///
/// When cargo cannot be started; what cargo or the simulation reports is in the exit code.
pub fn simulate(libtorch: &Libtorch, arguments: &[OsString]) -> Result<ExitCode> {
    let fixed = EXPERIMENTS.iter().chain(&["simulate"]).map(OsStr::new);
    run(cargo_with(libtorch, fixed, arguments))
}

/// Builds `experiments` for release and runs `experiments reproduce ARGUMENTS` in the caller's working folder.
///
/// # Errors
///
/// When cargo cannot be started; what cargo or the reproduction reports is in the exit code.
pub fn reproduce(libtorch: &Libtorch, arguments: &[OsString]) -> Result<ExitCode> {
    let fixed = EXPERIMENTS.iter().chain(&["reproduce"]).map(OsStr::new);
    run(cargo_with(libtorch, fixed, arguments))
}

/// Builds `experiments` for release and runs `experiments audit ARGUMENTS` in the caller's working folder.
///
/// # Errors
///
/// When cargo cannot be started; what cargo or the audit reports is in the exit code.
pub fn audit(libtorch: &Libtorch, arguments: &[OsString]) -> Result<ExitCode> {
    let fixed = EXPERIMENTS.iter().chain(&["audit"]).map(OsStr::new);
    run(cargo_with(libtorch, fixed, arguments))
}

/// Builds `experiments` for release and runs `experiments bench crypto ARGUMENTS`: the numbers into a file of the target folder
/// unless the arguments name one, TenSEAL from `python` if there is one.
///
/// # Errors
///
/// When cargo cannot be started; what cargo or the benchmark reports is in the exit code.
pub fn bench_crypto(
    libtorch: &Libtorch,
    python: Option<&Path>,
    arguments: &[OsString],
) -> Result<ExitCode> {
    let numbers = target_folder().join("bench-crypto.json");
    let fixed = EXPERIMENTS
        .iter()
        .chain(&["bench", "crypto", "--json"])
        .map(OsStr::new)
        .chain([numbers.as_os_str()]);
    let tenseal = python
        .into_iter()
        .flat_map(|python| [OsStr::new("--tenseal"), python.as_os_str()]);
    run(cargo_with(libtorch, fixed.chain(tenseal), arguments))
}

/// Builds `experiments` for release and runs `experiments bench training ARGUMENTS`: the numbers into a file of the target folder
/// unless the arguments name one.
///
/// # Errors
///
/// When cargo cannot be started; what cargo or the benchmark reports is in the exit code.
pub fn bench_training(libtorch: &Libtorch, arguments: &[OsString]) -> Result<ExitCode> {
    let numbers = target_folder().join("bench-training.json");
    let fixed = EXPERIMENTS
        .iter()
        .chain(&["bench", "training", "--json"])
        .map(OsStr::new)
        .chain([numbers.as_os_str()]);
    run(cargo_with(libtorch, fixed, arguments))
}

/// Builds the cohort for release and plays faulty rounds with these arguments; nothing in it needs libtorch.
///
/// # Errors
///
/// When cargo cannot be started; what cargo or the rounds report is in the exit code.
pub fn soak(arguments: &[OsString]) -> Result<ExitCode> {
    let fixed = [
        "run",
        "--release",
        "--package",
        "cohort",
        "--example",
        "soak",
        "--",
    ];
    let mut command = cargo();
    command.args(fixed).args(arguments);
    run(command)
}

/// Runs every test of the workspace, also after one has failed; the last line is the test runner's own. Those that exchange files
/// with TenSEAL find it in `python`, if there is one.
///
/// # Errors
///
/// When cargo cannot be started; failing tests are in the exit code.
pub fn test(
    libtorch: &Libtorch,
    python: Option<&Path>,
    arguments: &[OsString],
) -> Result<ExitCode> {
    // A failure keeps none of the others from being run and reported.
    let fixed = ["test", "--workspace", "--no-fail-fast"].map(OsStr::new);
    let mut command = cargo_with(libtorch, fixed, arguments);
    if arguments.is_empty() {
        // With the features that the tests have: by themselves the programs would be built once more, and much below them too.
        let programs = ["build", "--workspace", "--bins", "--tests"].map(OsStr::new);
        let code = run(cargo_with(libtorch, programs, &[]))?;
        if code != ExitCode::SUCCESS {
            return Ok(code);
        }
        command.env("MYELIN_PROGRAMS", target_folder().join("debug"));
    }
    if let Some(python) = python {
        command.env("MYELIN_TENSEAL_PYTHON", python);
    }
    run(command)
}

/// Cargo names itself to what it runs, so that a chosen toolchain stays chosen.
fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn cargo_with<'a>(
    libtorch: &Libtorch,
    fixed: impl IntoIterator<Item = &'a OsStr>,
    arguments: &'a [OsString],
) -> Command {
    let mut command = cargo();
    command.args(fixed).args(arguments);
    libtorch.add_to(&mut command);
    command
}

fn run(mut command: Command) -> Result<ExitCode> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
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

/// Up to where the arguments of the program begin.
const EXPERIMENTS: [&str; 7] = [
    "run",
    "--release",
    "--package",
    "experiments",
    "--bin",
    "experiments",
    "--",
];
