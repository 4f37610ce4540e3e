//! Writes the events of a run into the log, and keeps the latest common model.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use crypto::sealed_sum::HospitalId;
use host::{output::log_structured, spans};
use participant::{
    approvals::shown::short_id,
    journal::EndedRun,
    learning_history::{CommonEvaluation, OwnData},
    model_file::{LatestModel, ModelKeeper},
    run_spans::RunSpans,
    shell::ParticipantEvent,
    vault::{OpenedRound, ResumedRun, VaultEvent, statistics::Statistics},
};
use protocol::{
    counters::{EvaluationCounters, StatsCounters},
    digests::{LearningRound, RunId},
    features::FeatureSchema,
    keeping::Verdict,
    labels::Labels,
    manifest::Purpose,
};
use serde_json::json;
use training_log::Ending;

use super::{
    data_gaps::DataGaps,
    run::{curves::Curves, noted::Noted},
};

/// The participant's events as lines of a log.
pub struct Diary {
    models: ModelKeeper,
    latest: Option<LatestModel>,
    ended_before: Option<EndedRun>,
    last_step: Option<Instant>,
    last_reminder: Option<Instant>,
    /// The settings file, for the commands that the log names.
    config: PathBuf,
    wrong_answers: BTreeMap<HospitalId, String>,
    gaps: DataGaps,
    /// The settings of runs whose gaps were told.
    gaps_told_for: Vec<(Labels, FeatureSchema)>,
    spans: RunSpans,
    curves: Curves,
    noted: Noted,
}

impl Diary {
    /// Nothing has happened yet.
    pub fn new(
        models: ModelKeeper,
        config: PathBuf,
        spans: RunSpans,
        curves: Curves,
        noted: Noted,
    ) -> Self {
        Self {
            models,
            latest: None,
            ended_before: None,
            last_step: None,
            last_reminder: None,
            config,
            wrong_answers: BTreeMap::new(),
            gaps: DataGaps::default(),
            gaps_told_for: Vec::new(),
            spans,
            curves,
            noted,
        }
    }

    /// The data were read, and this is what runs may lack in them.
    pub fn begin_with(&mut self, gaps: DataGaps, data: OwnData) {
        self.noted.begin_with(data);
        (self.gaps, self.gaps_told_for) = (gaps, Vec::new());
        // What is resumed comes again; another run has a model of its own. On disk is what was opened.
        (self.latest, self.ended_before) = (None, None);
    }

    /// Takes note of an event.
    pub fn note(&mut self, event: ParticipantEvent) {
        let _within = self.spans.of(event.about()).entered();
        match event {
            // The transport itself logs that it waits, and that it has connected.
            ParticipantEvent::Waiting(_) | ParticipantEvent::Connected => {}
            // Told as a whole at the end.
            ParticipantEvent::Spent(_) => {}
            ParticipantEvent::Offered {
                run,
                labels,
                features,
            } => {
                // The coordinator says so again on every connection, and with every run.
                let about = (labels, features);
                if !self.gaps_told_for.contains(&about) {
                    let run = spans::short(&run);
                    for gap in self.gaps.in_run(labels, &about.1) {
                        // About this hospital's patients: for this log, and for no collector of spans.
                        tracing::warn!(parent: None, run, "{gap}");
                    }
                    self.gaps_told_for.push(about);
                }
            }
            // Of this hospital's patients alone: not for a log.
            ParticipantEvent::Own(result) => {
                if let Some(latest) = &self.latest {
                    self.noted.own(latest.run(), &result);
                }
            }
            ParticipantEvent::Disconnected { reason } => {
                tracing::warn!(
                    reason,
                    "lost the connection to the coordinator; connecting again"
                );
            }
            ParticipantEvent::Training { done, total } => self.note_step(done, total),
            ParticipantEvent::Uploading { sent, total } => {
                tracing::debug!(sent, total, "sending the contribution");
            }
            ParticipantEvent::Vault(event) => self.note_vault(event),
        }
    }

    /// The run has ended here, so.
    pub fn end_curves(&mut self, ending: Ending) {
        self.curves.end(ending);
    }

    /// Hospitals whose answer for a sum did not belong to those of the others, with their names.
    pub fn wrong_answers(&self) -> &BTreeMap<HospitalId, String> {
        &self.wrong_answers
    }

    /// The common model as the last opened sum left it, and who keeps it.
    pub fn into_latest_model(self) -> (ModelKeeper, Option<LatestModel>) {
        (self.models, self.latest)
    }

