//! What must hold whatever goes wrong, checked note by note.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use crypto::sealed_sum::HospitalId;
use participant::vault::OpenedRound;
use protocol::{
    digests::{
        ContributionDigest, ContributorsHash, HeaderHash, ModelHash, RoundNumber, Transcript,
    },
    manifest::{Manifest, Purpose},
    round::header::{RoundOpen, SumKey},
};

use crate::{
    observation::Observation,
    reference::{Plaintext, Reference, TrainingRecord},
    training::Training,
};

/// Something that must not happen has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// An opened sum is not the sum of the whole numbers of exactly U.
    WrongSum {
        /// Of which round.
        round: RoundNumber,
        /// Who opened it.
        by: HospitalId,
        /// Where it differs.
        what: String,
    },
    /// Two sums were opened for one purpose and model: the same updates are in both.
    OpenedTwice {
        /// The purpose.
        purpose: Purpose,
    },
    /// Two vaults made different things of one round.
    Disagreement {
        /// Which round.
        round: RoundNumber,
        /// Who differs from those before.
        by: HospitalId,
    },
    /// A vault answered for two sets, or under two headers, for one purpose and model.
    SecondAnswer {
        /// The hospital concerned.
        by: HospitalId,
        /// The purpose.
        purpose: Purpose,
    },
    /// A vault accepted a header that does not go on from where it stands, or whose sum it has answered for.
    WrongHeader {
        /// The hospital concerned.
        by: HospitalId,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A vault contributed, acknowledged or answered under another header than the last that it accepted.
    NotItsHeader {
        /// The hospital concerned.
        by: HospitalId,
        /// What it did.
        what: &'static str,
    },
    /// The coordinator said something to somebody who is not a member, not connected, or not the one it is meant for.
    Misaddressed {
        /// To whom.
        to: HospitalId,
    },
    /// Everybody is honest, and somebody was blamed.
    HonestBlamed {
        /// Who, for what.
        what: String,
    },
    /// Everybody is honest, and a vault stopped.
    Stopped {
        /// Which.
        by: HospitalId,
        /// The reason, for people.
        reason: String,
    },
    /// The coordinator asks for the time again without any having passed.
    TimerSpins,
    /// The run was declared complete, and a hospital that counts as up to date has another model.
    WrongEnd {
        /// Which hospital.
        hospital: HospitalId,
    },
    /// More happened than a run can need.
    Livelock {
        /// So much.
        happenings: u64,
    },
    /// Nothing happens any more, the run has not ended, and no missing hospital explains it.
    Unexplained {
        /// How it stands.
        what: String,
    },
    /// The run ended badly and no fault explains it.
    Failed {
        /// What the coordinator says.
        reason: String,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self:?}")
    }
}

/// Checks the invariants, note by note.
pub(crate) struct Checker {
    reference: Reference,
    members: BTreeSet<HospitalId>,
    headers: BTreeMap<HeaderHash, RoundOpen>,
    header_of_round: BTreeMap<RoundNumber, HeaderHash>,
    requests: BTreeMap<HeaderHash, Vec<(HospitalId, ContributionDigest)>>,
    contributions: BTreeMap<(HeaderHash, ContributionDigest), Plaintext>,
    vaults: BTreeMap<HospitalId, SeenVault>,
    opened: BTreeMap<SumKey, HeaderHash>,
    rounds: BTreeMap<RoundNumber, SettledAlike>,
    violations: Vec<Violation>,
}

/// A vault as far as it can be seen from outside.
struct SeenVault {
    model: ModelHash,
    /// T; none before the first round, when all stand at the same place.
    transcript: Option<Transcript>,
    last_round: RoundNumber,
    accepted: Option<HeaderHash>,
    answers: BTreeMap<SumKey, (HeaderHash, ContributorsHash)>,
    record: TrainingRecord,
    /// The record as it is on disk.
    kept_record: TrainingRecord,
}

/// What the first vault made of a round.
struct SettledAlike {
    transcript: Transcript,
    model: ModelHash,
    contributors: Vec<HospitalId>,
    sum: Plaintext,
}

