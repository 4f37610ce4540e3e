//! Follows a sealed run from outside: everything that the hospitals and the coordinator report goes through here.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use coordinator::machine::{Event, TranscriptEntry};
use crypto::sealed_sum::HospitalId;
use participant::{
    shell::ParticipantEvent,
    vault::{OpenedRound, VaultEvent},
};
use protocol::{
    common_model::CommonModel,
    digests::{LearningRound, ModelHash, RoundNumber},
    keeping::{BestRound, Verdict},
    manifest::{Manifest, Purpose},
};

use super::{
    history::History,
    progress::{Phase, Progress},
    sum_check::SumCheck,
};

/// Something that happened.
pub enum Seen {
    /// At a hospital.
    Hospital(HospitalId, ParticipantEvent),
    /// At the coordinator.
    Coordinator(Event),
}

/// See the module.
pub struct Observer {
    manifest: Arc<Manifest>,
    progress: Arc<Progress>,
    began: Instant,
    session_ready: bool,
    /// The check of the sums.
    pub sums: SumCheck,
    /// The learning rounds.
    pub history: History,
    /// The signed hash chain.
    pub transcript: Vec<TranscriptEntry>,
    /// The model that each hospital holds.
    pub models: BTreeMap<HospitalId, (RoundNumber, ModelHash, CommonModel)>,
    /// The largest difference of a decrypted product from the product in the clear.
    pub largest_product_error: Option<f64>,
    /// Products that vaults refused.
    pub products_refused: usize,
    /// The learning round whose model all hospitals keep as the best.
    pub kept_round: Option<LearningRound>,
    /// Its evaluation, where that decides.
    pub best: Option<BestRound>,
}

impl Observer {
    /// An observer of a run by this manifest.
    pub fn new(manifest: Arc<Manifest>, progress: Arc<Progress>, sums: SumCheck) -> Self {
        Self {
            manifest,
            progress,
            began: Instant::now(),
            session_ready: false,
            sums,
            history: History::default(),
            transcript: Vec::new(),
            models: BTreeMap::new(),
            largest_product_error: None,
            products_refused: 0,
            kept_round: None,
            best: None,
        }
    }

    /// Takes note.
    pub fn see(&mut self, seen: Seen) {
        match seen {
            Seen::Hospital(id, event) => self.see_hospital(id, event),
            Seen::Coordinator(event) => self.see_coordinator(event),
        }
    }

    /// Whether the hospitals that hold a model all hold the same, and so many do.
    pub fn models_equal(&self, hospitals: usize) -> bool {
        let mut hashes = self.models.values().map(|(_, hash, _)| hash);
        let first = hashes.next();
        self.models.len() == hospitals && hashes.all(|hash| Some(hash) == first)
    }

    /// The most advanced model.
    pub fn model(&self) -> Option<&CommonModel> {
        self.models
            .values()
            .max_by_key(|(round, ..)| *round)
            .map(|(_, _, model)| model)
    }

    fn see_hospital(&mut self, id: HospitalId, event: ParticipantEvent) {
        let progress = self.progress.clone();
        match event {
            ParticipantEvent::Connected => progress.hospital(id, Phase::Waiting),
            ParticipantEvent::Waiting(_) | ParticipantEvent::Disconnected { .. } => {
                progress.hospital(id, Phase::Away)
            }
            ParticipantEvent::Training { done, total } => {
                progress.hospital(id, Phase::Training { done, total })
            }
            ParticipantEvent::Uploading { sent, total } => {
                progress.hospital(id, Phase::Uploading { sent, total })
            }
            ParticipantEvent::Vault(event) => match event {
                VaultEvent::SessionReady => progress.hospital(id, Phase::Waiting),
                VaultEvent::Conditioned { largest_error } => {
                    let largest = self.largest_product_error.unwrap_or(0.0).max(largest_error);
                    self.largest_product_error = Some(largest);
                }
                VaultEvent::ProductsRefused { reason } => {
                    self.products_refused += 1;
                    progress.line(format!("hospital {id} refused its products: {reason}"));
                }
                VaultEvent::Sealed { .. } => progress.hospital(id, Phase::Sealed),
                VaultEvent::Opened(opened) => {
                    progress.hospital(id, Phase::Waiting);
                    self.opened(id, &opened);
                }
                VaultEvent::WrongAnswers { round, hospitals } => {
                    for (other, _) in hospitals {
                        progress.line(format!(
                            "sum {round}: the answer of hospital {other} is wrong, says hospital {id}"
                        ));
                    }
                }
                // No hospital of a simulation is started again: what it forgets with its process is tried in the tests.
                VaultEvent::Resumed(_)
                | VaultEvent::NotYet { .. }
                | VaultEvent::StateTaken(_)
                | VaultEvent::LeftSession { .. }
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

    fn opened(&mut self, id: HospitalId, opened: &OpenedRound) {
        self.sums.opened(id, opened);
        self.models
            .insert(id, (opened.round, opened.model_hash, opened.model.clone()));
        let seconds = self.began.elapsed().as_secs_f64();
        let round = opened.learning_round.get();
        match opened.purpose {
            Purpose::Stats => {}
            Purpose::Update if self.history.round(round).is_none() => {
                let contributors = opened.contributors.iter().map(|id| id.get()).collect();
                self.history.updated(round, contributors, seconds);
                (self.kept_round, self.best) = (opened.kept_round, opened.best);
            }
            Purpose::Evaluation
                if self
                    .history
                    .round(round)
                    .is_some_and(|record| record.validation.is_none()) =>
            {
                self.history.evaluated(
                    round,
                    self.manifest.task,
                    &opened.sum.counters,
                    &self.sums.evaluations(opened),
                    seconds,
                );
                (self.kept_round, self.best) = (opened.kept_round, opened.best);
                self.tell_round(round);
                if opened.verdict == Verdict::Stop && round < self.manifest.rounds {
                    let line =
                        format!("no better evaluation any more: the run ends after round {round}");
                    self.progress.line(line);
                }
            }
            Purpose::Update | Purpose::Evaluation => {}
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
            Event::Settled(entry) => self.transcript.push(*entry),
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
