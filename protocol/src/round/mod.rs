//! One sealed sum (PROTOCOL.md 3.3 to 3.7): its messages, and the checks that both sides make alike.
//!
//! ```text
//! coordinator                                   vault i
//!   RoundOpen          ------------------------->   checks the header (header)
//!                      <-------------------------   Contribution: manifest, boxes, chunks (contribution)
//!   BoxForward         ------------------------->   opens its box
//!                      <-------------------------   BoxAck
//!   UnlockRequest      ------------------------->   checks U (unlock)
//!                      <-------------------------   UnlockShare
//!   Outcome            ------------------------->   opens the sum, moves the model (outcome)
//!                      <-------------------------   RoundClosed
//! ```

pub mod contribution;
pub mod dealer_check;
pub mod header;
pub mod null_step;
pub mod outcome;
pub mod unlock;

use crypto::sealed_sum::HospitalId;

use crate::{
    counted::counted,
    culprit::Culprit,
    digests::{ChunksRoot, ContributorsHash, HeaderHash, ModelHash, RoundNumber, Transcript},
    identity::SignedError,
};

/// Why a message of a round is refused. The variant says what is wrong and, among peers, who.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RoundError {
    /// A signature or a form that does not stand.
    #[error(transparent)]
    Signed(#[from] SignedError),
    /// A header that does not fit what the vault knows.
    #[error("the round header's {field} is not ours")]
    HeaderMismatch {
        /// Which field.
        field: &'static str,
    },
    /// A header with a number that was used, or an older one.
    #[error("round {round} where {last} was already seen")]
    OldRound {
        /// The header's number.
        round: RoundNumber,
        /// The last number accepted.
        last: RoundNumber,
    },
    /// A header on a key whose sum has been answered for.
    #[error("a sum of purpose {purpose} on this model was already answered for")]
    KeySpent {
        /// The purpose.
        purpose: &'static str,
    },
    /// A hospital that does not take part.
    #[error("hospital {id} does not take part in this session")]
    NotJoined {
        /// Its number.
        id: HospitalId,
    },
    /// A message for another round than the one at hand.
    #[error("{message} is for another round")]
    OtherRound {
        /// Of which type.
        message: &'static str,
    },
    /// A round of a run that has to end.
    #[error(
        "the run has ended: the evaluations have brought no gain for as many rounds as the manifest allows, and no further round follows"
    )]
    RunStopped,
    /// The run has ended here before, in an earlier session.
    #[error(
        "the run has ended at this hospital, as the coordinator has said, and no further round follows"
    )]
    RunEnded,
    /// A contribution of the wrong length.
    #[error("the contribution of hospital {id} has {found} {part} instead of {expected}")]
    WrongLength {
        /// The hospital concerned.
        id: HospitalId,
        /// Of what.
        part: &'static str,
        /// How many there are.
        found: usize,
        /// How many belong there.
        expected: usize,
    },
    /// Boxes or chunks that do not hash to the signed root.
    #[error("the {part} of hospital {id} do not fit their signed root")]
    WrongRoot {
        /// The hospital concerned.
        id: HospitalId,
        /// Of what.
        part: &'static str,
    },
    /// A word that is not below q.
    #[error("the contribution of hospital {id} holds a word that is not below the modulus")]
    WordOutOfRange {
        /// The hospital concerned.
        id: HospitalId,
    },
    /// A second, different message of a kind that comes once a round.
    #[error("a second, different {message} of hospital {id} in one round")]
    Second {
        /// The hospital concerned.
        id: HospitalId,
        /// Of which type.
        message: &'static str,
    },
    /// Answers of the dealer check that cannot be read.
    #[error("the acknowledgement of hospital {id} has no readable answers in order")]
    BadAnswers {
        /// The hospital concerned.
        id: HospitalId,
    },
    /// A box that does not open.
    #[error("the box of hospital {id} does not open")]
    BoxDoesNotOpen {
        /// The hospital concerned.
        id: HospitalId,
    },
    /// A set of contributors below `m_min`.
    #[error("{found} contributors where at least {least} are needed")]
    TooFewContributors {
        /// |U|.
        found: usize,
        /// `m_min`.
        least: usize,
    },
    /// A set of contributors that is not sorted and distinct.
    #[error("the contributors are not sorted and distinct")]
    Unsorted,
    /// Our own contribution under another digest.
    #[error("the unlock request lists another contribution of ours than we made")]
    OwnContributionAltered,
    /// A contributor whose box we do not hold.
    #[error("we hold no valid box of contributor {id}")]
    MissingBox {
        /// The hospital concerned.
        id: HospitalId,
    },
    /// A contributor that used another clip vector or model.
    #[error("contributor {id} committed to another model, round or clip")]
    OtherCommit {
        /// The hospital concerned.
        id: HospitalId,
    },
    /// A second set of contributors.
    #[error("another set of contributors was already answered for in this round")]
    SecondSet,
    /// An evaluation over a set too close to an earlier one.
    #[error(
        "evaluating over these contributors, after an earlier evaluation, would single out fewer than {least} hospitals"
    )]
    EvaluationDifference {
        /// `m_min`.
        least: usize,
    },
    /// A sum that could be subtracted from one of another run.
    #[error(
        "another run has summed the same over other hospitals by fewer than {least}: the difference would show what those gave. Have all \
         hospitals of that run take part, begin a run with another seed unless this is the sum of the statistics, or, if those hospitals \
         agree, set policy.repeated_sums = \"allow\" at every hospital"
    )]
    SameSumInAnotherRun {
        /// `m_min`.
        least: usize,
    },
    /// A vault that was given the model, and may have answered for it before.
    #[error(
        "this hospital was given the model when it came into the session, and helps to open sums from the next model on"
    )]
    ModelWasHandedOver,
    /// An outcome with fewer answers than open a sum.
    #[error(
        "the outcome has {}, where {needed} open a sum",
        counted(*found, ["answer that holds", "answers that hold"])
    )]
    TooFewAnswers {
        /// How many hold.
        found: usize,
        /// t.
        needed: usize,
    },
    /// A null step without the words of t vaults that the sum did not open.
    #[error(
        "{} that the sum did not open, where {needed} are needed",
        counted(*found, ["hospital says", "hospitals say"])
    )]
    NotFailed {
        /// How many do.
        found: usize,
        /// t.
        needed: usize,
    },
    /// One null step more than a run may have.
    #[error(
        "the run has had {most} updates that did not open, and this hospital follows no more of them (policy.max_null_steps)"
    )]
    TooManyNullSteps {
        /// The most.
        most: u32,
    },
    /// A sum that does not open to what it should be.
    #[error("the sum does not open: {0}")]
    DoesNotOpen(String),
    /// A sum with another tag than its contributors gave it.
    #[error(
        "the sum was altered: its integrity tag does not match. It happened in transit or at the coordinator, unless a contributor \
         tagged what it did not send"
    )]
    Altered,
    /// An update that cannot be summed.
    #[error("the update cannot be contributed: {0}")]
    NotSummable(String),
}

