//! The keys of a session once they are complete, and what comes of the set-up after that (PROTOCOL.md 3.2).

use std::collections::BTreeMap;

use crypto::{
    hash::{Digest, SecretKey32},
    sealed_sum::HospitalId,
};
use protocol::{
    codec::{Id, Secret},
    digests::{GroupKeyId, JoinedSet, RoundNumber, SessionId},
    identity::{Message, Signed},
    manifest::Manifest,
    message::ToCoordinator,
    roster::Roster,
    session::{Encapsulation, GroupKey, Join, Ready, SessionError},
};

use super::{
    group::{self, Group},
    members::{Members, claimed_sender},
    own::OwnJoin,
    pairs::Pair,
    ratchet::Ratchet,
};
use crate::vault::kept::{KeyRecord, SetUpRecord};

/// The keys of a session, complete: every pair's, the group's, and every vault has confirmed them.
pub(in crate::vault) struct SessionKeys {
    pub(super) own: OwnJoin,
    pub(super) members: Members,
    pub(super) pairs: BTreeMap<HospitalId, Pair>,
    pub(super) group: Group,
    /// H of every other vault's Ready.
    pub(super) readies: BTreeMap<HospitalId, Digest>,
    /// Our messages of the set-up.
    pub(super) sent: Vec<ToCoordinator>,
}

impl SessionKeys {
    /// What of the set-up is kept; `manifest` is that of the run.
    pub(in crate::vault) fn record(&self, manifest: &Signed<Manifest>) -> SetUpRecord {
        let encapsulations = self.pairs.iter();
        let readies = self.readies.iter();
        SetUpRecord {
            manifest: manifest.clone(),
            session: self.own.session,
            joins: self.members.joins(),
            encapsulations: encapsulations
                .map(|(&id, pair)| (id, pair.encapsulation))
                .collect(),
            gid: self.group.gid,
            readies: readies.map(|(&id, &digest)| (id, digest)).collect(),
            sent: self.sent.clone(),
        }
    }

    /// The keys as they stand. For what is sealed.
    pub(in crate::vault) fn key_record(&self) -> KeyRecord {
        let copy = |key: &SecretKey32| Secret(SecretKey32::from_bytes(*key.as_bytes()));
        let pairs = self.pairs.iter();
        KeyRecord {
            round: self.round(),
            pairs: pairs
                .map(|(&id, pair)| (Id(id), copy(pair.ratchet.key())))
                .collect(),
            group: copy(self.group.ratchet.key()),
        }
    }

    /// The keys as they were kept by hospital `id`.
    ///
    /// # Errors
    /// [`SessionError`] when they are not of this roster, or not whole.
    pub(in crate::vault) fn restored(
        set_up: SetUpRecord,
        keys: KeyRecord,
        id: HospitalId,
        roster: &Roster,
    ) -> Result<Self, SessionError> {
        let incomplete = || SessionError::Malformed("a key or message of the set-up is missing".into());
        let sender = |join: &Signed<Join>| claimed_sender(join, |body| body.id.0);
        let mut joins = set_up.joins.iter();
        let join = joins.find(|join| sender(join) == Ok(id)).ok_or_else(incomplete)?;
        let own = OwnJoin {
            id,
            session: set_up.session,
            join: join.clone(),
        };
        let members = Members::check(&own, &set_up.joins, roster)?;
        let encapsulations: BTreeMap<_, _> = set_up.encapsulations.into_iter().collect();
        let mut pairs = BTreeMap::new();
        for (Id(peer), Secret(key)) in keys.pairs.0 {
            let encapsulation = *encapsulations.get(&peer).ok_or_else(incomplete)?;
            let ratchet = Ratchet::new(key, keys.round);
            pairs.insert(
                peer,
                Pair {
                    ratchet,
                    encapsulation,
                },
            );
        }
        let readies: BTreeMap<_, _> = set_up.readies.into_iter().collect();
        let peers = || members.ids().into_iter().filter(|peer| *peer != id);
        if !peers().eq(pairs.keys().copied()) || !peers().eq(readies.keys().copied()) {
            return Err(incomplete());
        }
        let group = Group {
            ratchet: Ratchet::new(keys.group.0, keys.round),
            gid: set_up.gid,
        };
        Ok(Self {
            own,
            members,
            pairs,
            group,
            readies,
            sent: set_up.sent,
        })
    }

    pub(in crate::vault) fn session(&self) -> SessionId {
        self.own.session
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
        same_as_before(self.readies.get(&from).copied(), message, from)
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
