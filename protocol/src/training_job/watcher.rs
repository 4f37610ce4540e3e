//! How far a job is, and whether anybody still waits for it.

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobProgress {
    /// The trainer was lost and is started again; it reads its scans before the job is repeated.
    Restarted,
    /// Scans are read.
    Reading {
        /// Scans done.
        done: usize,
        /// Scans in all.
        scans: usize,
    },
    /// The network is trained.
    Training {
        /// Steps done.
        done: usize,
        /// Steps in all.
        total: usize,
    },
    /// The common model is evaluated.
    Evaluating {
        /// Batches done.
        done: usize,
        /// Batches in all.
        total: usize,
    },
}

/// Whoever waits for a job.
pub trait JobWatcher {
    /// The job has moved on.
    fn moved(&mut self, progress: JobProgress);

    /// Whether nobody waits for the job any more: it ends as soon as it can.
    fn is_stopped(&self) -> bool {
        false
    }
}

/// Nobody watches; the job goes on to its end.
pub struct Unwatched;

impl JobWatcher for Unwatched {
    fn moved(&mut self, _: JobProgress) {}
}

/// Told of every move; the job goes on to its end.
impl<F: FnMut(JobProgress)> JobWatcher for F {
    fn moved(&mut self, progress: JobProgress) {
        self(progress);
    }
}
