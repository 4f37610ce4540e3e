//! Why a vault stops, and why it refuses an input and goes on; and which party is at fault.

use crypto::sealed_sum::HospitalId;
use protocol::{
    identity::SignedError, manifest::ManifestError, round::RoundError, session::SessionError,
};

use super::{conditioning::ProductError, phase::PhaseName, policy::PolicyViolation};
use crate::journal::JournalError;

/// The party that an error lies with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Culprit {
    /// The coordinator, or whoever altered its messages.
    Coordinator,
    /// The operator who signed the run.
    Operator,
    /// Another hospital.
    Hospital(HospitalId),
    /// This hospital: its settings, data, disk or trainer.
    ThisHospital,
}

/// Why a vault cannot go on at all.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The coordinator will not have it.
    #[error("the coordinator refuses this hospital: {0}")]
    RefusedByCoordinator(String),
    /// The coordinator has forgotten the session that this vault takes part in.
    #[error(
        "the coordinator refuses this hospital: it has begun another session; start this participant again"
    )]
    OtherSession,
    /// The two sides go by different rosters.
    #[error(
        "the coordinator has another roster than this hospital: compare the roster files of all parties"
    )]
    OtherRoster,
    /// The manifest is not the operator's, or not sound.
    #[error("the run manifest is invalid: {0}")]
    Manifest(#[from] ManifestRefusal),
    /// The hospital's policy refuses the run.
    #[error(
        "this hospital's policy refuses the run: {0}; change [policy] in the settings if it should take part"
    )]
    Policy(#[from] PolicyViolation),
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
    Trainer(String),
}

impl VaultError {
    /// Who is at fault, where it can be told.
    pub fn culprit(&self) -> Option<Culprit> {
        match self {
            Self::RefusedByCoordinator(_) | Self::OtherRoster => None,
            Self::OtherSession => Some(Culprit::Coordinator),
            Self::Manifest(_) => Some(Culprit::Operator),
            Self::Policy(_) | Self::Data(_) | Self::Journal(_) | Self::Trainer(_) => {
                Some(Culprit::ThisHospital)
            }
            Self::Session(error) => culprit_of_setup(error),
        }
    }
}

/// Why a manifest is refused whatever the hospital's policy says.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ManifestRefusal {
    /// Not signed by the operator of the roster.
    #[error(transparent)]
    Signed(#[from] SignedError),
    /// A field has an impossible value.
    #[error(transparent)]
    Field(#[from] ManifestError),
    /// The largest weight would be one that never contributes.
    #[error("it gives a weight to a hospital that is not on the roster")]
    WeightOfStranger,
    /// Not the network that this release trains.
    #[error("its tensors are not those of this release's network")]
    OtherNetwork,
}

/// Why a hospital's records cannot be used for a run, for people.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct UnusableRecords(pub String);

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
    /// Products that are not released.
    #[error(transparent)]
    Products(#[from] ProductError),
    /// U was fixed without our contribution, although it had been uploaded.
    #[error("our complete contribution was left out of the sum")]
    LeftOut,
}

impl Refusal {
    /// Who is at fault, where it can be told.
    pub fn culprit(&self) -> Option<Culprit> {
        match self {
            Self::WrongPhase { .. } | Self::Products(_) => Some(Culprit::Coordinator),
            Self::Round(error) => culprit_of_round(error),
            Self::Session(error) => culprit_of_setup(error),
            // The dealer check may have left us out for a lie about our shares: nobody can tell whose.
            Self::LeftOut => None,
        }
    }
}

/// A message of the set-up comes from a hospital, through the coordinator.
fn culprit_of_setup(error: &SessionError) -> Option<Culprit> {
    match error {
        SessionError::Malformed(_) => None,
        SessionError::Disagreement { .. } | SessionError::TooEarly { .. } => {
            Some(Culprit::Coordinator)
        }
        SessionError::NotOnRoster { id }
        | SessionError::OtherRoster { id }
        | SessionError::OtherSession { id }
        | SessionError::Second { id, .. } => Some(Culprit::Hospital(*id)),
    }
}

fn culprit_of_round(error: &RoundError) -> Option<Culprit> {
    match error {
        RoundError::HeaderMismatch { .. }
        | RoundError::OldRound { .. }
        | RoundError::KeySpent { .. }
        | RoundError::NotJoined { .. }
        | RoundError::OtherRound { .. }
        | RoundError::TooFewContributors { .. }
        | RoundError::Unsorted
        | RoundError::OwnContributionAltered
        | RoundError::MissingBox { .. }
        | RoundError::SecondSet
        | RoundError::EvaluationDifference { .. }
        | RoundError::TooFewShares { .. }
        | RoundError::Altered => Some(Culprit::Coordinator),
        RoundError::WrongLength { id, .. }
        | RoundError::WrongRoot { id, .. }
        | RoundError::WordOutOfRange { id }
        | RoundError::Second { id, .. }
        | RoundError::BadAnswers { id }
        | RoundError::BoxDoesNotOpen { id }
        | RoundError::OtherCommit { id } => Some(Culprit::Hospital(*id)),
        RoundError::NotSummable(_) => Some(Culprit::ThisHospital),
        // The signer's name is text; a sum that does not open may be any contributor's, any unlocker's or the coordinator's doing.
        RoundError::Signed(_) | RoundError::DoesNotOpen(_) => None,
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
    Journal(#[from] JournalError),
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
        let out_of_phase = Refusal::WrongPhase {
            input: "a round header",
            phase: PhaseName::Joining,
        };
        assert_eq!(
            out_of_phase.to_string(),
            "a round header is refused while hospitals are joining"
        );
        assert_eq!(out_of_phase.culprit(), Some(Culprit::Coordinator));
        let of_round = |error: RoundError| Refusal::from(error).culprit();
        assert_eq!(
            of_round(RoundError::BoxDoesNotOpen { id: id(3) }),
            Some(Culprit::Hospital(id(3)))
        );
        assert_eq!(
            of_round(RoundError::NotSummable("not finite".into())),
            Some(Culprit::ThisHospital)
        );
        assert_eq!(
            of_round(RoundError::MissingBox { id: id(3) }),
            Some(Culprit::Coordinator),
            "hospital 3 has sent it, if it was asked for"
        );
        assert_eq!(of_round(RoundError::DoesNotOpen("noise".into())), None);
        assert_eq!(Refusal::LeftOut.culprit(), None);
    }

    #[test]
    fn an_error_of_the_set_up_names_its_hospital_and_a_manifest_its_operator() {
        let second = SessionError::Second {
            id: id(2),
            message: "join",
        };
        assert_eq!(
            VaultError::from(second).culprit(),
            Some(Culprit::Hospital(id(2)))
        );
        let manifest = VaultError::from(ManifestRefusal::OtherNetwork);
        assert_eq!(manifest.culprit(), Some(Culprit::Operator));
        assert_eq!(
            VaultError::Trainer("no memory".into()).culprit(),
            Some(Culprit::ThisHospital)
        );
    }
}
