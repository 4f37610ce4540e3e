//! The command line and what each command does.

use std::ffi::OsString;
use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;

use crate::cargo;
use crate::libtorch::Source;
use crate::prerequisites::{self, Tool};
use crate::tenseal::python_with_tenseal;
use crate::wheels::Build;

/// What `cargo xtask help` prints.
pub const HELP: &str = "\
usage: cargo xtask COMMAND

  simulate [-- ARGS]        gets libtorch if needed, builds with optimisation, runs `experiments simulate ARGS`
  reproduce [-- ARGS]       gets libtorch if needed, builds with optimisation, runs `experiments reproduce ARGS`
  audit [-- ARGS]           gets libtorch if needed, builds with optimisation, runs `experiments audit ARGS`
  bench crypto [-- ARGS]    gets libtorch and TenSEAL if needed, builds with optimisation, runs `experiments bench crypto ARGS`
  bench training [-- ARGS]  gets libtorch if needed, builds with optimisation, runs `experiments bench training ARGS`
  test [-- ARGS]            gets libtorch and TenSEAL if needed, runs every test of the workspace; ARGS go to `cargo test`
  soak [-- ARGS]            builds with optimisation and plays faulty rounds for as long as ARGS say: a longer search than `test` makes
  libtorch [--cuda]         gets libtorch if needed and prints its folder; with --cuda, a libtorch for NVIDIA GPUs
  help                      prints this text

For the options of a command: `cargo xtask simulate -- --help`, and in the same way for the others.

libtorch is kept in the user's cache folder, so that all clones share it: a download of 545 MB, 500 MB on disk. Nothing is
downloaded if LIBTORCH (a folder with lib/ and include/) or LIBTORCH_USE_PYTORCH (use an installed PyTorch) is set. To train on
a GPU, build with the libtorch for GPUs (a download of 2.5 GB, 3.9 GB on disk):
  export LIBTORCH=$(cargo xtask libtorch --cuda)

TenSEAL is installed into the target folder, for comparison and for the exchange of files. If that fails, the comparison and
the tests of these files are skipped. PyTorch, for comparison of the training, takes several GB and is not installed: python3
is asked for it, or the Python that --python names.";

/// One command, read from the command line.
#[derive(Debug, PartialEq, Eq)]
pub enum Task {
    /// Print [`HELP`].
    Help,
    /// Build for release and attack what protects data, with these arguments.
    Audit(Vec<OsString>),
    /// Build for release and run the benchmark of the cryptography with these arguments.
    BenchCrypto(Vec<OsString>),
    /// Build for release and run the benchmark of a training step with these arguments.
    BenchTraining(Vec<OsString>),
    /// Only get this build of libtorch and print its folder.
    Libtorch(Build),
    /// Build for release and repeat the study with these arguments.
    Reproduce(Vec<OsString>),
    /// Build for release and run the simulation with these arguments.
    Simulate(Vec<OsString>),
    /// Build for release and play faulty rounds with these arguments.
    Soak(Vec<OsString>),
    /// Run the tests of the workspace, handing these arguments to `cargo test`.
    Test(Vec<OsString>),
}

/// A command line that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub enum Misuse {
    /// No command at all.
    NoCommand,
    /// A command that does not exist.
    UnknownCommand(String),
    /// `bench` without what to measure, or with something that is not measured.
    UnknownBenchmark(Option<String>),
    /// An argument that the command does not take, or that belongs behind `--`.
    UnexpectedArgument {
        /// The command it was given to.
        command: &'static str,
        /// The argument.
        argument: String,
        /// Whether the command takes arguments behind `--`.
        forwards: bool,
    },
}

