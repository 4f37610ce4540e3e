//! What leaves the vault: messages, uploads, work for the trainer, and what logs and records hear of.

use std::sync::Arc;

use crypto::sealed_sum::{HospitalId, Mean, OpenedSum};
use protocol::{
    common_model::CommonModel,
    counters::EvaluationCounters,
    digests::{
        ContributionDigest, LearningRound, ModelHash, OutcomeName, RoundNumber, RunId, SessionId,
        Transcript,
    },
    features::FeatureSchema,
    keeping::{BestRound, Verdict},
    labels::Labels,
    manifest::{Conditioning, ConditioningForm, Purpose},
    message::ToCoordinator,
    training_job::{EvaluateRequest, TrainRequest},
};

#[cfg(doc)]
use super::Vault;
use super::phase_name::PhaseName;
use super::statistics::Statistics;
use crate::journal::EndedRun;

/// What the shell around the vault has to do.
pub enum VaultOutput {
    /// Send a message to the coordinator.
    Send(Box<ToCoordinator>),
    /// Upload a contribution under this name.
    Upload {
        /// `D_i`.
        name: ContributionDigest,
        /// The blob.
        bytes: Arc<[u8]>,
        /// What the sum is for.
        purpose: Purpose,
        /// The learning round, from 1; 0 for `stats`.
        learning_round: LearningRound,
    },
    /// Upload the sealed state that the session goes on from under this name.
    UploadState {
        /// See [`protocol::session::state_name`].
        name: OutcomeName,
        /// The blob.
        bytes: Arc<[u8]>,
    },
    /// Download an outcome, or a sealed state, and hand it to [`Vault::handle_outcome`].
    FetchOutcome {
        /// Its name.
        name: OutcomeName,
    },
    /// Have the trainer train, then call [`Vault::handle_trained`] with the hash.
    Train {
        /// Of the model that it starts from.
        model_hash: ModelHash,
        /// The learning round that it is for.
        learning_round: LearningRound,
        /// The job.
        request: TrainRequest,
    },
    /// Have the trainer evaluate, then call [`Vault::handle_evaluated`].
    Evaluate {
        /// The learning round that the model comes from.
        learning_round: LearningRound,
        /// Patients of the validation set, for people here.
        patients: usize,
        /// The job.
        request: EvaluateRequest,
    },
    /// Let the trainer drop what it was asked until now: its results are of no use any more. It may come back with them all the same,
    /// or with [`Vault::handle_job_failed`].
    LeaveJobs,
    /// Something to log or record.
    Event(VaultEvent),
    /// The run has ended well.
    Finished,
}

impl VaultOutput {
    /// Whether it can be done only on a connection; what was lost with one is repeated on the next.
    pub fn needs_connection(&self) -> bool {
        matches!(
            self,
            Self::Send(_)
                | Self::Upload { .. }
                | Self::UploadState { .. }
                | Self::FetchOutcome { .. }
        )
    }
}

