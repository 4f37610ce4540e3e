//! What happens in a run, as operators and records hear of it.

use crypto::sealed_sum::HospitalId;
use protocol::{
    digests::{LearningRound, ModelHash, RoundNumber},
    manifest::Purpose,
    message::RefusedPart,
    round::dealer_check::Finding,
};

use super::{InputKind, PhaseName, TranscriptEntry};

/// What happens in a run, for operators and records.
#[derive(Clone, Debug)]
pub enum Event {
    /// A hospital has joined the session.
    Joined {
        /// The hospital concerned.
        hospital: HospitalId,
        /// So many are still missing.
        missing: usize,
    },
    /// A hospital has lost its keys before the first round, or is gone while keys are exchanged: all hospitals join a new session.
    SetUpAgain {
        /// The hospital concerned.
        hospital: HospitalId,
    },
    /// A hospital that has come while the run is under way takes part from here on: all join a session that follows the present one.
    SessionFollows {
        /// The hospitals that have come.
        hospitals: Vec<HospitalId>,
    },
    /// A hospital has come while the run is under way: it takes part from a later round on.
    Outside {
        /// The hospital concerned.
        hospital: HospitalId,
    },
    /// The operator goes on without a hospital.
    GoesOnWithout {
        /// The hospital concerned.
        hospital: HospitalId,
    },
    /// A hospital cannot use the state that was handed over to it.
    StateRefused {
        /// Which.
        hospital: HospitalId,
    },
    /// A hospital has handed over the state of the run, sealed for those that do not have it.
    StateHandedOver {
        /// Which.
        hospital: HospitalId,
    },
    /// All vaults hold each other's keys.
    SessionReady,
    /// Too few hospitals are connected for the next sum.
    Waiting {
        /// Connected and up to date.
        present: usize,
        /// Needed.
        needed: usize,
    },
    /// A round was opened.
    Opened {
        /// Its number.
        round: RoundNumber,
        /// What for.
        purpose: Purpose,
        /// The learning round, from 1; 0 for `stats`.
        learning_round: LearningRound,
    },
    /// A complete contribution.
    Contributed {
        /// The hospital concerned.
        hospital: HospitalId,
        /// To which round.
        round: RoundNumber,
        /// So many bytes.
        bytes: usize,
    },
    /// A hospital does not do its part in a round, and says so: the others need not wait for it.
    Declined {
        /// Which hospital.
        hospital: HospitalId,
        /// Which round.
        round: RoundNumber,
        /// What it does not do.
        part: RefusedPart,
        /// Why, in its words.
        reason: String,
    },
    /// A hospital is alive, and has not contributed within the time that the slowest is given: the round goes on without it.
    TooSlow {
        /// Which hospital.
        hospital: HospitalId,
        /// Which round.
        round: RoundNumber,
        /// So long after the header.
        waited_secs: u64,
    },
    /// The dealer check has found shares, or answers for them, that do not belong together.
    Suspected {
        /// Which round.
        round: RoundNumber,
        /// What, and whom the round does without.
        finding: Finding,
    },
    /// U is fixed.
    Unlocking {
        /// Which round.
        round: RoundNumber,
        /// U.
        contributors: Vec<HospitalId>,
    },
    /// The sum and t answers are out.
    OutcomeOut {
        /// Which round.
        round: RoundNumber,
        /// What for.
        purpose: Purpose,
        /// The learning round, from 1; 0 for `stats`.
        learning_round: LearningRound,
        /// U.
        contributors: Vec<HospitalId>,
    },
    /// An update opens at no hospital: the model stays, and the update is tried again.
    DidNotOpen {
        /// Which round.
        round: RoundNumber,
        /// U.
        contributors: Vec<HospitalId>,
    },
    /// t vaults have closed the round alike.
    Settled(Box<TranscriptEntry>),
    /// Too few contributions came: the sum is tried again, or, an evaluation, left out.
    Abandoned {
        /// Which round.
        round: RoundNumber,
        /// What for.
        purpose: Purpose,
        /// What was missing.
        reason: String,
    },
    /// An input changed nothing, as it should: a repeat, or a message that was overtaken.
    Ignored {
        /// The hospital concerned.
        hospital: HospitalId,
        /// What.
        message: InputKind,
        /// Where the run was.
        phase: PhaseName,
        /// The reason, for people.
        reason: &'static str,
    },
    /// A message or upload was not accepted.
    Rejected {
        /// The hospital concerned.
        hospital: HospitalId,
        /// The reason, for people.
        reason: String,
    },
    /// t vaults have closed an evaluation with the word that the run has to stop: no further round follows.
    EndedEarly {
        /// How many rounds of the manifest are left out.
        rounds_left: u32,
    },
    /// The operator ends the run after this learning round, which is not its last.
    EndsAfter {
        /// Its number.
        learning_round: LearningRound,
    },
    /// The last round is settled and every hospital that can be reached has it.
    Complete {
        /// The common model's hash.
        model_hash: ModelHash,
        /// Hospitals that never fetched the last outcome.
        missing: Vec<HospitalId>,
    },
    /// The run cannot go on.
    Failed {
        /// Why, and what to do.
        reason: String,
    },
}