impl RoundError {
    /// Who is at fault, as far as the error shows it.
    pub fn culprit(&self) -> Culprit {
        match self {
            Self::NotJoined { id }
            | Self::WrongLength { id, .. }
            | Self::WrongRoot { id, .. }
            | Self::WordOutOfRange { id }
            | Self::Second { id, .. }
            | Self::BadAnswers { id }
            | Self::BoxDoesNotOpen { id }
            | Self::OtherCommit { id } => Culprit::Hospital(*id),
            Self::HeaderMismatch { .. }
            | Self::OldRound { .. }
            | Self::RunStopped
            | Self::RunEnded
            | Self::KeySpent { .. }
            | Self::TooFewContributors { .. }
            | Self::Unsorted
            | Self::OwnContributionAltered
            | Self::MissingBox { .. }
            | Self::SecondSet
            | Self::NotFailed { .. }
            | Self::TooFewAnswers { .. }
            | Self::EvaluationDifference { .. }
            | Self::SameSumInAnotherRun { .. } => Culprit::Coordinator,
            Self::NotSummable(_) | Self::ModelWasHandedOver | Self::TooManyNullSteps { .. } => {
                Culprit::Ourselves
            }
            // Whose signature or whose message it is is said by who handed it over; a sum that does not open shows nobody.
            Self::Signed(_) | Self::OtherRound { .. } | Self::DoesNotOpen(_) | Self::Altered => {
                Culprit::Unknown
            }
        }
    }
}

/// `T_r = H('T' || T_{r-1} || hh || uh || sum_root || model_hash_after)`.
pub fn next_transcript(
    previous: &Transcript,
    header: &HeaderHash,
    contributors: &ContributorsHash,
    sum_root: &ChunksRoot,
    model_after: &ModelHash,
) -> Transcript {
    let parts: [&[u8]; 5] = [
        previous.as_bytes(),
        header.as_bytes(),
        contributors.as_bytes(),
        sum_root.as_bytes(),
        model_after.as_bytes(),
    ];
    crypto::hash::labelled_hash("T", &parts).into()
}
