//! The dealer check (PROTOCOL.md 3.10): what the vaults' answers say of each contributor's shares, and whom a round does without.
//!
//! The answers for one contributor lie on a polynomial if its shares belong together. An answer beside it accuses two: the
//! contributor, who may have dealt a wrong share, and the vault, which may have answered wrongly. The answers do not tell which. A
//! round does without the fewest parties that explain every accusation, and of equally few without the fewest contributors: the sum
//! can spare an answer, and loses an update with a contributor. So one vault that answers wrongly, for however many contributors, is
//! left out itself, and so is one contributor that deals several wrong shares.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crypto::sealed_sum::{DealerAnswer, DealerVerdict, HospitalId, judge_dealer};

use super::{RoundError, contribution::BoxAck};

/// The answers of a round, by contributor and vault. The first one of a vault for a contributor stands.
#[derive(Default)]
pub struct DealerAnswers(BTreeMap<HospitalId, BTreeMap<HospitalId, DealerAnswer>>);

/// Whom the answers of a round speak against.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Assessment {
    /// Contributor and vault whose answer is beside the polynomial.
    deviating: BTreeSet<(HospitalId, HospitalId)>,
    left_out: BTreeSet<HospitalId>,
    findings: Vec<Finding>,
}

/// One thing that the dealer check has found, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A vault is not asked to open the sum.
    VaultLeftOut {
        /// Which.
        vault: HospitalId,
        /// For whose shares it answers beside the others.
        contributors: Vec<HospitalId>,
    },
    /// A contribution is not summed.
    ContributorLeftOut {
        /// The hospital concerned.
        contributor: HospitalId,
        /// What the answers for it say.
        verdict: DealerVerdict,
    },
    /// A contribution is summed in spite of what the answers say: so many are doubtful that too few would remain.
    ContributorKept {
        /// The hospital concerned.
        contributor: HospitalId,
        /// What the answers for it say.
        verdict: DealerVerdict,
    },
}

impl DealerAnswers {
    /// Takes the answers of a vault's acknowledgement, which grows from one to the next.
    ///
    /// # Errors
    /// [`RoundError`] if it is not in order, or has another answer for a contributor than the vault has given before: then nothing
    /// of it is taken.
    pub fn take(&mut self, ack: &BoxAck) -> Result<(), RoundError> {
        let vault = ack.id.0;
        let answers = ack.read_answers()?;
        // Of a hundred answers ninety-nine are known: each acknowledgement says one more.
        let mut new = Vec::new();
        for (contributor, answer) in answers {
            match self.answer(vault, contributor) {
                None => new.push((contributor, answer)),
                Some(first) if *first == answer => {}
                Some(_) => {
                    return Err(RoundError::Second {
                        id: vault,
                        message: "answer of the dealer check",
                    });
                }
            }
        }
        for (contributor, answer) in new {
            self.0.entry(contributor).or_default().insert(vault, answer);
        }
        Ok(())
    }

    /// Whether `vault` has opened the box of `contributor`, and answered for it.
    pub fn has(&self, vault: HospitalId, contributor: HospitalId) -> bool {
        self.answer(vault, contributor).is_some()
    }

    /// Judges all of `contributors`, of whom at least `least` are needed. Doubt alone leaves no fewer than three: of two, each could
    /// subtract its own update and read the other's.
    pub fn assess(
        &self,
        contributors: &BTreeSet<HospitalId>,
        threshold: usize,
        least: usize,
    ) -> Assessment {
        let verdicts = self.verdicts(contributors, threshold);
        let mut assessment = Assessment::default();
        for (&contributor, verdict) in &verdicts {
            if let DealerVerdict::Deviating(vaults) = verdict {
                let pairs = vaults.iter().map(|&vault| (contributor, vault));
                assessment.deviating.extend(pairs);
            }
        }
        assessment.explain();
        let is_doubtful = |contributor: &HospitalId| {
            let verdict = verdicts.get(contributor);
            verdict.is_some_and(is_undecided)
        };
        let left = contributors.difference(&assessment.left_out);
        let (doubtful, sound): (Vec<_>, Vec<_>) = left.copied().partition(is_doubtful);
        let can_spare = sound.len() >= least.max(3);
        for contributor in doubtful {
            let verdict = verdicts[&contributor].clone();
            assessment.findings.push(if can_spare {
                assessment.left_out.insert(contributor);
                Finding::ContributorLeftOut {
                    contributor,
                    verdict,
                }
            } else {
                Finding::ContributorKept {
                    contributor,
                    verdict,
                }
            });
        }
        assessment
    }

