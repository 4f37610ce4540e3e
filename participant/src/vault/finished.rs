//! After the run: nothing is to be done, and no key of the session is left.
#![deny(clippy::wildcard_enum_match_arm)]

use protocol::message::Resume;

use super::{
    error::VaultError,
    hospital::Hospital,
    input::Input,
    phase::{Phase, Step},
};

/// The run has ended well.
pub(super) struct Finished {
    /// The session that the vault took part in and the T it had reached; none if the run was over before it had joined.
    place: Option<Resume>,
}

impl Finished {
    pub(super) fn new(place: Option<Resume>) -> Self {
        Self { place }
    }

    pub(super) fn on_input<J>(
        self,
        input: Input<'_>,
        hospital: &mut Hospital<J>,
    ) -> Result<Step, VaultError> {
        let kind = input.kind();
        match input {
            Input::Connected => {
                hospital.introduce(self.place.clone());
                Ok(Step::handled(Phase::Finished(self)))
            }
            Input::Finished => Ok(hospital.finish(self.place)),
            Input::Refused(reason) => Err(VaultError::RefusedByCoordinator(reason.0)),
            Input::Welcome(_)
            | Input::Products(_)
            | Input::OutcomeReady(_)
            | Input::Outcome(_)
            | Input::Trained(..)
            | Input::Evaluated(..) => Ok(Step::ignored(Phase::Finished(self), "the run has ended")),
            Input::Joins(_)
            | Input::Encapsulation(_)
            | Input::GroupKey(_)
            | Input::Ready(_)
            | Input::RoundOpen(_)
            | Input::BoxForward(_)
            | Input::UnlockRequest(_) => Ok(Step::wrong_phase(Phase::Finished(self), kind)),
        }
    }
}
