//! The shell around the vault: the connection, transfers, the trainer's thread, signs of life. It makes no decision of the protocol.
//!
//! ```text
//!            frames, blobs            inputs                requests
//! coordinator <------> shell task <----------> vault thread --------> trainer thread
//!                          ^                        ^------------------------'  results
//!                          '--- outputs ------------'
//! ```

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use protocol::{
    digests::{LearningRound, ModelHash, OutcomeName, RoundNumber, RunId},
    features::FeatureSchema,
    labels::Labels,
    manifest::Purpose,
    message::{ALREADY_CONNECTED, DECLINES_THE_RUN, ToCoordinator, ToVault},
    training_job::{
        EvaluateRequest, EvaluatedCounts, JobProgress, JobWatcher, LocalTrainer, TrainRequest,
        TrainedUpdate, TrainerFailure,
    },
};
use tokio::{
    sync::{mpsc as channel, watch},
    task::AbortHandle,
};
use tracing::{Instrument as _, Span, debug_span};
use transport::{
    BlobName, CloseCode, Disconnect, RefusalCode, TransportError, Waiting, WireCounts,
};

use crate::{
    compute::ComputeSlots,
    heat::HeatMaker,
    held_acknowledgement::HeldAcknowledgement,
    interruption::{Interruptions, Moment},
    journal::{Journal, patient::Patience},
    ledger::LedgerError,
    own_results::{OwnEvaluation, OwnResult},
    run_spans::{About, RunSpans},
    trainer_program::MAX_SILENCE,
    vault::{Vault, VaultError, VaultEvent, VaultOutput},
    way_out::{Blob, Carried, LastWord, Passage, ReceiveError, UploadError, Uploads, WayOut},
};

/// A participant ready to run.
pub struct Participant<J> {
    /// The hospital's vault.
    pub vault: Vault<J>,
    /// Who trains.
    pub trainer: Box<dyn LocalTrainer>,
    /// How to reach the coordinator, and where is entered what leaves.
    pub way_out: WayOut,
    /// Turns at the processor, shared with other hospitals of this process.
    pub slots: ComputeSlots,
    /// Told of everything that happens.
    pub events: channel::UnboundedSender<ParticipantEvent>,
    /// Where a simulation cuts the hospital off.
    pub interruptions: Arc<dyn Interruptions>,
    /// What the journal waits for.
    pub patience: Arc<Patience>,
    /// Which run and round lines of the log are about.
    pub spans: RunSpans,
    /// Whether people here can see where the common model looks: pictures are made for nobody else.
    pub shows_heat: bool,
}

/// What happens at a hospital, for logs, progress bars and records.
pub enum ParticipantEvent {
    /// The coordinator cannot be reached yet.
    Waiting(Waiting),
    /// The connection stands.
    Connected,
    /// The connection is lost; it will be tried again.
    Disconnected {
        /// Why, for people.
        reason: String,
    },
    /// The coordinator offers a run, or goes on with one. Nobody here has looked at it yet.
    Offered {
        /// The run.
        run: RunId,
        /// Its classes.
        labels: Labels,
        /// The clinical features that it uses.
        features: FeatureSchema,
    },
    /// A step of training was done.
    Training {
        /// Steps done.
        done: usize,
        /// Steps in all.
        total: usize,
    },
    /// The contribution to a sum is being sent, or has been.
    Uploading {
        /// Bytes sent.
        sent: u64,
        /// Bytes in all.
        total: u64,
    },
    /// A sum was opened, and this is what the run has cost until then.
    Spent(RunCost),
    /// What this hospital's own data say of the common model: not for a log.
    Own(OwnResult),
    /// Something in the vault.
    Vault(VaultEvent),
}

impl ParticipantEvent {
    /// What a line about it is about.
    pub fn about(&self) -> About {
        match self {
            Self::Training { .. } | Self::Uploading { .. } => About::RoundAtHand,
            Self::Vault(event) => match event {
                VaultEvent::Opened(opened) => About::Round(opened.round),
                VaultEvent::Sealed { round, .. }
                | VaultEvent::WrongAnswers { round, .. }
                | VaultEvent::NullStep { round, .. }
                | VaultEvent::Overtaken { round, .. } => About::Round(*round),
                VaultEvent::Conditioned { .. } | VaultEvent::ProductsRefused { .. } => {
                    About::RoundAtHand
                }
                _ => About::Run,
            },
            _ => About::Run,
        }
    }
}

/// What a run has cost this hospital.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RunCost {
    /// Wall seconds of local training and evaluation.
    pub training_secs: f64,
    /// Of quantising, masking, sharing and sealing.
    pub sealing_secs: f64,
    /// Of opening sums and moving the model.
    pub opening_secs: f64,
    /// Of encrypting, decrypting and checking products.
    pub conditioning_secs: f64,
    /// Of uploads and downloads.
    pub transport_secs: f64,
    /// Message bytes to the coordinator.
    pub sent_bytes: u64,
    /// Message bytes from the coordinator.
    pub received_bytes: u64,
    /// What QUIC has counted for them, both ways.
    pub wire: WireCounts,
}

/// Why a participant stopped before its run had ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The vault cannot go on.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The coordinator cannot be reached or believed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// What is to leave cannot be entered.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The coordinator ended the run.
    #[error("the coordinator ended the run: {0}")]
    Ended(String),
    /// A thread of this process has died; its own message came before.
    #[error("the {0} has stopped unexpectedly")]
    ThreadDied(&'static str),
    /// Asked to stop.
    #[error("stopped on request")]
    Stopped,
}