    /// Whether an answer of one of `vaults` that is still missing could tell who is wrong.
    pub fn would_gain(
        &self,
        contributors: &BTreeSet<HospitalId>,
        vaults: &[HospitalId],
        threshold: usize,
    ) -> bool {
        let misses_one = |contributor: &&HospitalId| {
            let mut vaults = vaults.iter();
            vaults.any(|&vault| !self.has(vault, **contributor))
        };
        let unheard: BTreeSet<_> = contributors.iter().filter(misses_one).collect();
        !unheard.is_empty()
            && self
                .verdicts(contributors, threshold)
                .iter()
                .any(|(contributor, verdict)| {
                    unheard.contains(contributor) && is_undecided(verdict)
                })
    }

    /// What the answers say of each contributor. One of whom they say too little is judged again without the vaults that others
    /// have exposed.
    fn verdicts(
        &self,
        contributors: &BTreeSet<HospitalId>,
        threshold: usize,
    ) -> BTreeMap<HospitalId, DealerVerdict> {
        let nobody = BTreeSet::new();
        let mut verdicts: BTreeMap<_, _> = contributors
            .iter()
            .map(|&contributor| (contributor, self.judge(contributor, &nobody, threshold)))
            .collect();
        loop {
            let exposed: BTreeSet<_> = verdicts.values().flat_map(deviating).copied().collect();
            let mut decided = Vec::new();
            for (&contributor, _) in verdicts.iter().filter(|(_, verdict)| is_undecided(verdict)) {
                let verdict = self.judge(contributor, &exposed, threshold);
                if matches!(
                    verdict,
                    DealerVerdict::Consistent | DealerVerdict::Deviating(_)
                ) {
                    let deviating = self.deviating(contributor, &exposed, &verdict, threshold);
                    decided.push((contributor, DealerVerdict::Deviating(deviating)));
                }
            }
            if decided.is_empty() {
                return verdicts;
            }
            verdicts.extend(decided);
        }
    }

    /// Judges a contributor by the answers of all vaults but these.
    fn judge(
        &self,
        contributor: HospitalId,
        without: &BTreeSet<HospitalId>,
        threshold: usize,
    ) -> DealerVerdict {
        let answers: Vec<_> = self
            .of(contributor)
            .filter(|(vault, _)| !without.contains(vault))
            .collect();
        judge_dealer(threshold, &answers)
    }

    /// All vaults beside the polynomial of a contributor that was judged without the `exposed` ones.
    fn deviating(
        &self,
        contributor: HospitalId,
        exposed: &BTreeSet<HospitalId>,
        verdict: &DealerVerdict,
        threshold: usize,
    ) -> Vec<HospitalId> {
        let mut outside: BTreeSet<_> = deviating(verdict).iter().copied().collect();
        let clean: BTreeSet<_> = outside.union(exposed).copied().collect();
        let answered = exposed
            .iter()
            .filter(|&&vault| self.has(vault, contributor));
        for &vault in answered {
            // More than t answers are left, so one answer more is on their polynomial or is named.
            let mut without = clean.clone();
            without.remove(&vault);
            if self.judge(contributor, &without, threshold) != DealerVerdict::Consistent {
                outside.insert(vault);
            }
        }
        outside.into_iter().collect()
    }

    fn of(&self, contributor: HospitalId) -> impl Iterator<Item = (HospitalId, DealerAnswer)> + '_ {
        let answers = self.0.get(&contributor);
        answers
            .into_iter()
            .flatten()
            .map(|(&vault, &answer)| (vault, answer))
    }

    fn answer(&self, vault: HospitalId, contributor: HospitalId) -> Option<&DealerAnswer> {
        self.0.get(&contributor)?.get(&vault)
    }
}

impl Assessment {
    /// The contributors whose contributions are not summed.
    pub fn left_out(&self) -> &BTreeSet<HospitalId> {
        &self.left_out
    }

    /// Whether the vault's answer for this contributor is beside the others': its share of a sum with this contribution is wrong.
    pub fn deviates(&self, vault: HospitalId, contributor: HospitalId) -> bool {
        self.deviating.contains(&(contributor, vault))
    }

