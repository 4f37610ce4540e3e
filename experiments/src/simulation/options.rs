//! The options of `experiments simulate`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use host::{output::place_to_write, shown::Format};
use model_data::LoadOptions;
use protocol::{
    labels::{LabelScheme, Task},
    manifest::{ConditioningForm, Keep},
    strategy::Strategy,
    training_job::{DeviceChoice, SplitKind},
};

use super::{fault_plan::PlannedDrop, partition::Partition, swept_option::SweptOption};
use crate::{
    as_typed::shown_as_typed, logged::LogTargets, phantom_name::PhantomName,
    profile_name::ProfileName,
};

/// Trains the hybrid CNN in a whole federation on this machine: the coordinator and every hospital, each with its own keys and
/// certificates, connected by QUIC over loopback.
///
/// At the end it prints a table, and the output folder has summary.json, metrics.jsonl, model.safetensors with its card
/// model.json, report.html, test-predictions.csv, and transcript.jsonl with roster.json; and model-best.safetensors with its card, if another round's model than the last
/// one is kept as the best.
///
/// Until then all that is needed to go on is in the folder .NAME.unfinished beside the output folder NAME, which only its owner
/// can read and which is gone at the end.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct SimulateOptions {
    /// The number of hospitals, from 2 to 100
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub hospitals: u8,
    /// The number of learning rounds
    #[arg(long, value_name = "R", default_value_t = 8)]
    pub rounds: u32,
    /// How often each hospital goes through its training set in a round
    #[arg(long, value_name = "E", default_value_t = 2)]
    pub local_epochs: u32,
    /// `phantom`, or a folder of patients: MS60 layout, BIDS, DICOM series, or a folder with a manifest.csv
    #[arg(long, value_name = "SOURCE", default_value = "phantom")]
    pub data: String,
    /// With a folder: fail if anything in it cannot be used, instead of leaving it out
    #[arg(long)]
    pub strict: bool,
    /// Which scans of each patient are used: flair, t1, t2, separated by commas; their slices follow one another in this order
    #[arg(long, value_name = "LIST", default_value = "flair")]
    pub contrasts: String,
    /// With a folder: the memory limit for scans while they are read and for the slices that are kept
    #[arg(long, value_name = "MIB", default_value_t = LoadOptions::MEMORY_LIMIT_MIB)]
    pub memory_limit_mib: u64,
    /// With a folder: do not keep prepared slices (images of patients, mode 0600) in the user's cache folder, myelin/slices
    #[arg(long)]
    pub no_cache: bool,
    /// The number of patients of the phantom, over all hospitals [default: 120]
    #[arg(long, value_name = "P")]
    pub patients: Option<usize>,
    /// The number of slices of each scan of the phantom [default: 16]
    #[arg(long, value_name = "S")]
    pub slices: Option<usize>,
    /// What the phantom's images and features show of the disability [default: teaching]
    #[arg(long, value_enum, value_name = "KIND")]
    pub phantom: Option<PhantomName>,
    /// Also train and test what else could be done with the same patients: features alone, images alone, all data pooled, each hospital
    /// alone. Computes about four times as much
    #[arg(long)]
    pub baselines: bool,
    /// The classes to tell apart
    #[arg(long, value_enum, default_value_t)]
    pub task: Task,
    /// Where EDSS is cut into classes
    #[arg(long, value_enum, default_value_t)]
    pub labels: LabelScheme,
    /// Which hospital gets which patients. equal: the same number, also of each class; zipf: shares of 1, 1/2, 1/3 and so on;
    /// dirichlet:ALPHA: random shares of each class, more uneven for a smaller ALPHA (0.01 to 1000); scanner: each hospital has the
    /// patients of one scanner (phantom only, which has three)
    #[arg(long, value_name = "PARTITION", default_value_t)]
    pub partition: Partition,
    /// What is split into training, validation and test: patients, or single slices
    #[arg(long, value_enum, default_value_t)]
    pub split: SplitKind,
    /// Also write the numbers of each round for these tools, into DIR/logs: tensorboard, mlflow, separated by commas
    #[arg(long, value_name = "LIST")]
    pub log: Option<LogTargets>,
    /// Who multiplies the clinical features with the network's weights
    #[arg(long, value_enum, default_value_t)]
    pub conditioning: ConditioningName,
    /// What the products do to the network [default: study]
    #[arg(long, value_enum, value_name = "FORM")]
    pub conditioning_form: Option<ConditioningForm>,
    /// The weights that meet the features move in every K-th round
    #[arg(long, value_name = "K", default_value_t = 1)]
    pub conditioning_every: u32,
    /// How far these weights follow their gradient in a round [default: 0.1, and 2 for late]
    #[arg(long, value_name = "RATE")]
    pub conditioning_rate: Option<f64>,
    /// The CKKS parameters
    #[arg(long, value_enum, default_value_t)]
    pub profile: ProfileName,
    /// How the updates become the next common model. fedavg: their mean moves it; fedavgm, fedadam, fedyogi: the mean goes through a
    /// momentum, Adam or Yogi first; fedprox:MU: as fedavg, and training stays near the common model, the closer the larger MU (0 to 100)
    #[arg(long, value_name = "STRATEGY", default_value_t)]
    pub strategy: Strategy,
    /// How the updates are added
    #[arg(long, value_enum, default_value_t)]
    pub updates: UpdatesName,
    /// Which model is kept as the best: that of the round with the lowest validation loss or the highest accuracy, or the last
    #[arg(long, value_enum, default_value_t)]
    pub keep: Keep,
    /// End the run after N rounds without a better evaluation, by what --keep names; 0: never before the last round
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub early_stop: u32,
    /// Hospital H disconnects in round ROUND at PHASE (before-upload, mid-upload, after-upload, before-unlock) and returns when
    /// the round is over. May be given several times
    #[arg(long, value_name = "H@PHASE:ROUND")]
    pub drop: Vec<PlannedDrop>,
    /// How long to wait for a silent hospital; a lost connection ends the wait at once
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub round_timeout_secs: u32,
    /// The same seed gives the same model on the same machine, with any number of threads
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The number of computing threads [default: all cores]
    #[arg(long)]
    pub threads: Option<usize>,
    /// Where the networks are trained: auto, cpu, cuda or cuda:N
    #[arg(long, default_value_t)]
    pub device: DeviceChoice,
    /// Train in programs of their own, as a federation does: the file of the program `trainer`; with a folder of data only
    #[arg(long, value_name = "FILE", hide = true)]
    pub trainer_program: Option<PathBuf>,
    /// Also write what the coordinator and every hospital did when, for chrome://tracing or ui.perfetto.dev: a Trace Event file. With
    /// --resume, of the process that went on
    #[arg(long, value_name = "FILE", value_parser = place_to_write(), conflicts_with = "slurm_script")]
    pub trace: Option<PathBuf>,
    /// What goes to stdout at the end: the table for people, or the object of summary.json on one line
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// The output folder; it must be empty or not exist yet [default: runs/NAME-OF-THE-RUN]
    #[arg(long, value_name = "DIR", value_parser = place_to_write())]
    pub out: Option<PathBuf>,
    /// Go on with the simulation of this output folder, which was stopped or killed at any moment, to the same result. It goes on with
    /// the options that it began with: one that asks for something else is refused. A simulation with --updates plain cannot go on
    #[arg(long, value_name = "DIR", conflicts_with = "out")]
    pub resume: Option<PathBuf>,
    /// Simulate nothing, and write a script (- for stdout) that runs a sweep under Slurm: one task of a job array for each
    /// combination of what --sweep names, each with a folder of its own in DIR. Every node must see this program, libtorch, the
    /// working folder, the data and DIR at the same path. A task that was stopped goes on. --threads are its cores [default: 1]; --device is cpu, or cuda for a GPU a task
    /// [default: cpu]
    #[arg(long, value_name = "FILE", requires_all = ["sweep", "out"], conflicts_with = "resume")]
    pub slurm_script: Option<PathBuf>,
    /// An option with the values it takes: seed=1..10 or strategy=fedavg,fedadam. May be given several times
    #[arg(long, value_name = "OPTION=VALUES", requires = "slurm_script")]
    pub sweep: Vec<SweptOption>,
}

/// `--conditioning`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ConditioningName {
    /// The coordinator, under CKKS.
    #[default]
    Encrypted,
    /// The vault, without encryption: the plaintext reference.
    Plain,
    /// Nobody: the network has no clinical features.
    None,
}

/// `--updates`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum UpdatesName {
    /// As sealed sums.
    #[default]
    Sealed,
    /// INSECURE: averaged without any protection, for comparison only.
    Plain,
}

shown_as_typed!(ConditioningName, UpdatesName);

const EXAMPLES: &str = "\
Examples:
  experiments simulate
  experiments simulate --hospitals 5 --rounds 12 --task multiclass
  experiments simulate --partition dirichlet:0.5
  experiments simulate --phantom informative --conditioning-form late --baselines
  experiments simulate --data MS60 --split slice --rounds 2
  experiments simulate --hospitals 7 --drop 2@before-upload:1 --drop 4@after-upload:2
  experiments simulate --resume runs/NAME-OF-THE-RUN
  experiments simulate --sweep seed=1..10 --sweep strategy=fedavg,fedadam --out runs/sweep --slurm-script sweep.sh";
