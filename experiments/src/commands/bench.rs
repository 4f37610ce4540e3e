//! `experiments bench`.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use bench_crypto::{
    Clock, CryptoBench,
    peer::{Peer, TENSEAL},
    table,
};
use clap::{Args, Subcommand};
use host::{
    failure::Failure,
    output::{place_to_write, say},
    shown::Format,
};
use model::device::Device;
use protocol::training_job::DeviceChoice;
use serde_json::Value;

use crate::{bench::training::TrainingBench, profile_name::ProfileName, stopping::Stopping};

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
    #[command(flatten)]
    numbers: Numbers,
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
    #[command(flatten)]
    numbers: Numbers,
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

/// Where the numbers go.
#[derive(Args, Clone, Debug)]
struct Numbers {
    /// Also write the numbers to this file, as JSON
    #[arg(long, value_name = "FILE", overrides_with = "json", value_parser = place_to_write())]
    json: Option<PathBuf>,
    /// What goes to stdout: the table for people, or the numbers as one JSON object
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl BenchOptions {
    /// Measures.
    ///
    /// # Errors
    /// [`Failure`]: a device or a Python that cannot be used, a measured operation that gives a wrong result, a file that cannot be
    /// written.
    pub fn execute(&self) -> Result<(), Failure> {
        let _ends_with_code_3 = Stopping::listen().map_err(Failure::run)?;
        match &self.what {
            Benchmark::Crypto(options) => options.execute(),
            Benchmark::Training(options) => options.execute(),
        }
    }
}

impl BenchCryptoOptions {
    fn execute(&self) -> Result<(), Failure> {
        self.numbers.check()?;
        let bench = CryptoBench {
            profile: self.profile.profile(),
            rounds: usize::from(self.rounds),
            sums: usize::from(self.sums),
            clock: self.clock,
        };
        let tenseal = Peer::start(&TENSEAL, self.tenseal.as_deref(), &[self.clock.name()]);
        let tenseal = tenseal.map_err(Failure::settings)?;
        let comparison = bench.measure(tenseal).map_err(Failure::run)?;
        self.numbers
            .hand_over(&table(&comparison), &comparison.to_json())
    }
}

impl BenchTrainingOptions {
    fn execute(&self) -> Result<(), Failure> {
        self.numbers.check()?;
        let device = Device::find(self.device).context("--device");
        let device = device.map_err(Failure::settings)?;
        if self.clock != Clock::Wall && device != Device::CPU {
            return Err(Failure::Settings(anyhow!(
                "--clock processor does not measure the work of a GPU: leave it out"
            )));
        }
        let bench = TrainingBench {
            device,
            batch: usize::from(self.batch),
            profile: self.profile.profile(),
            rounds: usize::from(self.rounds),
            clock: self.clock,
        };
        let pytorch = bench.start_pytorch(self.python.as_deref());
        let pytorch = pytorch.map_err(Failure::settings)?;
        let result = bench.measure(pytorch).map_err(Failure::run)?;
        self.numbers.hand_over(&result.table(), &result.to_json())
    }
}

impl Numbers {
    /// Before minutes of measuring.
    fn check(&self) -> Result<(), Failure> {
        let Some(file) = &self.json else {
            return Ok(());
        };
        let folder = file.parent().filter(|folder| *folder != Path::new(""));
        if file.is_dir() || folder.is_some_and(|folder| !folder.is_dir()) {
            return Err(Failure::Settings(anyhow!(
                "--json {}: this is a folder, or the folder of the file does not exist; choose another file",
                file.display()
            )));
        }
        Ok(())
    }

    fn hand_over(&self, table: &str, numbers: &Value) -> Result<(), Failure> {
        match self.format {
            Format::Text => say(table.trim_end()),
            Format::Json => say(numbers),
        }
        let Some(file) = &self.json else {
            return Ok(());
        };
        fs::write(file, format!("{numbers:#}\n"))
            .with_context(|| format!("cannot write {}", file.display()))
            .map_err(Failure::run)?;
        let where_they_are = format!("numbers in {}", file.display());
        match self.format {
            Format::Text => say(where_they_are),
            Format::Json => {
                let _ = writeln!(io::stderr(), "{where_they_are}");
            }
        }
        Ok(())
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