    /// What is to be told.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Leaves out the fewest parties that explain every accusation.
    fn explain(&mut self) {
        self.left_out = contributors_at_fault(&self.deviating);
        let mut by_contributor: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut by_vault: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for &(contributor, vault) in &self.deviating {
            if self.left_out.contains(&contributor) {
                by_contributor.entry(contributor).or_default().push(vault);
            } else {
                by_vault.entry(vault).or_default().push(contributor);
            }
        }
        let contributors = by_contributor.into_iter().map(|(contributor, vaults)| {
            let verdict = DealerVerdict::Deviating(vaults);
            Finding::ContributorLeftOut {
                contributor,
                verdict,
            }
        });
        let vaults = by_vault
            .into_iter()
            .map(|(vault, contributors)| Finding::VaultLeftOut {
                vault,
                contributors,
            });
        self.findings.extend(contributors.chain(vaults));
    }
}

impl Finding {
    /// Who is left out, or kept in doubt.
    pub fn hospital(&self) -> HospitalId {
        match self {
            Self::VaultLeftOut { vault, .. } => *vault,
            Self::ContributorLeftOut { contributor, .. }
            | Self::ContributorKept { contributor, .. } => *contributor,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VaultLeftOut {
                vault,
                contributors,
            } => write!(
                formatter,
                "the answers of hospital {vault} for the shares of {} do not fit those of the others: it answers wrongly or was dealt \
                 a wrong share, and takes no part in opening the sum",
                Numbers(contributors)
            ),
            Self::ContributorLeftOut {
                contributor,
                verdict,
            } => write!(
                formatter,
                "the contribution of hospital {contributor} is left out: {}",
                Doubt(verdict)
            ),
            Self::ContributorKept {
                contributor,
                verdict,
            } => write!(
                formatter,
                "the contribution of hospital {contributor} is summed, as too few would remain without all that are in doubt: {}",
                Doubt(verdict)
            ),
        }
    }
}

struct Numbers<'a>(&'a [HospitalId]);

impl fmt::Display for Numbers<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.len() == 1 {
            "hospital"
        } else {
            "hospitals"
        })?;
        self.0.iter().try_for_each(|id| write!(formatter, " {id}"))
    }
}

struct Doubt<'a>(&'a DealerVerdict);

impl fmt::Display for Doubt<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            DealerVerdict::Deviating(vaults) => write!(
                formatter,
                "the answers of {} do not fit its shares",
                Numbers(vaults)
            ),
            DealerVerdict::Inconsistent => formatter.write_str(
                "one of its shares or of the answers for them is wrong, and the answers are too few to tell which",
            ),
            DealerVerdict::Undecodable => formatter.write_str(
                "more of its shares or of the answers for them are wrong than the answers can tell apart",
            ),
            DealerVerdict::TooFew | DealerVerdict::Consistent => {
                formatter.write_str("nothing speaks against its shares")
            }
        }
    }
}

/// The contributors of the smallest set of parties that has one of every pair of contributor and vault; of the smallest such sets,
/// of the one with the fewest contributors. In a largest matching these are the contributors that an alternating path reaches from
/// a vault without a partner (Konig's theorem); which largest matching it is makes no difference (Dulmage and Mendelsohn).
fn contributors_at_fault(pairs: &BTreeSet<(HospitalId, HospitalId)>) -> BTreeSet<HospitalId> {
    let vaults: BTreeSet<_> = pairs.iter().map(|&(_, vault)| vault).collect();
    let mut partners = BTreeMap::new();
    let mut reached_vaults: Vec<_> = vaults
        .into_iter()
        .filter(|&vault| !find_partner(vault, pairs, &mut BTreeSet::new(), &mut partners))
        .collect();
    let mut reached = BTreeSet::new();
    while let Some(vault) = reached_vaults.pop() {
        for contributor in accusing(pairs, vault) {
            if reached.insert(contributor) {
                // It has one: else the path to it would have made the matching larger.
                reached_vaults.extend(partners.get(&contributor));
            }
        }
    }
    reached
}