    /// The run, if this hospital had taken part in it to its end before.
    pub fn ended_before(&self) -> Option<&EndedRun> {
        self.ended_before.as_ref()
    }

    fn note_step(&mut self, done: usize, total: usize) {
        let now = Instant::now();
        let is_due = self
            .last_step
            .is_none_or(|last| now - last >= BETWEEN_STEPS);
        if is_due || done == total {
            tracing::info!("training: step {done} of {total}");
            self.last_step = Some(now);
        }
    }

    /// Once in a while: the vault says so at each look.
    fn remind_of_approval(&mut self, run: &RunId, name: &str) {
        let now = Instant::now();
        let last = self.last_reminder;
        if last.is_some_and(|last| now - last < BETWEEN_REMINDERS) {
            return;
        }
        self.last_reminder = Some(now);
        let (id, config) = (short_id(run), self.config.display());
        let text = format!(
            "the run {name:?} waits for this hospital's approval. To look at it: participant runs show {id} --config {config}. To take part: \
             participant approve {id} --config {config}. Not to: participant reject {id} --reason TEXT --config {config}"
        );
        let fields = json!({"event": "awaiting-approval", "run": hex::encode(run), "name": name});
        if let serde_json::Value::Object(fields) = fields {
            log_structured(text, fields);
        }
    }

    fn note_vault(&mut self, event: VaultEvent) {
        match event {
            VaultEvent::AwaitingApproval { run, name } => self.remind_of_approval(&run, &name),
            VaultEvent::Approved => tracing::info!("the run is approved: this hospital joins"),
            VaultEvent::SessionReady => {
                tracing::info!("all hospitals have joined and agreed on their keys");
            }
            VaultEvent::LeftEarlierRoster => {
                tracing::warn!(
                    "the roster is a later one than that of the session that was kept: that run is over. Its models stay in the state folder"
                );
            }
            VaultEvent::NotYet { reason } => {
                tracing::info!(
                    reason,
                    "the run is under way: this hospital takes part later"
                );
            }
            VaultEvent::StateTaken(run) => {
                tracing::info!(
                    learning_round = run.learning_round.get(),
                    "another hospital has handed over the common model and the federation's statistics"
                );
                self.keep(LatestModel::resumed(&run));
            }
            VaultEvent::Resumed(run) => self.note_resumed(&run),
            VaultEvent::LeftSession { session } => {
                tracing::warn!(%session, "the coordinator has begun another session: the hospitals exchange keys again. Models of the run so far stay in the state folder");
            }
            VaultEvent::Overtaken { round, purpose } => {
                let (round, purpose) = (round.get(), purpose.name());
                tracing::warn!(
                    round,
                    purpose,
                    "the others did not wait for what this hospital is training: that is stopped, and the next round is taken up. If it \
                     happens again and again, train on a faster device, or ask the operator for more time (run.straggler_floor_secs and \
                     run.straggler_factor)"
                );
            }
            VaultEvent::EndedByOperator { after } => {
                tracing::info!(
                    learning_round = after.get(),
                    "the coordinator says that the run's operator has ended it after this round: no further one follows, and the models are kept as those of \
                     a whole run"
                );
            }
            VaultEvent::EndedBefore(ended) => {
                let run = hex::encode(ended.run);
                tracing::info!(
                    run,
                    "this hospital has taken part in this run to its end already"
                );
                self.ended_before = Some(ended);
            }
            // The error of a decryption says something of the key: it is for simulations, not for logs.
            VaultEvent::Conditioned { largest_error: _ } => {
                tracing::info!("the filters for this model have arrived and are correct");
            }
            VaultEvent::ProductsRefused { reason } => {
                tracing::warn!(
                    reason,
                    "the coordinator's products are wrong; this hospital uses its own, and the coordinator does not learn it"
                );
            }
            VaultEvent::Sealed {
                round,
                purpose,
                saturated,
            } => {
                tracing::info!(
                    round = round.get(),
                    purpose = purpose.name(),
                    saturated,
                    "the contribution has been sealed"
                );
            }
            VaultEvent::WrongAnswers { round, hospitals } => {
                for (hospital, name) in &hospitals {
                    tracing::warn!(round = round.get(), %hospital, name, "this hospital's answer for the sum contradicts those of the others");
                }
                self.wrong_answers.extend(hospitals);
            }
            VaultEvent::NullStep { round, run } => {
                tracing::warn!(
                    round = round.get(),
                    "the sum of an update does not open: a contribution or an answer in it is wrong. The model stays as it is, and the update \
                     is tried again"
                );
                self.keep(LatestModel::resumed(&run));
            }
            VaultEvent::Rejected { reason } => {
                tracing::warn!(
                    reason,
                    "the coordinator has not accepted a message of this hospital. If it happens again and again, ask the coordinator's operator: \
                     both sides may have to run the same release"
                );
            }
            VaultEvent::Opened(opened) => self.note_opened(&opened),
            VaultEvent::Refused { reason } => {
                tracing::warn!(reason, "refused a message of the coordinator")
            }
            VaultEvent::Ignored {
                input,
                phase,
                reason,
            } => tracing::debug!(reason, "{input} is ignored {phase}"),
        }
    }

