//! The set-up of a session's keys: Encapsulations, the group key, every vault's Ready (PROTOCOL.md 3.2).

use std::collections::BTreeMap;

use crypto::{hash::SecretKey32, sealed_sum::HospitalId};
use protocol::{
    codec::{Id, List},
    digests::{JoinedSet, RosterHash, SessionId, StateCommit},
    identity::{Message, Signed, SigningKey},
    message::ToCoordinator,
    roster::Roster,
    session::{Encapsulation, GroupKey, Join, Ready, SeenEncapsulation, SessionError},
};
use rand_core::CryptoRng;

use super::{
    confirmed::Confirmed,
    group::{self, Group, GroupState},
    members::{Member, Members, claimed_sender},
    own::{OwnJoin, OwnKeys},
    pairs::{self, Pair, Pairs},
    session_keys::SessionKeys,
};
use crate::vault::step::{REPEATED, Reaction};

/// The keys of a session while vaults exchange them.
pub(in crate::vault) struct KeyExchange {
    pub(super) own: OwnJoin,
    pub(super) members: Members,
    pub(super) pairs: Pairs,
    pub(super) group: GroupState,
    /// Of every other vault that has confirmed.
    pub(super) readies: BTreeMap<HospitalId, Confirmed>,
    /// What this vault brings of the run; none before it has anything.
    pub(super) own_state: Option<StateCommit>,
    /// What we have sent of the set-up, for a new connection.
    pub(super) sent: Vec<ToCoordinator>,
}

/// How far the exchange is after a message.
pub(in crate::vault) enum Progress {
    /// Something is missing.
    Incomplete(KeyExchange),
    /// All pairs have their keys, G is known, and every other vault has confirmed.
    Complete(SessionKeys),
}

/// What a vault sends once it knows everybody's Join.
pub(in crate::vault) struct Opening {
    pub(in crate::vault) encapsulations: Vec<Signed<Encapsulation>>,
    /// From the vault with the smallest number.
    pub(in crate::vault) group_key: Option<Signed<GroupKey>>,
}

impl KeyExchange {
    /// Takes the Joins of all: encapsulates to every vault with a larger number and, with the smallest, draws the group key.
    pub(in crate::vault) fn begin(
        own: OwnKeys,
        joins: &[Signed<Join>],
        roster: &Roster,
        key: &SigningKey,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Opening), SessionError> {
        let members = Members::check(&own.identity, joins, roster)?;
        let mut exchange = Self {
            own: own.identity,
            members,
            pairs: Pairs::new(own.secrets),
            group: GroupState::Awaited,
            readies: BTreeMap::new(),
            own_state: None,
            sent: Vec::new(),
        };
        let encapsulations = exchange.encapsulate_to_larger_numbers(key)?;
        let group_key = (exchange.members.origin() == exchange.own.id)
            .then(|| exchange.draw_group_key(key, rng));
        let opening = Opening {
            encapsulations,
            group_key,
        };
        exchange.sent = opening.messages().collect();
        Ok((exchange, opening))
    }

    /// "Encapsulation (i -> j for i < j, relayed): ML-KEM ciphertext 1088, signed together with both Joins and the roster hash."
    fn encapsulate_to_larger_numbers(
        &mut self,
        key: &SigningKey,
    ) -> Result<Vec<Signed<Encapsulation>>, SessionError> {
        let mut messages = Vec::new();
        let mut made = Vec::new();
        let Pairs::Exchanging { secrets, .. } = &self.pairs else {
            return Ok(messages);
        };
        for peer in self.members.iter().filter(|peer| peer.id > self.own.id) {
            let (ciphertext, shared) = pairs::encapsulate(peer)?;
            let body = Encapsulation {
                session: self.own.session,
                from: Id(self.own.id),
                to: Id(peer.id),
                from_join: self.own.join.digest(),
                to_join: peer.digest,
                roster_hash: self.members.roster_hash,
                ciphertext,
            };
            let message = Signed::sign(&body, key);
            let ratchet = pairs::pair_key(
                &self.own,
                secrets,
                peer,
                &shared,
                &ciphertext,
                &self.members,
            )?;
            let pair = Pair {
                ratchet,
                encapsulation: message.digest(),
            };
            made.push((peer.id, pair));
            messages.push(message);
        }
        for (peer, pair) in made {
            self.keep_pair(peer, pair);
        }
        Ok(messages)
    }

