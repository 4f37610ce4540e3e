//! The trainer as a program of its own: started, spoken to over pipes, started again when it is lost, its job repeated.
//!
//! A job is a function of its request alone: its stream of random numbers comes from the seed in it. So a repeated job gives the
//! bytes that the lost one would have given, and neither vault nor round notices more than the time.

mod child;
mod command;
#[cfg(all(test, unix))]
mod tests;

use std::{io, path::PathBuf, sync::Arc, thread, time::Duration};

use model_data::LoadProgress;
use protocol::training_job::{
    DataSet, EvaluateRequest, EvaluatedCounts, LocalTrainer, ReadingAccount, TrainRequest,
    TrainedUpdate, TrainerFailure,
    pipe::{self, FromTrainer, ToTrainer, Unusable},
};

use self::child::{Frame, TrainerChild};
pub use self::{child::Loss, command::TrainerCommand};

/// The trainer of a hospital, in a process of its own.
pub struct TrainerProgram {
    command: TrainerCommand,
    restarts: u32,
    opening: Frame,
    account: ReadingAccount,
    child: Option<TrainerChild>,
}

/// Why there is no trainer, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum TrainerError {
    /// The program is not installed.
    #[error(
        "the program {} is missing: `trainer` belongs beside `participant`; build both with `cargo build --release --bins`, or copy it there",
        program.display()
    )]
    Missing {
        /// Where it should be.
        program: PathBuf,
    },
    /// The operating system does not start it.
    #[error("cannot start {command} (setting `trainer.command`)")]
    Start {
        /// The launcher, or the program.
        command: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// It cannot work with what it was given.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// It is gone, and was as often as it is started again.
    #[error("the trainer is lost: {0}")]
    Lost(Loss),
    /// The scans are others than at the first start.
    #[error("the scans have changed since this participant has started: start it again")]
    OtherScans,
    /// The job itself failed, as it would a second time.
    #[error(transparent)]
    Failed(TrainerFailure),
}

impl TrainerProgram {
    /// Starts the trainer and has it read the scans; tells what it has read. A trainer that is lost is started again, `restarts`
    /// times for each job and for the reading.
    ///
    /// # Errors
    /// [`TrainerError`].
    pub fn open(
        command: TrainerCommand,
        restarts: u32,
        data_set: DataSet,
        progress: impl Fn(LoadProgress),
    ) -> Result<Self, TrainerError> {
        let mut program = Self {
            command,
            restarts,
            opening: frame(&ToTrainer::Open(data_set))?,
            account: ReadingAccount::default(),
            child: None,
        };
        let opened = program.repeated(|program| program.start(&progress))?;
        let (child, account) = opened;
        program.child = Some(child);
        program.account = account;
        Ok(program)
    }

    /// What the scans gave when they were read first.
    pub fn account(&self) -> &ReadingAccount {
        &self.account
    }

    fn start(
        &self,
        progress: &impl Fn(LoadProgress),
    ) -> Result<(TrainerChild, ReadingAccount), TrainerError> {
        let mut child = TrainerChild::start(&self.command)?;
        let release = match child.receive(TO_START).map_err(TrainerError::Lost)? {
            FromTrainer::Hello { release } => release.0,
            other => return Err(out_of_order(&mut child, &other)),
        };
        tracing::info!(process = child.id(), release, "the trainer has started");
        child.send(Arc::clone(&self.opening));
        loop {
            match child.receive(TO_FIND_SCANS).map_err(TrainerError::Lost)? {
                FromTrainer::Reading { done, scans } => progress(LoadProgress {
                    done: done as usize,
                    scans: scans as usize,
                }),
                FromTrainer::Opened(account) => return Ok((child, account)),
                FromTrainer::Unusable(reason) => return Err(reason.into()),
                other => return Err(out_of_order(&mut child, &other)),
            }
        }
    }

    /// The running trainer; after a loss, a new one that has read the same scans.
    fn running(&mut self) -> Result<&mut TrainerChild, TrainerError> {
        let child = match self.child.take() {
            Some(child) => child,
            None => {
                let (child, account) = self.start(&|_| ())?;
                if account.slices != self.account.slices {
                    return Err(TrainerError::OtherScans);
                }
                child
            }
        };
        Ok(self.child.insert(child))
    }

