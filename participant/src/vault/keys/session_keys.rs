//! The keys of a session once they are complete, and what comes of the set-up after that (PROTOCOL.md 3.2).

use std::collections::BTreeMap;

use crypto::{hash::SecretKey32, sealed_sum::HospitalId};
use protocol::{
    digests::{GroupKeyId, JoinedSet, RoundNumber, SessionId, StateCommit},
    identity::{Message, Signed},
    message::ToCoordinator,
    roster::Roster,
    session::{Encapsulation, GroupKey, Ready, SessionError, common_state},
};

use super::{
    confirmed::Confirmed,
    group::{self, Group},
    members::{Members, claimed_sender},
    own::OwnJoin,
    pairs::Pair,
};

/// The keys of a session, complete: every pair's, the group's, and every vault has confirmed them.
pub(in crate::vault) struct SessionKeys {
    pub(super) own: OwnJoin,
    pub(super) members: Members,
    pub(super) pairs: BTreeMap<HospitalId, Pair>,
    pub(super) group: Group,
    /// Of every other vault.
    pub(super) readies: BTreeMap<HospitalId, Confirmed>,
    /// What this vault has brought of the run.
    pub(super) own_state: Option<StateCommit>,
    /// Our messages of the set-up.
    pub(super) sent: Vec<ToCoordinator>,
}

impl SessionKeys {
    pub(in crate::vault) fn session(&self) -> SessionId {
        self.own.session
    }

    pub(in crate::vault) fn own_id(&self) -> HospitalId {
        self.own.id
    }

    /// What this vault has brought of the run.
    pub(in crate::vault) fn own_state(&self) -> Option<StateCommit> {
        self.own_state
    }

    /// The state that the session goes on from; none where nobody brings one.
    pub(in crate::vault) fn common_state(
        &self,
        roster: &Roster,
    ) -> Result<Option<StateCommit>, SessionError> {
        let others = self.readies.values().map(|ready| ready.state);
        common_state(others.chain([self.own_state]), roster)
    }

    /// Our messages of the set-up, as the identical bytes, for a coordinator that may not have got them.
    pub(in crate::vault) fn sent(&self) -> &[ToCoordinator] {
        &self.sent
    }

    /// The share holders, sorted.
    pub(in crate::vault) fn joined(&self) -> Vec<HospitalId> {
        self.members.ids()
    }

    pub(in crate::vault) fn joined_set(&self) -> JoinedSet {
        self.members.joined_set
    }

    /// The group key's id.
    pub(in crate::vault) fn gid(&self) -> GroupKeyId {
        self.group.gid
    }

    /// Steps every key to `round`; what came before is gone.
    pub(in crate::vault) fn advance_to(&mut self, round: RoundNumber) {
        for pair in self.pairs.values_mut() {
            pair.ratchet.advance_to(round);
        }
        self.group.ratchet.advance_to(round);
    }

    /// `K_ij` of the round at hand; none with ourselves and with strangers.
    pub(in crate::vault) fn pair_key(&self, peer: HospitalId) -> Option<&SecretKey32> {
        self.pairs.get(&peer).map(|pair| pair.ratchet.key())
    }

    /// G of the round at hand.
    pub(in crate::vault) fn group_key(&self) -> &SecretKey32 {
        self.group.ratchet.key()
    }

    /// The round that the keys are of.
    pub(in crate::vault) fn round(&self) -> RoundNumber {
        self.group.ratchet.round()
    }

    /// An Encapsulation after the exchange: the one that the pair's key came from, again, or an error.
    pub(in crate::vault) fn check_repeated_encapsulation(
        &self,
        message: &Signed<Encapsulation>,
        roster: &Roster,
    ) -> Result<(), SessionError> {
        let from = claimed_sender(message, |body| body.from.0)?;
        self.members.verify(message, from, roster)?;
        let known = self.pairs.get(&from).map(|pair| pair.encapsulation);
        same_as_before(known, message, from)
    }

    /// A group key after the exchange, likewise.
    pub(in crate::vault) fn check_repeated_group_key(
        &self,
        message: &Signed<GroupKey>,
        roster: &Roster,
    ) -> Result<(), SessionError> {
        let origin = self.members.origin();
        let body = self.members.verify(message, origin, roster)?;
        group::check_frame(&body, &self.own, origin)?;
        if body.gid == self.group.gid {
            Ok(())
        } else {
            Err(SessionError::Second {
                id: origin,
                message: GroupKey::TYPE,
            })
        }
    }

    /// A Ready after the exchange, likewise; our own may come back to us.
    pub(in crate::vault) fn check_repeated_ready(
        &self,
        message: &Signed<Ready>,
        roster: &Roster,
    ) -> Result<(), SessionError> {
        let from = claimed_sender(message, |body| body.id.0)?;
        self.members.verify(message, from, roster)?;
        if from == self.own.id {
            return Ok(());
        }
        let known = self.readies.get(&from).map(|ready| ready.digest);
        same_as_before(known, message, from)
    }
}

fn same_as_before<T: Message>(
    known: Option<T::Digest>,
    message: &Signed<T>,
    from: HospitalId,
) -> Result<(), SessionError>
where
    T::Digest: PartialEq,
{
    if known == Some(message.digest()) {
        Ok(())
    } else {
        Err(SessionError::Second {
            id: from,
            message: T::TYPE,
        })
    }
}