    fn draw_group_key(&mut self, key: &SigningKey, rng: &mut impl CryptoRng) -> Signed<GroupKey> {
        let (group, message) = Group::draw(&self.own, self.pairs.known(), key, rng);
        self.group = GroupState::Known(group);
        message
    }

    fn keep_pair(&mut self, peer: HospitalId, pair: Pair) {
        let before = std::mem::replace(&mut self.pairs, Pairs::Complete(BTreeMap::new()));
        self.pairs = before.with(peer, pair, self.members.others());
    }

    /// An Encapsulation from a vault with a smaller number.
    pub(in crate::vault) fn on_encapsulation(
        &mut self,
        message: &Signed<Encapsulation>,
        roster: &Roster,
    ) -> Result<Reaction, SessionError> {
        let from = claimed_sender(message, |body| body.from.0)?;
        self.check_session(from, claimed_session(message, |body| body.session)?)?;
        let body = self.members.verify(message, from, roster)?;
        let peer = self.members.get(from)?;
        check_encapsulation(&body, peer, &self.own, &self.members.roster_hash)?;
        let digest = message.digest();
        let second = SessionError::Second {
            id: from,
            message: Encapsulation::TYPE,
        };
        if let Some(pair) = self.pairs.known().get(&from) {
            return if pair.encapsulation == digest {
                Ok(Reaction::Ignored(REPEATED))
            } else {
                Err(second)
            };
        }
        let Pairs::Exchanging { secrets, .. } = &self.pairs else {
            return Err(second);
        };
        let shared = pairs::decapsulate(secrets, from, &body)?;
        let ratchet = pairs::pair_key(
            &self.own,
            secrets,
            peer,
            &shared,
            &body.ciphertext,
            &self.members,
        )?;
        let pair = Pair {
            ratchet,
            encapsulation: digest,
        };
        self.keep_pair(from, pair);
        Ok(Reaction::Handled)
    }

    /// The group key, from the vault with the smallest number.
    pub(in crate::vault) fn on_group_key(
        &mut self,
        message: &Signed<GroupKey>,
        roster: &Roster,
    ) -> Result<Reaction, SessionError> {
        let origin = self.members.origin();
        self.check_session(origin, claimed_session(message, |body| body.session)?)?;
        let body = self.members.verify(message, origin, roster)?;
        group::check_frame(&body, &self.own, origin)?;
        match &self.group {
            GroupState::Known(group) if group.gid == body.gid => Ok(Reaction::Ignored(REPEATED)),
            GroupState::Known(_) => Err(SessionError::Second {
                id: origin,
                message: GroupKey::TYPE,
            }),
            GroupState::Awaited => {
                let group = Group::open(&body, &self.own, origin, self.pairs.known())?;
                self.group = GroupState::Known(group);
                Ok(Reaction::Handled)
            }
        }
    }

    /// Another vault's word: "A vault sends boxes to j only after j's Ready agrees with its own view of the Joins, of their
    /// Encapsulation and of gid."
    pub(in crate::vault) fn on_ready(
        &mut self,
        message: &Signed<Ready>,
        roster: &Roster,
    ) -> Result<Reaction, SessionError> {
        let id = claimed_sender(message, |body| body.id.0)?;
        self.check_session(id, claimed_session(message, |body| body.session)?)?;
        let body = self.members.verify(message, id, roster)?;
        if id == self.own.id {
            return Ok(Reaction::Ignored(REPEATED));
        }
        let GroupState::Known(group) = &self.group else {
            return Err(SessionError::TooEarly {
                id,
                message: Ready::TYPE,
                missing: "the group key",
            });
        };
        let pair = self.pairs.known().get(&id).ok_or(SessionError::TooEarly {
            id,
            message: Ready::TYPE,
            missing: "its encapsulation",
        })?;
        let disagreement = |what| Err(SessionError::Disagreement { id, what });
        if body.joined_set != self.members.joined_set {
            return disagreement("set of members");
        }
        if body.gid != group.gid {
            return disagreement("group key");
        }
        let ours = body
            .encapsulations
            .iter()
            .find(|entry| entry.peer.0 == self.own.id);
        if ours.is_none_or(|entry| entry.digest != pair.encapsulation) {
            return disagreement("encapsulation");
        }
        let confirmed = Confirmed {
            digest: message.digest(),
            state: body.state,
        };
        if self.readies.insert(id, confirmed) == Some(confirmed) {
            return Ok(Reaction::Ignored(REPEATED));
        }
        Ok(Reaction::Handled)
    }

