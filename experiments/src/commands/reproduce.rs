//! `experiments reproduce`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use model_data::{Contrast, LoadOptions};
use protocol::{
    labels::LabelScheme,
    training_job::{DeviceChoice, SplitKind},
};
use serde::{Deserialize, Serialize};

use super::simulate::ProfileName;
use crate::{cache_folder::slice_cache, reproduce};

/// Repeats the study at one site: every task, training set, network and split, several times, and puts the results beside the
/// study's tables.
///
/// At the end: a few lines here, and in the output folder tables.md, report.html, tables.json and a file for every training (a
/// cell of the tables) with its curves and predictions. A run that was interrupted continues with --resume.
///
/// By default the patients are a phantom, made from a seed: its numbers say nothing about patients, and nothing about the
/// study's.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = EXAMPLES)]
pub struct ReproduceOptions {
    /// `phantom`, or a folder of patients: MS60 layout, BIDS, DICOM series, or with a manifest.csv [default: phantom]
    #[arg(long, value_name = "SOURCE")]
    pub data: Option<String>,
    /// Which scans of each patient: flair, t1, t2, with commas between; the slices of those named follow one another. The study
    /// took all three [default: flair]
    #[arg(long, value_name = "LIST")]
    pub contrasts: Option<String>,
    /// Patients of the phantom [default: 120]
    #[arg(long, value_name = "P")]
    pub patients: Option<usize>,
    /// Slices of each scan of the phantom [default: 4]
    #[arg(long, value_name = "S")]
    pub slices: Option<usize>,
    /// What is told apart [default: both]
    #[arg(long, value_enum)]
    pub task: Option<TaskChoice>,
    /// How the training set is balanced, separated by commas [default: all four]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST")]
    pub balance: Option<Vec<BalanceName>>,
    /// The networks, separated by commas [default: all three]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST")]
    pub model: Option<Vec<ModelName>>,
    /// What stays on one side of the cut into training, validation and test: slices dealt one by one, as in the study, leak
    /// between them. Both, separated by a comma, tell what the leak is worth [default: patient,slice]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST")]
    pub split: Option<Vec<SplitKind>>,
    /// CKKS parameters of the hybrid network [default: study]
    #[arg(long, value_enum)]
    pub profile: Option<ProfileName>,
    /// Where EDSS is cut into classes [default: as-written]
    #[arg(long, value_enum)]
    pub labels: Option<LabelScheme>,
    /// How often everything is repeated, each time with another split, start and order [default: 5]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub seeds: Option<u32>,
    /// The most passes over the training set [default: 12]
    #[arg(long, value_name = "E", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub epochs: Option<u32>,
    /// Passes without a lower validation loss that end a training [default: 6]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub early_stop: Option<u32>,
    /// Trainings at a time, one thread each [default: all cores]
    #[arg(long, value_name = "J", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// Where the networks compute: cpu, cuda, cuda:N, or auto, a GPU if there is one. What a GPU computes is not the same to the
    /// last bit each time [default: cpu]
    #[arg(long)]
    pub device: Option<DeviceChoice>,
    /// Where the files go [default: runs/reproduction]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Continue the run in the output folder. What is not given is as it was; what is given must be
    #[arg(long)]
    pub resume: bool,
    /// With a folder of data: refuse it if anything in it must be left out, instead of counting what was
    #[arg(long)]
    pub strict: bool,
    /// With a folder of data: most memory for scans on their way and for the slices that stay
    #[arg(long, value_name = "MIB", default_value_t = LoadOptions::MEMORY_LIMIT_MIB, value_parser = clap::value_parser!(u64).range(1..))]
    pub memory_limit_mib: u64,
    /// With a folder of data: prepare every slice anew, instead of keeping prepared ones (images of patients, mode 0600) in the
    /// user's cache folder, myelin/slices
    #[arg(long)]
    pub no_cache: bool,
}

/// `--task`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TaskChoice {
    /// Two classes.
    Binary,
    /// Three classes.
    Multiclass,
    /// One after the other.
    Both,
}

/// `--balance`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BalanceName {
    /// As it is.
    Original,
    /// Every class to the smallest.
    Undersample,
    /// Every class to the largest, by transformed copies.
    Oversample,
    /// Every class to the largest, by mixtures of neighbours.
    Smote,
}

/// `--model`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelName {
    /// Filters decrypted from CKKS products.
    Hybrid,
    /// The same filters, multiplied in the clear: the oracle.
    PlainConditioned,
    /// No clinical features: the study's plaintext network.
    Plain,
}

impl ReproduceOptions {
    /// How a folder of data is read.
    pub fn loading(&self, contrasts: &[Contrast]) -> LoadOptions {
        LoadOptions {
            contrasts: contrasts.to_vec(),
            strict: self.strict,
            memory_limit_mib: self.memory_limit_mib,
            cache: if self.no_cache { None } else { slice_cache() },
            ..LoadOptions::default()
        }
    }

    /// Runs the reproduction.
    ///
    /// # Errors
    /// Options that do not fit together or the run in the folder, data that cannot be used, a training that fails.
    pub fn execute(&self) -> anyhow::Result<()> {
        reproduce::reproduce(self)
    }
}

const EXAMPLES: &str = "\
Examples:
  experiments reproduce
  experiments reproduce --task binary --balance original,smote --model hybrid,plain --split patient --seeds 1
  experiments reproduce --data MS60 --contrasts flair,t1,t2 --epochs 60 --early-stop 20 --out runs/ms60
  experiments reproduce --out runs/ms60 --resume";
