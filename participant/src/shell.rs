//! The shell around the vault: the connection, transfers, the trainer's thread, signs of life. It makes no decision of the protocol.
//!
//! ```text
//!            frames, blobs            inputs                requests
//! coordinator <------> shell task <----------> vault thread --------> trainer thread
//!                          ^                        ^------------------------'  results
//!                          '--- outputs ------------'
//! ```

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use protocol::{
    codec,
    digests::{ContributionDigest, LearningRound, ModelHash, OutcomeName, RoundNumber},
    manifest::Purpose,
    message::{ALREADY_CONNECTED, ToCoordinator, ToVault},
    training_job::{
        EvaluateRequest, EvaluatedCounts, LocalTrainer, TrainRequest, TrainedUpdate, TrainerFailure,
    },
};
use tokio::sync::mpsc as channel;
use transport::{CloseCode, CoordinatorLink, Dialer, Disconnect, TransportError, Waiting};

use crate::{
    compute::ComputeSlots,
    interruption::{Interruptions, Moment},
    journal::Journal,
    vault::{Vault, VaultError, VaultEvent, VaultOutput},
};

/// A participant ready to run.
pub struct Participant<J> {
    /// The hospital's vault.
    pub vault: Vault<J>,
    /// Who trains.
    pub trainer: Box<dyn LocalTrainer>,
    /// How to reach the coordinator.
    pub dialer: Dialer,
    /// Turns at the processor, shared with other hospitals of this process.
    pub slots: ComputeSlots,
    /// Told of everything that happens.
    pub events: channel::UnboundedSender<ParticipantEvent>,
    /// Where a simulation cuts the hospital off.
    pub interruptions: Arc<dyn Interruptions>,
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
    /// Something in the vault.
    Vault(VaultEvent),
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
    /// and of the trainer have ended: a training under way goes on to its next step.
    ///
    /// # Errors
    /// [`RunError`].
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<RunCost, RunError> {
        let (inputs, vault_inputs) = mpsc::channel();
        let (vault_outputs, outputs) = channel::unbounded_channel();
        let (jobs, trainer_jobs) = mpsc::channel();
        let (results, steps) = (inputs.clone(), vault_outputs.clone());
        let (trainer, slots) = (self.trainer, self.slots);
        let trainer_thread = std::thread::spawn(move || {
            trainer_thread(trainer, &slots, &trainer_jobs, &results, &steps)
        });
        let vault = self.vault;
        let (failure, failed) = tokio::sync::oneshot::channel();
        let vault_thread = std::thread::spawn(move || {
            if let Err(error) = vault_thread(vault, &vault_inputs, &vault_outputs) {
                let _ = failure.send(error);
            }
        });
        let (report, reports) = channel::unbounded_channel();
        let shell = Shell {
            dialer: self.dialer,
            events: self.events,
            interruptions: self.interruptions,
            inputs,
            jobs,
            outputs,
            cost: RunCost::default(),
            pulse: Pulse {
                jobs: 0,
                moved: None,
            },
            link_number: 0,
            report,
            reports,
            partial_downloads: BTreeMap::new(),
            contributed: (Purpose::Stats, LearningRound::default()),
            uploading: false,
            next_upload: None,
        };
        let result = tokio::select! {
            biased;
            // Also while there is no connection. A vault that dies without an error drops the sender.
            error = failed => Err(error.map_or(RunError::ThreadDied("vault"), RunError::from)),
            result = shell.run() => result,
            () = stop => Err(RunError::Stopped),
        };
        // With the shell their channels have gone. A process that ended while libtorch computes, as a simulation's does, would crash on its way out.
        let _ = tokio::task::spawn_blocking(|| (trainer_thread.join(), vault_thread.join())).await;
        result
    }
}

enum VaultInput {
    Connected,
    Message(Box<ToVault>),
    Outcome(Vec<u8>),
    Trained(ModelHash, Result<TrainedUpdate, TrainerFailure>),
    Evaluated(RoundNumber, Result<EvaluatedCounts, TrainerFailure>),
}

enum FromThreads {
    Output(VaultOutput),
    Spent(Phase, Duration),
    Step { done: usize, total: usize },
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
    Train(TrainRequest),
    Evaluate(EvaluateRequest),
}

