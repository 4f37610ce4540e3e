//! Follows a sealed run from outside: everything that the hospitals and the coordinator report goes through here. What it comes to is in
//! its notes, so that it can be taken up by another process.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use coordinator::{machine::Event, service::Spent};
use crypto::sealed_sum::HospitalId;
use participant::{
    journal::JournalError,
    shell::{ParticipantEvent, RunCost},
    vault::{OpenedRound, VaultEvent, Witness},
};
use protocol::{
    common_model::CommonModel,
    digests::{LearningRound, ModelHash},
    keeping::{BestRound, Verdict},
    manifest::{Keep, Manifest, Purpose},
};

use super::{
    costs::Costs,
    history::History,
    kept_model::{keep_model, kept_model},
    notes::{CheckedSum, Exact, Note, Notes},
    progress::{Phase, Progress},
    run_folder::RunFolder,
    sum_check::SumCheck,
};

/// Something that happened.
pub enum Seen {
    /// At a hospital.
    Hospital(HospitalId, ParticipantEvent),
    /// At the coordinator.
    Coordinator(Event),
    /// What the coordinator has spent so far.
    CoordinatorSpent(Spent),
}

/// Collects what the parties of a sealed run report.
pub struct Observer {
    manifest: Arc<Manifest>,
    progress: Arc<Progress>,
    folder: RunFolder,
    notes: Notes,
    began: Instant,
    /// Of earlier processes.
    seconds_before: f64,
    session_ready: bool,
    /// The model of this round is kept as the last one.
    last_kept: Option<LearningRound>,
    /// The check of the sums.
    pub sums: SumCheck,
    /// The learning rounds.
    pub history: History,
    /// What the run costs.
    pub costs: Costs,
    /// The largest difference of a decrypted product from the plaintext product.
    pub largest_product_error: Option<f64>,
    /// Products that vaults refused.
    pub products_refused: usize,
    /// The learning round whose model all hospitals keep as the best.
    pub kept_round: Option<LearningRound>,
    /// Its evaluation, where that decides.
    pub best: Option<BestRound>,
    /// The common model's hash in the word of the coordinator, once it has ended the run.
    pub ended: Option<ModelHash>,
}

impl Observer {
    /// An observer of a run by this manifest, of which earlier processes have noted `before`.
    pub fn new(
        manifest: Arc<Manifest>,
        progress: Arc<Progress>,
        sums: SumCheck,
        folder: RunFolder,
        notes: Notes,
        before: &[Note],
    ) -> Self {
        let mut observer = Self {
            manifest,
            progress,
            folder,
            notes,
            began: Instant::now(),
            seconds_before: 0.0,
            session_ready: false,
            last_kept: None,
            sums,
            history: History::default(),
            costs: Costs::default(),
            largest_product_error: None,
            products_refused: 0,
            kept_round: None,
            best: None,
            ended: None,
        };
        for note in before {
            observer.recall(note);
        }
        observer
    }

    /// Seconds since the federation began, over all processes.
    pub fn seconds(&self) -> f64 {
        self.seconds_before + self.began.elapsed().as_secs_f64()
    }

    /// How far earlier processes have come, for people.
    pub fn goes_on(&self) -> String {
        let done = self
            .history
            .last()
            .and_then(|last| self.history.round(last));
        match done {
            Some(record) => format!(
                "going on with the simulation that was stopped; {}",
                round_line(record, self.manifest.rounds)
            ),
            None => "going on with the simulation that was stopped in its first round".to_owned(),
        }
    }

    /// Of earlier processes.
    pub fn seconds_before(&self) -> f64 {
        self.seconds_before
    }

    /// Takes note.
    pub fn see(&mut self, seen: Seen) {
        match seen {
            Seen::Hospital(id, event) => self.see_hospital(id, event),
            Seen::Coordinator(event) => self.see_coordinator(event),
            Seen::CoordinatorSpent(spent) => {
                self.costs.of_coordinator(spent);
                self.mention(&Note::CoordinatorSpent {
                    adding: spent.adding.as_secs_f64(),
                    conditioning: spent.conditioning.as_secs_f64(),
                });
            }
        }
    }

    /// What the run has cost a hospital in this process.
    pub fn see_cost(&mut self, id: HospitalId, cost: RunCost) {
        self.costs.of_hospital(id, cost);
        self.mention(&Note::Spent {
            hospital: id.get(),
            cost: cost.into(),
        });
    }

    /// The common model at the end; none where no hospital has come to the end.
    ///
    /// # Errors
    /// What was kept of it cannot be read.
    pub fn last_model(&self) -> io::Result<Option<CommonModel>> {
        let kept = kept_model(&self.folder.last_model(), &self.manifest)?;
        Ok(kept.map(|(_, model)| model))
    }

    /// The model of the round that is kept as the best, if it is not the last one.
    ///
    /// # Errors
    /// What was kept of it cannot be read.
    pub fn best_model(&self) -> io::Result<Option<CommonModel>> {
        let last = self.history.last();
        let Some(round) = self.kept_round.filter(|round| Some(round.get()) != last) else {
            return Ok(None);
        };
        match kept_model(&self.folder.best_model(), &self.manifest)? {
            Some((kept, model)) if kept == round => Ok(Some(model)),
            _ => Err(io::Error::other("it is of another round")),
        }
    }

