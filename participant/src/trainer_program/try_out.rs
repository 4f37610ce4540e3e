//! A trainer that is started to see whether it can be, and ended again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use protocol::training_job::{
    DataSet, TrainerFailure, Unwatched,
    pipe::{self, FromTrainer},
};

use super::{TrainerCommand, TrainerError, child::TrainerChild, out_of_order};

/// A trainer that has started, loaded its libraries and found its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriedOut {
    /// Its release.
    pub release: String,
    /// The last lines of its log, the level first.
    pub said: Vec<String>,
}

/// Starts the trainer, has it open `data_set`, which may have no patient, and ends it. Each of its two answers is waited for as long as
/// `limit`.
///
/// # Errors
/// [`TrainerError`]; [`TrainerError::Unusable`] when it starts, and has not the device that is asked for.
pub fn try_out(
    command: &TrainerCommand,
    data_set: DataSet,
    limit: Duration,
) -> Result<TriedOut, TrainerError> {
    let opening = pipe::opening(data_set)
        .map_err(|error| TrainerError::Failed(TrainerFailure::from_error(error)))?;
    let mut child = TrainerChild::start(command)?;
    let release = match child.receive(Instant::now(), limit, &Unwatched)? {
        FromTrainer::Hello { release } => release.0,
        other => return Err(out_of_order(&mut child, &other)),
    };
    for frame in opening {
        child.send(Arc::new(frame));
    }
    let sent = Instant::now();
    loop {
        match child.receive(sent, limit, &Unwatched)? {
            FromTrainer::Reading { .. } => {}
            FromTrainer::Opened(_) => {
                let said = child.last_words();
                return Ok(TriedOut { release, said });
            }
            FromTrainer::Unusable(reason) => return Err(reason.into()),
            other => return Err(out_of_order(&mut child, &other)),
        }
    }
}
