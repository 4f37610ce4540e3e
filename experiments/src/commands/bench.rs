//! `experiments bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::simulate::ProfileName;
use crate::bench::{Clock, CryptoBench};

/// Measures parts of the system on one thread.
#[derive(Args, Clone, Debug)]
pub struct BenchOptions {
    #[command(subcommand)]
    what: Benchmark,
}

#[derive(Clone, Debug, Subcommand)]
enum Benchmark {
    Crypto(BenchCryptoOptions),
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

impl BenchOptions {
    /// Measures.
    ///
    /// # Errors
    /// A Python that does not start, a measured operation that gives a wrong result, a file that cannot be written.
    pub fn execute(&self) -> anyhow::Result<()> {
        let Benchmark::Crypto(options) = &self.what;
        let bench = CryptoBench {
            profile: match options.profile {
                ProfileName::Hardened => crypto::ckks::Profile::Hardened,
                ProfileName::Study => crypto::ckks::Profile::Study,
            },
            python: options.tenseal.clone(),
            rounds: usize::from(options.rounds),
            sums: usize::from(options.sums),
            clock: options.clock,
        };
        bench.execute(options.json.as_deref())
    }
}

const EXAMPLES: &str = "\
Examples:
  experiments bench crypto --json crypto.json
  experiments bench crypto --tenseal venv/bin/python --profile study --clock processor";