    /// Checks a sum that a hospital has opened and not settled yet.
    fn opened(&mut self, id: HospitalId, opened: &OpenedRound) -> io::Result<()> {
        let seconds = self.seconds();
        let Some(checked) = self.sums.check(id, opened, seconds) else {
            return Ok(());
        };
        // What a note speaks of is on disk before it.
        self.keep_models(opened)?;
        let note = Note::Opened(Box::new(checked));
        self.notes.keep(&note)?;
        let Note::Opened(checked) = note else {
            return Ok(());
        };
        let is_first = self.take(&checked);
        let round = checked.learning_round.get();
        if is_first && checked.purpose == Purpose::Evaluation {
            self.tell_round(round);
            if opened.verdict == Verdict::Stop && round < self.manifest.rounds {
                let line =
                    format!("no better evaluation any more: the run ends after round {round}");
                self.progress.line(line);
            }
        }
        Ok(())
    }

    fn keep_models(&mut self, opened: &OpenedRound) -> io::Result<()> {
        let round = opened.learning_round;
        let may_be_last = round.get() == self.manifest.rounds || opened.verdict == Verdict::Stop;
        if may_be_last && self.last_kept != Some(round) {
            keep_model(&self.folder.last_model(), round, &opened.model)?;
            self.last_kept = Some(round);
        }
        let is_best = opened.purpose == Purpose::Evaluation && opened.kept_round == Some(round);
        if is_best && self.manifest.keep != Keep::Last && self.kept_round != Some(round) {
            keep_model(&self.folder.best_model(), round, &opened.model)?;
        }
        Ok(())
    }

    /// True for the first hospital's opening of a sum.
    fn take(&mut self, checked: &CheckedSum) -> bool {
        let is_first = self.sums.take(checked);
        let round = checked.learning_round.get();
        match checked.purpose {
            Purpose::Update if is_first => {
                let contributors = checked.contributors.clone();
                self.history.updated(round, contributors, checked.seconds);
            }
            Purpose::Evaluation if is_first => {
                self.history.evaluated(
                    round,
                    self.manifest.task,
                    &checked.counters,
                    &self.sums.evaluations(checked),
                    checked.seconds,
                );
            }
            Purpose::Stats | Purpose::Update | Purpose::Evaluation => return is_first,
        }
        self.kept_round = checked.kept_round;
        let best = checked.best;
        self.best = best.map(|(round, Exact(value))| BestRound { round, value });
        is_first
    }

    /// Takes up what an earlier process has noted.
    fn recall(&mut self, note: &Note) {
        match note {
            Note::Began { .. } => self.costs.another_process(),
            Note::Opened(checked) => {
                self.take(checked);
                self.seconds_before = self.seconds_before.max(checked.seconds);
            }
            Note::Product { error } => self.largest_product_error = Some(error.0),
            Note::Spent { hospital, cost } => {
                if let Some(id) = HospitalId::new(*hospital) {
                    self.costs.of_hospital(id, (*cost).into());
                }
            }
            Note::CoordinatorSpent {
                adding,
                conditioning,
            } => self.costs.of_coordinator_secs(*adding, *conditioning),
            Note::Ended { model_hash } => self.ended = Some(*model_hash),
            // For the recordings.
            Note::Trained { .. } | Note::Evaluated { .. } => {}
        }
    }

    /// What may be lost is not worth an end of the run.
    fn mention(&self, note: &Note) {
        if let Err(error) = self.notes.mention(note) {
            tracing::warn!(%error, "cannot note what the run costs");
        }
    }