impl<J: Journal + 'static> Participant<J> {
    /// Takes part until the run ends, reconnecting as often as it takes. `stop` ends it early. Returns when the threads of the vault
    /// and of the trainer have ended: a training in this process goes on to its next step, a trainer's program is ended.
    ///
    /// # Errors
    /// [`RunError`].
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<RunCost, RunError> {
        let (inputs, vault_inputs) = channel::channel(WAITING_INPUTS);
        let (vault_outputs, outputs) = channel::unbounded_channel();
        let (jobs, trainer_jobs) = mpsc::channel();
        let (results, steps) = (inputs.clone(), vault_outputs.clone());
        let (trainer, slots, shows_heat) = (self.trainer, self.slots, self.shows_heat);
        let left = Arc::new(AtomicUsize::new(0));
        let (jobs, left_jobs) = (
            JobQueue {
                jobs,
                asked: 0,
                left: left.clone(),
            },
            left,
        );
        let spans = self.spans.clone();
        let trainer_thread = std::thread::spawn(move || {
            let watch = TrainerWatch {
                left: &left_jobs,
                shell: &steps,
                spans: &spans,
            };
            let heat = HeatMaker::new(shows_heat);
            trainer_thread(trainer, &slots, &trainer_jobs, &results, &watch, heat)
        });
        let (vault, spans) = (self.vault, self.spans.clone());
        let hospitals = vault.roster().size();
        let (failure, failed) = tokio::sync::oneshot::channel();
        let vault_thread = std::thread::spawn(move || {
            if let Err(error) = vault_thread(vault, vault_inputs, &vault_outputs, &spans) {
                let _ = failure.send(error);
            }
        });
        let (report, reports) = channel::unbounded_channel();
        let (current_link, link) = watch::channel(None);
        let shell = Shell {
            way_out: self.way_out,
            events: self.events,
            interruptions: self.interruptions,
            inputs,
            jobs,
            outputs,
            cost: RunCost::default(),
            pulse: Pulse {
                jobs: 0,
                moved: None,
                patience: self.patience.clone(),
            },
            link_number: 0,
            report,
            reports,
            partial_download: None,
            downloading: None,
            next_download: None,
            contributed: (Purpose::Stats, LearningRound::default()),
            uploading: None,
            next_upload: None,
            current_link,
            awaits_approval: false,
            hospitals,
            spans: self.spans,
        };
        let result = {
            let mut serving = pin!(shell.run());
            tokio::select! {
                biased;
                // Also while there is no connection. A vault that dies without an error drops the sender.
                error = failed => match error {
                    Ok(error) => {
                        // Not for ever: the ledger may have no room for what is said.
                        let _ = tokio::time::timeout(LAST_WORD, decline(&error, &link)).await;
                        Err(error.into())
                    }
                    Err(_) => Err(RunError::ThreadDied("vault")),
                },
                result = &mut serving => result,
                () = stop => Err(RunError::Stopped),
            }
        };
        if let (Err(RunError::Stopped), Some(last_word)) = (&result, &*link.borrow()) {
            // A transfer that is under way holds the connection too.
            last_word.leave();
        }
        self.patience.stop();
        // With the shell their channels have gone. A process that ended while libtorch computes, as a simulation's does, would crash on its way out.
        let _ = tokio::task::spawn_blocking(|| (trainer_thread.join(), vault_thread.join())).await;
        result
    }
}

/// Tells the operator over the connection at hand that this hospital stays out of the run, if that is why its vault has stopped.
async fn decline(error: &VaultError, link: &watch::Receiver<Option<LastWord>>) {
    let last_word = link.borrow().clone();
    if let (Some(word), Some(last_word)) = (error.word_for_operator(), last_word) {
        let code = CloseCode::Application(DECLINES_THE_RUN);
        last_word.say(code, &word).await;
        // The end-point sends the last packet by itself.
        tokio::time::sleep(AFTER_THE_LAST_WORD).await;
    }
}

enum VaultInput {
    Connected,
    Reconsider,
    Message(Box<ToVault>),
    Outcome(Vec<u8>),
    Trained(ModelHash, Result<TrainedUpdate, TrainerFailure>),
    Evaluated(RoundNumber, Result<EvaluatedCounts, TrainerFailure>),
}

impl VaultInput {
    /// What the vault is about to do, for whoever wants to know how long it takes; most inputs are handled in a moment.
    fn step(&self) -> Span {
        match self {
            Self::Message(message) => match **message {
                ToVault::RoundOpen(_) => debug_span!("opening_round"),
                ToVault::Products(_) => debug_span!("products"),
                ToVault::BoxForward(_) => debug_span!("shares"),
                ToVault::UnlockRequest(_) => debug_span!("answering"),
                _ => Span::none(),
            },
            Self::Outcome(_) => debug_span!("opening"),
            Self::Trained(..) | Self::Evaluated(..) => debug_span!("sealing"),
            Self::Connected | Self::Reconsider => Span::none(),
        }
    }
}

enum FromThreads {
    Output(VaultOutput),
    Spent(Phase, Duration),
    Moved(JobProgress),
    Own(OwnResult),
    TrainerStarted,
    TrainerDone,
}

#[derive(Clone, Copy)]
enum Phase {
    Training,
    Sealing,
    Opening,
    Conditioning,
}

enum TrainerJob {
    Train {
        model_hash: ModelHash,
        learning_round: LearningRound,
        request: TrainRequest,
    },
    Evaluate {
        learning_round: LearningRound,
        patients: usize,
        request: EvaluateRequest,
    },
}

fn vault_thread<J: Journal>(
    mut vault: Vault<J>,
    mut inputs: channel::Receiver<VaultInput>,
    outputs: &channel::UnboundedSender<FromThreads>,
    spans: &RunSpans,
) -> Result<(), VaultError> {
    while let Some(input) = inputs.blocking_recv() {
        let began = Instant::now();
        if let VaultInput::Message(message) = &input {
            spans.hear(message);
        }
        let _within = spans.of_round().entered();
        let _step = input.step().entered();
        let (phase, result) = match input {
            VaultInput::Trained(_, Err(failure)) | VaultInput::Evaluated(_, Err(failure)) => {
                (None, vault.handle_job_failed(failure))
            }
            VaultInput::Connected => {
                vault.handle_connected();
                (None, Ok(()))
            }
            VaultInput::Reconsider => (None, vault.handle_reconsider()),
            VaultInput::Message(message) => {
                let phase = match *message {
                    ToVault::RoundOpen(_) | ToVault::Products(_) => Some(Phase::Conditioning),
                    ToVault::BoxForward(_) | ToVault::UnlockRequest(_) => Some(Phase::Sealing),
                    _ => None,
                };
                (phase, vault.handle_message(*message))
            }
            VaultInput::Outcome(bytes) => (Some(Phase::Opening), vault.handle_outcome(&bytes)),
            VaultInput::Trained(model_hash, Ok(update)) => (
                Some(Phase::Sealing),
                vault.handle_trained(model_hash, update),
            ),
            VaultInput::Evaluated(round, Ok(counts)) => {
                (Some(Phase::Sealing), vault.handle_evaluated(round, &counts))
            }
        };
        if let Some(phase) = phase {
            let _ = outputs.send(FromThreads::Spent(phase, began.elapsed()));
        }
        while let Some(output) = vault.poll_output() {
            let _ = outputs.send(FromThreads::Output(output));
        }
        result?;
    }
    Ok(())
}