/// Gives `vault` a contributor as its partner, and others another one for that if need be. `partners` has the vault of each
/// contributor.
fn find_partner(
    vault: HospitalId,
    pairs: &BTreeSet<(HospitalId, HospitalId)>,
    tried: &mut BTreeSet<HospitalId>,
    partners: &mut BTreeMap<HospitalId, HospitalId>,
) -> bool {
    for contributor in accusing(pairs, vault) {
        if !tried.insert(contributor) {
            continue;
        }
        let holder = partners.get(&contributor).copied();
        if holder.is_none_or(|holder| find_partner(holder, pairs, tried, partners)) {
            partners.insert(contributor, vault);
            return true;
        }
    }
    false
}

fn accusing(
    pairs: &BTreeSet<(HospitalId, HospitalId)>,
    vault: HospitalId,
) -> impl Iterator<Item = HospitalId> {
    let of_vault = pairs.iter().filter(move |pair| pair.1 == vault);
    of_vault.map(|&(contributor, _)| contributor)
}

fn deviating(verdict: &DealerVerdict) -> &[HospitalId] {
    match verdict {
        DealerVerdict::Deviating(vaults) => vaults,
        DealerVerdict::TooFew
        | DealerVerdict::Consistent
        | DealerVerdict::Inconsistent
        | DealerVerdict::Undecodable => &[],
    }
}

