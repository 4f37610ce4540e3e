//! What of a session's keys is kept on disk, and the way back from it: from the moment at which this vault says Ready, after which the
//! others may open rounds with it.

use std::collections::BTreeMap;

use crypto::{hash::SecretKey32, sealed_sum::HospitalId};
use protocol::{
    codec::{Id, List, Secret},
    digests::{EncapsulationDigest, GroupKeyId, RoundNumber, SessionId, StateCommit},
    identity::Signed,
    message::ToCoordinator,
    roster::Roster,
    session::{Join, SessionError},
};

use super::{
    confirmed::Confirmed,
    exchange::KeyExchange,
    group::{Group, GroupState},
    members::{Members, claimed_sender},
    own::OwnJoin,
    pairs::{Pair, Pairs},
    ratchet::Ratchet,
    session_keys::SessionKeys,
};

/// The messages of the set-up, and what was seen of the others': public.
pub(in crate::vault) struct SetUpRecord {
    pub(in crate::vault) session: SessionId,
    /// Of all vaults, sorted.
    pub(in crate::vault) joins: Vec<Signed<Join>>,
    /// H of the Encapsulation with each other vault.
    pub(in crate::vault) encapsulations: Vec<(HospitalId, EncapsulationDigest)>,
    pub(in crate::vault) gid: GroupKeyId,
    /// Of every other vault that has confirmed.
    pub(in crate::vault) readies: Vec<(HospitalId, Confirmed)>,
    /// What this vault brings of the run.
    pub(in crate::vault) own_state: Option<StateCommit>,
    /// Our messages between Join and Ready.
    pub(in crate::vault) sent: Vec<ToCoordinator>,
}

/// The keys as they stand at a round.
pub(in crate::vault) struct KeyRecord {
    /// The round they are of.
    pub(in crate::vault) round: RoundNumber,
    /// With every other vault, by its number.
    pub(in crate::vault) pairs: List<(Id, Secret)>,
    pub(in crate::vault) group: Secret,
}

impl KeyExchange {
    /// What is to be kept, once all keys are here.
    pub(in crate::vault) fn records(&self) -> Option<(SetUpRecord, KeyRecord)> {
        let (GroupState::Known(group), Pairs::Complete(pairs)) = (&self.group, &self.pairs) else {
            return None;
        };
        let set_up = SetUpRecord {
            session: self.own.session,
            joins: self.members.joins(),
            encapsulations: encapsulations(pairs),
            gid: group.gid,
            readies: listed(&self.readies),
            own_state: self.own_state,
            sent: self.sent.clone(),
        };
        Some((set_up, key_record(pairs, group)))
    }

    /// The exchange as hospital `id` has kept it.
    ///
    /// # Errors
    /// [`SessionError`] when it is not of this roster, or not whole.
    pub(in crate::vault) fn restored(
        set_up: SetUpRecord,
        keys: KeyRecord,
        id: HospitalId,
        roster: &Roster,
    ) -> Result<Self, SessionError> {
        let incomplete =
            || SessionError::Malformed("a key or message of the set-up is missing".into());
        let is_ours =
            |join: &&Signed<Join>| claimed_sender(join, |body| body.id.0).is_ok_and(|of| of == id);
        let own = OwnJoin {
            id,
            session: set_up.session,
            join: set_up
                .joins
                .iter()
                .find(is_ours)
                .cloned()
                .ok_or_else(incomplete)?,
        };
        let members = Members::check(&own, &set_up.joins, roster)?;
        let encapsulations: BTreeMap<_, _> = set_up.encapsulations.into_iter().collect();
        let mut pairs = BTreeMap::new();
        for (Id(peer), Secret(key)) in keys.pairs.0 {
            let encapsulation = *encapsulations.get(&peer).ok_or_else(incomplete)?;
            let ratchet = Ratchet::new(key, keys.round);
            let pair = Pair {
                ratchet,
                encapsulation,
            };
            pairs.insert(peer, pair);
        }
        let peers = members.ids().into_iter().filter(|peer| *peer != id);
        if !peers.eq(pairs.keys().copied()) {
            return Err(incomplete());
        }
        let group = Group {
            ratchet: Ratchet::new(keys.group.0, keys.round),
            gid: set_up.gid,
        };
        Ok(Self {
            own,
            members,
            pairs: Pairs::Complete(pairs),
            group: GroupState::Known(group),
            readies: set_up.readies.into_iter().collect(),
            own_state: set_up.own_state,
            sent: set_up.sent,
        })
    }
}

impl SessionKeys {
    /// The set-up, complete.
    pub(in crate::vault) fn set_up_record(&self) -> SetUpRecord {
        let is_between = |message: &&ToCoordinator| {
            !matches!(message, ToCoordinator::Join(_) | ToCoordinator::Ready(_))
        };
        SetUpRecord {
            session: self.own.session,
            joins: self.members.joins(),
            encapsulations: encapsulations(&self.pairs),
            gid: self.group.gid,
            readies: listed(&self.readies),
            own_state: self.own_state,
            sent: self.sent.iter().filter(is_between).cloned().collect(),
        }
    }

    /// The keys as they stand. For what is sealed.
    pub(in crate::vault) fn key_record(&self) -> KeyRecord {
        key_record(&self.pairs, &self.group)
    }
}

fn key_record(pairs: &BTreeMap<HospitalId, Pair>, group: &Group) -> KeyRecord {
    let copy = |key: &SecretKey32| Secret(SecretKey32::from_bytes(*key.as_bytes()));
    KeyRecord {
        round: group.ratchet.round(),
        pairs: pairs
            .iter()
            .map(|(&id, pair)| (Id(id), copy(pair.ratchet.key())))
            .collect(),
        group: copy(group.ratchet.key()),
    }
}

fn encapsulations(pairs: &BTreeMap<HospitalId, Pair>) -> Vec<(HospitalId, EncapsulationDigest)> {
    let pairs = pairs.iter();
    pairs.map(|(&id, pair)| (id, pair.encapsulation)).collect()
}

fn listed(readies: &BTreeMap<HospitalId, Confirmed>) -> Vec<(HospitalId, Confirmed)> {
    readies.iter().map(|(&id, &ready)| (id, ready)).collect()
}
