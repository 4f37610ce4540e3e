//! The phases of a vault, and which follows which. No phase knows this file.
#![deny(clippy::wildcard_enum_match_arm)]

use protocol::{message::Resume, roster::Roster};

use super::{
    error::{Refusal, VaultError},
    finished::Finished,
    hospital::Hospital,
    input::Input,
    joining::{Joining, Unjoined},
    key_exchange::ExchangingKeys,
    output::VaultOutput,
    phase_name::PhaseName,
    session::InSession,
    step::{Next, Step},
};
use crate::journal::Journal;

/// How far the vault is. Each phase owns what it needs, and going on consumes it.
pub(super) enum Phase {
    /// Nothing is known of the run.
    Unjoined,
    /// Our Join is sent; the others' are awaited.
    Joining(Box<Joining>),
    /// All Joins are known; the vaults exchange keys.
    KeyExchange(Box<ExchangingKeys>),
    /// All keys are here: rounds are opened, one sum each.
    InSession(Box<InSession>),
    /// The run has ended well; all keys of the session are gone.
    Finished(Finished),
    /// An error that the vault cannot go on from.
    Stopped,
}

impl Phase {
    pub(super) fn name(&self) -> PhaseName {
        match self {
            Self::Unjoined => PhaseName::Unjoined,
            Self::Joining(_) => PhaseName::Joining,
            Self::KeyExchange(_) => PhaseName::KeyExchange,
            Self::InSession(session) => session.name(),
            Self::Finished(_) => PhaseName::Finished,
            Self::Stopped => PhaseName::Stopped,
        }
    }

    /// A new connection, the coordinator's refusal and the end of the run mean the same in every phase; about the rest each decides.
    pub(super) fn on_input<J: Journal>(
        self,
        input: Input<'_>,
        hospital: &mut Hospital<J>,
    ) -> Result<Step<Self>, VaultError> {
        match (self, input) {
            (Self::Stopped, input) => {
                let refusal = Refusal::wrong_phase(input.kind(), PhaseName::Stopped);
                Ok(Step::refused(Self::Stopped, refusal))
            }
            (phase, Input::Connected) => {
                hospital.introduce(phase.place(hospital.roster()));
                Ok(Step::handled(phase))
            }
            (_, Input::Refused(reason)) => Err(VaultError::RefusedByCoordinator(reason.0)),
            (phase, Input::Finished) => {
                let place = phase.place(hospital.roster());
                hospital.outputs.push_back(VaultOutput::Finished);
                Ok(Step::handled(Self::Finished(Finished { place })))
            }
            (Self::Unjoined, Input::ForPhase(input)) => {
                Unjoined.on_input(input, hospital).map(Step::into_phase)
            }
            (Self::Joining(joining), Input::ForPhase(input)) => {
                joining.on_input(input, hospital).map(Step::into_phase)
            }
            (Self::KeyExchange(exchange), Input::ForPhase(input)) => {
                exchange.on_input(input, hospital).map(Step::into_phase)
            }
            (Self::InSession(mut session), Input::ForPhase(input)) => {
                let result = session.on_input(input, hospital);
                Step::staying(Self::InSession(session), result)
            }
            (Self::Finished(finished), Input::ForPhase(input)) => {
                let result = finished.on_input(&input);
                Step::staying(Self::Finished(finished), result)
            }
        }
    }

    /// The session that the vault takes part in, and the T that it has reached.
    fn place(&self, roster: &Roster) -> Option<Resume> {
        match self {
            Self::Unjoined | Self::Stopped => None,
            Self::Joining(joining) => Some(joining.place()),
            Self::KeyExchange(exchange) => Some(exchange.place(roster)),
            Self::InSession(session) => Some(session.place()),
            Self::Finished(finished) => finished.place.clone(),
        }
    }
}

impl From<Unjoined> for Phase {
    fn from(_: Unjoined) -> Self {
        Self::Unjoined
    }
}

impl From<Joining> for Phase {
    fn from(joining: Joining) -> Self {
        Self::Joining(Box::new(joining))
    }
}

impl From<ExchangingKeys> for Phase {
    fn from(exchange: ExchangingKeys) -> Self {
        Self::KeyExchange(Box::new(exchange))
    }
}

impl From<InSession> for Phase {
    fn from(session: InSession) -> Self {
        Self::InSession(Box::new(session))
    }
}

impl<P: Into<Self>, N: Into<Self>> From<Next<P, N>> for Phase {
    fn from(next: Next<P, N>) -> Self {
        match next {
            Next::Same(phase) => phase.into(),
            Next::Following(phase) => phase.into(),
        }
    }
}
