//! U, the contributors whose sum is opened, and the answers that open it (PROTOCOL.md 3.6).

use std::collections::{BTreeMap, BTreeSet};

use crypto::{
    hash::{Digest, labelled_hash},
    sealed_sum::HospitalId,
};

use super::{RoundError, contribution::ContributionManifest};
use crate::{
    codec::{Bytes, Decode, Encode, Id, List},
    digests::{ClipCommit, ContributionDigest, ContributorsHash, HeaderHash},
    identity::{Message, PublicKey, SignedError, verify_digest},
    roster::Roster,
};

/// Asks the vaults to open the sum over U; signed by the coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct UnlockRequest {
    /// hh.
    pub header: HeaderHash,
    /// U, sorted by number.
    pub contributors: List<Contributor>,
}

impl Message for UnlockRequest {
    const TYPE: &'static str = "unlock-request";
    type Digest = Digest;
}

/// One contributor of U: its `D_i` and its own signature over it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Contributor {
    /// The hospital concerned.
    pub id: Id,
    /// `D_i`.
    pub digest: ContributionDigest,
    /// Over `D_i`.
    pub signature: [u8; 64],
}

/// A vault's answer: the sum of the shares it holds from U, sealed under the group key; signed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct UnlockShare {
    /// hh.
    pub header: HeaderHash,
    /// uh.
    pub contributors: ContributorsHash,
    /// Who answers.
    pub id: Id,
    /// AEAD of `V_j`.
    pub sealed: Bytes,
}

impl Message for UnlockShare {
    const TYPE: &'static str = "unlock-share";
    type Digest = Digest;
}

impl UnlockRequest {
    /// `uh = H(hh || sorted (id, D_i))`.
    pub fn hash(&self) -> ContributorsHash {
        let mut list = Vec::with_capacity(33 * self.contributors.len());
        for contributor in self.contributors.iter() {
            list.push(contributor.id.0.get());
            list.extend(contributor.digest.as_bytes());
        }
        labelled_hash("U", &[self.header.as_bytes(), &list]).into()
    }

    /// The members of U.
    pub fn members(&self) -> BTreeSet<HospitalId> {
        self.contributors
            .iter()
            .map(|contributor| contributor.id.0)
            .collect()
    }

    /// Point 2 of PROTOCOL.md 3.6: distinct and joined, at least `m_min`, every signature valid.
    ///
    /// # Errors
    /// [`RoundError`].
    pub fn check(
        &self,
        header: &HeaderHash,
        joined: &[HospitalId],
        roster: &Roster,
    ) -> Result<(), RoundError> {
        if self.header != *header {
            return Err(RoundError::OtherRound {
                message: "an unlock request",
            });
        }
        if self
            .contributors
            .windows(2)
            .any(|pair| pair[0].id >= pair[1].id)
        {
            return Err(RoundError::Unsorted);
        }
        let (found, least) = (self.contributors.len(), roster.min_contributors());
        if found < least {
            return Err(RoundError::TooFewContributors { found, least });
        }
        for contributor in self.contributors.iter() {
            let id = contributor.id.0;
            let member = roster
                .member(id)
                .filter(|_| joined.contains(&id))
                .ok_or(RoundError::NotJoined { id })?;
            verify_digest::<ContributionManifest>(
                contributor.digest,
                &contributor.signature,
                &member.signing_key,
                format_args!("hospital {id}"),
            )
            .map_err(SignedError::from)?;
        }
        Ok(())
    }
}

/// The evaluation rule of PROTOCOL.md 3.3: two evaluations of a run are over the same contributors, or over sets that differ in at
/// least `m_min` members.
pub fn evaluation_allowed<'a>(
    contributors: &BTreeSet<HospitalId>,
    earlier: impl IntoIterator<Item = &'a BTreeSet<HospitalId>>,
    min_contributors: usize,
) -> bool {
    earlier.into_iter().all(|other| {
        let difference = contributors.symmetric_difference(other).count();
        difference == 0 || difference >= min_contributors
    })
}

