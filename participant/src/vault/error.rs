//! Why a vault stops, and why it refuses an input and goes on; and which party is at fault.

use crypto::sealed_sum::HospitalId;
use protocol::{
    culprit::Culprit, digests::ModelHash, kept_model::UnusableValues, manifest::ManifestError,
    round::RoundError, session::SessionError, training_job::TrainerFailure,
};

use super::{input::InputKind, phase_name::PhaseName, policy::PolicyViolation};
use crate::{
    approvals::ApprovalsError,
    journal::{InitialModelMissing, JournalError},
};

/// Why a vault cannot go on at all.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The coordinator will not have it.
    #[error("the coordinator refuses this hospital: {0}")]
    RefusedByCoordinator(String),
    /// The coordinator says that the run has ended, and neither have all updates up to that end been opened here nor do the evaluations give
    /// a reason for it.
    #[error(
        "the coordinator says that the run has ended, but {missing} of its updates are missing here; the model of the last round is in the state folder. Ask the coordinator's operator"
    )]
    EndedEarly {
        /// Updates up to the end that were not opened here.
        missing: u32,
    },
    /// The session that was kept cannot be used.
    #[error(
        "the session kept in the journal cannot be used: {0}; use the roster, keys and release that it was begun with. Only when its run is over at all hospitals, move the state folder away to take part in the next one"
    )]
    KeptSession(String),
    /// The model of the session that was kept is not on disk.
    #[error(
        "the session kept in the journal needs the common model {model}, which is not whole among the models in the state folder (runs/*/model.safetensors and, where the run's strategy keeps moments, optimiser.safetensors beside it): put the files back as they were. Only when its run is over at all hospitals, move the state folder away to take part in the next one"
    )]
    KeptModelMissing {
        /// Its hash.
        model: ModelHash,
    },
    /// The model that the run starts from is not here.
    #[error(transparent)]
    InitialModelMissing(#[from] InitialModelMissing),
    /// The model that the operator has chosen cannot be trained on.
    #[error(
        "the model that the run starts from cannot be used: {0}; ask the operator to choose another one"
    )]
    InitialModelUnusable(#[from] UnusableValues),
    /// The two sides go by different rosters.
    #[error(
        "the coordinator has another roster than this hospital: compare the roster files of all parties"
    )]
    OtherRoster,
    /// The vaults of a session would go on from another point of the run.
    #[error(
        "the coordinator goes on from another point of the run than this hospital has reached: compare the transcripts (transcript verify), and ask the coordinator's operator"
    )]
    OtherTranscript,
    /// t vaults go on from a model that this one has left behind.
    #[error(
        "the other hospitals go on from learning round {theirs}, and this hospital has reached {ours}: their state folders are older copies, or the run was split. Ask the coordinator's operator"
    )]
    StateBehind {
        /// Updates that theirs comes from.
        theirs: u32,
        /// Ours.
        ours: u32,
    },
    /// The others have gone on after more updates that did not open than this hospital follows.
    #[error(
        "the other hospitals go on after {taken} updates that did not open, and this hospital's policy follows {most} in a run \
         (policy.max_null_steps): allow more, or take part in the next run"
    )]
    NullStepsBeyondPolicy {
        /// Theirs.
        taken: u32,
        /// Of the policy.
        most: u32,
    },
    /// The manifest is not the operator's, or not sound.
    #[error("the run manifest is refused: {0}")]
    Manifest(#[from] ManifestError),
    /// The hospital's policy refuses the run.
    #[error("this hospital's policy refuses the run: {0}")]
    Policy(#[from] PolicyViolation),
    /// Somebody at this hospital does not want it to take part.
    #[error("this hospital has rejected the run: {reason}")]
    Rejected {
        /// Why, in their words.
        reason: String,
    },
    /// What was decided here cannot be read or kept.
    #[error(transparent)]
    Approvals(#[from] ApprovalsError),
    /// The hospital's data does not do for this run.
    #[error("this hospital's data cannot be used: {0}")]
    Data(#[from] UnusableRecords),
    /// The set-up failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Local training failed.
    #[error("local training failed: {0}")]
    Trainer(TrainerFailure),
}

impl VaultError {
    /// What was kept cannot be read.
    pub(super) fn damaged(reason: impl ToString) -> Self {
        Self::KeptSession(reason.to_string())
    }

    /// What the coordinator's operator is to hear of it: that this hospital stays out of the run by a decision, and why.
    pub fn word_for_operator(&self) -> Option<String> {
        match self {
            Self::Policy(_) | Self::Rejected { .. } => {
                Some(self.to_string().chars().take(MAX_WORD_CHARS).collect())
            }
            _ => None,
        }
    }

    /// Who is at fault, as far as the error shows it.
    pub fn culprit(&self) -> Culprit {
        match self {
            Self::RefusedByCoordinator(_)
            | Self::OtherRoster
            | Self::OtherTranscript
            | Self::NullStepsBeyondPolicy { .. }
            | Self::StateBehind { .. } => Culprit::Unknown,
            Self::Manifest(error) => error.culprit(),
            Self::EndedEarly { .. } => Culprit::Coordinator,
            Self::InitialModelUnusable(_) => Culprit::Operator,
            Self::KeptSession(_)
            | Self::KeptModelMissing { .. }
            | Self::InitialModelMissing(_)
            | Self::Policy(_)
            | Self::Rejected { .. }
            | Self::Approvals(_)
            | Self::Data(_)
            | Self::Journal(_)
            | Self::Trainer(_) => Culprit::Ourselves,
            Self::Session(error) => error.culprit(),
        }
    }
}

/// As much as the coordinator's end of the connection takes.
const MAX_WORD_CHARS: usize = 400;

/// Why a hospital's records cannot be used for a run, for people.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct UnusableRecords(pub String);

/// Why a state that was handed over is not taken.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum StateError {
    /// Not the bytes of one.
    #[error("the common state that another hospital has sent is malformed")]
    Malformed,
    /// It is sealed for others, or was altered.
    #[error("the common state that another hospital has sent does not open in this session")]
    DoesNotOpen,
    /// It is not the one that t vaults have signed.
    #[error(
        "the common state that came in the name of hospital {sealer} is not the one that the hospitals of this session have signed"
    )]
    OtherState {
        /// In whose name. Every vault of the session could have sealed it.
        sealer: HospitalId,
    },
}