    fn see_hospital(&mut self, id: HospitalId, event: ParticipantEvent) {
        let progress = self.progress.clone();
        match event {
            ParticipantEvent::Connected => progress.hospital(id, Phase::Waiting),
            // All of a simulation have one run.
            ParticipantEvent::Offered { .. } => {}
            ParticipantEvent::Waiting(_) | ParticipantEvent::Disconnected { .. } => {
                progress.hospital(id, Phase::Away)
            }
            ParticipantEvent::Training { done, total } => {
                progress.hospital(id, Phase::Training { done, total })
            }
            ParticipantEvent::Uploading { sent, total } => {
                progress.hospital(id, Phase::Uploading { sent, total })
            }
            ParticipantEvent::Spent(cost) => self.see_cost(id, cost),
            // The record has what the trainers gave.
            ParticipantEvent::Own(_) => {}
            ParticipantEvent::Vault(event) => match event {
                VaultEvent::SessionReady => progress.hospital(id, Phase::Waiting),
                VaultEvent::Conditioned { largest_error } => {
                    let before = self.largest_product_error;
                    if before.is_none_or(|before| largest_error > before) {
                        self.largest_product_error = Some(largest_error);
                        let error = Exact(largest_error);
                        self.mention(&Note::Product { error });
                    }
                }
                VaultEvent::ProductsRefused { reason } => {
                    self.products_refused += 1;
                    progress.line(format!("hospital {id} refused its products: {reason}"));
                }
                VaultEvent::Sealed { .. } => progress.hospital(id, Phase::Sealed),
                // Checked before it was settled.
                VaultEvent::Opened(_) => progress.hospital(id, Phase::Waiting),
                VaultEvent::WrongAnswers { round, hospitals } => {
                    for (other, _) in hospitals {
                        progress.line(format!(
                            "sum {round}: the answer of hospital {other} is wrong, says hospital {id}"
                        ));
                    }
                }
                VaultEvent::Resumed(run) => self.sums.learn_model(run.learning_round, &run.model),
                VaultEvent::NotYet { .. }
                | VaultEvent::AwaitingApproval { .. }
                | VaultEvent::Approved
                | VaultEvent::LeftEarlierRoster
                | VaultEvent::StateTaken(_)
                | VaultEvent::LeftSession { .. }
                | VaultEvent::EndedByOperator { .. }
                | VaultEvent::EndedBefore(_) => {}
                VaultEvent::Overtaken { round, purpose } => {
                    let purpose = purpose.name();
                    progress.line(format!(
                        "hospital {id} is too slow for round {round} ({purpose}), which goes on without it"
                    ));
                }
                VaultEvent::NullStep { round, .. } => progress.line(format!(
                    "hospital {id} cannot open the sum of round {round}: the model stays"
                )),
                VaultEvent::Rejected { reason } => {
                    tracing::info!(hospital = %id, reason, "the coordinator rejected a message")
                }
                // Messages of a round that went on without a hospital that was away: said, and done with.
                VaultEvent::Refused { reason } => {
                    tracing::info!(hospital = %id, reason, "refused a message of the coordinator")
                }
                VaultEvent::Ignored {
                    input,
                    phase,
                    reason,
                } => tracing::debug!(hospital = %id, reason, "{input} is ignored {phase}"),
            },
        }
    }

    fn see_coordinator(&mut self, event: Event) {
        match event {
            // Told again when a hospital returns.
            Event::SessionReady if !self.session_ready => {
                self.session_ready = true;
                self.progress.line("all hospitals hold each other's keys");
            }
            Event::Waiting { present, needed } => {
                self.progress.line(format!(
                    "waiting for hospitals: {present} are here, {needed} are needed"
                ));
            }
            Event::Abandoned {
                round,
                purpose,
                reason,
            } => {
                self.progress.line(format!(
                    "gave up sum {round} ({}): {reason}",
                    purpose.name()
                ));
            }
            Event::Suspected { round, finding } => {
                self.progress.line(format!("sum {round}: {finding}"));
            }
            Event::Rejected { hospital, reason } => {
                tracing::info!(%hospital, reason, "the coordinator rejected a message")
            }
            _ => {}
        }
    }

    fn tell_round(&self, round: u32) {
        let Some(record) = self.history.round(round) else {
            return;
        };
        self.progress.line(round_line(record, self.manifest.rounds));
        self.progress.rounds_done(round);
    }
}

/// An observer that many threads tell of what they see.
#[derive(Clone)]
pub struct SharedObserver(Arc<Mutex<Observer>>);

impl SharedObserver {
    /// Shares it.
    pub fn new(observer: Observer) -> Self {
        Self(Arc::new(Mutex::new(observer)))
    }

    /// For one thread at a time.
    pub fn lock(&self) -> MutexGuard<'_, Observer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks every sum that this hospital opens before it settles it.
    pub fn witness(&self, hospital: HospitalId) -> Box<dyn Witness> {
        Box::new(OfHospital {
            hospital,
            observer: self.clone(),
        })
    }
}

struct OfHospital {
    hospital: HospitalId,
    observer: SharedObserver,
}

impl Witness for OfHospital {
    fn opened(&mut self, opened: &OpenedRound) -> Result<(), JournalError> {
        let mut observer = self.observer.lock();
        let noted = observer.opened(self.hospital, opened);
        noted.map_err(|error| JournalError {
            place: observer.notes.place(),
            reason: error.to_string(),
            may_pass: false,
        })
    }
}

/// "round 3 of 8: hospitals 1 2 3, training loss 0.412, validation loss 0.502, accuracy 0.781 (12 s)".
pub fn round_line(record: &super::history::RoundRecord, rounds: u32) -> String {
    let contributors = record
        .contributors
        .iter()
        .map(u8::to_string)
        .collect::<Vec<_>>()
        .join(" ");
    let mut line = format!(
        "round {} of {rounds}: hospitals {contributors}",
        record.round
    );
    if let Some(loss) = record.train_loss {
        line += &format!(", training loss {loss:.3}");
    }
    if let Some(validation) = &record.validation {
        line += &format!(
            ", validation loss {:.3}, accuracy {:.3}",
            validation.loss, validation.accuracy
        );
    }
    line + &format!(" ({:.0} s)", record.seconds)
}