/// The trainer's jobs, on their way to its thread.
struct JobQueue {
    jobs: mpsc::Sender<TrainerJob>,
    /// So many went.
    asked: usize,
    /// Nobody waits for so many of the first any more.
    left: Arc<AtomicUsize>,
}

impl JobQueue {
    fn ask(&mut self, job: TrainerJob) -> Result<(), RunError> {
        self.asked += 1;
        self.jobs
            .send(job)
            .map_err(|_| RunError::ThreadDied("trainer"))
    }

    fn leave_all(&self) {
        self.left.store(self.asked, Ordering::Relaxed);
    }
}

/// What the trainer's thread looks at, and whom it tells.
struct TrainerWatch<'a> {
    /// So many of the first jobs are left.
    left: &'a AtomicUsize,
    shell: &'a channel::UnboundedSender<FromThreads>,
    spans: &'a RunSpans,
}

/// Every job is answered, in its order; one that was left meanwhile, without a result. What an answer says of this hospital's own data
/// goes to people here as well, and after the answer, what can be seen of the model in some slices.
fn trainer_thread(
    mut trainer: Box<dyn LocalTrainer>,
    slots: &ComputeSlots,
    jobs: &mpsc::Receiver<TrainerJob>,
    results: &channel::Sender<VaultInput>,
    watch: &TrainerWatch<'_>,
    mut heat: HeatMaker,
) {
    let &TrainerWatch { left, shell, spans } = watch;
    for (before, job) in jobs.iter().enumerate() {
        let _within = spans.of_round().entered();
        let mut heat_job = None;
        let result = slots.run(|| {
            let step = match job {
                TrainerJob::Train { .. } => debug_span!("training"),
                TrainerJob::Evaluate { .. } => debug_span!("evaluating"),
            };
            let _step = step.entered();
            let _ = shell.send(FromThreads::TrainerStarted);
            let began = Instant::now();
            let mut watcher = ShellWatches {
                shell,
                before,
                left,
            };
            let result = match job {
                TrainerJob::Train { model_hash, .. } if watcher.is_left() => {
                    VaultInput::Trained(model_hash, Err(job_was_left()))
                }
                TrainerJob::Evaluate { request, .. } if watcher.is_left() => {
                    VaultInput::Evaluated(request.round, Err(job_was_left()))
                }
                TrainerJob::Train {
                    model_hash,
                    learning_round,
                    request,
                } => {
                    let trained = unless_it_panics(|| trainer.train(request, &mut watcher));
                    if let Ok(TrainedUpdate { loss, .. }) = trained {
                        let own = OwnResult::Trained {
                            learning_round,
                            loss,
                        };
                        let _ = shell.send(FromThreads::Own(own));
                    }
                    VaultInput::Trained(model_hash, trained)
                }
                TrainerJob::Evaluate {
                    learning_round,
                    patients,
                    request,
                } => {
                    let round = request.round;
                    let about = heat.about(learning_round, &request);
                    let evaluated = unless_it_panics(|| trainer.evaluate(request, &mut watcher));
                    if let Ok(counts) = &evaluated {
                        let own = OwnEvaluation::of(learning_round, patients, counts);
                        let _ = shell.send(FromThreads::Own(OwnResult::Evaluated(own)));
                        heat_job = about;
                    }
                    VaultInput::Evaluated(round, evaluated)
                }
            };
            let _ = shell.send(FromThreads::Spent(Phase::Training, began.elapsed()));
            result
        });
        let _ = shell.send(FromThreads::TrainerDone);
        if results.blocking_send(result).is_err() {
            return;
        }
        if let Some(job) = heat_job {
            let look = |request, watcher: &mut dyn JobWatcher| {
                slots.run(|| unless_it_panics(|| trainer.heat(request, watcher)))
            };
            if let Some(made) = heat.make(job, || shell.is_closed(), look) {
                let own = OwnResult::Heated(Arc::new(made));
                let _ = shell.send(FromThreads::Own(own));
            }
        }
    }
}

fn job_was_left() -> TrainerFailure {
    TrainerFailure("nobody waits for this any more".into())
}

/// The shell waits for a job, until it has gone or the job is left.
struct ShellWatches<'a> {
    shell: &'a channel::UnboundedSender<FromThreads>,
    /// So many jobs came before this one.
    before: usize,
    /// So many of the first are left.
    left: &'a AtomicUsize,
}

impl ShellWatches<'_> {
    fn is_left(&self) -> bool {
        self.before < self.left.load(Ordering::Relaxed)
    }
}

impl JobWatcher for ShellWatches<'_> {
    fn moved(&mut self, progress: JobProgress) {
        if self.shell.send(FromThreads::Moved(progress)).is_err() {
            // Nobody waits for this job: it ends here, between two steps.
            std::panic::resume_unwind(Box::new("no longer needed"));
        }
    }

    fn is_stopped(&self) -> bool {
        self.shell.is_closed() || self.is_left()
    }
}

/// A trainer that panics has failed; the hospital says so and stops, instead of keeping the others waiting.
fn unless_it_panics<T>(
    job: impl FnOnce() -> Result<T, TrainerFailure>,
) -> Result<T, TrainerFailure> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).unwrap_or_else(|_| {
        Err(TrainerFailure(
            "the trainer has panicked; its message came before".into(),
        ))
    })
}

/// Whether this hospital is getting on: it says that it is alive as long as it is.
struct Pulse {
    /// Jobs that the trainer has not begun or not finished.
    jobs: usize,
    /// When the running job last moved; none while it waits for its turn.
    moved: Option<Instant>,
    /// What the journal waits for: the vault stands still meanwhile.
    patience: Arc<Patience>,
}

impl Pulse {
    fn is_alive(&self) -> bool {
        let trainer_moves = self.jobs == 0
            || self
                .moved
                .is_none_or(|moved| moved.elapsed() < TRAINER_IS_STUCK_AFTER);
        let disk = self.patience.waiting_for();
        trainer_moves && disk.is_none_or(|waiting| waiting < DISK_IS_STUCK_AFTER)
    }
}

