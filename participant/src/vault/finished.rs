//! After the run: nothing is to be done, and no key of the session is left.
#![deny(clippy::wildcard_enum_match_arm)]

use protocol::message::Resume;

use super::{
    error::Refusal,
    input::PhaseInput,
    phase_name::PhaseName,
    step::{Reaction, StepResult},
};

/// Why nothing is done any more.
pub(super) const RUN_HAS_ENDED: &str = "the run has ended";

/// The run has ended well.
pub(super) struct Finished {
    /// The session that the vault took part in and the T it had reached; none if the run was over before it had joined.
    pub(super) place: Option<Resume>,
}

impl Finished {
    pub(super) fn on_input(&self, input: &PhaseInput<'_>) -> StepResult {
        match input {
            PhaseInput::Products(_)
            | PhaseInput::OutcomeReady(_)
            | PhaseInput::NullStep(_)
            | PhaseInput::Outcome(_)
            | PhaseInput::StateWanted(_)
            | PhaseInput::StateReady(_)
            | PhaseInput::Trained(..)
            | PhaseInput::Evaluated(..) => Ok(Reaction::Ignored(RUN_HAS_ENDED)),
            PhaseInput::Joins(_)
            | PhaseInput::Encapsulation(_)
            | PhaseInput::GroupKey(_)
            | PhaseInput::Ready(_)
            | PhaseInput::RoundOpen(_)
            | PhaseInput::BoxForward(_)
            | PhaseInput::UnlockRequest(_) => {
                Err(Refusal::wrong_phase(input.kind(), PhaseName::Finished).into())
            }
        }
    }
}