/// The largest set of complete uploads with equal commit whose boxes at least `threshold` vaults hold completely. Greedy: while fewer
/// hold every box, the contributor with the fewest acknowledgements is dropped, among equals the largest number.
pub fn choose_contributors(
    uploads: &BTreeMap<HospitalId, ClipCommit>,
    holds: impl Fn(HospitalId, HospitalId) -> bool,
    vaults: &[HospitalId],
    threshold: usize,
) -> BTreeSet<HospitalId> {
    let mut by_commit: BTreeMap<ClipCommit, BTreeSet<HospitalId>> = BTreeMap::new();
    for (&id, &commit) in uploads {
        by_commit.entry(commit).or_default().insert(id);
    }
    // Among equally large groups the one with the smallest member: any rule will do, but it must be one.
    let mut set = by_commit
        .into_values()
        .max_by_key(|group| (group.len(), std::cmp::Reverse(group.first().copied())))
        .unwrap_or_default();
    while !set.is_empty() {
        let complete = vaults
            .iter()
            .filter(|&&vault| set.iter().all(|&from| holds(vault, from)))
            .count();
        if complete >= threshold {
            break;
        }
        let weakest = set.iter().copied().min_by_key(|&from| {
            let acknowledgements = vaults.iter().filter(|&&vault| holds(vault, from)).count();
            (acknowledgements, std::cmp::Reverse(from))
        });
        set.remove(&weakest.expect("the set is not empty"));
    }
    set
}

/// Who is in a sum, by signing key, and with which weight: numbers may be given to others, and weights set anew, in another run.
pub type WeightedMembers = BTreeMap<PublicKey, u32>;

