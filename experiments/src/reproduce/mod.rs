//! The study repeated at one site, several times, and its tables beside ours.
//!
//! ```text
//! options -> configuration -> patients -> cells, J at a time: parts -> training set -> network, source of inputs -> fit -> test
//!                 |                         |
//!              folder (what is finished stays) ------> results: means, intervals, differences; pictures -> tables.json, tables.md, report.html
//! ```
//!
//! Tables and pictures are made from the files of the cells and of the kept models alone, so a run that was interrupted and continued ends with the same bytes as one
//! that was not.

mod cell;
mod cohort;
mod configuration;
mod document;
mod findings;
mod folder;
mod illustrations;
mod models;
mod options;
mod patient_inputs;
mod report;
mod results;
mod seeds;
mod side_by_side;
mod split_cohort;
mod study;
mod tables;
mod training;
mod training_jobs;
mod training_progress;

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::Context;
use host::{failure::Failure, output::say, shown::Format};
use model_data::Patient;
use protocol::labels::Task;

pub use self::{
    cell::{Cell, CellConditioning, CellEpoch, CellKey, TestSlice},
    configuration::Configuration,
    options::{BalanceName, ModelName, ReproduceOptions},
};
use self::{
    configuration::balance_of,
    folder::Folder,
    models::{is_kept, read_model},
    results::Results,
    split_cohort::SplitCohort,
    tables::Tables,
};
use crate::{
    cohort_fingerprint::cohort_fingerprint,
    logged::{LogTargets, Logged, LoggedStep},
    simulation::Progress,
    stopping::Stopping,
};

/// Runs a reproduction, or what is left of one: the files into its folder, a few lines to stdout.
///
/// # Errors
/// [`Failure`]: options that do not fit together or the run in the folder, data that cannot be used, a training that fails.
pub fn reproduce(options: &ReproduceOptions) -> Result<(), Failure> {
    let stopping = Stopping::listen()
        .context("cannot listen for signals")
        .map_err(Failure::run)?;
    let begun = Begun::of(options, &stopping).map_err(Failure::settings)?;
    begun.train(options, &stopping).map_err(Failure::run)
}

/// A run that can be trained: its options fit together, its patients are there, and its folder is its own.
struct Begun {
    out: PathBuf,
    folder: Folder,
    configuration: Configuration,
    progress: Progress,
    patients: Vec<Patient>,
    cohort: CohortCounts,
}

impl Begun {
    fn of(options: &ReproduceOptions, stopping: &Stopping) -> anyhow::Result<Self> {
        let out = options
            .out
            .clone()
            .unwrap_or_else(|| PathBuf::from(DEFAULT_OUT));
        let folder = Folder::open(&out, options.resume)?;
        if folder.recorded().is_none() {
            let (lock, made) = folder.before_a_run();
            stopping.removes(lock, made);
        }
        let configuration = Configuration::new(options, folder.recorded())?;
        if let Some(recorded) = folder.recorded() {
            configuration.check_same(recorded)?;
        }
        let progress = Progress::new();
        let loading = options.loading(&configuration.contrasts);
        let patients = cohort::patients(&configuration, &loading, &progress)?;
        let cohort = check(&patients, &configuration, &progress)?;
        folder.begin(&configuration, &cohort_fingerprint(&patients))?;
        Ok(Self {
            out,
            folder,
            configuration,
            progress,
            patients,
            cohort,
        })
    }

    fn train(self, options: &ReproduceOptions, stopping: &Stopping) -> anyhow::Result<()> {
        let Self {
            out,
            folder,
            configuration,
            progress,
            patients,
            cohort,
        } = self;
        let cells = configuration.cells();
        let log = options.log.as_ref().map(|log| format!(" --log {log}"));
        stopping.can_go_on(format!(
            "experiments reproduce --out {} --resume{}",
            out.display(),
            log.unwrap_or_default()
        ));

        let todo: training_jobs::Todo = cells
            .iter()
            .filter(|key| !is_done(&folder, &configuration, key, &progress))
            .map(|key| (*key, expected_samples(&cohort, key)))
            .collect();
        let jobs = options.jobs.map_or_else(
            || std::thread::available_parallelism().map_or(1, usize::from),
            usize::from,
        );
        progress.line(format!(
            "{} trainings, {} of them done; {} at a time",
            cells.len(),
            cells.len() - todo.len(),
            jobs.min(todo.len().max(1))
        ));
        training_jobs::train_all(
            &todo,
            cells.len() - todo.len(),
            jobs,
            &patients,
            &configuration,
            &folder,
            &progress,
        )?;

        let finished: Vec<Cell> = cells
            .iter()
            .map(|key| {
                let mut reason = String::from("it is gone");
                let cell = folder.cell(key, |damage| reason = damage);
                cell.with_context(|| format!("cannot read back {key}: {reason}"))
            })
            .collect::<anyhow::Result<_>>()?;
        if let Some(targets) = &options.log {
            write_logs(&out.join("logs"), targets, &configuration, &finished)?;
        }
        let results = Results::new(&configuration, &finished, patients.len());
        let notice = findings::notice(&configuration);
        let tables = Tables::new(&configuration, &results, &notice);
        folder.write_json("tables.json", &tables)?;
        let mut document = side_by_side::document(&configuration, &results, &cohort);
        let pictures = illustrations::illustrations(&patients, &configuration, &finished, &folder)?;
        document.blocks.extend(pictures);
        folder.write("tables.md", document.markdown().as_bytes())?;
        for picture in document.pictures() {
            folder.write_picture(&picture.name, &picture.png()?)?;
        }
        folder.write(
            "report.html",
            report::html(&document, &configuration)?.as_bytes(),
        )?;
        match options.format {
            Format::Json => say(serde_json::to_string(&tables)?),
            Format::Text => {
                let seconds: f64 = finished.iter().map(|cell| cell.seconds).sum();
                say(format_args!(
                    "{notice}\n{} trainings, {:.0} s each on the average; {} has report.html, tables.md, tables.json and pictures",
                    finished.len(),
                    seconds / finished.len() as f64,
                    out.display()
                ));
            }
        }
        Ok(())
    }
}

