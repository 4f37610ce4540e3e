//! A run is offered that somebody at this hospital has yet to agree to: nothing of it is answered until then.

use protocol::message::Welcome;

use super::{
    error::Refusal, hospital::Hospital, input::PhaseInput, joining::refused_before_joining,
    phase_name::PhaseName,
};

/// The welcome that is not answered yet.
pub(super) struct AwaitingApproval {
    welcome: Welcome,
}

impl AwaitingApproval {
    pub(super) fn new(welcome: Welcome) -> Self {
        Self { welcome }
    }

    pub(super) fn into_welcome(self) -> Welcome {
        self.welcome
    }

    pub(super) fn on_input<J>(
        &self,
        input: &PhaseInput<'_>,
        hospital: &mut Hospital<J>,
    ) -> Refusal {
        refused_before_joining(input, PhaseName::AwaitingApproval, hospital)
    }
}
