//! Messages of the key exchange that come before all have joined. An honest vault has reason for it: after a restart of the
//! coordinator in mid-exchange every vault sends all of its messages again at once, in its own order, and only once.
//!
//! Each was checked as far as it can be, and of each hospital one is held for each place: the last one.

use std::collections::BTreeMap;

use crypto::sealed_sum::HospitalId;
use protocol::{
    identity::Signed,
    session::{Encapsulation, GroupKey, Ready},
};

use super::{
    MachineError,
    context::Context,
    input::SetUpMessage,
    reaction::{REPEATED, Reaction},
    set_up_check,
};

#[derive(Default)]
pub(super) struct EarlyMessages {
    /// By sender and recipient.
    encapsulations: BTreeMap<(HospitalId, HospitalId), Signed<Encapsulation>>,
    group_keys: BTreeMap<HospitalId, Signed<GroupKey>>,
    readies: BTreeMap<HospitalId, Signed<Ready>>,
}

impl EarlyMessages {
    pub(super) fn hold_encapsulation<R>(
        &mut self,
        context: &Context<R>,
        from: HospitalId,
        message: Signed<Encapsulation>,
    ) -> Result<Reaction, MachineError> {
        let body = set_up_check::encapsulation(context, from, &message)?;
        Ok(hold(&mut self.encapsulations, (from, body.to.0), message))
    }

    pub(super) fn hold_group_key<R>(
        &mut self,
        context: &Context<R>,
        from: HospitalId,
        message: Signed<GroupKey>,
    ) -> Result<Reaction, MachineError> {
        set_up_check::group_key(context, from, &message, None)?;
        Ok(hold(&mut self.group_keys, from, message))
    }

    pub(super) fn hold_ready<R>(
        &mut self,
        context: &Context<R>,
        from: HospitalId,
        message: Signed<Ready>,
    ) -> Result<Reaction, MachineError> {
        set_up_check::ready(context, from, &message, None)?;
        Ok(hold(&mut self.readies, from, message))
    }

    /// A hospital joins anew: what it said before is void.
    pub(super) fn forget(&mut self, from: HospitalId) {
        self.encapsulations.retain(|(sender, _), _| *sender != from);
        self.group_keys.remove(&from);
        self.readies.remove(&from);
    }

    /// All of them, in the order in which a vault sends them.
    pub(super) fn release(self) -> impl Iterator<Item = (HospitalId, SetUpMessage)> {
        let encapsulations = self.encapsulations.into_iter();
        let group_keys = self.group_keys.into_iter();
        let readies = self.readies.into_iter();
        encapsulations
            .map(|((from, _), message)| (from, SetUpMessage::Encapsulation(message)))
            .chain(group_keys.map(|(from, message)| (from, SetUpMessage::GroupKey(message))))
            .chain(readies.map(|(from, message)| (from, SetUpMessage::Ready(message))))
    }
}

/// Holds a message in its place; the one that was there is void.
fn hold<K: Ord, T>(places: &mut BTreeMap<K, Signed<T>>, place: K, message: Signed<T>) -> Reaction {
    if places.get(&place) == Some(&message) {
        return Reaction::Ignored(REPEATED);
    }
    places.insert(place, message);
    Reaction::Handled
}