impl Checker {
    pub(crate) fn new(
        manifest: Arc<Manifest>,
        training: Training,
        members: BTreeSet<HospitalId>,
    ) -> Self {
        let initial = protocol::kept_model::initial_model_hash(&manifest);
        let vault = || SeenVault {
            model: initial,
            transcript: None,
            last_round: RoundNumber::default(),
            accepted: None,
            answers: BTreeMap::new(),
            record: TrainingRecord::default(),
            kept_record: TrainingRecord::default(),
        };
        Self {
            reference: Reference::new(manifest, training),
            vaults: members.iter().map(|&id| (id, vault())).collect(),
            members,
            headers: BTreeMap::new(),
            header_of_round: BTreeMap::new(),
            requests: BTreeMap::new(),
            contributions: BTreeMap::new(),
            opened: BTreeMap::new(),
            rounds: BTreeMap::new(),
            violations: Vec::new(),
        }
    }

    pub(crate) fn violations(&self) -> &[Violation] {
        &self.violations
    }

    pub(crate) fn violate(&mut self, violation: Violation) {
        self.violations.push(violation);
    }

    /// How many sums of a purpose were opened, each counted once.
    pub(crate) fn opened_sums(&self, purpose: Purpose) -> usize {
        self.opened
            .keys()
            .filter(|key| key.purpose == purpose)
            .count()
    }

    /// Whether the evaluations that were opened end the run.
    pub(crate) fn has_to_stop(&self) -> bool {
        self.reference.has_to_stop()
    }

    /// Checks one note.
    pub(crate) fn observe(&mut self, observation: &Observation) {
        match observation {
            Observation::Said {
                to,
                connected,
                meant_for,
            } => {
                let is_right = meant_for.is_none_or(|meant_for| meant_for == *to);
                if !self.members.contains(to) || !connected || !is_right {
                    self.violate(Violation::Misaddressed { to: *to });
                }
            }
            Observation::HeaderOpened { hash, header } => {
                self.headers.insert(*hash, header.as_ref().clone());
                self.header_of_round.insert(header.round, *hash);
            }
            Observation::Requested {
                header,
                contributors,
            } => {
                self.requests.insert(*header, contributors.clone());
            }
            Observation::HeaderAccepted { by, header } => self.header_accepted(*by, *header),
            Observation::Contributed { by, header, digest } => {
                self.contributed(*by, *header, *digest);
            }
            Observation::Acknowledged { by, header } => {
                self.check_header_at_hand(*by, header, "acknowledged");
            }
            Observation::Answered {
                by,
                header,
                contributors,
            } => self.answered(*by, *header, *contributors),
            Observation::Trained {
                by,
                model,
                loss,
                batches,
            } => {
                let record = TrainingRecord {
                    loss: *loss,
                    batches: *batches,
                };
                if let Some(vault) = self
                    .vaults
                    .get_mut(by)
                    .filter(|vault| vault.model == *model)
                {
                    vault.record = record;
                }
            }
            Observation::Restarted { by } => {
                let vault = self.vaults.get_mut(by).expect("a member");
                vault.record = vault.kept_record;
            }
            Observation::InSession { by } => {
                let vault = self.vaults.get_mut(by).expect("a member");
                // That of the first session, or of one that follows: the model stays.
                vault.transcript = None;
                vault.accepted = None;
            }
            Observation::StateTaken {
                by,
                model,
                transcript,
            } => self.state_taken(*by, *model, *transcript),
            Observation::Opened { by, opened } => self.sum_opened(*by, opened),
            Observation::Blamed { what } => {
                self.violate(Violation::HonestBlamed { what: what.clone() })
            }
            // As one should that comes after the end, or whose run cannot go on.
            Observation::Stopped { reason, .. } if is_refused(reason) => {}
            Observation::Stopped { by, reason } => self.violate(Violation::Stopped {
                by: *by,
                reason: reason.clone(),
            }),
            Observation::TimerSpins => self.violate(Violation::TimerSpins),
            Observation::Completed { model, missing } => self.completed(model, missing),
        }
    }

    fn header_accepted(&mut self, by: HospitalId, hash: HeaderHash) {
        let Some(header) = self.headers.get(&hash) else {
            return self.violate(Violation::WrongHeader {
                by,
                what: "it is not the coordinator's",
            });
        };
        let vault = self.vaults.get_mut(&by).expect("a member");
        if vault.accepted == Some(hash) {
            return;
        }
        let what = if header.round <= vault.last_round {
            Some("its number is not above the last")
        } else if header.model_hash != vault.model {
            Some("it is for another model")
        } else if vault.transcript.is_some_and(|own| own != header.transcript) {
            Some("it follows another transcript")
        } else if vault.answers.contains_key(&header.key()) {
            Some("its sum was answered for under another header")
        } else {
            None
        };
        vault.last_round = vault.last_round.max(header.round);
        vault.accepted = Some(hash);
        vault.kept_record = vault.record;
        if let Some(what) = what {
            self.violate(Violation::WrongHeader { by, what });
        }
    }