    /// A message of another session was on its way, or is said again: nobody is at fault.
    fn check_session(&self, id: HospitalId, session: SessionId) -> Result<(), SessionError> {
        if session == self.own.session {
            Ok(())
        } else {
            Err(SessionError::OtherSession { id })
        }
    }

    /// Whether every pair has its key and G is known.
    pub(in crate::vault) fn has_all_keys(&self) -> bool {
        matches!(
            (&self.group, &self.pairs),
            (GroupState::Known(_), Pairs::Complete(_))
        )
    }

    /// G, once it is known.
    pub(in crate::vault) fn group_key(&self) -> Option<&SecretKey32> {
        match &self.group {
            GroupState::Known(group) => Some(group.ratchet.key()),
            GroupState::Awaited => None,
        }
    }

    /// What our Ready says of the run. To be called before it is made.
    pub(in crate::vault) fn bring(&mut self, state: StateCommit) {
        self.own_state = Some(state);
    }

    /// Our word on what we have seen, once all keys are here.
    pub(in crate::vault) fn ready(&self, key: &SigningKey) -> Option<Signed<Ready>> {
        let (GroupState::Known(group), Pairs::Complete(pairs)) = (&self.group, &self.pairs) else {
            return None;
        };
        let seen = pairs.iter().map(|(&peer, pair)| SeenEncapsulation {
            peer: Id(peer),
            digest: pair.encapsulation,
        });
        let ready = Ready {
            session: self.own.session,
            id: Id(self.own.id),
            joined_set: self.members.joined_set,
            gid: group.gid,
            encapsulations: List(seen.collect()),
            state: self.own_state,
        };
        Some(Signed::sign(&ready, key))
    }

    /// Whether every other vault has confirmed, and all keys are here: then these are the session's.
    pub(in crate::vault) fn progress(self, key: &SigningKey) -> Progress {
        if self.readies.len() != self.members.others() {
            return Progress::Incomplete(self);
        }
        let sent = self.sent_so_far(key);
        match self {
            Self {
                own,
                members,
                pairs: Pairs::Complete(pairs),
                group: GroupState::Known(group),
                readies,
                own_state,
                ..
            } => Progress::Complete(SessionKeys {
                own_state,
                own,
                members,
                pairs,
                group,
                readies,
                sent,
            }),
            incomplete => Progress::Incomplete(incomplete),
        }
    }

    /// Our messages of the set-up, as the identical bytes, for a coordinator that may not have got them.
    pub(in crate::vault) fn sent_so_far(&self, key: &SigningKey) -> Vec<ToCoordinator> {
        let join = std::iter::once(ToCoordinator::Join(self.own.join.clone()));
        let ready = self.ready(key).map(ToCoordinator::Ready);
        join.chain(self.sent.iter().cloned()).chain(ready).collect()
    }

    pub(in crate::vault) fn session(&self) -> SessionId {
        self.own.session
    }

    pub(in crate::vault) fn joined_set(&self) -> JoinedSet {
        self.members.joined_set
    }
}

impl Opening {
    pub(in crate::vault) fn messages(&self) -> impl Iterator<Item = ToCoordinator> {
        let encapsulations = self.encapsulations.iter().cloned();
        encapsulations
            .map(ToCoordinator::Encapsulation)
            .chain(self.group_key.iter().cloned().map(ToCoordinator::GroupKey))
    }
}

/// The session that a message says it is of, before its signature is looked at.
fn claimed_session<T: Message>(
    message: &Signed<T>,
    session: impl FnOnce(T) -> SessionId,
) -> Result<SessionId, SessionError> {
    message
        .read_unverified()
        .map(session)
        .map_err(|error| SessionError::Malformed(error.to_string()))
}

/// An Encapsulation is between these two Joins of this session and roster, and from the smaller number to the larger.
fn check_encapsulation(
    body: &Encapsulation,
    from: &Member,
    own: &OwnJoin,
    roster_hash: &RosterHash,
) -> Result<(), SessionError> {
    let is_ours = body.session == own.session
        && body.to.0 == own.id
        && body.from_join == from.digest
        && body.to_join == own.join.digest()
        && body.roster_hash == *roster_hash
        && from.id < own.id;
    if is_ours {
        Ok(())
    } else {
        Err(SessionError::Disagreement {
            id: from.id,
            what: "Join or roster",
        })
    }
}
