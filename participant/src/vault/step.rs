//! What a phase makes of an input, and where it goes on to.

use super::error::{Refusal, StepError, VaultError};

/// What a phase made of an input that it did not refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// It acted on it.
    Handled,
    /// Nothing is to be done, for this reason.
    Ignored(&'static str),
}

/// Why a message of the set-up that has come before is not looked at again.
pub(super) const REPEATED: &str = "repeated on a new connection; the keys were made from the first";

/// What an input comes to in a phase that stays.
pub(super) type StepResult = Result<Reaction, StepError>;

/// What became of an input: where the vault is now, and its reaction.
pub(super) struct Step<P> {
    pub(super) phase: P,
    pub(super) reaction: Result<Reaction, Refusal>,
}

/// Where a phase is after an input: where it was, or in the one that follows.
pub(super) enum Next<P, N> {
    Same(P),
    Following(N),
}

impl<P> Step<P> {
    pub(super) fn handled(phase: P) -> Self {
        Self {
            phase,
            reaction: Ok(Reaction::Handled),
        }
    }

    pub(super) fn ignored(phase: P, reason: &'static str) -> Self {
        Self {
            phase,
            reaction: Ok(Reaction::Ignored(reason)),
        }
    }

    pub(super) fn refused(phase: P, refusal: Refusal) -> Self {
        Self {
            phase,
            reaction: Err(refusal),
        }
    }

    /// Of a phase that stays, unless the vault cannot go on.
    pub(super) fn staying(phase: P, result: StepResult) -> Result<Self, VaultError> {
        let reaction = match result {
            Ok(reaction) => Ok(reaction),
            Err(StepError::Refused(refusal)) => Err(refusal),
            Err(StepError::Fatal(error)) => return Err(error),
        };
        Ok(Self { phase, reaction })
    }

    /// The same with the phase as a case of `Q`.
    pub(super) fn into_phase<Q: From<P>>(self) -> Step<Q> {
        Step {
            phase: self.phase.into(),
            reaction: self.reaction,
        }
    }
}
