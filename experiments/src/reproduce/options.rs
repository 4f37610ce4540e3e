//! The options of `experiments reproduce`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use host::{output::place_to_write, shown::Format};
use model_data::{Contrast, LoadOptions};
use protocol::{
    labels::LabelScheme,
    training_job::{DeviceChoice, SplitKind},
    vocabulary::ConditioningForm,
};
use serde::{Deserialize, Serialize};

use super::shard::Shard;
use crate::{
    as_typed::shown_as_typed, cache_folder::slice_cache, logged::LogTargets,
    phantom_name::PhantomName, profile_name::ProfileName,
};

/// Repeats the study at one site: every task, training set, network and split, several times, with the results beside the
/// study's tables.
///
/// At the end it prints a few lines, and the output folder has tables.md, report.html, tables.json, and a file for every
/// training (a cell of the tables) with its curves and predictions. An interrupted run continues with --resume.
///
/// By default the patients are a phantom, made from a seed: its numbers say nothing about real patients or about the study's
/// results.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = EXAMPLES)]
pub struct ReproduceOptions {
    /// `phantom`, or a folder of patients: MS60 layout, BIDS, DICOM series, or a folder with a manifest.csv [default: phantom]
    #[arg(long, value_name = "SOURCE")]
    pub data: Option<String>,
    /// Which scans of each patient are used: flair, t1, t2, separated by commas; their slices follow one another in this order.
    /// The study used all three [default: flair]
    #[arg(long, value_name = "LIST")]
    pub contrasts: Option<String>,
    /// The number of patients of the phantom [default: 120]
    #[arg(long, value_name = "P")]
    pub patients: Option<usize>,
    /// The number of slices of each scan of the phantom [default: 4]
    #[arg(long, value_name = "S")]
    pub slices: Option<usize>,
    /// What the phantom's images and features show of the disability [default: teaching]
    #[arg(long, value_enum, value_name = "KIND")]
    pub phantom: Option<PhantomName>,
    /// The classes to tell apart [default: both]
    #[arg(long, value_enum)]
    pub task: Option<TaskChoice>,
    /// How the training set is balanced, separated by commas [default: all four]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST")]
    pub balance: Option<Vec<BalanceName>>,
    /// The networks, separated by commas [default: all three]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST")]
    pub model: Option<Vec<ModelName>>,
    /// What clinical features do to the networks that they condition, separated by commas: several forms are compared on the same
    /// patients, starts and orders [default: study]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST")]
    pub conditioning_form: Option<Vec<ConditioningForm>>,
    /// What is split into training, validation and test: patients, or single slices as in the study, which leak patients from
    /// training into test. Both, separated by a comma, show how much the leak changes [default: patient,slice]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST")]
    pub split: Option<Vec<SplitKind>>,
    /// CKKS parameters of the hybrid network [default: study]
    #[arg(long, value_enum)]
    pub profile: Option<ProfileName>,
    /// Where EDSS is cut into classes [default: as-written]
    #[arg(long, value_enum)]
    pub labels: Option<LabelScheme>,
    /// The number of repetitions, each with another split, initial model and order [default: 5]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub seeds: Option<u32>,
    /// The maximum number of passes over the training set [default: 12]
    #[arg(long, value_name = "E", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub epochs: Option<u32>,
    /// A training ends after this many passes without a lower validation loss [default: 6]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub early_stop: Option<u32>,
    /// The number of trainings that run at the same time, one thread each [default: all cores]
    #[arg(long, value_name = "J", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// Where the networks are trained: cpu, cuda, cuda:N, or auto (a GPU if there is one). On a GPU, results are not the same bit
    /// for bit each time [default: cpu]
    #[arg(long)]
    pub device: Option<DeviceChoice>,
    /// What goes to stdout at the end: a few lines for people, or the object of tables.json on one line
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// The output folder [default: runs/reproduction]
    #[arg(long, value_name = "DIR", value_parser = place_to_write())]
    pub out: Option<PathBuf>,
    /// Also write the numbers of each epoch of each training for these tools, into DIR/logs: tensorboard, mlflow, separated by commas
    #[arg(long, value_name = "LIST")]
    pub log: Option<LogTargets>,
    /// Continue the run in the output folder. Options that are not given keep their values; those given must have the same values
    #[arg(long)]
    pub resume: bool,
    /// Do part I of N of the trainings, and no tables. Several processes, on one machine or on many that see the folder, do a part
    /// each: the first to come begins the run, and one that was stopped is started again with the same command
    #[arg(long, value_name = "I/N", conflicts_with = "log")]
    pub shard: Option<Shard>,
    /// Train nothing, and print the trainings: number, name, and whether each is done; with --shard those of the shard
    #[arg(long, group = "instead")]
    pub list: bool,
    /// Train nothing, and make tables, report and pictures from the trainings in the output folder, if all are there
    #[arg(long, group = "instead", conflicts_with = "shard")]
    pub tables_only: bool,
    /// Train nothing, and write a script (- for stdout) that does the run under Slurm: a job array with a task for each of N
    /// shards, then the tables. Every node must see this program, libtorch, the working folder, the data and the output folder at
    /// the same path. --jobs are the cores of a task [default: 1]; --device cuda asks for a GPU a task
    #[arg(long, value_name = "FILE", group = "instead", conflicts_with_all = ["shard", "resume"])]
    pub slurm_script: Option<PathBuf>,
    /// With --slurm-script: the number of shards [default: 10, or as many as there are trainings]
    #[arg(long, value_name = "N", requires = "slurm_script", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub shards: Option<u16>,
    /// With a folder of data: fail if anything in it cannot be used, instead of leaving it out
    #[arg(long)]
    pub strict: bool,
    /// With a folder of data: the memory limit for scans while they are read and for the slices that are kept
    #[arg(long, value_name = "MIB", default_value_t = LoadOptions::MEMORY_LIMIT_MIB, value_parser = clap::value_parser!(u64).range(1..))]
    pub memory_limit_mib: u64,
    /// With a folder of data: do not keep prepared slices (images of patients, mode 0600) in the user's cache folder,
    /// myelin/slices
    #[arg(long)]
    pub no_cache: bool,
}