fn is_undecided(verdict: &DealerVerdict) -> bool {
    matches!(
        verdict,
        DealerVerdict::Inconsistent | DealerVerdict::Undecodable
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto::sealed_sum::{SHARE_MODULUS, min_contributors, threshold};

    fn id(number: u8) -> HospitalId {
        HospitalId::new(number).expect("in range")
    }

    fn set(numbers: impl IntoIterator<Item = u8>) -> BTreeSet<HospitalId> {
        numbers.into_iter().map(id).collect()
    }

    /// The answer of an honest vault for an honest contributor among `members`, or one that is off by one in its last number: a
    /// polynomial of degree t - 1, of coefficients that differ between contributors.
    fn answer(members: u8, vault: u8, contributor: u8, is_wrong: bool) -> DealerAnswer {
        let p = SHARE_MODULUS;
        let numbers = (0..8_u32).flat_map(|row| {
            let coefficient = |power: u32| (7919 * u32::from(contributor) + 31 * row + power) % p;
            let degree = threshold(usize::from(members)) as u32 - 1;
            let value = (0..=degree).rev().fold(0, |value, power| {
                (value * u32::from(vault) + coefficient(power)) % p
            });
            let off = u32::from(is_wrong && row == 7);
            (((value + off) % p) as u16).to_le_bytes()
        });
        DealerAnswer::from_bytes(&numbers.collect::<Vec<_>>()).expect("below p")
    }

    fn acknowledgement(members: u8, vault: u8, wrong: impl Fn(u8, u8) -> bool) -> BoxAck {
        let answers = (1..=members).map(|contributor| {
            let answer = answer(members, vault, contributor, wrong(vault, contributor));
            (id(contributor), answer)
        });
        BoxAck::new([1; 32].into(), id(vault), &answers.collect())
    }

    /// All answers of a round in which all of `members` contribute; `wrong(vault, contributor)` ones are off.
    fn round(members: u8, wrong: impl Fn(u8, u8) -> bool) -> DealerAnswers {
        let mut answers = DealerAnswers::default();
        for vault in 1..=members {
            answers
                .take(&acknowledgement(members, vault, &wrong))
                .expect("in order");
        }
        answers
    }

    fn assess(members: u8, wrong: impl Fn(u8, u8) -> bool) -> Assessment {
        let size = usize::from(members);
        round(members, wrong).assess(&set(1..=members), threshold(size), min_contributors(size))
    }

    fn vault_left_out(vault: u8, contributors: impl IntoIterator<Item = u8>) -> Finding {
        Finding::VaultLeftOut {
            vault: id(vault),
            contributors: contributors.into_iter().map(id).collect(),
        }
    }

    #[test]
    fn honest_parties_are_not_accused() {
        for members in [2, 3, 4, 7, 10, 13] {
            assert_eq!(assess(members, |_, _| false), Assessment::default());
        }
    }

    #[test]
    fn a_vault_that_answers_wrongly_for_everybody_is_left_out_and_nobody_else() {
        for members in [7, 10, 13] {
            let found = assess(members, |vault, _| vault == 5);
            assert_eq!(found.findings(), [vault_left_out(5, 1..=members)]);
            assert!(found.left_out().is_empty());
            assert!(found.deviates(id(5), id(1)) && !found.deviates(id(4), id(1)));
        }
    }

    #[test]
    fn of_a_contributor_and_a_vault_that_accuse_each_other_the_vault_is_left_out() {
        let found = assess(7, |vault, contributor| (vault, contributor) == (6, 2));
        assert_eq!(found.findings(), [vault_left_out(6, [2])]);
        assert!(found.left_out().is_empty());
    }

    #[test]
    fn a_contributor_with_several_wrong_shares_is_left_out_and_no_vault() {
        // Two of thirteen rows can be named, with t = 9.
        let found = assess(13, |vault, contributor| {
            contributor == 3 && [1, 8].contains(&vault)
        });
        assert_eq!(*found.left_out(), set([3]));
        assert_eq!(
            found.findings(),
            [Finding::ContributorLeftOut {
                contributor: id(3),
                verdict: DealerVerdict::Deviating(vec![id(1), id(8)])
            }]
        );
        // Three cannot, nor can two of seven with t = 5.
        let found = assess(13, |vault, contributor| contributor == 3 && vault <= 3);
        let undecodable = Finding::ContributorLeftOut {
            contributor: id(3),
            verdict: DealerVerdict::Undecodable,
        };
        assert_eq!(found.findings(), std::slice::from_ref(&undecodable));
        let found = assess(7, |vault, contributor| contributor == 3 && vault <= 2);
        assert_eq!(found.findings(), [undecodable]);
        assert_eq!(*found.left_out(), set([3]));
    }

    /// The limit of the rule: c vaults that lie together have at most c - 1 contributors left out.
    #[test]
    fn two_lying_vaults_have_one_contributor_left_out_and_not_two() {
        let lie_about = |victims: u8| {
            assess(13, move |vault, contributor| {
                vault >= 12 && contributor <= victims
            })
        };
        assert_eq!(*lie_about(1).left_out(), set([1]));
        for victims in 2..=13 {
            let found = lie_about(victims);
            assert_eq!(
                found.findings(),
                [
                    vault_left_out(12, 1..=victims),
                    vault_left_out(13, 1..=victims)
                ]
            );
            assert!(found.left_out().is_empty());
        }
    }

    /// With t + 1 vaults nobody can be named: one contributor in doubt is done without, a round of them is not.
    #[test]
    fn with_one_answer_to_spare_a_lying_vault_has_no_more_left_out_than_the_round_can_spare() {
        for members in [3, 4, 5, 6] {
            // Of three, nobody: two would read each other.
            let least = min_contributors(usize::from(members)).max(3);
            for victims in 1..=members {
                let found = assess(members, |vault, contributor| {
                    vault == 2 && contributor <= victims
                });
                let is_spared = usize::from(members - victims) >= least;
                let left_out = if is_spared { set(1..=victims) } else { set([]) };
                assert_eq!(*found.left_out(), left_out, "{victims} of {members}");
                let kept = found
                    .findings()
                    .iter()
                    .filter(|finding| {
                        matches!(
                            finding,
                            Finding::ContributorKept {
                                verdict: DealerVerdict::Inconsistent,
                                ..
                            }
                        )
                    })
                    .count();
                let expected = if is_spared { 0 } else { usize::from(victims) };
                assert_eq!(kept, expected);
            }
        }
    }

    #[test]
    fn a_vault_exposed_by_one_contributor_does_not_hide_who_is_wrong_for_another() {
        // One row of ten can be named, with t = 7; contributor 4 has two wrong ones.
        let wrong = |vault, contributor| vault == 9 || (vault, contributor) == (2, 4);
        let found = assess(10, wrong);
        assert!(found.left_out().is_empty(), "{:?}", found.findings());
        assert_eq!(
            found.findings(),
            [vault_left_out(2, [4]), vault_left_out(9, 1..=10)]
        );
        // Two of sixteen, with t = 11; contributor 4 has three, of four vaults that others expose.
        let wrong = |vault, contributor| match contributor {
            4 => vault >= 14,
            1 => [13, 14].contains(&vault),
            _ => [15, 16].contains(&vault),
        };
        let found = assess(16, wrong);
        let of_fourth: Vec<_> = (1..=16)
            .filter(|&vault| found.deviates(id(vault), id(4)))
            .collect();
        assert_eq!(
            of_fourth,
            [14, 15, 16],
            "not 13, which answered rightly for it"
        );
    }

    /// Compares with every set of parties there is.
    #[test]
    fn the_fewest_parties_explain_every_accusation() {
        for graph in 0_u32..1 << 16 {
            let bit = |contributor: u8, vault: u8| graph >> (4 * contributor + vault) & 1 == 1;
            let pairs: BTreeSet<_> = (0..4)
                .flat_map(|contributor| (0..4).map(move |vault| (contributor, vault)))
                .filter(|&(contributor, vault)| bit(contributor, vault))
                .map(|(contributor, vault)| (id(contributor + 1), id(vault + 1)))
                .collect();
            let least = (0_u32..1 << 4)
                .map(|contributors| {
                    let vaults = (0..4).filter(|&vault| {
                        (0..4).any(|contributor| {
                            bit(contributor, vault) && contributors >> contributor & 1 == 0
                        })
                    });
                    let chosen = contributors.count_ones() as usize;
                    (vaults.count() + chosen, chosen, contributors)
                })
                .min()
                .expect("there are sets");
            let expected = (0..4).filter(|contributor| least.2 >> contributor & 1 == 1);
            let expected = set(expected.map(|contributor| contributor + 1));
            assert_eq!(contributors_at_fault(&pairs), expected, "{pairs:?}");
        }
    }

    #[test]
    fn who_is_in_doubt_is_waited_for_while_an_answer_is_missing() {
        let answers = |vaults: &[u8]| {
            let mut answers = DealerAnswers::default();
            for &vault in vaults {
                let ack = acknowledgement(7, vault, |vault, contributor| {
                    (vault, contributor) == (1, 3)
                });
                answers.take(&ack).expect("in order");
            }
            answers
        };
        let (all, vaults) = (set(1..=7), set(1..=7).into_iter().collect::<Vec<_>>());
        let gain = |heard: &[u8]| answers(heard).would_gain(&all, &vaults, 5);
        assert!(!gain(&[1, 2, 3, 4, 5]), "too few to doubt anybody");
        assert!(
            gain(&[1, 2, 3, 4, 5, 6]),
            "the seventh answer names vault 1"
        );
        assert!(!gain(&[1, 2, 3, 4, 5, 6, 7]));
        assert!(!gain(&[2, 3, 4, 5, 6, 7]), "all agree");
    }

    #[test]
    fn the_first_answer_of_a_vault_stands_and_another_is_refused_whole() {
        let mut answers = DealerAnswers::default();
        let (first, vault) = (answer(4, 2, 1, false), id(2));
        let ack = |entries: &[(u8, DealerAnswer)]| {
            let entries = entries.iter().map(|&(from, answer)| (id(from), answer));
            BoxAck::new([1; 32].into(), vault, &entries.collect())
        };
        let one = ack(&[(1, first)]);
        assert_eq!(answers.take(&one), Ok(()));
        assert_eq!(answers.take(&one), Ok(()), "the same again");
        let other = ack(&[(1, answer(4, 2, 1, true)), (3, answer(4, 2, 3, false))]);
        let refusal = Err(RoundError::Second {
            id: vault,
            message: "answer of the dealer check",
        });
        assert_eq!(answers.take(&other), refusal);
        assert_eq!(answers.answer(vault, id(1)), Some(&first));
        assert!(!answers.has(vault, id(3)), "nothing of it is taken");
        let grown = ack(&[(1, first), (3, answer(4, 2, 3, false))]);
        assert_eq!(answers.take(&grown), Ok(()));
        assert!(answers.has(vault, id(3)));
    }

    #[test]
    fn answers_out_of_order_or_out_of_the_field_are_refused() {
        let sound = acknowledgement(4, 2, |_, _| false);
        type Fault = fn(&mut BoxAck);
        let faults: [Fault; 3] = [
            |ack| ack.answers.0.swap(0, 1),
            |ack| ack.answers.0[1] = ack.answers.0[0].clone(),
            |ack| ack.answers.0[3].answer[14..].copy_from_slice(&65_521_u16.to_le_bytes()),
        ];
        for spoil in faults {
            let mut ack = sound.clone();
            spoil(&mut ack);
            let mut answers = DealerAnswers::default();
            assert_eq!(
                answers.take(&ack),
                Err(RoundError::BadAnswers { id: id(2) })
            );
            assert!(!answers.has(id(2), id(1)));
        }
    }
}
