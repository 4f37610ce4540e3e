//! The trainings, several at a time, each on one thread; every finished one is kept at once.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use model::data::Patient;

use super::{
    cell::{Cell, CellKey},
    configuration::Configuration,
    folder::Folder,
    models::keep_model,
    training::{Trained, train},
};
use crate::simulation::Progress;

/// Trainings to do, with the samples each is expected to go through in an epoch.
pub type Todo = Vec<(CellKey, u64)>;

/// Trains everything in `todo`; what is finished is in the folder even if this ends with an error.
///
/// # Errors
/// The first training that failed, or a file that cannot be written: no further one is begun.
pub fn work(
    todo: &Todo,
    done_before: usize,
    jobs: usize,
    patients: &[Patient],
    configuration: &Configuration,
    folder: &Folder,
    progress: &Progress,
) -> anyhow::Result<()> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let failure = Mutex::new(None);
    let clock = Mutex::new(Clock::new(todo, jobs));
    let run = |key: &CellKey| -> anyhow::Result<Cell> {
        let Trained { cell, model } = train(patients, configuration, key, &mut |_, _| ())?;
        keep_model(folder, configuration, key, &model)?;
        folder.keep(&cell)?;
        Ok(cell)
    };
    let job = || {
        while !failed.load(Ordering::Relaxed) {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some((key, samples)) = todo.get(place) else {
                return;
            };
            match run(key) {
                Ok(cell) => {
                    let mut clock = clock.lock().unwrap_or_else(PoisonError::into_inner);
                    clock.finished(*samples);
                    progress.line(format!(
                        "{} of {}: {key}: {} ({:.0} s){}",
                        done_before + clock.cells,
                        done_before + todo.len(),
                        outcome(&cell),
                        cell.seconds,
                        clock.left().map(in_words).unwrap_or_default()
                    ));
                }
                Err(error) => {
                    failed.store(true, Ordering::Relaxed);
                    let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
                    failure.get_or_insert(error);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, todo.len().max(1)) {
            scope.spawn(job);
        }
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        None => Ok(()),
        Some(error) => Err(error).context(
            "a training failed; those that ended are kept, and --resume goes on from them",
        ),
    }
}

fn outcome(cell: &Cell) -> String {
    let right = cell.predictions();
    let hits = right.iter().filter(|one| one.class() == one.label).count();
    format!(
        "accuracy {:.2} of {} slices, {} epochs, kept number {}",
        hits as f64 / right.len().max(1) as f64,
        right.len(),
        cell.epochs.len(),
        cell.best_epoch
    )
}

/// Guesses what is left from what was done: trainings take as long as their samples are many.
struct Clock {
    began: Instant,
    cells: usize,
    samples: u64,
    samples_in_all: u64,
    jobs: usize,
}

impl Clock {
    fn new(todo: &Todo, jobs: usize) -> Self {
        Self {
            began: Instant::now(),
            cells: 0,
            samples: 0,
            samples_in_all: todo.iter().map(|(_, samples)| samples).sum(),
            jobs,
        }
    }

    fn finished(&mut self, samples: u64) {
        self.cells += 1;
        self.samples += samples;
    }

    /// None until every job has had its turn, and at the end.
    fn left(&self) -> Option<Duration> {
        let left = self.samples_in_all - self.samples;
        let known = self.cells >= self.jobs && self.samples > 0 && left > 0;
        known.then(|| {
            self.began
                .elapsed()
                .mul_f64(left as f64 / self.samples as f64)
        })
    }
}

fn in_words(left: Duration) -> String {
    let seconds = left.as_secs();
    match seconds {
        0..60 => format!(", about {seconds} s left"),
        60..3600 => format!(", about {} min left", seconds.div_ceil(60)),
        _ => format!(
            ", about {} h {} min left",
            seconds / 3600,
            seconds % 3600 / 60
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_said_in_words() {
        let words = |seconds| in_words(Duration::from_secs(seconds));
        assert_eq!(words(12), ", about 12 s left");
        assert_eq!(words(61), ", about 2 min left");
        assert_eq!(words(7_260), ", about 2 h 1 min left");
    }

    #[test]
    fn the_clock_guesses_by_samples_once_every_job_has_had_its_turn() {
        let key = crate::reproduce::cell::CellKey {
            task: crate::commands::TaskName::Binary,
            balance: crate::commands::BalanceName::Original,
            model: crate::commands::ModelName::Plain,
            split: crate::commands::SplitName::Slice,
            seed: 1,
        };
        let todo = vec![(key, 100), (key, 100), (key, 600)];
        let mut clock = Clock::new(&todo, 2);
        clock.began -= Duration::from_secs(20);
        clock.finished(100);
        assert_eq!(clock.left(), None);
        clock.finished(100);
        let left = clock.left().expect("known").as_secs();
        assert!((60..70).contains(&left), "{left}");
        clock.finished(600);
        assert_eq!(clock.left(), None);
    }
}