/// What happens in a vault, for logs, progress and records. No value of an individual patient or hospital is in it, only what all
/// hospitals open alike.
#[derive(Clone)]
pub enum VaultEvent {
    /// The session that was kept is of an earlier roster, and was given up.
    LeftEarlierRoster,
    /// The run is under way, and this hospital takes part later.
    NotYet {
        /// What is waited for, in the coordinator's words.
        reason: String,
    },
    /// A run is offered that somebody here has yet to agree to. Said again at each look at what was decided.
    AwaitingApproval {
        /// Which.
        run: RunId,
        /// As the operator calls it.
        name: String,
    },
    /// Somebody has agreed to the run that was waited with.
    Approved,
    /// The session's keys are complete.
    SessionReady,
    /// Another hospital has handed over the state that the session goes on from.
    StateTaken(Box<ResumedRun>),
    /// This process goes on in the session of one that was ended.
    Resumed(Box<ResumedRun>),
    /// The coordinator goes by another session: this one is left.
    LeftSession {
        /// The one that is left.
        session: SessionId,
    },
    /// The run has ended before its last round, by its operator's word.
    EndedByOperator {
        /// The last learning round.
        after: LearningRound,
    },
    /// This hospital has taken part in the run to its end already.
    EndedBefore(EndedRun),
    /// The others did not wait for what the trainer is at.
    Overtaken {
        /// The round that went on without this hospital.
        round: RoundNumber,
        /// Its purpose.
        purpose: Purpose,
    },
    /// Products arrived and were found right.
    Conditioned {
        /// The largest difference from the local products, before rounding.
        largest_error: f64,
    },
    /// The coordinator's products were wrong: the vault has taken its own.
    ProductsRefused {
        /// Why. Stays in the hospital: it depends on the features.
        reason: String,
    },
    /// The own contribution is made.
    Sealed {
        /// Of which round.
        round: RoundNumber,
        /// Of which purpose.
        purpose: Purpose,
        /// Values that the clip cut off.
        saturated: u64,
    },
    /// Vaults whose shares of the summed secret do not belong to those of the others, by number and name. If the sum opens without
    /// them, which follows, they were wrong.
    WrongAnswers {
        /// Of which round.
        round: RoundNumber,
        /// The hospitals concerned, with their names.
        hospitals: Vec<(HospitalId, String)>,
    },
    /// A sum was opened and the common state moved on.
    Opened(Box<OpenedRound>),
    /// An update did not open at t hospitals: the model stays as it is, and the update is tried again.
    NullStep {
        /// Which round.
        round: RoundNumber,
        /// Where the run stands.
        run: Box<ResumedRun>,
    },
    /// The coordinator has not accepted a message of this hospital.
    Rejected {
        /// Why, in its words.
        reason: String,
    },
    /// Something was refused; the run goes on.
    Refused {
        /// The reason, for people.
        reason: String,
    },
    /// An input that there is nothing to do for, such as a message that is repeated on a new connection.
    Ignored {
        /// Which input.
        input: &'static str,
        /// In which phase.
        phase: PhaseName,
        /// The reason, for people.
        reason: &'static str,
    },
}

/// Where a session was taken up again.
#[derive(Clone)]
pub struct ResumedRun {
    /// The run.
    pub run: RunId,
    /// The session.
    pub session: SessionId,
    /// The phase that the vault is in.
    pub phase: PhaseName,
    /// How its classes are cut.
    pub labels: Labels,
    /// Whether and how filters are made.
    pub conditioning: Conditioning,
    /// What they do to the network.
    pub form: ConditioningForm,
    /// The clinical features that the run uses; none without conditioning.
    pub features: FeatureSchema,
    /// The federation's statistics, once they are known.
    pub statistics: Option<Statistics>,
    /// The learning round that the common model comes from; 0 before the first.
    pub learning_round: LearningRound,
    /// U of that round.
    pub contributors: Vec<HospitalId>,
    /// The evaluation of this very model, if there was one.
    pub validation: Option<EvaluationCounters>,
    /// The learning round whose model is kept as the best; none before there is one.
    pub kept_round: Option<LearningRound>,
    /// The common model.
    pub model: CommonModel,
    /// Its hash.
    pub model_hash: ModelHash,
    /// T.
    pub transcript: Transcript,
}

/// A sum as every hospital opens it.
#[derive(Clone)]
pub struct OpenedRound {
    /// The run.
    pub run: RunId,
    /// Its number.
    pub round: RoundNumber,
    /// How the run's classes are cut.
    pub labels: Labels,
    /// Whether and how its filters are made.
    pub conditioning: Conditioning,
    /// What they do to the network.
    pub form: ConditioningForm,
    /// The clinical features that the run uses; none without conditioning.
    pub features: FeatureSchema,
    /// What it was for.
    pub purpose: Purpose,
    /// The learning round, from 1; 0 for `stats`.
    pub learning_round: LearningRound,
    /// U.
    pub contributors: Vec<HospitalId>,
    /// The integers.
    pub sum: Arc<OpenedSum>,
    /// The mean of the updates, made from it; none without real values.
    pub mean: Option<Arc<Mean>>,
    /// The clips it was quantised with.
    pub clips: Vec<f64>,
    /// The learning round whose model is kept as the best; none before there is one.
    pub kept_round: Option<LearningRound>,
    /// The best evaluation so far; none before the first, and where the last model is kept.
    pub best: Option<BestRound>,
    /// Whether the run has to go on.
    pub verdict: Verdict,
    /// The common model from now on.
    pub model: CommonModel,
    /// Its hash.
    pub model_hash: ModelHash,
    /// T from now on.
    pub transcript: Transcript,
}