    fn contributed(&mut self, by: HospitalId, hash: HeaderHash, digest: ContributionDigest) {
        self.check_header_at_hand(by, &hash, "contributed");
        self.keep_record(by);
        if self.contributions.contains_key(&(hash, digest)) {
            return;
        }
        let Some(header) = self.headers.get(&hash) else {
            return;
        };
        let record = self.vaults[&by].record;
        if let Some(plaintext) = self.reference.plaintext(by, header, record) {
            self.contributions.insert((hash, digest), plaintext);
        }
    }

    /// A vault is given what the others had reached when the session began.
    fn state_taken(&mut self, by: HospitalId, model: ModelHash, transcript: Transcript) {
        // Others may have gone on from it meanwhile.
        if !self.rounds.values().any(|round| round.model == model) {
            self.violate(Violation::WrongHeader {
                by,
                what: "it was given a model that was never the common one",
            });
        }
        let vault = self.vaults.get_mut(&by).expect("a member");
        vault.model = model;
        vault.transcript = Some(transcript);
        vault.record = TrainingRecord::default();
        vault.kept_record = TrainingRecord::default();
    }

    /// What the vault has of its last training is on disk with this contribution.
    fn keep_record(&mut self, by: HospitalId) {
        let vault = self.vaults.get_mut(&by).expect("a member");
        vault.kept_record = vault.record;
    }

    fn answered(&mut self, by: HospitalId, hash: HeaderHash, contributors: ContributorsHash) {
        self.check_header_at_hand(by, &hash, "answered");
        let Some(header) = self.headers.get(&hash) else {
            return;
        };
        let key = header.key();
        let vault = self.vaults.get_mut(&by).expect("a member");
        let answer = *vault.answers.entry(key).or_insert((hash, contributors));
        if answer != (hash, contributors) {
            self.violate(Violation::SecondAnswer {
                by,
                purpose: key.purpose,
            });
        }
    }

    fn check_header_at_hand(&mut self, by: HospitalId, hash: &HeaderHash, what: &'static str) {
        if self.vaults[&by].accepted != Some(*hash) {
            self.violate(Violation::NotItsHeader { by, what });
        }
    }

    fn sum_opened(&mut self, by: HospitalId, opened: &OpenedRound) {
        let round = opened.round;
        let hash = self.header_of_round.get(&round).copied();
        let known = hash.and_then(|hash| Some((hash, self.headers.get(&hash)?.clone())));
        let Some((hash, header)) = known else {
            return self.violate(Violation::WrongHeader {
                by,
                what: "a round was opened that the coordinator has not",
            });
        };
        let vault = self.vaults.get_mut(&by).expect("a member");
        let follows = vault.model == header.model_hash
            && vault.transcript.is_none_or(|own| own == header.transcript);
        vault.model = opened.model_hash;
        vault.transcript = Some(opened.transcript);
        vault.last_round = vault.last_round.max(round);
        vault.accepted = None;
        vault.kept_record = vault.record;
        if !follows {
            self.violate(Violation::WrongHeader {
                by,
                what: "a round was opened that does not follow the one before",
            });
        }
        if *self.opened.entry(header.key()).or_insert(hash) != hash {
            self.violate(Violation::OpenedTwice {
                purpose: header.purpose,
            });
        }
        match self.rounds.get(&round) {
            None => self.first_opening(by, opened, hash, &header),
            Some(first) => {
                let same = first.transcript == opened.transcript
                    && first.model == opened.model_hash
                    && first.contributors == opened.contributors
                    && first.sum.values == as_words(&opened.sum.values)
                    && first.sum.counters == opened.sum.counters;
                if !same {
                    self.violate(Violation::Disagreement { round, by });
                }
            }
        }
    }

