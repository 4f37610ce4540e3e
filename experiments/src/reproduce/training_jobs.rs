//! The trainings, several at a time, each on one thread; every finished one is kept at once.

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
    models::keep_model,
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
    let run = |job: usize, key: &CellKey, samples: u64| -> anyhow::Result<Cell> {
        let mut progress = |done: usize, total: usize| {
            shown.under_way(job, samples, done as f64 / total.max(1) as f64);
        };
        let Trained { cell, model } = train(patients, configuration, key, &mut progress)?;
        keep_model(folder, configuration, key, &model)?;
        folder.keep(&cell)?;
        Ok(cell)
    };
    let work = |job: usize| {
        while !failed.load(Ordering::Relaxed) {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some((key, samples)) = todo.get(place) else {
                return;
            };
            match run(job, key, *samples) {
                Ok(cell) => shown.ended(job, *samples, key, &cell),
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
            "a training failed; the finished trainings are kept, and --resume continues from them",
        ),
    }
}