impl Task {
    /// Reads the arguments that follow `cargo xtask`.
    ///
    /// # Errors
    ///
    /// [`Misuse`], naming what could not be read.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Misuse> {
        let mut arguments = arguments.into_iter();
        let command = arguments.next().ok_or(Misuse::NoCommand)?;
        match command.to_str() {
            Some("help" | "--help" | "-h") => Ok(Self::Help),
            Some("libtorch") => libtorch(arguments),
            Some("simulate") => forwarded("simulate", arguments).map(Self::Simulate),
            Some("audit") => forwarded("audit", arguments).map(Self::Audit),
            Some("reproduce") => forwarded("reproduce", arguments).map(Self::Reproduce),
            Some("bench") => match arguments.next() {
                Some(what) if what == "crypto" => {
                    forwarded("bench crypto", arguments).map(Self::BenchCrypto)
                }
                Some(what) if what == "training" => {
                    forwarded("bench training", arguments).map(Self::BenchTraining)
                }
                what => Err(Misuse::UnknownBenchmark(
                    what.map(|what| what.to_string_lossy().into_owned()),
                )),
            },
            Some("soak") => forwarded("soak", arguments).map(Self::Soak),
            Some("test") => forwarded("test", arguments).map(Self::Test),
            _ => Err(Misuse::UnknownCommand(
                command.to_string_lossy().into_owned(),
            )),
        }
    }

    /// Does it; the exit code is that of the program it ends with.
    ///
    /// # Errors
    ///
    /// A missing prerequisite, a fetch that failed, a program that could not be started.
    pub fn run(self) -> Result<ExitCode> {
        match self {
            Self::Help => print_line(HELP.as_bytes()),
            Self::Libtorch(build) => {
                let source = Source::of_environment(build)?;
                prerequisites::check(source.tools())?;
                let libtorch = source.obtain()?;
                if build == Build::Cuda {
                    libtorch.check_cuda()?;
                }
                print_line(libtorch.folder.as_os_str().as_encoded_bytes())
            }
            Self::Simulate(arguments) => cargo::simulate(&libtorch_for_a_build()?, &arguments),
            Self::Audit(arguments) => cargo::audit(&libtorch_for_a_build()?, &arguments),
            Self::Reproduce(arguments) => cargo::reproduce(&libtorch_for_a_build()?, &arguments),
            Self::BenchCrypto(arguments) => {
                let libtorch = libtorch_for_a_build()?;
                let python = python_with_tenseal("there will be nothing to compare with");
                cargo::bench_crypto(&libtorch, python.as_deref(), &arguments)
            }
            Self::Soak(arguments) => cargo::soak(&arguments),
            Self::Test(arguments) => {
                let libtorch = libtorch_for_a_build()?;
                let python = python_with_tenseal("files will not be exchanged with TenSEAL");
                cargo::test(&libtorch, python.as_deref(), &arguments)
            }
            Self::BenchTraining(arguments) => {
                cargo::bench_training(&libtorch_for_a_build()?, &arguments)
            }
        }
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCommand => write!(formatter, "no command was given"),
            Self::UnknownCommand(command) => write!(formatter, "there is no command `{command}`"),
            Self::UnknownBenchmark(None) => {
                write!(
                    formatter,
                    "say what `bench` is to measure: crypto or training"
                )
            }
            Self::UnknownBenchmark(Some(what)) => {
                write!(
                    formatter,
                    "`bench` measures crypto or training, not `{what}`"
                )
            }
            Self::UnexpectedArgument {
                command,
                argument,
                forwards,
            } => {
                write!(formatter, "`{command}` takes no argument `{argument}`")?;
                if *forwards {
                    write!(
                        formatter,
                        "; put arguments to pass on behind `--`: cargo xtask {command} -- {argument}"
                    )?;
                }
                Ok(())
            }
        }
    }
}

/// Every missing tool is named before the first byte is fetched, so that nobody waits twice.
fn libtorch_for_a_build() -> Result<crate::libtorch::Libtorch> {
    let source = Source::of_environment(Build::Cpu)?;
    prerequisites::check(source.tools().iter().chain(&[Tool::CxxCompiler]))?;
    source.obtain()
}