struct Shell {
    way_out: WayOut,
    events: channel::UnboundedSender<ParticipantEvent>,
    interruptions: Arc<dyn Interruptions>,
    inputs: channel::Sender<VaultInput>,
    jobs: JobQueue,
    outputs: channel::UnboundedReceiver<FromThreads>,
    cost: RunCost,
    pulse: Pulse,
    /// Counts connections: what a transfer of an earlier one reports is not about this one.
    link_number: u64,
    report: channel::UnboundedSender<(u64, Transfer)>,
    reports: channel::UnboundedReceiver<(u64, Transfer)>,
    /// The beginning of the outcome whose download broke off last.
    partial_download: Option<(OutcomeName, Vec<u8>)>,
    /// The outcome that is being downloaded over this connection.
    downloading: Option<OutcomeName>,
    /// The outcome to download after that one: the one offered last.
    next_download: Option<OutcomeName>,
    /// Purpose and learning round of the last contribution.
    contributed: (Purpose, LearningRound),
    /// The upload of this connection that has no answer yet.
    uploading: Option<Uploading>,
    /// The same contribution once more, after that one.
    next_upload: Option<Blob>,
    /// For a last word over the connection at hand; none between connections.
    current_link: watch::Sender<Option<LastWord>>,
    /// The vault waits for a decision, and has not been asked to look for it since it said so.
    awaits_approval: bool,
    /// Members of the roster.
    hospitals: usize,
    spans: RunSpans,
}

/// An upload that has no answer yet.
struct Uploading {
    name: BlobName,
    task: AbortHandle,
}

/// How one connection ended.
enum LinkEnd {
    Finished,
    Lost(String),
    /// The coordinator holds another connection of this hospital, perhaps one of ours that it has not yet noticed to be dead.
    Occupied(String),
    /// A simulation has cut us off; we return when it says so.
    CutOff,
}

/// What a transfer reports to the shell.
enum Transfer {
    Uploaded(BlobName, Duration),
    Downloaded(Vec<u8>, Duration),
    /// A download ended before its end; what is here already is not fetched twice.
    Interrupted(OutcomeName, Vec<u8>),
    /// The coordinator does not have an outcome that it has offered.
    DownloadRefused(String),
    /// The coordinator does not take an upload.
    UploadRefused(BlobName, String),
    /// The connection does not carry an upload.
    UploadFailed(BlobName, String),
    /// An upload could not be entered into the ledger.
    NotEntered(LedgerError),
    CutOff,
}

impl Shell {
    async fn run(mut self) -> Result<RunCost, RunError> {
        let mut occupied_since: Option<Instant> = None;
        let mut was_let_in = false;
        loop {
            let mut passage = self.connect().await?;
            let _ = self.events.send(ParticipantEvent::Connected);
            self.current_link.send_replace(Some(passage.last_word()));
            let end = self.serve(&mut passage).await;
            self.current_link.send_replace(None);
            let carried = match end {
                Ok(LinkEnd::Finished) => {
                    let reason = "the run has ended";
                    passage.close(CloseCode::Done, reason).await
                }
                _ => passage.carried(),
            };
            self.cost = self.cost_of(&carried);
            let reason = match end? {
                LinkEnd::Finished => return Ok(self.cost),
                LinkEnd::CutOff => {
                    self.interruptions.returned().await;
                    continue;
                }
                LinkEnd::Lost(reason) => {
                    (was_let_in, occupied_since) = (true, None);
                    reason
                }
                // One that has been let in before knows whose ghost it is, however long a coordinator that stands still keeps it.
                LinkEnd::Occupied(reason)
                    if !was_let_in
                        && occupied_since.get_or_insert_with(Instant::now).elapsed()
                            > PATIENCE_WITH_OWN_GHOST =>
                {
                    return Err(RunError::Ended(reason));
                }
                LinkEnd::Occupied(reason) => reason,
            };
            let _ = self.events.send(ParticipantEvent::Disconnected { reason });
            tokio::time::sleep(BEFORE_RECONNECTING).await;
        }
    }

    async fn connect(&self) -> Result<Passage, TransportError> {
        let on_wait = |waiting: &Waiting| {
            let _ = self.events.send(ParticipantEvent::Waiting(waiting.clone()));
        };
        let socket = self.interruptions.socket()?;
        let connecting = self.way_out.connect(socket, on_wait);
        connecting.instrument(self.spans.of_run()).await
    }

