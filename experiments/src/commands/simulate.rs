//! `experiments simulate`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use crypto::ckks::Profile;
use model_data::LoadOptions;
use protocol::{
    labels::{LabelScheme, Task},
    training_job::{DeviceChoice, SplitKind},
};
use serde::{Deserialize, Serialize};

use crate::simulation::{self, Partition, PlannedDrop};

/// Trains the hybrid CNN in a whole federation on this machine: every hospital and the coordinator with their own keys,
/// certificates and vaults, over QUIC on loopback.
///
/// At the end: a table here, and in the output folder summary.json, metrics.jsonl, model.safetensors with its card model.json,
/// report.html and transcript.jsonl.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct SimulateOptions {
    /// Hospitals, 2 to 100
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub hospitals: u8,
    /// Learning rounds
    #[arg(long, value_name = "R", default_value_t = 8)]
    pub rounds: u32,
    /// Passes of every hospital over its training set in a round
    #[arg(long, value_name = "E", default_value_t = 2)]
    pub local_epochs: u32,
    /// `phantom`, or a folder of patients: MS60 layout, BIDS, DICOM series, or with a manifest.csv
    #[arg(long, value_name = "SOURCE", default_value = "phantom")]
    pub data: String,
    /// With a folder: refuse it if anything in it must be left out, instead of counting what was
    #[arg(long)]
    pub strict: bool,
    /// Which scans of each patient: flair, t1, t2, with commas between; the slices of those named follow one another
    #[arg(long, value_name = "LIST", default_value = "flair")]
    pub contrasts: String,
    /// With a folder: most memory for scans on their way and for the slices that stay
    #[arg(long, value_name = "MIB", default_value_t = LoadOptions::MEMORY_LIMIT_MIB)]
    pub memory_limit_mib: u64,
    /// With a folder: prepare every slice anew, instead of keeping prepared ones (images of patients, mode 0600) in the user's
    /// cache folder, myelin/slices
    #[arg(long)]
    pub no_cache: bool,
    /// Patients of the phantom, over all hospitals [default: 120]
    #[arg(long, value_name = "P")]
    pub patients: Option<usize>,
    /// Slices of each scan of the phantom [default: 16]
    #[arg(long, value_name = "S")]
    pub slices: Option<usize>,
    /// Classes: lower or higher EDSS; or normal, mild and severe
    #[arg(long, value_enum, default_value_t)]
    pub task: Task,
    /// Where EDSS is cut
    #[arg(long, value_enum, default_value_t)]
    pub labels: LabelScheme,
    /// Which hospital has which patients. equal: the same number, of each class too; zipf: shares of 1, 1/2, 1/3 and so on;
    /// dirichlet:ALPHA: shares of each class drawn at random, the smaller ALPHA (0.01 to 1000) the more uneven; scanner: a hospital
    /// has patients of one scanner (of the phantom, which has three)
    #[arg(long, value_name = "PARTITION", default_value_t)]
    pub partition: Partition,
    /// What stays on one side of the cut into training, validation and test: `slice` leaks between them
    #[arg(long, value_enum, default_value_t)]
    pub split: SplitKind,
    /// Who multiplies the clinical features with W: the coordinator under CKKS, the vault in the clear (the oracle), nobody
    #[arg(long, value_enum, default_value_t)]
    pub conditioning: ConditioningName,
    /// CKKS parameters
    #[arg(long, value_enum, default_value_t)]
    pub profile: ProfileName,
    /// `plain` averages in the clear, without protection: for comparison only
    #[arg(long, value_enum, default_value_t)]
    pub updates: UpdatesName,
    /// Hospital H vanishes in ROUND at PHASE (before-upload, mid-upload, after-upload, before-unlock) and returns when the round
    /// has closed; repeatable
    #[arg(long, value_name = "H@PHASE:ROUND")]
    pub drop: Vec<PlannedDrop>,
    /// How long a silent hospital is waited for; a lost connection ends the wait at once
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub round_timeout_secs: u32,
    /// The same seed gives the same model on the same machine, at any number of threads
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Threads that compute [default: all cores]
    #[arg(long)]
    pub threads: Option<usize>,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value_t)]
    pub device: DeviceChoice,
    /// Train in programs of their own, as a federation does: the file of the program `trainer`; with a folder of data only
    #[arg(long, value_name = "FILE", hide = true)]
    pub trainer_program: Option<PathBuf>,
    /// Where the files go; a folder that is absent or empty [default: runs/NAME-OF-THE-RUN]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `--conditioning`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ConditioningName {
    /// Under CKKS, by the coordinator.
    #[default]
    Encrypted,
    /// In the clear, by the vault.
    Plain,
    /// Not at all.
    None,
}

/// `--profile`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum ProfileName {
    /// A federation's default.
    #[default]
    Hardened,
    /// The study's.
    Study,
}

impl ProfileName {
    /// The library's word for the option.
    pub fn profile(self) -> Profile {
        match self {
            Self::Hardened => Profile::Hardened,
            Self::Study => Profile::Study,
        }
    }
}

/// `--updates`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum UpdatesName {
    /// The sealed sum.
    #[default]
    Sealed,
    /// INSECURE: floats averaged in the clear.
    Plain,
}

impl SimulateOptions {
    /// Runs the simulation.
    ///
    /// # Errors
    /// Options that do not fit together, data that cannot be used, a run that fails.
    pub fn execute(&self) -> anyhow::Result<()> {
        simulation::simulate(self)
    }
}

const EXAMPLES: &str = "\
Examples:
  experiments simulate
  experiments simulate --hospitals 5 --rounds 12 --task multiclass
  experiments simulate --partition dirichlet:0.5
  experiments simulate --data MS60 --split slice --rounds 2
  experiments simulate --hospitals 7 --drop 2@before-upload:1 --drop 4@after-upload:2";