fn libtorch(arguments: impl Iterator<Item = OsString>) -> Result<Task, Misuse> {
    let mut build = Build::Cpu;
    for argument in arguments {
        match argument.to_str() {
            Some("--cuda") => build = Build::Cuda,
            Some("--help" | "-h") => return Ok(Task::Help),
            _ => return Err(unexpected("libtorch", &argument, false)),
        }
    }
    Ok(Task::Libtorch(build))
}

fn forwarded(
    command: &'static str,
    mut arguments: impl Iterator<Item = OsString>,
) -> Result<Vec<OsString>, Misuse> {
    match arguments.next() {
        None => Ok(Vec::new()),
        Some(dashes) if dashes == "--" => Ok(arguments.collect()),
        Some(argument) => Err(unexpected(command, &argument, true)),
    }
}

fn unexpected(command: &'static str, argument: &OsString, forwards: bool) -> Misuse {
    Misuse::UnexpectedArgument {
        command,
        argument: argument.to_string_lossy().into_owned(),
        forwards,
    }
}

fn print_line(bytes: &[u8]) -> Result<ExitCode> {
    let mut output = std::io::stdout().lock();
    output.write_all(bytes)?;
    output.write_all(b"\n")?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Task, Misuse> {
        Task::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_commands_of_the_contract_are_read() {
        assert_eq!(parse("libtorch"), Ok(Task::Libtorch(Build::Cpu)));
        assert_eq!(parse("libtorch --cuda"), Ok(Task::Libtorch(Build::Cuda)));
        assert_eq!(parse("libtorch --cuda --help"), Ok(Task::Help));
        assert_eq!(parse("simulate"), Ok(Task::Simulate(vec![])));
        assert_eq!(parse("simulate --"), Ok(Task::Simulate(vec![])));
        assert_eq!(
            parse("simulate -- --hospitals 7 -- x"),
            Ok(Task::Simulate(
                ["--hospitals", "7", "--", "x"].map(OsString::from).to_vec()
            ))
        );
        assert_eq!(
            parse("test -- -p crypto"),
            Ok(Task::Test(["-p", "crypto"].map(OsString::from).to_vec()))
        );
        assert_eq!(
            parse("reproduce -- --seeds 1"),
            Ok(Task::Reproduce(
                ["--seeds", "1"].map(OsString::from).to_vec()
            ))
        );
        assert_eq!(parse("audit"), Ok(Task::Audit(vec![])));
        assert_eq!(
            parse("soak -- --minutes 5"),
            Ok(Task::Soak(["--minutes", "5"].map(OsString::from).to_vec()))
        );
        assert_eq!(parse("bench crypto"), Ok(Task::BenchCrypto(vec![])));
        assert_eq!(
            parse("bench crypto -- --profile hardened"),
            Ok(Task::BenchCrypto(
                ["--profile", "hardened"].map(OsString::from).to_vec()
            ))
        );
        assert_eq!(
            parse("bench training -- --batch 16"),
            Ok(Task::BenchTraining(
                ["--batch", "16"].map(OsString::from).to_vec()
            ))
        );
        assert_eq!(parse("--help"), Ok(Task::Help));
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        assert_eq!(parse(""), Err(Misuse::NoCommand));
        assert_eq!(
            parse("simulat"),
            Err(Misuse::UnknownCommand("simulat".into()))
        );
        let misuse = parse("simulate --hospitals 7").expect_err("flags belong behind --");
        assert!(
            misuse
                .to_string()
                .ends_with("cargo xtask simulate -- --hospitals"),
            "{misuse}"
        );
        assert_eq!(parse("bench"), Err(Misuse::UnknownBenchmark(None)));
        assert_eq!(
            parse("bench cooking"),
            Err(Misuse::UnknownBenchmark(Some("cooking".into())))
        );
        let misuse = parse("bench crypto --json x").expect_err("flags belong behind --");
        assert!(
            misuse
                .to_string()
                .ends_with("cargo xtask bench crypto -- --json"),
            "{misuse}"
        );
        let misuse = parse("libtorch --gpu").expect_err("there is no such flag");
        assert_eq!(misuse.to_string(), "`libtorch` takes no argument `--gpu`");
    }
}