    /// Sends a job and waits for what is not a step.
    fn ask(
        &mut self,
        job: &Frame,
        step: &mut dyn FnMut(usize, usize),
    ) -> Result<FromTrainer, TrainerError> {
        let child = self.running()?;
        child.send(Arc::clone(job));
        loop {
            match child.receive(MAX_SILENCE).map_err(TrainerError::Lost)? {
                FromTrainer::Step { done, total } => step(done as usize, total as usize),
                FromTrainer::Failed(reason) => {
                    return Err(TrainerError::Failed(TrainerFailure(reason.0)));
                }
                answer @ (FromTrainer::Trained(_) | FromTrainer::Evaluated(_)) => {
                    return Ok(answer);
                }
                other => return Err(out_of_order(child, &other)),
            }
        }
    }

    /// Does what needs a trainer, again when the trainer was lost over it.
    fn repeated<T>(
        &mut self,
        mut work: impl FnMut(&mut Self) -> Result<T, TrainerError>,
    ) -> Result<T, TrainerError> {
        let mut losses = 0;
        loop {
            match work(self) {
                Err(TrainerError::Lost(loss)) if losses < self.restarts => {
                    losses += 1;
                    self.child = None;
                    let restarts = self.restarts;
                    tracing::error!(
                        "the trainer is lost, restart {losses} of {restarts} follows: {loss}"
                    );
                    thread::sleep(BEFORE_A_RESTART);
                    tracing::warn!("the trainer is started again, and what was lost repeated");
                }
                Err(error @ TrainerError::Lost(_)) => {
                    self.child = None;
                    return Err(error);
                }
                other => return other,
            }
        }
    }
}

impl LocalTrainer for TrainerProgram {
    fn train(
        &mut self,
        request: TrainRequest,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<TrainedUpdate, TrainerFailure> {
        let message = ToTrainer::Train(request);
        let trained = frame(&message).and_then(|job| {
            self.repeated(|program| match (program.ask(&job, progress)?, &message) {
                (FromTrainer::Trained(update), ToTrainer::Train(request))
                    if update.fits(request) =>
                {
                    Ok(update)
                }
                (other, _) => Err(program.out_of_order(&other)),
            })
        });
        trained.map_err(TrainerFailure::from_error)
    }

    fn evaluate(&mut self, request: EvaluateRequest) -> Result<EvaluatedCounts, TrainerFailure> {
        let message = ToTrainer::Evaluate(request);
        let evaluated = frame(&message).and_then(|job| {
            self.repeated(
                |program| match (program.ask(&job, &mut |_, _| ())?, &message) {
                    (FromTrainer::Evaluated(counts), ToTrainer::Evaluate(request))
                        if counts.fits(request) =>
                    {
                        Ok(counts)
                    }
                    (other, _) => Err(program.out_of_order(&other)),
                },
            )
        });
        evaluated.map_err(TrainerFailure::from_error)
    }
}

impl TrainerProgram {
    fn out_of_order(&mut self, message: &FromTrainer) -> TrainerError {
        match &mut self.child {
            Some(child) => out_of_order(child, message),
            None => TrainerError::Failed(TrainerFailure(unexpected(message))),
        }
    }
}

fn frame(message: &ToTrainer) -> Result<Frame, TrainerError> {
    let frame = pipe::frame(message)
        .map_err(|error| TrainerError::Failed(TrainerFailure::from_error(error)))?;
    Ok(frame.into())
}

/// A trainer that says what does not belong there is not to be believed any more.
fn out_of_order(child: &mut TrainerChild, message: &FromTrainer) -> TrainerError {
    TrainerError::Lost(child.lost(unexpected(message)))
}

fn unexpected(message: &FromTrainer) -> String {
    format!(
        "it sent {}, which does not belong there or has the wrong size",
        message.name()
    )
}

/// Of a program that has to load libtorch, perhaps from a network drive, perhaps on a machine that a launcher finds first.
const TO_START: Duration = Duration::from_secs(300);
/// Before the first scan is read, the headers of all are: of a hundred thousand files on a slow drive.
const TO_FIND_SCANS: Duration = Duration::from_secs(1800);
/// A step of training takes seconds.
const MAX_SILENCE: Duration = Duration::from_secs(300);
const BEFORE_A_RESTART: Duration = Duration::from_secs(1);
