//! `experiments bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use protocol::training_job::DeviceChoice;

use super::simulate::ProfileName;
use crate::bench::{Clock, CryptoBench, training::TrainingBench};

/// Measures parts of the system on one thread.
#[derive(Args, Clone, Debug)]
pub struct BenchOptions {
    #[command(subcommand)]
    what: Benchmark,
}

#[derive(Clone, Debug, Subcommand)]
enum Benchmark {
    Crypto(BenchCryptoOptions),
    Training(BenchTrainingOptions),
}

/// CKKS and the sealed sum, beside TenSEAL in the same minute where it is installed.
///
/// The table goes to stdout. Ours and TenSEAL take turns; a ratio is the median of those of the rounds.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct BenchCryptoOptions {
    /// Where the numbers go
    #[arg(long, value_name = "FILE", overrides_with = "json")]
    pub json: Option<PathBuf>,
    /// Our parameters; TenSEAL always has the study's, as it cannot compute with the others
    #[arg(long, value_enum, default_value = "study")]
    pub profile: ProfileName,
    /// A Python that can import TenSEAL [default: python3]
    #[arg(long, value_name = "PYTHON", overrides_with = "tenseal")]
    pub tenseal: Option<PathBuf>,
    /// Turns of the operations of the conditioning, five times each
    #[arg(long, value_name = "N", default_value_t = 31, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub rounds: u16,
    /// Turns of a whole sealed sum, each of 10 and of 100 hospitals
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub sums: u16,
    /// The time that passes, or that of the processor, which is fair on a busy machine
    #[arg(long, value_enum, default_value_t)]
    pub clock: Clock,
}

/// A training step, beside PyTorch in the same minute where it is installed, and what encryption adds to it.
///
/// The table goes to stdout. Ours and PyTorch take turns; a ratio is the median of those of the rounds.
#[derive(Args, Clone, Debug)]
#[command(after_help = TRAINING_EXAMPLES)]
pub struct BenchTrainingOptions {
    /// Where the numbers go
    #[arg(long, value_name = "FILE", overrides_with = "json")]
    pub json: Option<PathBuf>,
    /// Where both compute: `cpu`, `cuda`, `cuda:N` or `auto`
    #[arg(long, default_value = "cpu")]
    pub device: DeviceChoice,
    /// Threads of both. A trainer has one: hospitals and jobs run side by side instead
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=1))]
    pub threads: u8,
    /// Samples of a step
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(2..=4096))]
    pub batch: u16,
    /// CKKS parameters of the `study` pipeline's conditioning
    #[arg(long, value_enum, default_value = "study")]
    pub profile: ProfileName,
    /// A Python that can import PyTorch [default: python3]
    #[arg(long, value_name = "PYTHON", overrides_with = "python")]
    pub python: Option<PathBuf>,
    /// Turns of five steps of each network, after one that does not count
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub rounds: u16,
    /// The time that passes, or that of the processor, which is fair on a busy machine
    #[arg(long, value_enum, default_value_t)]
    pub clock: Clock,
}

impl BenchOptions {
    /// Measures.
    ///
    /// # Errors
    /// A Python that does not start, a measured operation that gives a wrong result, a file that cannot be written.
    pub fn execute(&self) -> anyhow::Result<()> {
        match &self.what {
            Benchmark::Crypto(options) => {
                let bench = CryptoBench {
                    profile: options.profile.profile(),
                    python: options.tenseal.clone(),
                    rounds: usize::from(options.rounds),
                    sums: usize::from(options.sums),
                    clock: options.clock,
                };
                bench.execute(options.json.as_deref())
            }
            Benchmark::Training(options) => {
                let bench = TrainingBench {
                    device: options.device,
                    batch: usize::from(options.batch),
                    profile: options.profile.profile(),
                    python: options.python.clone(),
                    rounds: usize::from(options.rounds),
                    clock: options.clock,
                };
                bench.execute(options.json.as_deref())
            }
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  experiments bench crypto --json crypto.json
  experiments bench crypto --tenseal venv/bin/python --profile study --clock processor";

const TRAINING_EXAMPLES: &str = "\
Examples:
  experiments bench training --json training.json
  experiments bench training --python venv/bin/python --clock processor
  experiments bench training --device cuda --python venv/bin/python";
