//! Who joined the session: the share holders of all its sums.

use crypto::sealed_sum::HospitalId;
use protocol::{
    digests::{JoinDigest, JoinedSet, RosterHash},
    identity::{Message, Signed},
    roster::Roster,
    session::{Join, SessionError, check_join, joined_set_hash},
};

use super::own::OwnJoin;

/// A vault of the session.
pub(super) struct Member {
    pub(super) id: HospitalId,
    pub(super) join: Join,
    /// H(Join).
    pub(super) digest: JoinDigest,
    signed: Signed<Join>,
}

/// All vaults of the session, sorted by number, our own included.
pub(super) struct Members {
    list: Vec<Member>,
    /// H(sorted Joins).
    pub(super) joined_set: JoinedSet,
    pub(super) roster_hash: RosterHash,
}

impl Members {
    /// Checks the list that the coordinator sends: every Join is its sender's, for this roster and session; sorted; at least t; our
    /// own is among them, unaltered.
    pub(super) fn check(
        own: &OwnJoin,
        joins: &[Signed<Join>],
        roster: &Roster,
    ) -> Result<Self, SessionError> {
        let list = joins
            .iter()
            .map(|signed| {
                let join = check_join(signed, roster, &own.session)?;
                Ok(Member {
                    id: join.id.0,
                    join,
                    digest: signed.digest(),
                    signed: signed.clone(),
                })
            })
            .collect::<Result<Vec<_>, SessionError>>()?;
        if list.windows(2).any(|pair| pair[0].id >= pair[1].id) || list.len() < roster.threshold() {
            return Err(SessionError::Malformed(
                "the list of members is unsorted or shorter than the threshold".into(),
            ));
        }
        let ours = own.join.digest();
        if !list
            .iter()
            .any(|member| member.id == own.id && member.digest == ours)
        {
            return Err(SessionError::Disagreement {
                id: own.id,
                what: "Join of ours",
            });
        }
        Ok(Self {
            list,
            joined_set: joined_set_hash(joins),
            roster_hash: roster.hash(),
        })
    }

    /// All Joins, sorted, as they were signed.
    pub(super) fn joins(&self) -> Vec<Signed<Join>> {
        let members = self.list.iter();
        members.map(|member| member.signed.clone()).collect()
    }

    pub(super) fn get(&self, id: HospitalId) -> Result<&Member, SessionError> {
        self.list
            .iter()
            .find(|member| member.id == id)
            .ok_or(SessionError::NotOnRoster { id })
    }

    /// The vault that draws the group key: the one with the smallest number.
    pub(super) fn origin(&self) -> HospitalId {
        self.list[0].id
    }

    /// Vaults other than ours.
    pub(super) fn others(&self) -> usize {
        self.list.len() - 1
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.list.iter()
    }

    pub(super) fn ids(&self) -> Vec<HospitalId> {
        self.list.iter().map(|member| member.id).collect()
    }

    /// The body of a message that member `from` has signed.
    pub(super) fn verify<T: Message>(
        &self,
        message: &Signed<T>,
        from: HospitalId,
        roster: &Roster,
    ) -> Result<T, SessionError> {
        self.get(from)?;
        let member = roster
            .member(from)
            .ok_or(SessionError::NotOnRoster { id: from })?;
        message
            .verify(&member.signing_key, format_args!("hospital {from}"))
            .map_err(|error| SessionError::Malformed(error.to_string()))
    }
}

/// The number that a message claims to come from, before its signature is looked at.
pub(super) fn claimed_sender<T: Message>(
    message: &Signed<T>,
    sender: impl FnOnce(T) -> HospitalId,
) -> Result<HospitalId, SessionError> {
    message
        .read_unverified()
        .map(sender)
        .map_err(|error| SessionError::Malformed(error.to_string()))
}