/// Whether a sum over these members may be opened, when one about the same data was over `earlier`: over exactly the same, with the same
/// weights, or over sets that differ in at least `m_min` members. Other weights of common members would show what those gave.
pub fn may_be_opened_too(
    members: &WeightedMembers,
    earlier: &WeightedMembers,
    min_contributors: usize,
) -> bool {
    let in_both = members.iter().filter_map(|(key, weight)| {
        let before = earlier.get(key)?;
        Some(weight == before)
    });
    let in_both: Vec<bool> = in_both.collect();
    let difference = members.len() + earlier.len() - 2 * in_both.len();
    in_both.into_iter().all(|same| same) && (difference == 0 || difference >= min_contributors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{identity::Signed, roster::testing::federation};

    fn id(number: u8) -> HospitalId {
        HospitalId::new(number).expect("in range")
    }

    fn set(numbers: &[u8]) -> BTreeSet<HospitalId> {
        numbers.iter().map(|&number| id(number)).collect()
    }

    fn request(numbers: &[u8]) -> UnlockRequest {
        let federation = federation(5);
        let contributors = numbers.iter().map(|&number| {
            let manifest = ContributionManifest {
                header: [1; 32].into(),
                id: Id(id(number)),
                attempt: 0,
                chunks_root: [2; 32].into(),
                boxes_root: [3; 32].into(),
                commit: [4; 32].into(),
            };
            let signed = Signed::sign(
                &manifest,
                &federation.hospital_keys[usize::from(number) - 1],
            );
            Contributor {
                id: Id(id(number)),
                digest: signed.digest(),
                signature: *signed.signature(),
            }
        });
        UnlockRequest {
            header: [1; 32].into(),
            contributors: contributors.collect(),
        }
    }

    #[test]
    fn sums_of_two_runs_are_opened_over_the_same_members_and_weights_or_over_quite_others() {
        let members = |weights: &[(u8, u32)]| -> WeightedMembers {
            let entries = weights.iter();
            entries
                .map(|&(key, weight)| (PublicKey([key; 32]), weight))
                .collect()
        };
        let first = members(&[(1, 1), (2, 1), (3, 1), (4, 1)]);
        for (other, allowed) in [
            (members(&[(1, 1), (2, 1), (3, 1), (4, 1)]), true),
            // One is missing, one has come, one has another key.
            (members(&[(1, 1), (2, 1), (3, 1)]), false),
            (members(&[(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)]), false),
            (members(&[(1, 1), (2, 1), (3, 1), (5, 1)]), false),
            // Three more.
            (
                members(&[(1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1)]),
                true,
            ),
            (members(&[(5, 1), (6, 1), (7, 1)]), true),
            // Other weights: five times this less four times the first is what hospital 1 gave.
            (members(&[(1, 2), (2, 1), (3, 1), (4, 1)]), false),
        ] {
            assert_eq!(may_be_opened_too(&other, &first, 3), allowed, "{other:?}");
            assert_eq!(may_be_opened_too(&first, &other, 3), allowed, "{other:?}");
        }
    }

    #[test]
    fn a_request_is_checked_in_every_part() {
        let roster = federation(5).roster;
        let joined: Vec<_> = (1..=5).map(id).collect();
        assert_eq!(
            request(&[1, 2, 3, 5]).check(&[1; 32].into(), &joined, &roster),
            Ok(())
        );
        let refused = |request: UnlockRequest| {
            request
                .check(&[1; 32].into(), &joined, &roster)
                .expect_err("refused")
        };
        assert_eq!(
            refused(request(&[1, 2, 3])),
            RoundError::TooFewContributors { found: 3, least: 4 }
        );
        assert_eq!(refused(request(&[1, 2, 3, 3])), RoundError::Unsorted);
        assert_eq!(refused(request(&[2, 1, 3, 4])), RoundError::Unsorted);
        let mut digest = request(&[1, 2, 3, 4]);
        digest.contributors.0[1].digest = [9; 32].into();
        assert!(matches!(refused(digest), RoundError::Signed(_)));
        assert_eq!(
            request(&[1, 2, 3, 4]).check(&[9; 32].into(), &joined, &roster),
            Err(RoundError::OtherRound {
                message: "an unlock request"
            })
        );
        let four_joined = &joined[..4];
        assert_eq!(
            request(&[1, 2, 3, 5]).check(&[1; 32].into(), four_joined, &roster),
            Err(RoundError::NotJoined { id: id(5) })
        );
    }

    #[test]
    fn the_hash_of_u_covers_header_ids_and_digests() {
        let base = request(&[1, 2, 3, 4]);
        let mut header = base.clone();
        header.header = [9; 32].into();
        let mut digest = base.clone();
        digest.contributors.0[0].digest = [9; 32].into();
        for other in [
            header,
            digest,
            request(&[1, 2, 3, 5]),
            request(&[1, 2, 3, 4, 5]),
        ] {
            assert_ne!(other.hash(), base.hash());
        }
    }

    #[test]
    fn evaluations_may_not_single_out_a_hospital() {
        let first = set(&[1, 2, 3, 4, 5]);
        assert!(evaluation_allowed(&first, [&first], 4));
        assert!(!evaluation_allowed(&set(&[1, 2, 3, 4]), [&first], 4));
        assert!(evaluation_allowed(&set(&[1]), [&first], 4));
        assert!(evaluation_allowed(&set(&[1, 2, 3, 4]), [], 4));
    }

    #[test]
    fn u_is_the_largest_set_that_enough_vaults_can_answer_for() {
        let vaults: Vec<_> = (1..=5).map(id).collect();
        let uploads: BTreeMap<_, _> = vaults
            .iter()
            .map(|&vault| (vault, ClipCommit::NONE))
            .collect();
        assert_eq!(
            choose_contributors(&uploads, |_, _| true, &vaults, 4),
            set(&[1, 2, 3, 4, 5])
        );
        // Only vaults 1 and 2 hold the box of 3.
        let holds = |vault: HospitalId, from: HospitalId| from != id(3) || vault <= id(2);
        assert_eq!(
            choose_contributors(&uploads, holds, &vaults, 4),
            set(&[1, 2, 4, 5])
        );
        // One hospital with another commit is left out.
        let mut mixed = uploads.clone();
        mixed.insert(id(1), [1; 32].into());
        assert_eq!(
            choose_contributors(&mixed, |_, _| true, &vaults, 4),
            set(&[2, 3, 4, 5])
        );
        assert_eq!(
            choose_contributors(&uploads, |_, _| false, &vaults, 4),
            set(&[])
        );
    }
}
