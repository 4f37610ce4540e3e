//! Joins, encapsulations, the group key and the Readies of a session, kept for every hospital that has yet to get them.

use std::collections::BTreeMap;

use crypto::sealed_sum::HospitalId;

use protocol::{
    codec::{Id, List},
    digests::{GroupKeyId, JoinedSet, SessionId},
    identity::{Message, Signed},
    message::ToVault,
    roster::Roster,
    session::{Encapsulation, GroupKey, Join, Ready, SessionError, check_join, joined_set_hash},
};

#[derive(Default)]
pub(super) struct Setup {
    joins: BTreeMap<HospitalId, Signed<Join>>,
    encapsulations: BTreeMap<(HospitalId, HospitalId), Signed<Encapsulation>>,
    group_key: Option<(Signed<GroupKey>, GroupKeyId)>,
    readies: BTreeMap<HospitalId, Signed<Ready>>,
    /// How many the roster lists: the session starts when all have joined.
    expected: Option<usize>,
    /// What goes to whom, in the order in which it became known.
    relays: Vec<(Option<HospitalId>, ToVault)>,
}

impl Setup {
    /// Takes a Join; gives the number still missing when it is a new one.
    pub(super) fn take_join(
        &mut self,
        from: HospitalId,
        join: Signed<Join>,
        roster: &Roster,
        session: &SessionId,
    ) -> Result<Option<usize>, SessionError> {
        let body = check_join(&join, roster, session)?;
        own(from, body.id)?;
        self.expected = Some(roster.size());
        if let Some(known) = self.joins.get(&from) {
            return if *known == join {
                Ok(None)
            } else {
                Err(SessionError::Second {
                    id: from,
                    message: Join::TYPE,
                })
            };
        }
        self.joins.insert(from, join);
        let missing = roster.size() - self.joins.len();
        if missing == 0 {
            let joins = List(self.joins.values().cloned().collect());
            self.relays.push((None, ToVault::Joins(joins)));
        }
        Ok(Some(missing))
    }

    pub(super) fn take_encapsulation(
        &mut self,
        from: HospitalId,
        message: Signed<Encapsulation>,
        roster: &Roster,
    ) -> Result<(), SessionError> {
        let body = verify(&message, from, roster)?;
        own(from, body.from)?;
        let pair = (from, body.to.0);
        if !self.all_joined() || !self.joins.contains_key(&body.to.0) || body.to.0 <= from {
            return Err(SessionError::TooEarly {
                id: from,
                message: Encapsulation::TYPE,
                missing: "all had joined",
            });
        }
        if keep_first(&mut self.encapsulations, pair, message.clone())
            .map_err(|message| SessionError::Second { id: from, message })?
        {
            self.relays
                .push((Some(body.to.0), ToVault::Encapsulation(message)));
        }
        Ok(())
    }

    pub(super) fn take_group_key(
        &mut self,
        from: HospitalId,
        message: Signed<GroupKey>,
        roster: &Roster,
    ) -> Result<(), SessionError> {
        let body = verify(&message, from, roster)?;
        own(from, body.origin)?;
        if self.joins.keys().next() != Some(&from) || !self.all_joined() {
            return Err(SessionError::TooEarly {
                id: from,
                message: GroupKey::TYPE,
                missing: "it was its turn",
            });
        }
        match &self.group_key {
            Some((known, _)) if *known == message => {}
            Some(_) => {
                return Err(SessionError::Second {
                    id: from,
                    message: GroupKey::TYPE,
                });
            }
            None => {
                self.relays.push((None, ToVault::GroupKey(message.clone())));
                self.group_key = Some((message, body.gid));
            }
        }
        Ok(())
    }

    pub(super) fn take_ready(
        &mut self,
        from: HospitalId,
        message: Signed<Ready>,
        roster: &Roster,
    ) -> Result<(), SessionError> {
        let body = verify(&message, from, roster)?;
        own(from, body.id)?;
        let Some((_, gid)) = self.group_key else {
            return Err(SessionError::TooEarly {
                id: from,
                message: Ready::TYPE,
                missing: "the group key",
            });
        };
        if body.gid != gid || body.joined_set != self.joined_set() {
            return Err(SessionError::Disagreement {
                id: from,
                what: "group key or set of members",
            });
        }
        if keep_first(&mut self.readies, from, message.clone())
            .map_err(|message| SessionError::Second { id: from, message })?
        {
            self.relays.push((None, ToVault::Ready(message)));
        }
        Ok(())
    }

    /// All have joined and all have confirmed each other's keys.
    pub(super) fn is_complete(&self) -> bool {
        self.all_joined() && self.readies.len() == self.joins.len()
    }

    pub(super) fn has_joined(&self, id: HospitalId) -> bool {
        self.joins.contains_key(&id)
    }

    /// The share holders, sorted.
    pub(super) fn joined(&self) -> Vec<HospitalId> {
        self.joins.keys().copied().collect()
    }

    pub(super) fn joins(&self) -> usize {
        self.joins.len()
    }

    pub(super) fn joined_set(&self) -> JoinedSet {
        joined_set_hash(&self.joins.values().cloned().collect::<Vec<_>>())
    }

    /// The group key's id; zero before there is one.
    pub(super) fn gid(&self) -> GroupKeyId {
        self.group_key
            .as_ref()
            .map_or(GroupKeyId::from_bytes([0; 32]), |(_, gid)| *gid)
    }

    /// What a hospital is owed of the set-up from entry `from` on.
    pub(super) fn relays(&self, to: HospitalId, from: usize) -> (Vec<ToVault>, usize) {
        let owed = self
            .relays
            .iter()
            .skip(from)
            .filter(|(recipient, _)| recipient.is_none_or(|recipient| recipient == to));
        (
            owed.map(|(_, message)| message.clone()).collect(),
            self.relays.len(),
        )
    }

    fn all_joined(&self) -> bool {
        self.expected == Some(self.joins.len())
    }
}

fn verify<T: Message>(
    message: &Signed<T>,
    from: HospitalId,
    roster: &Roster,
) -> Result<T, SessionError> {
    let member = roster
        .member(from)
        .ok_or(SessionError::NotOnRoster { id: from })?;
    message
        .verify(&member.signing_key, format_args!("hospital {from}"))
        .map_err(|error| SessionError::Malformed(error.to_string()))
}

fn own(from: HospitalId, Id(id): Id) -> Result<(), SessionError> {
    if id == from {
        Ok(())
    } else {
        Err(SessionError::Malformed(format!(
            "hospital {from} speaks for hospital {id}"
        )))
    }
}

/// Keeps the first message under a key: true when it is new, false when it is the same again.
fn keep_first<K: Ord, T: Message>(
    map: &mut BTreeMap<K, Signed<T>>,
    key: K,
    message: Signed<T>,
) -> Result<bool, &'static str> {
    match map.get(&key) {
        Some(known) if *known == message => Ok(false),
        Some(_) => Err(T::TYPE),
        None => {
            map.insert(key, message);
            Ok(true)
        }
    }
}