    fn note_opened(&mut self, opened: &OpenedRound) {
        let learning_round = opened.learning_round;
        let contributors = opened.contributors.len();
        let validation = match opened.purpose {
            Purpose::Stats => {
                tracing::info!(
                    contributors,
                    "received the federation's class counts and feature means"
                );
                None
            }
            Purpose::Update => {
                let model_hash = hex::encode(opened.model_hash);
                let strategy = opened.model.strategy();
                tracing::info!(
                    contributors,
                    model_hash,
                    %strategy,
                    "round {learning_round}: the common model has been updated"
                );
                None
            }
            Purpose::Evaluation => {
                let evaluation = EvaluationCounters::read(&opened.sum.counters).ok();
                if let Some(evaluation) = &evaluation {
                    self.curves.note(&opened.run, learning_round, evaluation);
                    let common = CommonEvaluation::of(contributors, evaluation);
                    self.noted.common(&opened.run, learning_round, common);
                    tracing::info!(
                        contributors,
                        slices = evaluation.slices(),
                        "round {learning_round}: validation accuracy {:.4}, loss {:.4}",
                        evaluation.accuracy(),
                        evaluation.validation_loss(),
                    );
                }
                if opened.verdict == Verdict::Stop {
                    tracing::info!(
                        kept_round = opened.kept_round.map(LearningRound::get),
                        "the evaluations bring no gain any more: the run ends here, as its manifest says"
                    );
                }
                evaluation
            }
        };
        let statistics = match opened.purpose {
            Purpose::Stats => {
                let counters = &opened.sum.counters;
                let counted =
                    StatsCounters::read(opened.labels.task, opened.features.count(), counters).ok();
                counted.as_ref().map(Statistics::from)
            }
            Purpose::Update | Purpose::Evaluation => {
                let latest = self.latest.as_ref();
                latest.and_then(|latest| latest.statistics_of(&opened.run))
            }
        };
        self.keep(LatestModel::after(opened, validation, statistics));
    }

    fn note_resumed(&mut self, run: &ResumedRun) {
        tracing::info!(
            run = hex::encode(run.run),
            learning_round = run.learning_round.get(),
            "going on in the run that this hospital was in when it was stopped, {}",
            run.phase
        );
        self.keep(LatestModel::resumed(run));
    }

    /// The model is on disk after every opened sum. What cannot be written now is written with the next one; but a round that was the best
    /// then is not: only its model beside the journal is there, until the next update.
    fn keep(&mut self, latest: LatestModel) {
        if let Err(error) = self.models.keep(&latest, false) {
            let error = anyhow::Error::from(error);
            tracing::error!(
                "cannot keep the common model and its card: {error:#}; free disk space"
            );
        }
        self.latest = Some(latest);
    }
}

const BETWEEN_STEPS: Duration = Duration::from_secs(5);
const BETWEEN_REMINDERS: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use model_data::{Contrast, SliceChoice, SplitKind};
    use participant::model_file::OwnReading;
    use time::OffsetDateTime;

    use super::*;
    use crate::commands::run::curves::LogTargets;

    #[test]
    fn of_many_steps_in_a_moment_the_first_and_the_last_are_told() {
        let nowhere = std::path::Path::new("");
        let own = OwnReading {
            split: SplitKind::Slice,
            contrasts: vec![Contrast::Flair],
            slices: SliceChoice::evenly(1),
            now: OffsetDateTime::now_utc,
        };
        let models = ModelKeeper::new(nowhere, own);
        let spans = RunSpans::new(HospitalId::new(1).expect("in range"));
        let curves = Curves::new(nowhere, LogTargets::default());
        let mut diary = Diary::new(models, nowhere.into(), spans, curves, Noted::new(nowhere));
        diary.note_step(1, 100);
        let first = diary.last_step;
        diary.note_step(2, 100);
        assert_eq!(diary.last_step, first);
        diary.note_step(100, 100);
        assert_ne!(diary.last_step, first);
        assert!(diary.into_latest_model().1.is_none());
    }
}