    /// The first vault to open a round: what it opened must be the sum over exactly U, and its next model the one that follows.
    fn first_opening(
        &mut self,
        by: HospitalId,
        opened: &OpenedRound,
        hash: HeaderHash,
        header: &RoundOpen,
    ) {
        let round = opened.round;
        if self.reference.has_to_stop() {
            self.violate(Violation::WrongHeader {
                by,
                what: "a round was opened after the evaluations had ended the run",
            });
        }
        let found = Plaintext {
            values: as_words(&opened.sum.values),
            counters: opened.sum.counters.clone(),
        };
        let wrong = match self.expected_sum(&hash, &opened.contributors) {
            Err(what) => Some(what),
            Ok(expected) => difference(&expected, &found),
        };
        if let Some(what) = wrong {
            self.violate(Violation::WrongSum { round, by, what });
        }
        let next = self.reference.settle(header, &opened.contributors, &found);
        if next != Some(opened.model_hash) || opened.model.hash() != opened.model_hash {
            let what = "the model does not follow from the sum".to_owned();
            self.violate(Violation::WrongSum { round, by, what });
        }
        self.rounds.insert(
            round,
            SettledAlike {
                transcript: opened.transcript,
                model: opened.model_hash,
                contributors: opened.contributors.clone(),
                sum: found,
            },
        );
    }

    /// The sum of the contributions that the coordinator's request lists, if those are of the contributors that were opened.
    fn expected_sum(
        &self,
        header: &HeaderHash,
        contributors: &[HospitalId],
    ) -> Result<Plaintext, String> {
        let request = self.requests.get(header);
        let request = request.ok_or("U was never asked for")?;
        if !request.iter().map(|(id, _)| id).eq(contributors) {
            return Err("the contributors are not U".into());
        }
        let mut sum: Option<Plaintext> = None;
        for (id, digest) in request {
            let own = self.contributions.get(&(*header, *digest));
            let own = own.ok_or_else(|| format!("hospital {id} has made no such contribution"))?;
            match &mut sum {
                None => sum = Some(own.clone()),
                Some(sum) => {
                    add(&mut sum.values, &own.values);
                    add(&mut sum.counters, &own.counters);
                }
            }
        }
        sum.ok_or_else(|| "U is empty".into())
    }

    fn completed(&mut self, model: &ModelHash, missing: &BTreeSet<HospitalId>) {
        let wrong: Vec<_> = self
            .vaults
            .iter()
            .filter(|(id, vault)| !missing.contains(id) && vault.model != *model)
            .map(|(&id, _)| id)
            .collect();
        for hospital in wrong {
            self.violate(Violation::WrongEnd { hospital });
        }
        let transcripts: BTreeSet<_> = self
            .vaults
            .iter()
            .filter(|(id, _)| !missing.contains(id))
            .filter_map(|(_, vault)| vault.transcript)
            .collect();
        if transcripts.len() > 1 {
            let (&round, _) = self.rounds.last_key_value().expect("rounds were opened");
            let by = *self.members.first().expect("a member");
            self.violate(Violation::Disagreement { round, by });
        }
    }
}

/// The coordinator's words to a hospital that comes when nothing can be done any more.
fn is_refused(reason: &str) -> bool {
    let words = [
        "takes part in the next run",
        "without their keys",
        "have reached the same point of the run",
        "given the model",
    ];
    words.iter().any(|words| reason.contains(words))
}

/// The violations that the checks find in the notes of an onlooker.
pub fn check_notes(
    size: u8,
    manifest: &Manifest,
    training: Training,
    notes: &[Observation],
) -> Vec<Violation> {
    let members = (1..=size).filter_map(HospitalId::new).collect();
    let mut checker = Checker::new(Arc::new(manifest.clone()), training, members);
    for note in notes {
        checker.observe(note);
    }
    checker.violations
}

fn add(sum: &mut [u64], own: &[u64]) {
    for (sum, own) in sum.iter_mut().zip(own) {
        *sum += own;
    }
}

fn as_words(values: &[u32]) -> Vec<u64> {
    values.iter().copied().map(u64::from).collect()
}

fn difference(expected: &Plaintext, found: &Plaintext) -> Option<String> {
    let differs = |what: &str, expected: &[u64], found: &[u64]| {
        if expected.len() != found.len() {
            return Some(format!("{} {what} for {}", found.len(), expected.len()));
        }
        let index = expected.iter().zip(found).position(|(e, f)| e != f)?;
        Some(format!(
            "{what} {index} is {} for {}",
            found[index], expected[index]
        ))
    };
    differs("value", &expected.values, &found.values)
        .or_else(|| differs("counter", &expected.counters, &found.counters))
}