    /// Serves one connection to its end.
    async fn serve(&mut self, passage: &mut Passage) -> Result<LinkEnd, RunError> {
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut reconsider = tokio::time::interval(BETWEEN_LOOKS_AT_DECISIONS);
        reconsider.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.awaits_approval = false;
        self.begin_transfers();
        let mut introduced = false;
        // A coordinator without a run says nothing.
        let mut silence = std::pin::pin!(tokio::time::sleep(WORTH_A_LINE));
        let mut is_answered = false;
        let inputs = self.inputs.clone();
        let mut acknowledgement = HeldAcknowledgement::new(self.hospitals);
        tell(&inputs, VaultInput::Connected).await?;
        loop {
            tokio::select! {
                () = &mut silence, if !is_answered => {
                    is_answered = true;
                    tracing::info!("the coordinator has no run at present; waiting for one");
                }
                message = next_message(&inputs, passage) => match message {
                    Ok((room, message)) => {
                        is_answered = true;
                        self.note_offer(&message);
                        if matches!(message, ToVault::UnlockRequest(_)) && self.cut_off(Moment::BeforeUnlock, self.contributed) {
                            return Ok(LinkEnd::CutOff);
                        }
                        room.send(VaultInput::Message(Box::new(message)));
                    }
                    Err(ReceiveError::NoMessage(error)) => return Ok(LinkEnd::Lost(format!("the coordinator sent bytes that are no message: {error}"))),
                    Err(ReceiveError::Disconnected(disconnect)) => return self.on_disconnect(disconnect).await,
                },
                output = self.outputs.recv() => match output.ok_or(RunError::ThreadDied("vault"))? {
                    FromThreads::Output(VaultOutput::Finished) => return Ok(LinkEnd::Finished),
                    FromThreads::Output(output) => {
                        introduced |= matches!(&output, VaultOutput::Send(message) if matches!(**message, ToCoordinator::Hello(_)));
                        if !introduced && output.needs_connection() {
                            // From before this connection: repeated once the coordinator has welcomed us.
                            continue;
                        }
                        if let Some(message) = self.act(output, passage)? {
                            if let Some(message) = acknowledgement.pass(message) {
                                // A lost connection shows in `receive`; the vault repeats what was not answered.
                                let sending = passage.send(&message);
                                sending.instrument(self.spans.of_round()).await?;
                            }
                        } else if self.interruptions.is_cut_off() {
                            return Ok(LinkEnd::CutOff);
                        }
                    }
                    FromThreads::Spent(phase, time) => *self.seconds(phase) += time.as_secs_f64(),
                    FromThreads::TrainerStarted => self.pulse.moved = Some(Instant::now()),
                    FromThreads::Moved(progress) => self.on_progress(progress),
                    FromThreads::Own(result) => {
                        let _ = self.events.send(ParticipantEvent::Own(result));
                    }
                    FromThreads::TrainerDone => {
                        self.pulse.jobs -= 1;
                        self.pulse.moved = None;
                    }
                },
                Some((number, transfer)) = self.reports.recv() => {
                    if let Some(end) = self.on_transfer(number == self.link_number, transfer, passage).await? {
                        return Ok(end);
                    }
                },
                message = acknowledgement.due() => {
                    passage.send(&message).instrument(self.spans.of_round()).await?;
                }
                _ = reconsider.tick(), if self.awaits_approval => {
                    self.awaits_approval = false;
                    tell(&inputs, VaultInput::Reconsider).await?;
                }
                _ = heartbeat.tick(), if introduced && self.pulse.is_alive() => {
                    passage.send(&ToCoordinator::Heartbeat).await?;
                }
            }
        }
    }

    async fn on_disconnect(&mut self, disconnect: Disconnect) -> Result<LinkEnd, RunError> {
        match disconnect {
            Disconnect::ByPeer {
                code: CloseCode::Application(ALREADY_CONNECTED),
                reason,
            } => Ok(LinkEnd::Occupied(reason)),
            Disconnect::ByPeer {
                code: CloseCode::Application(_),
                reason,
            } => Err(RunError::Ended(reason)),
            // One that is stopped, too, may come back, and both go on where they were.
            Disconnect::ByPeer {
                code: CloseCode::Done,
                reason,
            } => self.last_word(reason).await,
            other => Ok(LinkEnd::Lost(other.to_string())),
        }
    }

    /// People want to know what is asked of this hospital also where nobody has agreed to it yet.
    fn note_offer(&self, message: &ToVault) {
        let ToVault::Welcome(welcome) = message else {
            return;
        };
        if let Ok(manifest) = welcome.manifest.read_unverified() {
            let _ = self.events.send(ParticipantEvent::Offered {
                run: welcome.manifest.digest(),
                labels: Labels::of(&manifest),
                features: manifest.used_features(),
            });
        }
    }

    fn on_progress(&mut self, progress: JobProgress) {
        self.pulse.moved = Some(Instant::now());
        if let JobProgress::Training { done, total } = progress {
            let _ = self.events.send(ParticipantEvent::Training { done, total });
        }
    }

    /// A new connection: nothing is under way on it, and what the earlier one reports still is not about it.
    fn begin_transfers(&mut self) {
        self.link_number += 1;
        (self.downloading, self.next_download) = (None, None);
        (self.uploading, self.next_upload) = (None, None);
    }

    /// What has become of a transfer. Gives the end of the connection, if it is that.
    async fn on_transfer(
        &mut self,
        is_of_this_link: bool,
        transfer: Transfer,
        passage: &Passage,
    ) -> Result<Option<LinkEnd>, RunError> {
        match transfer {
            Transfer::Interrupted(name, held) => {
                self.partial_download = Some((name, held));
                if is_of_this_link {
                    return Ok(Some(LinkEnd::Lost("a download broke off".into())));
                }
            }
            _ if !is_of_this_link => {}
            Transfer::Uploaded(name, time) if self.is_uploading(name) => {
                self.cost.transport_secs += time.as_secs_f64();
                if self.cut_off(Moment::AfterUpload, self.contributed) {
                    return Ok(Some(LinkEnd::CutOff));
                }
                self.upload_next(passage);
            }
            Transfer::UploadRefused(name, reason) if self.is_uploading(name) => {
                self.note_refusal(reason);
                self.upload_next(passage);
            }
            Transfer::UploadFailed(name, reason) if self.is_uploading(name) => {
                return Ok(Some(LinkEnd::Lost(reason)));
            }
            // Of an upload that another one has replaced.
            Transfer::Uploaded(..) | Transfer::UploadRefused(..) | Transfer::UploadFailed(..) => {}
            Transfer::Downloaded(bytes, time) => {
                self.cost.transport_secs += time.as_secs_f64();
                tell(&self.inputs, VaultInput::Outcome(bytes)).await?;
                self.download_next(passage);
            }
            Transfer::DownloadRefused(reason) => {
                self.note_refusal(reason);
                self.download_next(passage);
            }
            Transfer::NotEntered(error) => return Err(error.into()),
            Transfer::CutOff => return Ok(Some(LinkEnd::CutOff)),
        }
        Ok(None)
    }

    fn note_refusal(&self, reason: String) {
        let refused = VaultEvent::Refused { reason };
        let _ = self.events.send(ParticipantEvent::Vault(refused));
    }

    /// The coordinator is done. The vault may still be at work on the messages before: what it makes of them decides how we end.
    async fn last_word(&mut self, reason: String) -> Result<LinkEnd, RunError> {
        let finished = async {
            while let Some(output) = self.outputs.recv().await {
                match output {
                    FromThreads::Output(VaultOutput::Finished) => return true,
                    FromThreads::Output(VaultOutput::Event(event)) => {
                        let _ = self.events.send(ParticipantEvent::Vault(event));
                    }
                    FromThreads::Own(result) => {
                        let _ = self.events.send(ParticipantEvent::Own(result));
                    }
                    _ => {}
                }
            }
            false
        };
        match tokio::time::timeout(PATIENCE_WITH_OWN_VAULT, finished).await {
            Ok(true) => Ok(LinkEnd::Finished),
            _ => Err(RunError::Ended(reason)),
        }
    }

