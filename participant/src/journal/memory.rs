//! A journal that forgets with its process: for tests of the vault.

use std::collections::{BTreeMap, BTreeSet};

use crypto::sealed_sum::{HospitalId, Seed};
use protocol::{
    digests::{HeaderHash, RunId},
    manifest::Purpose,
    round::header::SumKey,
};

use super::{Journal, JournalError, RecordedAnswer};

/// See the module.
#[derive(Default)]
pub struct MemoryJournal {
    seeds: BTreeMap<(HeaderHash, u8), [u8; 32]>,
    blobs: BTreeMap<HeaderHash, usize>,
    answers: BTreeMap<SumKey, RecordedAnswer>,
    spent: BTreeSet<SumKey>,
    evaluations: BTreeMap<RunId, Vec<BTreeSet<HospitalId>>>,
}

impl Journal for MemoryJournal {
    fn record_seed(
        &mut self,
        header: &HeaderHash,
        attempt: u8,
        seed: &Seed,
    ) -> Result<(), JournalError> {
        self.seeds.insert((*header, attempt), *seed.as_bytes());
        Ok(())
    }

    fn record_blob(&mut self, header: &HeaderHash, blob: &[u8]) -> Result<(), JournalError> {
        self.blobs.insert(*header, blob.len());
        Ok(())
    }

    fn answer(&self, key: &SumKey) -> Result<Option<RecordedAnswer>, JournalError> {
        Ok(self.answers.get(key).cloned())
    }

    fn record_answer(
        &mut self,
        key: &SumKey,
        members: &BTreeSet<HospitalId>,
        answer: &RecordedAnswer,
    ) -> Result<(), JournalError> {
        if self.answers.contains_key(key) {
            return Err(JournalError {
                place: "in memory".into(),
                reason: "a second answer for one sum".into(),
            });
        }
        self.answers.insert(*key, answer.clone());
        self.keep_evaluation(key, members);
        Ok(())
    }

    fn is_spent(&self, key: &SumKey) -> Result<bool, JournalError> {
        Ok(self.spent.contains(key))
    }

    fn evaluations(&self, run: &RunId) -> Result<Vec<BTreeSet<HospitalId>>, JournalError> {
        Ok(self.evaluations.get(run).cloned().unwrap_or_default())
    }

    fn record_failed_opening(
        &mut self,
        key: &SumKey,
        members: &BTreeSet<HospitalId>,
    ) -> Result<(), JournalError> {
        self.keep_evaluation(key, members);
        Ok(())
    }

    fn settle(&mut self, key: &SumKey, members: &BTreeSet<HospitalId>) -> Result<(), JournalError> {
        self.keep_evaluation(key, members);
        self.spent.insert(*key);
        self.seeds.clear();
        self.blobs.clear();
        Ok(())
    }
}

impl MemoryJournal {
    fn keep_evaluation(&mut self, key: &SumKey, members: &BTreeSet<HospitalId>) {
        if key.purpose != Purpose::Evaluation {
            return;
        }
        let known = self.evaluations.entry(key.run).or_default();
        if !known.contains(members) {
            known.push(members.clone());
        }
    }
}