/// `--task`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TaskChoice {
    /// Two classes: lower or higher EDSS.
    Binary,
    /// Three classes: normal, mild and severe.
    Multiclass,
    /// Both tasks, one after the other.
    Both,
}

/// `--balance`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BalanceName {
    /// The training set as it is.
    Original,
    /// Every class is cut to the size of the smallest.
    Undersample,
    /// Every class is filled up to the size of the largest with transformed copies.
    Oversample,
    /// Every class is filled up to the size of the largest with mixtures of neighbours.
    Smote,
}

/// `--model`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelName {
    /// The filters are decrypted from CKKS products.
    Hybrid,
    /// The same filters, multiplied without encryption: the plaintext reference.
    PlainConditioned,
    /// A network without clinical features: the study's plaintext network.
    Plain,
}

impl ReproduceOptions {
    /// `--out`, or where a run goes without it.
    pub fn out_folder(&self) -> PathBuf {
        let default = || PathBuf::from("runs/reproduction");
        self.out.clone().unwrap_or_else(default)
    }

    /// The same, for who looks at a run where its device may not be.
    pub fn on_no_device(&self) -> Self {
        Self {
            device: None,
            ..self.clone()
        }
    }

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
}

shown_as_typed!(BalanceName, ModelName);

const EXAMPLES: &str = "\
Examples:
  experiments reproduce
  experiments reproduce --task binary --balance original,smote --model hybrid,plain --split patient --seeds 1
  experiments reproduce --data MS60 --contrasts flair,t1,t2 --epochs 60 --early-stop 20 --out runs/ms60
  experiments reproduce --phantom informative --conditioning-form study,additive,late --model hybrid,plain --split patient --out runs/forms
  experiments reproduce --out runs/ms60 --resume
  experiments reproduce --out runs/ms60 --shard 2/8
  experiments reproduce --out runs/ms60 --tables-only
  experiments reproduce --data MS60 --out runs/ms60 --slurm-script ms60.sh --shards 8";