    /// Does what the vault asks; gives the message to send, if that is what it asks.
    fn act(
        &mut self,
        output: VaultOutput,
        passage: &Passage,
    ) -> Result<Option<ToCoordinator>, RunError> {
        match output {
            VaultOutput::Send(message) => return Ok(Some(*message)),
            VaultOutput::Upload {
                name,
                bytes,
                purpose,
                learning_round,
            } => {
                self.contributed = (purpose, learning_round);
                if !self.cut_off(Moment::BeforeUpload, self.contributed) {
                    let uploads = passage.uploads();
                    let blob = uploads.contribution(name.into(), bytes, purpose, learning_round);
                    self.upload(blob, passage);
                }
            }
            VaultOutput::UploadState { name, bytes } => {
                self.upload(passage.uploads().state(name.into(), bytes), passage);
            }
            VaultOutput::FetchOutcome { name } => self.download(name, passage),
            VaultOutput::Train {
                model_hash,
                learning_round,
                request,
            } => self.ask_trainer(TrainerJob::Train {
                model_hash,
                learning_round,
                request,
            })?,
            VaultOutput::Evaluate {
                learning_round,
                patients,
                request,
            } => self.ask_trainer(TrainerJob::Evaluate {
                learning_round,
                patients,
                request,
            })?,
            VaultOutput::LeaveJobs => self.jobs.leave_all(),
            VaultOutput::Event(event) => {
                self.way_out.see(&event);
                self.spans.see(&event);
                let is_opened = matches!(event, VaultEvent::Opened(_));
                self.awaits_approval |= matches!(event, VaultEvent::AwaitingApproval { .. });
                let _ = self.events.send(ParticipantEvent::Vault(event));
                if is_opened {
                    let cost = self.cost_with(passage);
                    let _ = self.events.send(ParticipantEvent::Spent(cost));
                }
            }
            VaultOutput::Finished => {}
        }
        Ok(None)
    }

    /// Uploads one blob at a time, a contribution or a state: the coordinator refuses a second one of a hospital beside the first, and nothing would
    /// bring it again. Only the newest is of the round at hand: it takes the place of an older one, and does not wait for it.
    fn upload(&mut self, blob: Blob, passage: &Passage) {
        let name = blob.name;
        let patience = match &self.uploading {
            Some(uploading) if uploading.name == name => {
                self.next_upload = Some(blob);
                return;
            }
            Some(replaced) => {
                replaced.task.abort();
                PATIENCE_WITH_REPLACED_UPLOAD
            }
            None => Duration::ZERO,
        };
        self.next_upload = None;
        let (uploads, done, events, number) = (
            passage.uploads(),
            self.report.clone(),
            self.events.clone(),
            self.link_number,
        );
        let (interruptions, contributed) = (self.interruptions.clone(), self.contributed);
        let bytes = blob.bytes.len();
        let sending = async move {
            let began = Instant::now();
            let total = bytes as u64;
            let cut = tokio::sync::Notify::new();
            let progress = |sent: u64| {
                let _ = events.send(ParticipantEvent::Uploading { sent, total });
                if sent >= total / 2 && interrupts(&*interruptions, Moment::MidUpload, contributed)
                {
                    cut.notify_one();
                }
            };
            let result = tokio::select! {
                result = upload_in_its_place(&uploads, &blob, progress, patience) => match result {
                    Ok(()) => Transfer::Uploaded(name, began.elapsed()),
                    Err(UploadError::Ledger(error)) => Transfer::NotEntered(error),
                    Err(UploadError::Transport(TransportError::Refused(refusal))) => Transfer::UploadRefused(name, format!("the coordinator refused our upload: {refusal}")),
                    // The vault uploads again on the next connection, from where this one stopped.
                    Err(UploadError::Transport(error)) => Transfer::UploadFailed(name, error.to_string()),
                },
                () = cut.notified() => Transfer::CutOff,
            };
            let _ = done.send((number, result));
        };
        let step = debug_span!(parent: self.spans.of_round(), "upload", bytes);
        let task = tokio::spawn(sending.instrument(step));
        let task = task.abort_handle();
        self.uploading = Some(Uploading { name, task });
    }

    fn is_uploading(&self, name: BlobName) -> bool {
        let uploading = self.uploading.as_ref();
        uploading.is_some_and(|uploading| uploading.name == name)
    }

    /// The upload before has its answer.
    fn upload_next(&mut self, passage: &Passage) {
        self.uploading = None;
        if let Some(blob) = self.next_upload.take() {
            self.upload(blob, passage);
        }
    }

    /// Downloads one outcome at a time: the coordinator offers the next one when the vault has applied this one. One that offers many
    /// is served the last.
    fn download(&mut self, name: OutcomeName, passage: &Passage) {
        if let Some(under_way) = self.downloading {
            self.next_download = (under_way != name).then_some(name);
            return;
        }
        self.downloading = Some(name);
        let (downloads, done, number) =
            (passage.downloads(), self.report.clone(), self.link_number);
        let mut held = match self.partial_download.take() {
            Some((begun, held)) if begun == name => held,
            _ => Vec::new(),
        };
        let fetching = async move {
            let began = Instant::now();
            let result = match downloads.download(name, &mut held).await {
                Ok(()) => Transfer::Downloaded(held, began.elapsed()),
                Err(TransportError::Refused(refusal)) => Transfer::DownloadRefused(format!(
                    "the coordinator has no such outcome: {refusal}"
                )),
                // Offered again on the next connection.
                Err(_) => Transfer::Interrupted(name, held),
            };
            let _ = done.send((number, result));
        };
        let step = debug_span!(parent: self.spans.of_round(), "download");
        tokio::spawn(fetching.instrument(step));
    }

    /// The download before has ended.
    fn download_next(&mut self, passage: &Passage) {
        self.downloading = None;
        if let Some(name) = self.next_download.take() {
            self.download(name, passage);
        }
    }

    fn ask_trainer(&mut self, job: TrainerJob) -> Result<(), RunError> {
        self.pulse.jobs += 1;
        self.jobs.ask(job)
    }

    fn cut_off(&self, moment: Moment, contribution: (Purpose, LearningRound)) -> bool {
        interrupts(&*self.interruptions, moment, contribution)
    }

