//! How one roster follows another: who has to sign it, and what it may not change.
//!
//! ```text
//! epoch 1   signed by all its members
//! epoch e   signed by t members of epoch e - 1, by every member that was not in it, and by every one with another TLS key; bound to
//!           the hash of epoch e - 1
//! ```
//!
//! So whoever trusts one roster can follow it to every later one, and nobody becomes a member without having signed.

use std::collections::BTreeMap;

use crypto::sealed_sum::HospitalId;

use super::{Roster, RosterError, RosterFile};
use crate::identity::PublicKey;

impl RosterFile {
    /// The draft of the next epoch: this roster with other members, to be signed.
    ///
    /// # Errors
    /// [`RosterError`] when this one is not valid: only a published roster is followed by another.
    pub fn next_epoch(&self) -> Result<Self, RosterError> {
        self.check()?;
        let mut history = self.history.clone();
        history.push(Self {
            history: Vec::new(),
            ..self.clone()
        });
        Ok(Self {
            epoch: self.epoch.saturating_add(1),
            signatures: Vec::new(),
            history,
            ..self.clone()
        })
    }

    /// The roster before this one, with all that lead to it checked; none at genesis.
    ///
    /// # Errors
    /// [`RosterError`].
    pub fn previous(&self) -> Result<Option<Roster>, RosterError> {
        Ok(self.earlier()?.pop())
    }

    /// This roster and all before it, checked, the first one first.
    ///
    /// # Errors
    /// [`RosterError`].
    pub fn all_epochs(&self) -> Result<Vec<Roster>, RosterError> {
        let mut all = self.earlier()?;
        all.push(self.check()?);
        Ok(all)
    }

    /// All rosters before this one, checked, the first one first.
    fn earlier(&self) -> Result<Vec<Roster>, RosterError> {
        let expected = u32::try_from(self.history.len()).unwrap_or(u32::MAX);
        if self.epoch.checked_sub(1) != Some(expected) {
            return Err(RosterError::History { epoch: self.epoch });
        }
        let mut earlier: Vec<Roster> = Vec::new();
        let mut numbers = KnownNumbers::default();
        for (file, epoch) in self.history.iter().zip(1..) {
            if file.epoch != epoch || !file.history.is_empty() {
                return Err(RosterError::History { epoch: self.epoch });
            }
            let roster = file.unsigned(earlier.last())?;
            file.check_signatures(&roster, earlier.last())?;
            numbers.admit(&roster)?;
            earlier.push(roster);
        }
        // The members of this one, too: a number that has once been a hospital's stays that hospital's.
        numbers.admit(&self.unsigned(earlier.last())?)?;
        Ok(earlier)
    }

    /// Whose signatures are still missing, by the rule above: those that have to sign, and, of a later epoch, how many more of the
    /// previous one's members.
    ///
    /// # Errors
    /// [`RosterError`] when the draft itself is not valid.
    pub fn missing_signatures(&self) -> Result<MissingSignatures, RosterError> {
        let previous = self.previous()?;
        let roster = self.unsigned(previous.as_ref())?;
        Ok(self.missing(&roster, previous.as_ref()))
    }

    pub(super) fn check_signatures(
        &self,
        roster: &Roster,
        previous: Option<&Roster>,
    ) -> Result<(), RosterError> {
        let missing = self.missing(roster, previous);
        if let Some(&id) = missing.members.first() {
            return Err(RosterError::Unsigned { id });
        }
        match missing.of_previous {
            0 => Ok(()),
            missing => Err(RosterError::TooFewOfPrevious {
                epoch: self.epoch,
                missing,
            }),
        }
    }

    fn missing(&self, roster: &Roster, previous: Option<&Roster>) -> MissingSignatures {
        let hash = roster.hash();
        let has_signed =
            |member: &super::Member| self.is_signed_by(&hash, member.id, &member.signing_key);
        let was_there = |member: &super::Member| {
            let before = previous.and_then(|previous| previous.member(member.id));
            before.is_some_and(|before| before.tls_fingerprint == member.tls_fingerprint)
        };
        let members = roster.members();
        let must_sign = members.filter(|member| !was_there(member) && !has_signed(member));
        let of_previous = previous.map_or(0, |previous| {
            let signed = previous.members().filter(|member| has_signed(member));
            previous.threshold().saturating_sub(signed.count())
        });
        MissingSignatures {
            members: must_sign.map(|member| member.id).collect(),
            of_previous,
        }
    }
}

/// What a draft lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingSignatures {
    /// Members that have to sign and have not: all at genesis, later those that are new.
    pub members: Vec<HospitalId>,
    /// How many more members of the previous epoch have to sign.
    pub of_previous: usize,
}

impl MissingSignatures {
    /// Whether the roster can be published.
    pub fn is_none(&self) -> bool {
        self.members.is_empty() && self.of_previous == 0
    }
}

/// People and records name hospitals by number, over all epochs.
#[derive(Default)]
struct KnownNumbers(BTreeMap<HospitalId, PublicKey>);