/// Why an input is refused. The vault goes on, in the phase it is in.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum Refusal {
    /// An input that this phase has no use for.
    #[error("{input} is refused {phase}")]
    WrongPhase {
        /// Which input.
        input: &'static str,
        /// In which phase.
        phase: PhaseName,
    },
    /// A message of a round that is not as it should be.
    #[error(transparent)]
    Round(#[from] RoundError),
    /// A message of the set-up that is not as it should be.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A common state that another hospital has sent.
    #[error(transparent)]
    State(#[from] StateError),
    /// U was fixed without our contribution, although it had been uploaded.
    #[error("our complete contribution was left out of the sum")]
    LeftOut,
}

impl Refusal {
    pub(super) fn wrong_phase(input: InputKind, phase: PhaseName) -> Self {
        Self::WrongPhase {
            input: input.name(),
            phase,
        }
    }

    /// Who is at fault, as far as the error shows it.
    pub fn culprit(&self) -> Culprit {
        match self {
            Self::WrongPhase { .. } => Culprit::Coordinator,
            Self::Round(error) => error.culprit(),
            Self::Session(error) => error.culprit(),
            Self::State(_) => Culprit::Unknown,
            // The dealer check may have left us out for a lie about our shares: nobody can tell whose.
            Self::LeftOut => Culprit::Unknown,
        }
    }
}

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    /// The vault goes on.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It does not.
    #[error(transparent)]
    Fatal(#[from] VaultError),
}

impl From<JournalError> for StepError {
    fn from(error: JournalError) -> Self {
        Self::Fatal(error.into())
    }
}

impl From<RoundError> for StepError {
    fn from(error: RoundError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<SessionError> for StepError {
    fn from(error: SessionError) -> Self {
        Self::Refused(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> HospitalId {
        HospitalId::new(number).expect("in range")
    }

    #[test]
    fn a_refusal_names_the_party_at_fault_where_it_can_be_told() {
        let out_of_phase = Refusal::wrong_phase(InputKind::RoundOpen, PhaseName::Joining);
        assert_eq!(
            out_of_phase.to_string(),
            "a round header is refused while hospitals are joining"
        );
        assert_eq!(out_of_phase.culprit(), Culprit::Coordinator);
        let box_of_three = Refusal::from(RoundError::BoxDoesNotOpen { id: id(3) });
        assert_eq!(box_of_three.culprit(), Culprit::Hospital(id(3)));
        let not_finite = Refusal::from(RoundError::NotSummable("not finite".into()));
        assert_eq!(not_finite.culprit(), Culprit::Ourselves);
        assert_eq!(Refusal::LeftOut.culprit(), Culprit::Unknown);
    }

    #[test]
    fn a_fatal_error_names_hospital_operator_or_ourselves() {
        let second = SessionError::Second {
            id: id(2),
            message: "join",
        };
        assert_eq!(VaultError::from(second).culprit(), Culprit::Hospital(id(2)));
        assert_eq!(
            VaultError::Trainer(TrainerFailure("no memory".into())).culprit(),
            Culprit::Ourselves
        );
    }
}
