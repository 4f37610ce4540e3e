//! `experiments bench`.

use std::path::PathBuf;

use bench_crypto::{Clock, CryptoBench};
use clap::{Args, Subcommand};
use protocol::training_job::DeviceChoice;

use super::simulate::ProfileName;
use crate::bench::training::TrainingBench;

/// Measures the speed of parts of the system, on one thread.
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

/// Measures CKKS and the sealed sum, and TenSEAL at the same time if it is installed.
///
/// The table goes to stdout. Ours and TenSEAL are measured in turn; a ratio is the median of the ratios of all turns.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct BenchCryptoOptions {
    /// Also write the numbers to this file, as JSON
    #[arg(long, value_name = "FILE", overrides_with = "json")]
    pub json: Option<PathBuf>,
    /// Our CKKS parameters; TenSEAL always has those of the study, because it cannot compute with the others
    #[arg(long, value_enum, default_value = "study")]
    pub profile: ProfileName,
    /// A Python that can import TenSEAL [default: python3]
    #[arg(long, value_name = "PYTHON", overrides_with = "tenseal")]
    pub tenseal: Option<PathBuf>,
    /// The number of turns for the operations of the conditioning, each measured five times in a turn
    #[arg(long, value_name = "N", default_value_t = 31, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub rounds: u16,
    /// The number of turns for whole sealed sums, each with 10 and with 100 hospitals
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub sums: u16,
    /// Which time is measured; processor time is the fairer one on a busy machine
    #[arg(long, value_enum, default_value_t)]
    pub clock: Clock,
}

/// Measures a training step, what encryption adds to it, and PyTorch at the same time if it is installed.
///
/// The table goes to stdout. Ours and PyTorch are measured in turn; a ratio is the median of the ratios of all turns.
#[derive(Args, Clone, Debug)]
#[command(after_help = TRAINING_EXAMPLES)]
pub struct BenchTrainingOptions {
    /// Also write the numbers to this file, as JSON
    #[arg(long, value_name = "FILE", overrides_with = "json")]
    pub json: Option<PathBuf>,
    /// Where both compute: cpu, cuda, cuda:N or auto
    #[arg(long, default_value = "cpu")]
    pub device: DeviceChoice,
    /// The number of threads of both; only 1 is possible, because a trainer has one thread
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=1))]
    pub threads: u8,
    /// The number of slices in a step
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(2..=4096))]
    pub batch: u16,
    /// The CKKS parameters of the conditioning
    #[arg(long, value_enum, default_value = "study")]
    pub profile: ProfileName,
    /// A Python that can import PyTorch [default: python3]
    #[arg(long, value_name = "PYTHON", overrides_with = "python")]
    pub python: Option<PathBuf>,
    /// The number of turns, each of five steps of each network; one turn more comes first and is not counted
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub rounds: u16,
    /// Which time is measured; processor time is the fairer one on a busy machine
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