fn vault_thread<J: Journal>(
    mut vault: Vault<J>,
    inputs: &mpsc::Receiver<VaultInput>,
    outputs: &channel::UnboundedSender<FromThreads>,
) -> Result<(), VaultError> {
    while let Ok(input) = inputs.recv() {
        let began = Instant::now();
        let (phase, result) = match input {
            VaultInput::Connected => {
                vault.handle_connected();
                (None, Ok(()))
            }
            VaultInput::Message(message) => {
                let phase = match *message {
                    ToVault::RoundOpen(_) | ToVault::Products(_) => Some(Phase::Conditioning),
                    ToVault::BoxForward(_) | ToVault::UnlockRequest(_) => Some(Phase::Sealing),
                    _ => None,
                };
                (phase, vault.handle_message(*message))
            }
            VaultInput::Outcome(bytes) => (Some(Phase::Opening), vault.handle_outcome(&bytes)),
            VaultInput::Trained(model_hash, update) => (
                Some(Phase::Sealing),
                update
                    .map_err(VaultError::Trainer)
                    .and_then(|update| vault.handle_trained(model_hash, update)),
            ),
            VaultInput::Evaluated(round, counts) => (
                Some(Phase::Sealing),
                counts
                    .map_err(VaultError::Trainer)
                    .and_then(|counts| vault.handle_evaluated(round, &counts)),
            ),
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

fn trainer_thread(
    mut trainer: Box<dyn LocalTrainer>,
    slots: &ComputeSlots,
    jobs: &mpsc::Receiver<TrainerJob>,
    results: &mpsc::Sender<VaultInput>,
    steps: &channel::UnboundedSender<FromThreads>,
) {
    while let Ok(job) = jobs.recv() {
        let result = slots.run(|| {
            let _ = steps.send(FromThreads::TrainerStarted);
            let began = Instant::now();
            let result = match job {
                TrainerJob::Train(request) => {
                    let model_hash = request.model_hash;
                    let mut progress = |done, total| {
                        if steps.send(FromThreads::Step { done, total }).is_err() {
                            // The shell has gone and nobody waits for this training: it ends here, between two steps.
                            std::panic::resume_unwind(Box::new("no longer needed"));
                        }
                    };
                    VaultInput::Trained(
                        model_hash,
                        unless_it_panics(|| trainer.train(request, &mut progress)),
                    )
                }
                TrainerJob::Evaluate(request) => VaultInput::Evaluated(
                    request.round,
                    unless_it_panics(|| trainer.evaluate(request)),
                ),
            };
            let _ = steps.send(FromThreads::Spent(Phase::Training, began.elapsed()));
            result
        });
        let _ = steps.send(FromThreads::TrainerDone);
        if results.send(result).is_err() {
            return;
        }
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
}

impl Pulse {
    fn is_alive(&self) -> bool {
        self.jobs == 0
            || self
                .moved
                .is_none_or(|moved| moved.elapsed() < TRAINER_IS_STUCK_AFTER)
    }
}

struct Shell {
    dialer: Dialer,
    events: channel::UnboundedSender<ParticipantEvent>,
    interruptions: Arc<dyn Interruptions>,
    inputs: mpsc::Sender<VaultInput>,
    jobs: mpsc::Sender<TrainerJob>,
    outputs: channel::UnboundedReceiver<FromThreads>,
    cost: RunCost,
    pulse: Pulse,
    /// Counts connections: what a transfer of an earlier one reports is not about this one.
    link_number: u64,
    report: channel::UnboundedSender<(u64, Transfer)>,
    reports: channel::UnboundedReceiver<(u64, Transfer)>,
    partial_downloads: BTreeMap<OutcomeName, Vec<u8>>,
    /// Purpose and learning round of the last contribution.
    contributed: (Purpose, LearningRound),
    /// Whether an upload of this connection has no answer yet.
    uploading: bool,
    /// The contribution to upload after that one.
    next_upload: Option<(ContributionDigest, Arc<[u8]>)>,
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
    Uploaded(Duration),
    Downloaded(OutcomeName, Vec<u8>, Duration),
    /// A download ended before its end; what is here already is not fetched twice.
    Interrupted(OutcomeName, Vec<u8>),
    Refused(String),
    /// The coordinator does not take a contribution.
    UploadRefused(String),
    /// The connection does not carry an upload or download.
    Failed(String),
    CutOff,
}

impl Shell {
    async fn run(mut self) -> Result<RunCost, RunError> {
        let mut occupied_since: Option<Instant> = None;
        loop {
            let link = self.connect().await?;
            let _ = self.events.send(ParticipantEvent::Connected);
            let traffic = link.traffic();
            let end = self.serve(link).await;
            let counts = traffic.counts();
            self.cost.sent_bytes += counts.sent_bytes();
            self.cost.received_bytes += counts.received_bytes();
            let reason = match end? {
                LinkEnd::Finished => return Ok(self.cost),
                LinkEnd::CutOff => {
                    self.interruptions.returned().await;
                    continue;
                }
                LinkEnd::Lost(reason) => {
                    occupied_since = None;
                    reason
                }
                LinkEnd::Occupied(reason)
                    if occupied_since.get_or_insert_with(Instant::now).elapsed()
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

    async fn connect(&self) -> Result<CoordinatorLink, TransportError> {
        let on_wait = |waiting: &Waiting| {
            let _ = self.events.send(ParticipantEvent::Waiting(waiting.clone()));
        };
        match self.interruptions.socket()? {
            Some(socket) => self.dialer.connect_through(socket, on_wait).await,
            None => self.dialer.connect(on_wait).await,
        }
    }

    /// Serves one connection to its end.
    async fn serve(&mut self, mut link: CoordinatorLink) -> Result<LinkEnd, RunError> {
        let sender = link.sender();
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.link_number += 1;
        (self.uploading, self.next_upload) = (false, None);
        let mut introduced = false;
        self.tell_vault(VaultInput::Connected)?;
        loop {
            tokio::select! {
                frame = link.receive() => match frame {
                    Ok(frame) => {
                        let message: ToVault = match codec::decode_frame(&frame) {
                            Ok(message) => message,
                            Err(error) => return Ok(LinkEnd::Lost(format!("the coordinator sent bytes that are no message: {error}"))),
                        };
                        if matches!(message, ToVault::UnlockRequest(_)) && self.cut_off(Moment::BeforeUnlock, self.contributed) {
                            return Ok(LinkEnd::CutOff);
                        }
                        self.tell_vault(VaultInput::Message(Box::new(message)))?;
                    }
                    Err(Disconnect::ByPeer { code: CloseCode::Application(ALREADY_CONNECTED), reason }) => return Ok(LinkEnd::Occupied(reason)),
                    Err(Disconnect::ByPeer { code: CloseCode::Application(_), reason }) => return Err(RunError::Ended(reason)),
                    // One that is stopped, too, may come back, and both go on where they were.
                    Err(Disconnect::ByPeer { code: CloseCode::Done, reason }) => return self.last_word(reason).await,
                    Err(disconnect) => return Ok(LinkEnd::Lost(disconnect.to_string())),
                },
                output = self.outputs.recv() => match output.ok_or(RunError::ThreadDied("vault"))? {
                    FromThreads::Output(VaultOutput::Finished) => {
                        link.close(CloseCode::Done, "the run has ended").await;
                        return Ok(LinkEnd::Finished);
                    }
                    FromThreads::Output(output) => {
                        introduced |= matches!(&output, VaultOutput::Send(message) if matches!(**message, ToCoordinator::Hello(_)));
                        if !introduced && output.needs_connection() {
                            // From before this connection: repeated once the coordinator has welcomed us.
                            continue;
                        }
                        if let Some(message) = self.act(output, &link)? {
                            // A lost connection shows in `receive`; the vault repeats what was not answered.
                            let _ = sender.send(codec::encode_frame(&message)).await;
                        } else if self.interruptions.is_cut_off() {
                            return Ok(LinkEnd::CutOff);
                        }
                    }
                    FromThreads::Spent(phase, time) => *self.seconds(phase) += time.as_secs_f64(),
                    FromThreads::TrainerStarted => self.pulse.moved = Some(Instant::now()),
                    FromThreads::Step { done, total } => {
                        self.pulse.moved = Some(Instant::now());
                        let _ = self.events.send(ParticipantEvent::Training { done, total });
                    }
                    FromThreads::TrainerDone => {
                        self.pulse.jobs -= 1;
                        self.pulse.moved = None;
                    }
                },
                Some((number, transfer)) = self.reports.recv() => match transfer {
                    Transfer::Interrupted(name, held) => {
                        self.partial_downloads.insert(name, held);
                        if number == self.link_number {
                            return Ok(LinkEnd::Lost("a download broke off".into()));
                        }
                    }
                    _ if number != self.link_number => {}
                    Transfer::Failed(reason) => return Ok(LinkEnd::Lost(reason)),
                    Transfer::Uploaded(time) => {
                        self.cost.transport_secs += time.as_secs_f64();
                        if self.cut_off(Moment::AfterUpload, self.contributed) {
                            return Ok(LinkEnd::CutOff);
                        }
                        self.upload_next(&link);
                    }
                    Transfer::UploadRefused(reason) => {
                        let _ = self.events.send(ParticipantEvent::Vault(VaultEvent::Refused { reason }));
                        self.upload_next(&link);
                    }
                    Transfer::Downloaded(name, bytes, time) => {
                        self.cost.transport_secs += time.as_secs_f64();
                        self.partial_downloads.remove(&name);
                        self.tell_vault(VaultInput::Outcome(bytes))?;
                    }
                    Transfer::Refused(reason) => {
                        let _ = self.events.send(ParticipantEvent::Vault(VaultEvent::Refused { reason }));
                    }
                    Transfer::CutOff => return Ok(LinkEnd::CutOff),
                },
                _ = heartbeat.tick(), if introduced && self.pulse.is_alive() => {
                    let _ = sender.send(codec::encode_frame(&ToCoordinator::Heartbeat)).await;
                }
            }
        }
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
        link: &CoordinatorLink,
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
                    self.upload(name, bytes, link);
                }
            }
            VaultOutput::FetchOutcome { name } => self.download(name, link),
            VaultOutput::Train(request) => self.ask_trainer(TrainerJob::Train(request))?,
            VaultOutput::Evaluate(request) => self.ask_trainer(TrainerJob::Evaluate(request))?,
            VaultOutput::Event(event) => {
                let _ = self.events.send(ParticipantEvent::Vault(event));
            }
            VaultOutput::Finished => {}
        }
        Ok(None)
    }

    /// Uploads one contribution at a time: the coordinator refuses a second one of a hospital beside the first, and nothing would
    /// bring it again. Of those that wait only the newest is of the round at hand.
    fn upload(&mut self, name: ContributionDigest, bytes: Arc<[u8]>, link: &CoordinatorLink) {
        if self.uploading {
            self.next_upload = Some((name, bytes));
            return;
        }
        self.uploading = true;
        let (blobs, done, events, number) = (
            link.blobs(),
            self.report.clone(),
            self.events.clone(),
            self.link_number,
        );
        let (interruptions, contributed) = (self.interruptions.clone(), self.contributed);
        tokio::spawn(async move {
            let began = Instant::now();
            let total = bytes.len() as u64;
            let cut = tokio::sync::Notify::new();
            let progress = |sent: u64| {
                let _ = events.send(ParticipantEvent::Uploading { sent, total });
                if sent >= total / 2 && interrupts(&*interruptions, Moment::MidUpload, contributed)
                {
                    cut.notify_one();
                }
            };
            let result = tokio::select! {
                result = blobs.upload(name.into(), &bytes, progress) => match result {
                    Ok(()) => Transfer::Uploaded(began.elapsed()),
                    Err(TransportError::Refused(refusal)) => Transfer::UploadRefused(format!("the coordinator refused our contribution: {refusal}")),
                    // The vault uploads again on the next connection, from where this one stopped.
                    Err(error) => Transfer::Failed(error.to_string()),
                },
                () = cut.notified() => Transfer::CutOff,
            };
            let _ = done.send((number, result));
        });
    }

    /// The upload before has its answer.
    fn upload_next(&mut self, link: &CoordinatorLink) {
        self.uploading = false;
        if let Some((name, bytes)) = self.next_upload.take() {
            self.upload(name, bytes, link);
        }
    }

    fn download(&mut self, name: OutcomeName, link: &CoordinatorLink) {
        let (blobs, done, number) = (link.blobs(), self.report.clone(), self.link_number);
        let mut held = self.partial_downloads.remove(&name).unwrap_or_default();
        tokio::spawn(async move {
            let began = Instant::now();
            let result = match blobs.download(name.into(), &mut held).await {
                Ok(()) => Transfer::Downloaded(name, held, began.elapsed()),
                Err(TransportError::Refused(refusal)) => {
                    Transfer::Refused(format!("the coordinator has no such outcome: {refusal}"))
                }
                // Offered again on the next connection.
                Err(_) => Transfer::Interrupted(name, held),
            };
            let _ = done.send((number, result));
        });
    }

    fn tell_vault(&self, input: VaultInput) -> Result<(), RunError> {
        self.inputs
            .send(input)
            .map_err(|_| RunError::ThreadDied("vault"))
    }

    fn ask_trainer(&mut self, job: TrainerJob) -> Result<(), RunError> {
        self.pulse.jobs += 1;
        self.jobs
            .send(job)
            .map_err(|_| RunError::ThreadDied("trainer"))
    }

    fn cut_off(&self, moment: Moment, contribution: (Purpose, LearningRound)) -> bool {
        interrupts(&*self.interruptions, moment, contribution)
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

/// Hospitals are cut off in updates only: those are the rounds that people count.
fn interrupts(
    interruptions: &dyn Interruptions,
    moment: Moment,
    (purpose, learning_round): (Purpose, LearningRound),
) -> bool {
    purpose == Purpose::Update && interruptions.interrupts(moment, learning_round)
}

const HEARTBEAT: Duration = Duration::from_secs(2);
/// A training step takes a second or two. A trainer program that says nothing for five minutes is started again and reads its scans
/// once more, which is no reason to be taken for dead.
const TRAINER_IS_STUCK_AFTER: Duration = Duration::from_secs(900);
const BEFORE_RECONNECTING: Duration = Duration::from_millis(300);
const PATIENCE_WITH_OWN_VAULT: Duration = Duration::from_secs(30);
const PATIENCE_WITH_OWN_GHOST: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use protocol::{manifest::testing::manifest, training_job::TrainingPlan};

    use super::*;

    /// Tells how many of its steps it came to take.
    struct Counting(mpsc::Sender<usize>);

    const STEPS: usize = 1000;

    impl LocalTrainer for Counting {
        fn train(
            &mut self,
            _: TrainRequest,
            progress: &mut dyn FnMut(usize, usize),
        ) -> Result<TrainedUpdate, TrainerFailure> {
            for step in 1..=STEPS {
                let _ = self.0.send(step);
                progress(step, STEPS);
            }
            Err(TrainerFailure("it has run to its end".into()))
        }

        fn evaluate(&mut self, _: EvaluateRequest) -> Result<EvaluatedCounts, TrainerFailure> {
            Err(TrainerFailure("not asked".into()))
        }
    }

    #[test]
    fn a_training_that_nobody_waits_for_ends_at_its_next_step() {
        let (steps, taken) = mpsc::channel();
        let (jobs, trainer_jobs) = mpsc::channel();
        let (results, _) = mpsc::channel();
        let (outputs, shell) = channel::unbounded_channel();
        let request = TrainRequest {
            round: RoundNumber::new(1),
            model_hash: [1; 32].into(),
            model: Vec::new(),
            filters: None,
            class_weights: Vec::new(),
            seed: [2; 32],
            plan: TrainingPlan::of(&manifest()),
        };
        jobs.send(TrainerJob::Train(request))
            .expect("received below");
        drop(shell);
        trainer_thread(
            Box::new(Counting(steps)),
            &ComputeSlots::new(1),
            &trainer_jobs,
            &results,
            &outputs,
        );
        assert_eq!(taken.iter().collect::<Vec<_>>(), [1]);
    }
}
