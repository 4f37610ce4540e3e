//! Messages of the key exchange that come before their time. An honest vault has reason for it: after a restart of the coordinator
//! in mid-exchange every vault sends all of its messages again at once, in its own order, and only once.

use protocol::roster::Roster;

use super::{
    MachineError,
    input::{Envelope, SetUpMessage},
    reaction::{REPEATED, Reaction},
};

/// Held messages in the order in which they came.
#[derive(Default)]
pub(super) struct EarlyMessages(Vec<(Envelope, SetUpMessage)>);

impl EarlyMessages {
    /// Holds a message. A hospital has one for each other, a group key and a Ready, and cannot have more held.
    pub(super) fn hold(
        &mut self,
        envelope: Envelope,
        message: SetUpMessage,
        roster: &Roster,
    ) -> Result<Reaction, MachineError> {
        let own = self.0.iter().filter(|(held, _)| held.from == envelope.from);
        if own.clone().any(|(_, held)| *held == message) {
            return Ok(Reaction::Ignored(REPEATED));
        }
        if own.count() > roster.size() {
            return Err(MachineError::TooManyEarly {
                from: envelope.from,
                message: envelope.kind,
            });
        }
        self.0.push((envelope, message));
        Ok(Reaction::Handled)
    }

    pub(super) fn release(self) -> impl Iterator<Item = (Envelope, SetUpMessage)> {
        self.0.into_iter()
    }

    #[cfg(test)]
    pub(super) fn count_of(&self, from: crypto::sealed_sum::HospitalId) -> usize {
        self.0.iter().filter(|(held, _)| held.from == from).count()
    }
}