    /// With what this connection has carried so far.
    fn cost_with(&self, passage: &Passage) -> RunCost {
        self.cost_of(&passage.carried())
    }

    fn cost_of(&self, carried: &Carried) -> RunCost {
        RunCost {
            sent_bytes: self.cost.sent_bytes + carried.messages.sent_bytes(),
            received_bytes: self.cost.received_bytes + carried.messages.received_bytes(),
            wire: self.cost.wire + carried.wire,
            ..self.cost
        }
    }

    fn seconds(&mut self, phase: Phase) -> &mut f64 {
        match phase {
            Phase::Training => &mut self.cost.training_secs,
            Phase::Sealing => &mut self.cost.sealing_secs,
            Phase::Opening => &mut self.cost.opening_secs,
            Phase::Conditioning => &mut self.cost.conditioning_secs,
        }
    }
}

/// Waits for room at the vault, and only then takes a message off the link: a coordinator that sends more than the vault gets done fills
/// no memory here. Cancel-safe.
async fn next_message<'a>(
    inputs: &'a channel::Sender<VaultInput>,
    passage: &mut Passage,
) -> Result<(channel::Permit<'a, VaultInput>, ToVault), ReceiveError> {
    match inputs.reserve().await {
        Ok(room) => Ok((room, passage.receive().await?)),
        // The vault has died, of which `Participant::run` hears.
        Err(_) => std::future::pending().await,
    }
}

async fn tell(inputs: &channel::Sender<VaultInput>, input: VaultInput) -> Result<(), RunError> {
    let told = inputs.send(input).await;
    told.map_err(|_| RunError::ThreadDied("vault"))
}

/// Uploads a contribution. The coordinator may refuse it while it has not noticed yet that an earlier one was broken off: then again,
/// for as long as `patience` lasts.
async fn upload_in_its_place(
    uploads: &Uploads,
    blob: &Blob,
    mut progress: impl FnMut(u64),
    patience: Duration,
) -> Result<(), UploadError> {
    let began = Instant::now();
    loop {
        match uploads.upload(blob, &mut progress).await {
            Err(UploadError::Transport(TransportError::Refused(refusal)))
                if refusal.code == RefusalCode::Unexpected && began.elapsed() < patience =>
            {
                tokio::time::sleep(BEFORE_UPLOADING_AGAIN).await;
            }
            result => return result,
        }
    }
}

/// Hospitals are cut off in updates only: those are the rounds that people count.
fn interrupts(
    interruptions: &dyn Interruptions,
    moment: Moment,
    (purpose, learning_round): (Purpose, LearningRound),
) -> bool {
    purpose == Purpose::Update && interruptions.interrupts(moment, learning_round)
}

