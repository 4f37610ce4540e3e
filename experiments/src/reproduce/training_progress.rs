//! What a person sees while trainings run: a line for each that ends, how much is done, and a guess of the time left.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use protocol::counted::counted;

use super::cell::{Cell, CellKey};
use crate::{
    simulation::{Progress, Stage},
    time_left::{in_words, time_left},
};

/// Shared by all jobs. Work is counted in samples: a training takes as long as its samples are many.
pub struct TrainingProgress<'a> {
    progress: &'a Progress,
    stage: Stage,
    state: Mutex<State>,
}

struct State {
    began: Instant,
    said: Instant,
    /// Trainings that ended before this run, and in all.
    done_before: usize,
    cells: usize,
    /// Ended in this run.
    ended: usize,
    /// Samples of those that ended, and in all.
    samples: f64,
    samples_in_all: f64,
    /// Samples that each job has gone through in its present training.
    under_way: Vec<f64>,
}

impl<'a> TrainingProgress<'a> {
    /// For so many jobs, with `samples` to go through in the `todo` trainings that are left.
    pub fn new(
        progress: &'a Progress,
        jobs: usize,
        done_before: usize,
        todo: usize,
        samples: u64,
    ) -> Self {
        let now = Instant::now();
        Self {
            stage: progress.bar("training", PARTS),
            progress,
            state: Mutex::new(State {
                began: now,
                said: now,
                done_before,
                cells: done_before + todo,
                ended: 0,
                samples: 0.0,
                samples_in_all: samples as f64,
                under_way: vec![0.0; jobs],
            }),
        }
    }

    /// A job has done this share, of 1, of a training with so many samples. Said once a minute.
    pub fn under_way(&self, job: usize, samples: u64, share: f64) {
        let mut state = self.state();
        state.under_way[job] = samples as f64 * share;
        let done = state.done();
        self.stage.at((done * PARTS as f64) as usize);
        if !self.progress.is_terminal()
            && let Some(words) = state.once_a_minute(done)
        {
            self.progress.line(words);
        }
    }

    /// A job has ended a training.
    pub fn ended(&self, job: usize, samples: u64, key: &CellKey, cell: &Cell) {
        let mut state = self.state();
        state.under_way[job] = 0.0;
        state.samples += samples as f64;
        state.ended += 1;
        state.said = Instant::now();
        self.stage.at((state.done() * PARTS as f64) as usize);
        self.progress.line(format!(
            "{} of {}: {key}: {} ({:.0} s){}",
            state.done_before + state.ended,
            state.cells,
            outcome(cell),
            cell.seconds,
            state.left_in_words()
        ));
    }

    /// Another process has ended the training that a job was to begin.
    pub fn ended_elsewhere(&self, samples: u64, key: &CellKey) {
        let mut state = self.state();
        state.samples_in_all -= samples as f64;
        state.ended += 1;
        state.said = Instant::now();
        self.progress.line(format!(
            "{} of {}: {key}: another process has done it",
            state.done_before + state.ended,
            state.cells
        ));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The share of this run's work that is done.
    fn done(&self) -> f64 {
        let under_way: f64 = self.under_way.iter().sum();
        ((self.samples + under_way) / self.samples_in_all.max(1.0)).min(1.0)
    }

    /// How much is done, if nothing was said for a minute.
    fn once_a_minute(&mut self, done: f64) -> Option<String> {
        if self.said.elapsed() < EVERY {
            return None;
        }
        self.said = Instant::now();
        Some(format!("{:.0}% done{}", 100.0 * done, self.left_in_words()))
    }

    fn left(&self) -> Option<Duration> {
        let is_over = self.ended == self.cells - self.done_before;
        time_left(self.began.elapsed(), self.done()).filter(|_| !is_over)
    }

    /// ", about 2 min left".
    fn left_in_words(&self) -> String {
        let left = self.left().map(in_words);
        left.map(|left| format!(", {left}")).unwrap_or_default()
    }
}

fn outcome(cell: &Cell) -> String {
    let predictions = cell.predictions();
    let right = predictions.iter().filter(|one| one.class() == one.label);
    format!(
        "accuracy {:.2} of {}, {}, kept number {}",
        right.count() as f64 / predictions.len().max(1) as f64,
        counted(predictions.len(), ["slice", "slices"]),
        counted(cell.epochs.len(), ["epoch", "epochs"]),
        cell.best_epoch
    )
}

/// How finely a bar shows what is done.
const PARTS: usize = 1000;
/// How long there may be no line where there is no bar.
const EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_guessed_from_the_samples_that_were_gone_through() {
        let progress = Progress::new();
        let board = TrainingProgress::new(&progress, 2, 5, 3, 800);
        assert_eq!(board.state().left(), None);
        board.state().began -= Duration::from_secs(20);
        board.under_way(0, 100, 0.5);
        board.under_way(1, 600, 0.25);
        assert_eq!(board.state().done(), 0.25);
        let left = board.state().left().expect("known").as_secs();
        assert!((60..70).contains(&left), "{left}");
        assert_eq!(board.state().once_a_minute(0.25), None);
        board.state().said -= Duration::from_secs(60);
        let said = board.state().once_a_minute(0.25).expect("a minute is over");
        assert!(said.starts_with("25% done, about "), "{said}");
        assert_eq!(board.state().once_a_minute(0.25), None, "not again");
        board.state().ended = 3;
        assert_eq!(board.state().left(), None);
    }
}
