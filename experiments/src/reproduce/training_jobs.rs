//! The trainings, several at a time, each on one thread; every finished one is kept at once. Where other processes may do the same
//! ones, each is claimed first, and left out if it is done by then.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use anyhow::Context;
use model_data::Patient;

use super::{
    cell::{Cell, CellKey},
    configuration::Configuration,
    folder::Folder,
    models::{is_kept, keep_model, read_model},
    training::{Trained, train},
    training_progress::TrainingProgress,
};
use crate::simulation::Progress;

/// Trainings to do, with the samples each is expected to go through in an epoch.
pub type Todo = Vec<(CellKey, u64)>;

/// Trains everything in `todo`; what is finished is in the folder even if this ends with an error.
///
/// # Errors
/// The first training that failed, or a file that cannot be written: no further one is begun.
pub fn train_all(
    todo: &Todo,
    done_before: usize,
    jobs: usize,
    patients: &[Patient],
    configuration: &Configuration,
    folder: &Folder,
    progress: &Progress,
) -> anyhow::Result<()> {
    if todo.is_empty() {
        return Ok(());
    }
    let jobs = jobs.clamp(1, todo.len());
    let samples = todo.iter().map(|(_, samples)| samples).sum();
    let shown = TrainingProgress::new(progress, jobs, done_before, todo.len(), samples);
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let failure = Mutex::new(None);
    let run = |job: usize, key: &CellKey, samples: u64| -> anyhow::Result<Option<Cell>> {
        let _claim = folder.claim(key, || {
            progress.line(format!(
                "{key}: another process is at this training; waiting until it ends"
            ));
        })?;
        if folder.is_shared() && is_done(folder, configuration, key, |_| ()) {
            return Ok(None);
        }
        let mut progress = |done: usize, total: usize| {
            shown.under_way(job, samples, done as f64 / total.max(1) as f64);
        };
        let Trained { cell, model } = train(patients, configuration, key, &mut progress)?;
        keep_model(folder, configuration, key, &model)?;
        folder.keep(&cell)?;
        Ok(Some(cell))
    };
    let work = |job: usize| {
        while !failed.load(Ordering::Relaxed) {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some((key, samples)) = todo.get(place) else {
                return;
            };
            match run(job, key, *samples) {
                Ok(Some(cell)) => shown.ended(job, *samples, key, &cell),
                Ok(None) => shown.ended_elsewhere(*samples, key),
                Err(error) => {
                    failed.store(true, Ordering::Relaxed);
                    let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
                    failure.get_or_insert(error);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for job in 0..jobs {
            let work = &work;
            scope.spawn(move || work(job));
        }
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        None => Ok(()),
        Some(error) => Err(error).context(
            "a training failed; the finished trainings are kept, and --resume, or the same --shard, continues from them",
        ),
    }
}

/// Whether a training is there, with its model if that is kept; what is damaged, `told` is told.
pub fn is_done(
    folder: &Folder,
    configuration: &Configuration,
    key: &CellKey,
    told: impl Fn(String),
) -> bool {
    if folder.cell(key, &told).is_none() {
        return false;
    }
    if !is_kept(configuration, key) {
        return true;
    }
    let model = read_model(folder, key);
    if let Err(error) = &model {
        told(format!("{key}: {error}: it is to be trained again"));
    }
    model.is_ok()
}