impl KnownNumbers {
    fn admit(&mut self, roster: &Roster) -> Result<(), RosterError> {
        for member in roster.members() {
            let known = self.0.entry(member.id).or_insert(member.signing_key);
            if *known != member.signing_key {
                return Err(RosterError::NumberUsedAgain { id: member.id });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        identity::SigningKey,
        roster::testing::{self, TestFederation},
    };

    fn key(id: u8) -> SigningKey {
        SigningKey::from_secret_bytes(&[id; 32])
    }

    fn id(id: u8) -> HospitalId {
        HospitalId::new(id).expect("in range")
    }

    fn genesis(size: u8) -> RosterFile {
        let TestFederation { roster, .. } = testing::federation(size);
        let mut file = testing::file_of(&roster);
        for hospital in 1..=size {
            file.sign(id(hospital), &key(hospital)).expect("sound");
        }
        file
    }

    fn with_a_fifth(file: &RosterFile) -> RosterFile {
        let mut next = file.next_epoch().expect("it is published");
        next.hospitals.push(testing::member_entry(5));
        next
    }

    #[test]
    fn a_later_epoch_needs_t_of_the_one_before_and_every_new_member() {
        let first = genesis(4);
        let mut next = with_a_fifth(&first);
        let missing = next.missing_signatures().expect("sound");
        assert_eq!((missing.members, missing.of_previous), (vec![id(5)], 3));
        for hospital in [1, 2, 3] {
            next.sign(id(hospital), &key(hospital)).expect("sound");
        }
        assert_eq!(
            next.check().err(),
            Some(RosterError::Unsigned { id: id(5) })
        );
        next.sign(id(5), &key(5)).expect("sound");
        let roster = next.check().expect("signed by enough");
        assert_eq!((roster.epoch(), roster.size()), (2, 5));
        let read = RosterFile::from_json(&next.to_json()).expect("parses");
        assert_eq!(read.check().expect("the same").hash(), roster.hash());

        // One fewer of the previous epoch; the new one's signature does not count for it.
        next.signatures.remove(0);
        let refused = next.check().err();
        let expected = RosterError::TooFewOfPrevious {
            epoch: 2,
            missing: 1,
        };
        assert_eq!(refused, Some(expected));
    }

    #[test]
    fn a_member_can_leave_and_its_number_is_never_anothers() {
        let first = genesis(4);
        let mut next = first.next_epoch().expect("it is published");
        next.hospitals.retain(|member| member.id != 4);
        for hospital in [1, 2, 3] {
            next.sign(id(hospital), &key(hospital)).expect("sound");
        }
        assert_eq!(next.check().expect("signed").size(), 3);

        let mut third = next.next_epoch().expect("it is published");
        let mut again = testing::member_entry(5);
        again.id = 4;
        third.hospitals.push(again);
        let refused = third.check().err();
        assert_eq!(refused, Some(RosterError::NumberUsedAgain { id: id(4) }));
    }

    #[test]
    fn a_member_with_another_tls_key_signs_itself() {
        let mut next = genesis(4).next_epoch().expect("it is published");
        next.hospitals[3].tls_fingerprint = [9; 32];
        for hospital in [1, 2, 3] {
            next.sign(id(hospital), &key(hospital)).expect("sound");
        }
        assert_eq!(
            next.check().err(),
            Some(RosterError::Unsigned { id: id(4) })
        );
        next.sign(id(4), &key(4)).expect("sound");
        let roster = next.check().expect("signed by itself");
        assert!(roster.comes_after(&genesis(4).check().expect("sound").hash()));
        assert!(!roster.comes_after(&roster.hash()));
    }

    #[test]
    fn an_epoch_is_bound_to_the_one_that_it_follows() {
        let first = genesis(4);
        let mut next = with_a_fifth(&first);
        for hospital in [1, 2, 3, 5] {
            next.sign(id(hospital), &key(hospital)).expect("sound");
        }
        // The same members and signatures after another first roster: its members have signed neither.
        let mut forged = next.clone();
        forged.history[0].operator_key = key(9).public().0;
        assert!(matches!(
            forged.check().err(),
            Some(RosterError::Unsigned { .. })
        ));
        let mut resigned = next.clone();
        resigned.history[0] = {
            let mut other = genesis(4);
            other.hospitals[0].name.push('!');
            other.signatures.clear();
            for hospital in 1..=4 {
                other.sign(id(hospital), &key(hospital)).expect("sound");
            }
            other
        };
        assert!(resigned.check().is_err(), "the hash of the first is signed");

        let mut cut = next.clone();
        cut.history.clear();
        assert_eq!(cut.check().err(), Some(RosterError::History { epoch: 2 }));
        let mut nested = next;
        nested.history[0].history = vec![first];
        assert_eq!(
            nested.check().err(),
            Some(RosterError::History { epoch: 2 })
        );
    }

    #[test]
    fn a_draft_that_is_not_published_is_not_followed() {
        let mut draft = genesis(3);
        draft.signatures.pop();
        assert!(draft.next_epoch().is_err());
        assert!(draft.check_draft().is_ok());
    }
}
