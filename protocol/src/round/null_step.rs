//! An update that t vaults could not open is settled all the same: the tensors stay, and the count of null steps in the model's hash
//! rises by one, so that the update can be tried again under another key (PROTOCOL.md 3.6).

use std::collections::BTreeSet;

use crypto::sealed_sum::HospitalId;

use super::{RoundError, header::RoundOpen, outcome::RoundFailed, unlock::UnlockRequest};
use crate::{
    codec::{Decode, Encode, List},
    digests::{ContributorsHash, HeaderHash},
    identity::{Signed, SignedError},
    roster::Roster,
};

/// So many a hospital follows in a run unless its policy says otherwise: each lets whoever spoilt an update compare two sums on the same
/// weights.
pub const USUAL_NULL_STEPS: u32 = 4;

/// What a vault needs to take one, also a vault that has missed the round.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct NullStep {
    /// The header.
    pub header: Signed<RoundOpen>,
    /// U.
    pub request: Signed<UnlockRequest>,
    /// The words of at least t vaults that the sum did not open.
    pub failed: List<Signed<RoundFailed>>,
}

/// Whether t vaults of the session say that this sum over this U did not open.
///
/// # Errors
/// [`RoundError::NotFailed`], or a signature that is not that of the vault it names.
pub fn check_failed(
    failed: &[Signed<RoundFailed>],
    header: &HeaderHash,
    contributors: &ContributorsHash,
    joined: &[HospitalId],
    roster: &Roster,
) -> Result<(), RoundError> {
    let needed = roster.threshold();
    if failed.len() > joined.len() {
        return Err(RoundError::NotFailed { found: 0, needed });
    }
    let mut signers = BTreeSet::new();
    for signed in failed {
        let id = signed.read_unverified().map_err(SignedError::from)?.id.0;
        let member = roster
            .member(id)
            .filter(|_| joined.contains(&id))
            .ok_or(RoundError::NotJoined { id })?;
        let word = signed.verify(&member.signing_key, format_args!("hospital {id}"))?;
        if word.header == *header && word.contributors == *contributors {
            signers.insert(id);
        }
    }
    let found = signers.len();
    if found < needed {
        return Err(RoundError::NotFailed { found, needed });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{codec::Id, roster::testing::federation};

    fn id(number: u8) -> HospitalId {
        HospitalId::new(number).expect("in range")
    }

    /// The word of one of five hospitals, of which four open a sum.
    fn word(number: u8, signed_by: u8, header: u8) -> Signed<RoundFailed> {
        let keys = federation(5).hospital_keys;
        let word = RoundFailed {
            id: Id(id(number)),
            header: [header; 32].into(),
            contributors: [2; 32].into(),
        };
        Signed::sign(&word, &keys[usize::from(signed_by) - 1])
    }

    fn check(words: &[Signed<RoundFailed>]) -> Result<(), RoundError> {
        let roster = federation(5).roster;
        // Hospital 5 takes no part in the session.
        let joined: Vec<_> = (1..=4).map(id).collect();
        check_failed(words, &[1; 32].into(), &[2; 32].into(), &joined, &roster)
    }

    #[test]
    fn t_vaults_of_the_session_have_to_say_so_of_this_very_sum() {
        let words = |numbers: &[u8]| numbers.iter().map(|n| word(*n, *n, 1)).collect::<Vec<_>>();
        assert_eq!(check(&words(&[1, 2, 3, 4])), Ok(()));
        assert_eq!(check(&words(&[4, 2, 1, 3])), Ok(()), "in any order");
        let too_few = |found| Err(RoundError::NotFailed { found, needed: 4 });
        assert_eq!(check(&words(&[1, 2, 3])), too_few(3));
        assert_eq!(check(&words(&[1, 2, 3, 3])), too_few(3), "one twice");
        assert_eq!(
            check(&words(&[1, 2, 3, 4, 4])),
            too_few(0),
            "more than there are"
        );
        assert_eq!(
            check(&words(&[1, 2, 3, 5])),
            Err(RoundError::NotJoined { id: id(5) })
        );
        let mut of_another = words(&[1, 2, 3]);
        of_another.push(word(4, 4, 9));
        assert_eq!(check(&of_another), too_few(3));
        let mut forged = words(&[1, 2, 3]);
        forged.push(word(4, 3, 1));
        assert!(matches!(check(&forged), Err(RoundError::Signed(_))));
    }
}