/// Whether a training is there, with its model if that is kept.
fn is_done(
    folder: &Folder,
    configuration: &Configuration,
    key: &CellKey,
    progress: &Progress,
) -> bool {
    if folder.cell(key, |damage| progress.line(damage)).is_none() {
        return false;
    }
    if !is_kept(configuration, key) {
        return true;
    }
    let model = read_model(folder, key);
    if let Err(error) = &model {
        progress.line(format!("{key}: {error}: it is trained again"));
    }
    model.is_ok()
}

/// Slices of each class over the cohort, by task.
type CohortCounts = Vec<(Task, Vec<u64>)>;

/// Cuts the patients for every task, split and repetition before anything is trained, so that what cannot be is known at once.
fn check(
    patients: &[Patient],
    configuration: &Configuration,
    progress: &Progress,
) -> anyhow::Result<CohortCounts> {
    let mut cohort = CohortCounts::new();
    for key in configuration.cells() {
        // Networks and training sets share their parts.
        let first = configuration.model.first() == Some(&key.model)
            && configuration.balance.first() == Some(&key.balance);
        if !first {
            continue;
        }
        let parts = SplitCohort::new(patients, &key, configuration.cuts())?;
        for remark in parts.remarks(key.task) {
            progress.line(format!(
                "{}, split by {}, seed {}: {remark}; scores are of the classes that occur",
                key.task, key.split, key.seed
            ));
        }
        if cohort.iter().all(|(task, _)| *task != key.task) {
            cohort.push((key.task, parts.cohort_counts()));
        }
    }
    Ok(cohort)
}

/// About how many samples a training goes through in an epoch, for the time left.
fn expected_samples(cohort: &CohortCounts, key: &CellKey) -> u64 {
    let counts = cohort.iter().find(|(task, _)| *task == key.task);
    let balanced = counts.map(|(_, counts)| balance_of(key.balance).class_counts(counts));
    balanced.map_or(1, |counts| counts.iter().sum::<u64>().max(1))
}

const DEFAULT_OUT: &str = "runs/reproduction";

/// For TensorBoard and MLflow: a run for each training, a step for each epoch. What an earlier run of this folder left is replaced.
fn write_logs(
    folder: &Path,
    targets: &LogTargets,
    configuration: &Configuration,
    cells: &[Cell],
) -> anyhow::Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)
            .with_context(|| format!("cannot replace {}", folder.display()))?;
    }
    for cell in cells {
        let each = cell.seconds / cell.epochs.len().max(1) as f64;
        let steps = (1..).zip(&cell.epochs).map(|(number, epoch)| {
            let values = [
                ("training/loss", epoch.train_loss),
                ("validation/loss", epoch.validation_loss),
                ("learning_rate", epoch.learning_rate),
            ];
            LoggedStep {
                seconds: f64::from(number) * each,
                number,
                values: values.to_vec(),
            }
        });
        let total = Duration::try_from_secs_f64(cell.seconds).unwrap_or_default();
        let logged = Logged {
            experiment: "reproduce",
            run: cell.key.stem(),
            settings: vec![
                ("training", cell.key.to_string()),
                ("profile", configuration.profile.to_string()),
                ("best_epoch", cell.best_epoch.to_string()),
            ],
            start: SystemTime::now()
                .checked_sub(total)
                .unwrap_or(SystemTime::UNIX_EPOCH),
            steps: steps.collect(),
        };
        logged.write(folder, targets)?;
    }
    Ok(())
}