const BETWEEN_LOOKS_AT_DECISIONS: Duration = Duration::from_secs(2);
const LAST_WORD: Duration = Duration::from_secs(5);
const AFTER_THE_LAST_WORD: Duration = Duration::from_millis(200);
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(2);
/// A trainer's program that stands still is ended and started again first, which is a movement: a hospital falls silent only when that
/// does not help either.
const TRAINER_IS_STUCK_AFTER: Duration = MAX_SILENCE.saturating_add(Duration::from_secs(30));
/// Messages that the vault has not looked at yet, of at most 4 MiB each.
const WAITING_INPUTS: usize = 16;
/// What an upload that is broken off has under way may have to arrive first.
const PATIENCE_WITH_REPLACED_UPLOAD: Duration = Duration::from_secs(30);
const BEFORE_UPLOADING_AGAIN: Duration = Duration::from_millis(250);
/// It answers at once if it has a run.
const WORTH_A_LINE: Duration = Duration::from_secs(10);
const BEFORE_RECONNECTING: Duration = Duration::from_millis(300);
const PATIENCE_WITH_OWN_VAULT: Duration = Duration::from_secs(30);
/// So long the others may wait for a disk. Then they go on without this hospital, which fetches later what it has missed.
const DISK_IS_STUCK_AFTER: Duration = Duration::from_secs(20);
const PATIENCE_WITH_OWN_GHOST: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use protocol::{
        HospitalId,
        manifest::testing::manifest,
        training_job::{HeatRequest, HeatedSlices, TrainingPlan},
    };

    use super::*;

    /// Tells how many of its steps it came to take.
    struct Counting(mpsc::Sender<usize>);

    const STEPS: usize = 1000;

    impl LocalTrainer for Counting {
        fn train(
            &mut self,
            _: TrainRequest,
            watcher: &mut dyn JobWatcher,
        ) -> Result<TrainedUpdate, TrainerFailure> {
            for done in 1..=STEPS {
                let _ = self.0.send(done);
                watcher.moved(JobProgress::Training { done, total: STEPS });
            }
            Err(TrainerFailure("it has run to its end".into()))
        }

        fn evaluate(
            &mut self,
            _: EvaluateRequest,
            _: &mut dyn JobWatcher,
        ) -> Result<EvaluatedCounts, TrainerFailure> {
            Err(TrainerFailure("not asked".into()))
        }
    }

    fn spans() -> RunSpans {
        RunSpans::new(HospitalId::new(1).expect("in range"))
    }

    fn request() -> TrainRequest {
        TrainRequest {
            round: RoundNumber::new(1),
            model: Vec::new(),
            inputs: None,
            class_weights: Vec::new(),
            seed: [2; 32],
            plan: TrainingPlan::of(&manifest()),
        }
    }

    fn train(model: u8) -> TrainerJob {
        TrainerJob::Train {
            model_hash: [model; 32].into(),
            learning_round: LearningRound::new(1),
            request: request(),
        }
    }

    #[test]
    fn a_training_that_nobody_waits_for_ends_at_its_next_step() {
        let (steps, taken) = mpsc::channel();
        let (jobs, trainer_jobs) = mpsc::channel();
        let (results, _) = channel::channel(1);
        let (outputs, shell) = channel::unbounded_channel();
        jobs.send(train(1)).expect("received below");
        drop(shell);
        let watch = TrainerWatch {
            left: &AtomicUsize::new(0),
            shell: &outputs,
            spans: &spans(),
        };
        trainer_thread(
            Box::new(Counting(steps)),
            &ComputeSlots::new(1),
            &trainer_jobs,
            &results,
            &watch,
            HeatMaker::new(false),
        );
        assert_eq!(taken.iter().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn who_waits_for_a_job_is_the_shell_until_it_has_gone_or_leaves_the_job() {
        let (outputs, shell) = channel::unbounded_channel();
        let left = AtomicUsize::new(1);
        let watches = |before| ShellWatches {
            shell: &outputs,
            before,
            left: &left,
        };
        assert!(watches(0).is_stopped());
        assert!(!watches(1).is_stopped());
        drop(shell);
        assert!(watches(1).is_stopped());
    }

    /// Trains until nobody waits.
    struct Endless;

    impl LocalTrainer for Endless {
        fn train(
            &mut self,
            _: TrainRequest,
            watcher: &mut dyn JobWatcher,
        ) -> Result<TrainedUpdate, TrainerFailure> {
            while !watcher.is_stopped() {
                watcher.moved(JobProgress::Training { done: 1, total: 2 });
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(TrainerFailure("stopped".into()))
        }

        fn evaluate(
            &mut self,
            _: EvaluateRequest,
            _: &mut dyn JobWatcher,
        ) -> Result<EvaluatedCounts, TrainerFailure> {
            unreachable!("nobody asks it to")
        }
    }

    /// Evaluates, and cannot make pictures; tells what it was asked.
    struct Colourless(mpsc::Sender<&'static str>);

    impl LocalTrainer for Colourless {
        fn train(
            &mut self,
            _: TrainRequest,
            _: &mut dyn JobWatcher,
        ) -> Result<TrainedUpdate, TrainerFailure> {
            unreachable!("nobody asks it to")
        }

        fn evaluate(
            &mut self,
            _: EvaluateRequest,
            _: &mut dyn JobWatcher,
        ) -> Result<EvaluatedCounts, TrainerFailure> {
            let _ = self.0.send("evaluate");
            Ok(EvaluatedCounts {
                confusion: vec![vec![3, 1], vec![0, 4]],
                loss_sum: 2.0,
            })
        }

        fn heat(
            &mut self,
            _: HeatRequest,
            _: &mut dyn JobWatcher,
        ) -> Result<HeatedSlices, TrainerFailure> {
            let _ = self.0.send("heat");
            panic!("no colours")
        }
    }

    /// What a trainer is asked over two evaluations, and what the vault and people here hear of them.
    fn two_evaluations(shows_heat: bool) -> (Vec<&'static str>, Vec<f64>, Vec<f64>) {
        let (asked, heard) = mpsc::channel();
        let (jobs, trainer_jobs) = mpsc::channel();
        let (results, mut answers) = channel::channel(4);
        let (outputs, mut shell) = channel::unbounded_channel();
        for round in 1..=2 {
            let TrainRequest { model, plan, .. } = request();
            let job = TrainerJob::Evaluate {
                learning_round: LearningRound::new(round),
                patients: 12,
                request: EvaluateRequest {
                    round: RoundNumber::new(round),
                    model,
                    inputs: None,
                    plan,
                },
            };
            jobs.send(job).expect("received below");
        }
        drop(jobs);
        let watch = TrainerWatch {
            left: &AtomicUsize::new(0),
            shell: &outputs,
            spans: &spans(),
        };
        trainer_thread(
            Box::new(Colourless(asked)),
            &ComputeSlots::new(1),
            &trainer_jobs,
            &results,
            &watch,
            HeatMaker::new(shows_heat),
        );
        drop((results, outputs));
        let mut counted = Vec::new();
        while let Some(answer) = answers.blocking_recv() {
            match answer {
                VaultInput::Evaluated(_, Ok(counts)) => counted.push(counts.loss_sum),
                _ => panic!("an evaluation has failed"),
            }
        }
        let mut shown = Vec::new();
        while let Some(event) = shell.blocking_recv() {
            match event {
                FromThreads::Own(OwnResult::Evaluated(own)) => shown.push(own.accuracy),
                FromThreads::Own(_) => panic!("nothing else is shown"),
                _ => {}
            }
        }
        (heard.iter().collect(), counted, shown)
    }

    #[test]
    fn pictures_are_asked_for_after_an_evaluation_where_there_is_a_page_and_may_fail() {
        let (asked, counted, shown) = two_evaluations(true);
        assert_eq!(asked, ["evaluate", "heat", "evaluate"]);
        assert_eq!(counted, [2.0, 2.0]);
        assert_eq!(shown, [0.875, 0.875]);
        let without_a_page = two_evaluations(false);
        assert_eq!(without_a_page.0, ["evaluate", "evaluate"]);
        assert_eq!((without_a_page.1, without_a_page.2), (counted, shown));
    }

    #[test]
    fn jobs_that_are_left_are_answered_in_their_order_without_a_result() {
        let (jobs, trainer_jobs) = mpsc::channel();
        let (results, mut answers) = channel::channel(4);
        let (outputs, _shell) = channel::unbounded_channel();
        let left = Arc::new(AtomicUsize::new(0));
        let mut queue = JobQueue {
            jobs,
            asked: 0,
            left: left.clone(),
        };
        let thread = std::thread::spawn(move || {
            let slots = ComputeSlots::new(1);
            let watch = TrainerWatch {
                left: &left,
                shell: &outputs,
                spans: &spans(),
            };
            trainer_thread(
                Box::new(Endless),
                &slots,
                &trainer_jobs,
                &results,
                &watch,
                HeatMaker::new(true),
            );
        });
        for model in 1..=3 {
            queue.ask(train(model)).expect("the thread lives");
        }
        queue.leave_all();
        for model in 1..=3 {
            match answers.blocking_recv() {
                Some(VaultInput::Trained(hash, Err(_))) => assert_eq!(hash, [model; 32].into()),
                _ => panic!("job {model} is not answered"),
            }
        }
        drop(queue);
        thread.join().expect("no panic");
    }

    #[test]
    fn a_hospital_falls_silent_only_after_its_trainer_was_given_up() {
        let standing = |jobs, secs| {
            let moved = Instant::now().checked_sub(Duration::from_secs(secs));
            let patience = Arc::default();
            let pulse = Pulse {
                jobs,
                moved,
                patience,
            };
            pulse.is_alive()
        };
        assert!(standing(1, MAX_SILENCE.as_secs() + 20));
        assert!(!standing(1, MAX_SILENCE.as_secs() + 31));
        assert!(standing(0, 10_000));
    }
}
