//! A run that has begun: its options fit together, its patients are there, and it may work in its folder.

use std::path::{Path, PathBuf};

use anyhow::bail;
use host::{output::say, shown::Format};
use model_data::Patient;
use protocol::labels::Task;
use serde_json::json;

use super::{
    cell::CellKey,
    cohort,
    configuration::{Configuration, balance_of},
    dealing::{Numbered, share},
    folder::{Entry, Folder},
    options::ReproduceOptions,
    results_files::{self, Trained},
    split_cohort::SplitCohort,
    training_jobs::{self, is_done},
};
use crate::{
    cohort_fingerprint::cohort_fingerprint, shell_words::path_in_command, simulation::Progress,
    stopping::Stopping,
};

/// Slices of each class over the cohort, by task.
pub type CohortCounts = Vec<(Task, Vec<u64>)>;

/// The run.
pub struct Begun {
    /// Its folder's name, as it was given.
    pub out: PathBuf,
    /// Its folder.
    pub folder: Folder,
    /// What it is.
    pub configuration: Configuration,
    /// Of its patients.
    pub cohort: CohortCounts,
    /// Made or read.
    pub patients: Vec<Patient>,
    progress: Progress,
}

impl Begun {
    /// Begins a run, or goes on with the one in the folder.
    ///
    /// # Errors
    /// What a user can set right: options, the folder, the data; trainings that are missing, where the tables alone are asked for.
    pub fn of(options: &ReproduceOptions, stopping: &Stopping) -> anyhow::Result<Self> {
        let out = options.out_folder();
        let entry = match options.shard {
            Some(_) => Entry::Share,
            None if options.resume || options.tables_only => Entry::GoOn,
            None => Entry::Begin,
        };
        let asked = match (options.resume, options.tables_only) {
            (true, _) => Some("--resume"),
            (false, true) => Some("--tables-only"),
            (false, false) => None,
        };
        if let Some(asked) = asked
            && Folder::look(&out)?.recorded().is_none()
        {
            bail!(
                "{asked}: there is no run in {}; name the folder of the run with --out, or leave {asked} out to begin one",
                out.display()
            );
        }
        let folder = stopping.makes(
            || Folder::open(&out, entry),
            // Not of shards: another one may hold the same lock.
            |folder| (entry == Entry::Begin).then(|| folder.before_a_run()),
        )?;
        let configuration = Configuration::new(options, folder.recorded())?;
        if let Some(recorded) = folder.recorded() {
            configuration.check_same(recorded)?;
        }
        configuration.device()?;
        let progress = Progress::new();
        if options.tables_only {
            check_all_done(&out, &folder, &configuration, &progress)?;
        }
        let loading = options.loading(&configuration.contrasts);
        let patients = cohort::patients(&configuration, &loading, &progress)?;
        let cohort = check(&patients, &configuration, &progress)?;
        let fingerprint = cohort_fingerprint(&patients);
        let begin = || folder.begin(&configuration, &fingerprint);
        let command = how_to_go_on(&out, options);
        match entry {
            // A signal comes before, and removes the lock, or finds a run that can go on.
            Entry::Begin => stopping.begins(command, begin)?,
            Entry::GoOn | Entry::Share => {
                begin()?;
                stopping.can_go_on(command);
            }
        }
        Ok(Self {
            out,
            folder,
            configuration,
            cohort,
            patients,
            progress,
        })
    }

    /// Trains what is left, and writes the tables; a shard does its part of the one, and `--tables-only` the other.
    ///
    /// # Errors
    /// A training that fails, a file that cannot be written or read back.
    pub fn go_on(&self, options: &ReproduceOptions) -> anyhow::Result<()> {
        if options.tables_only {
            return self.write_results(options);
        }
        let share = share(&self.configuration.cells(), options.shard);
        self.train(&share, options)?;
        let Some(shard) = options.shard else {
            return self.write_results(options);
        };
        let (number, of) = shard.numbers();
        match options.format {
            Format::Json => {
                say(json!({"shard": number, "shards": of, "trainings": share.len()}));
            }
            Format::Text => say(format_args!(
                "shard {number} of {of}: its {} trainings are done; when all shards are: experiments reproduce --out {} --tables-only",
                share.len(),
                path_in_command(&self.out)
            )),
        }
        Ok(())
    }

    fn write_results(&self, options: &ReproduceOptions) -> anyhow::Result<()> {
        let trained = Trained {
            out: &self.out,
            folder: &self.folder,
            configuration: &self.configuration,
            cohort: &self.cohort,
            patients: &self.patients,
        };
        results_files::write(&trained, options)
    }

    fn train(&self, share: &[Numbered], options: &ReproduceOptions) -> anyhow::Result<()> {
        let Self {
            folder,
            configuration,
            progress,
            ..
        } = self;
        let todo: training_jobs::Todo = share
            .iter()
            .map(|(_, key)| key)
            .filter(|key| !is_done(folder, configuration, key, |damage| progress.line(damage)))
            .map(|key| (*key, expected_samples(&self.cohort, key)))
            .collect();
        let jobs = options.jobs.map_or_else(
            || std::thread::available_parallelism().map_or(1, usize::from),
            usize::from,
        );
        let of_shard = options.shard.map(|shard| {
            let (number, of) = shard.numbers();
            format!("shard {number} of {of}: ")
        });
        progress.line(format!(
            "{}{} trainings, {} of them done; {} at a time",
            of_shard.unwrap_or_default(),
            share.len(),
            share.len() - todo.len(),
            jobs.min(todo.len().max(1))
        ));
        training_jobs::train_all(
            &todo,
            share.len() - todo.len(),
            jobs,
            &self.patients,
            configuration,
            folder,
            progress,
        )
    }
}

fn how_to_go_on(out: &Path, options: &ReproduceOptions) -> String {
    let what = match options.shard {
        Some(shard) => format!("--shard {shard}"),
        None if options.tables_only => "--tables-only".to_owned(),
        None => "--resume".to_owned(),
    };
    let log = options.log.as_ref().map(|log| format!(" --log {log}"));
    format!(
        "experiments reproduce --out {} {what}{}",
        path_in_command(out),
        log.unwrap_or_default()
    )
}

/// For the tables alone: that every training is there.
fn check_all_done(
    out: &Path,
    folder: &Folder,
    configuration: &Configuration,
    progress: &Progress,
) -> anyhow::Result<()> {
    let cells = configuration.cells();
    let done = |key: &CellKey| is_done(folder, configuration, key, |damage| progress.line(damage));
    let missing: Vec<String> = share(&cells, None)
        .iter()
        .filter(|(_, key)| !done(key))
        .map(|(number, key)| format!("{number} ({key})"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let more = if missing.len() > SHOWN {
        " and so on"
    } else {
        ""
    };
    bail!(
        "--tables-only: {} of {} trainings are missing in {}: {}{more}; start their shards again, or make them here: experiments \
         reproduce --out {} --resume",
        missing.len(),
        cells.len(),
        out.display(),
        missing[..missing.len().min(SHOWN)].join("; "),
        path_in_command(out)
    )
}

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
            && configuration.first_form(key.model) == key.form
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

/// How many missing trainings are named.
const SHOWN: usize = 3;
