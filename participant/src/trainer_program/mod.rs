//! The trainer as a program of its own: started, spoken to over pipes, started again when it is lost, its job repeated.
//!
//! A job is a function of its request alone: its stream of random numbers comes from the seed in it. So a repeated job gives the
//! bytes that the lost one would have given, and neither vault nor round notices more than the time.
//!
//! A trainer is not believed more than it must be: what it sends is taken only when it is asked for, its answers carry the number of
//! their job, and its progress counts only where it rises.

mod child;
mod command;
mod gpu_memory;
mod reports;
#[cfg(all(test, unix))]
mod tests;
mod try_out;

use std::{
    io,
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use host::output::printable;
use model_data::LoadProgress;
use protocol::training_job::{
    DataSet, EvaluateRequest, EvaluatedCounts, HeatRequest, HeatedSlices, JobProgress, JobWatcher,
    LocalTrainer, PredictRequest, PredictedSlices, ReadingAccount, TrainRequest, TrainedUpdate,
    TrainerFailure,
    pipe::{self, FromTrainer, JobNumber, ToTrainer, Unusable},
};

pub use self::{
    child::Loss,
    command::TrainerCommand,
    gpu_memory::GpuMemoryShare,
    try_out::{TriedOut, try_out},
};
use self::{
    child::{Frame, NoMessage, TrainerChild},
    reports::Reports,
};

/// The trainer of a hospital, in a process of its own.
pub struct TrainerProgram {
    command: TrainerCommand,
    restarts: u32,
    opening: Vec<Frame>,
    account: ReadingAccount,
    child: Option<TrainerChild>,
    /// The number of the last job.
    job: JobNumber,
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
    /// Nobody waits for it any more.
    #[error("the trainer has been ended, as nobody waits for its work any more")]
    Stopped,
}

impl From<NoMessage> for TrainerError {
    fn from(reason: NoMessage) -> Self {
        match reason {
            NoMessage::Lost(loss) => Self::Lost(loss),
            NoMessage::Stopped => Self::Stopped,
        }
    }
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
        let opening = pipe::opening(data_set)
            .map_err(|error| TrainerError::Failed(TrainerFailure::from_error(error)))?;
        let mut program = Self {
            command,
            restarts,
            opening: opening.into_iter().map(Arc::new).collect(),
            account: ReadingAccount::default(),
            child: None,
            job: JobNumber::default(),
        };
        let watcher = &mut |at: JobProgress| {
            if let JobProgress::Reading { done, scans } = at {
                progress(LoadProgress { done, scans });
            }
        };
        let opened = program.repeated(watcher, |program, watcher| program.start(watcher))?;
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
        watcher: &mut dyn JobWatcher,
    ) -> Result<(TrainerChild, ReadingAccount), TrainerError> {
        let mut child = TrainerChild::start(&self.command)?;
        let release = match child.receive(Instant::now(), TO_START, watcher)? {
            FromTrainer::Hello { release } => release.0,
            other => return Err(out_of_order(&mut child, &other)),
        };
        tracing::info!(process = child.id(), release, "the trainer has started");
        for frame in &self.opening {
            child.send(Arc::clone(frame));
        }
        let reading = |(done, scans)| JobProgress::Reading { done, scans };
        let mut reports = Reports::new();
        loop {
            match child.receive(reports.moved(), TO_FIND_SCANS, watcher)? {
                FromTrainer::Reading { done, scans } => {
                    if let Some(report) = reports.note(done, scans) {
                        watcher.moved(reading(report));
                    }
                }
                FromTrainer::Opened(account) => {
                    if let Some(last) = reports.rest() {
                        watcher.moved(reading(last));
                    }
                    return Ok((child, account));
                }
                FromTrainer::Unusable(reason) => return Err(reason.into()),
                other => return Err(out_of_order(&mut child, &other)),
            }
        }
    }

    /// The running trainer; after a loss, a new one that has read the same scans.
    fn running(&mut self, watcher: &mut dyn JobWatcher) -> Result<&mut TrainerChild, TrainerError> {
        let child = match self.child.take() {
            Some(child) => child,
            None => {
                watcher.moved(JobProgress::Restarted);
                let (child, account) = self.start(watcher)?;
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
        job: &Job,
        watcher: &mut dyn JobWatcher,
    ) -> Result<FromTrainer, TrainerError> {
        let child = self.running(watcher)?;
        child.send(Arc::clone(&job.frame));
        let mut reports = Reports::new();
        loop {
            let message = child.receive(reports.moved(), MAX_SILENCE, watcher)?;
            if child.has_left(&message) {
                continue;
            }
            if message.job() != Some(job.number) {
                return Err(out_of_order(child, &message));
            }
            match message {
                FromTrainer::Step { done, total, .. } => {
                    if let Some(report) = reports.note(done, total) {
                        watcher.moved((job.progress)(report));
                    }
                }
                FromTrainer::Failed(_, reason) => {
                    return Err(TrainerError::Failed(failure_of(&reason.0)));
                }
                answer => {
                    if let Some(last) = reports.rest() {
                        watcher.moved((job.progress)(last));
                    }
                    return Ok(answer);
                }
            }
        }
    }

    fn next_job(&mut self) -> JobNumber {
        self.job = self.job.next();
        self.job
    }

    /// Does what needs a trainer, again when the trainer was lost over it.
    fn repeated<T>(
        &mut self,
        watcher: &mut dyn JobWatcher,
        mut work: impl FnMut(&mut Self, &mut dyn JobWatcher) -> Result<T, TrainerError>,
    ) -> Result<T, TrainerError> {
        let mut losses = 0;
        loop {
            match work(self, watcher) {
                Err(TrainerError::Lost(loss)) if losses < self.restarts => {
                    losses += 1;
                    self.child = None;
                    let restarts = self.restarts;
                    // Its last words may be about files and patients: they are for this log, and for no collector of spans.
                    tracing::error!(
                        parent: None,
                        "the trainer is lost, restart {losses} of {restarts} follows: {loss}"
                    );
                    thread::sleep(BEFORE_A_RESTART);
                    if watcher.is_stopped() {
                        return Err(TrainerError::Stopped);
                    }
                    tracing::warn!("the trainer is started again, and what was lost repeated");
                }
                Err(error @ (TrainerError::Lost(_) | TrainerError::Stopped)) => {
                    self.child = None;
                    return Err(error);
                }
                other => return other,
            }
        }
    }
}

/// What a trainer says of a failure, as one line of a bounded length.
fn failure_of(reason: &str) -> TrainerFailure {
    let reason: String = reason.chars().take(MAX_REASON_CHARS).collect();
    TrainerFailure(printable(&reason).replace(['\n', '\t'], " "))
}

/// What is asked of a trainer.
struct Job {
    number: JobNumber,
    frame: Frame,
    /// What its steps are steps of.
    progress: fn((usize, usize)) -> JobProgress,
}

impl LocalTrainer for TrainerProgram {
    fn train(
        &mut self,
        request: TrainRequest,
        watcher: &mut dyn JobWatcher,
    ) -> Result<TrainedUpdate, TrainerFailure> {
        self.done(
            |number| ToTrainer::Train(number, request),
            |(done, total)| JobProgress::Training { done, total },
            watcher,
            |answer, asked| match (answer, asked) {
                (FromTrainer::Trained(_, update), ToTrainer::Train(_, request))
                    if update.fits(request) =>
                {
                    Ok(update)
                }
                (other, _) => Err(other),
            },
        )
    }

    fn evaluate(
        &mut self,
        request: EvaluateRequest,
        watcher: &mut dyn JobWatcher,
    ) -> Result<EvaluatedCounts, TrainerFailure> {
        self.done(
            |number| ToTrainer::Evaluate(number, request),
            |(done, total)| JobProgress::Evaluating { done, total },
            watcher,
            |answer, asked| match (answer, asked) {
                (FromTrainer::Evaluated(_, counts), ToTrainer::Evaluate(_, request))
                    if counts.fits(request) =>
                {
                    Ok(counts)
                }
                (other, _) => Err(other),
            },
        )
    }

    fn heat(
        &mut self,
        request: HeatRequest,
        watcher: &mut dyn JobWatcher,
    ) -> Result<HeatedSlices, TrainerFailure> {
        let job = self.next_job();
        let message = ToTrainer::Heat(job, request);
        let heated = frame(&message).and_then(|frame| self.heated(job, frame, watcher));
        match (heated.map_err(TrainerFailure::from_error)?, message) {
            (slices, ToTrainer::Heat(_, request)) if slices.fit(&request) => Ok(slices),
            _ => Err(TrainerFailure("pictures of the wrong size".into())),
        }
    }

    fn predict(
        &mut self,
        request: PredictRequest,
        watcher: &mut dyn JobWatcher,
    ) -> Result<PredictedSlices, TrainerFailure> {
        let place = usize::try_from(request.patient).unwrap_or(usize::MAX);
        let slices = self.account.slices.get(place).copied().unwrap_or(0);
        self.done(
            |number| ToTrainer::Predict(number, request),
            |(done, total)| JobProgress::Evaluating { done, total },
            watcher,
            move |answer, asked| match (answer, asked) {
                (FromTrainer::Predicted(_, predicted), ToTrainer::Predict(_, request))
                    if predicted.fit(request, slices) =>
                {
                    Ok(predicted)
                }
                (other, _) => Err(other),
            },
        )
    }
}

impl TrainerProgram {
    /// Asks for pictures, which are worth no restart: a trainer that is lost over them is started again for the next job that a run needs,
    /// and one that takes long is left to it.
    fn heated(
        &mut self,
        job: JobNumber,
        frame: Frame,
        watcher: &mut dyn JobWatcher,
    ) -> Result<HeatedSlices, TrainerError> {
        let Some(child) = &mut self.child else {
            let reason = "the trainer is lost, and is started again for the next round only";
            return Err(TrainerError::Failed(TrainerFailure(reason.into())));
        };
        child.send(frame);
        let began = Instant::now();
        let heated = loop {
            let left = TO_LOOK.saturating_sub(began.elapsed());
            match child.receive_within(left, watcher) {
                Ok(Some(message)) if message.job() != Some(job) => {
                    break Err(out_of_order(child, &message));
                }
                Ok(Some(FromTrainer::Heated(_, slices))) => return Ok(slices),
                Ok(Some(FromTrainer::Failed(_, reason))) => {
                    return Err(TrainerError::Failed(failure_of(&reason.0)));
                }
                Ok(Some(FromTrainer::Step { .. })) => {}
                Ok(Some(other)) => break Err(out_of_order(child, &other)),
                Ok(None) => {
                    child.leave(job);
                    let reason = format!("the trainer has made none in {} s", TO_LOOK.as_secs());
                    return Err(TrainerError::Failed(TrainerFailure(reason)));
                }
                Err(no_message) => break Err(no_message.into()),
            }
        };
        self.child = None;
        heated
    }

    /// Has a job done, again when the trainer was lost over it. `result` finds in an answer what the job was to give; an answer that
    /// it hands back does not belong there.
    fn done<T>(
        &mut self,
        message: impl FnOnce(JobNumber) -> ToTrainer,
        progress: fn((usize, usize)) -> JobProgress,
        watcher: &mut dyn JobWatcher,
        result: impl Fn(FromTrainer, &ToTrainer) -> Result<T, FromTrainer>,
    ) -> Result<T, TrainerFailure> {
        let number = self.next_job();
        let message = message(number);
        let done = frame(&message).and_then(|frame| {
            let job = Job {
                number,
                frame,
                progress,
            };
            self.repeated(watcher, |program, watcher| {
                let answer = program.ask(&job, watcher)?;
                result(answer, &message).map_err(|other| program.out_of_order(&other))
            })
        });
        done.map_err(TrainerFailure::from_error)
    }

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
    Ok(Arc::new(frame))
}

/// A trainer that says what does not belong there is not to be believed any more.
fn out_of_order(child: &mut TrainerChild, message: &FromTrainer) -> TrainerError {
    TrainerError::Lost(child.lost(unexpected(message)))
}

fn unexpected(message: &FromTrainer) -> String {
    let name = message.name();
    let name = match message.job() {
        Some(job) => format!("{name} of job {job}"),
        None => name.to_owned(),
    };
    format!("it sent {name}, which does not belong there or has the wrong size")
}

/// Of a program that has to load libtorch, perhaps from a network drive, perhaps on a machine that a launcher finds first.
const TO_START: Duration = Duration::from_secs(300);
/// Before the first scan is read, the headers of all are: of a hundred thousand files on a slow drive.
const TO_FIND_SCANS: Duration = Duration::from_secs(1800);
/// A step takes seconds. For so long a job may stand still.
pub(crate) const MAX_SILENCE: Duration = Duration::from_secs(300);
/// Pictures take milliseconds; the next round waits behind them.
const TO_LOOK: Duration = Duration::from_secs(30);
/// Of what a trainer says of a failure.
const MAX_REASON_CHARS: usize = 2000;
const BEFORE_A_RESTART: Duration = Duration::from_secs(1);
