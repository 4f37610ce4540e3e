//! A journal that forgets with its process: for tests of the vault.

use std::collections::{BTreeMap, BTreeSet};

use crypto::sealed_sum::{HospitalId, Seed};
use protocol::{
    digests::{HeaderHash, RunId},
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

    fn record_answer(&mut self, key: &SumKey, answer: &RecordedAnswer) -> Result<(), JournalError> {
        match self.answers.insert(*key, answer.clone()) {
            None => Ok(()),
            Some(_) => Err(JournalError {
                place: "in memory".into(),
                reason: "a second answer for one sum".into(),
            }),
        }
    }

    fn is_spent(&self, key: &SumKey) -> Result<bool, JournalError> {
        Ok(self.spent.contains(key))
    }

    fn evaluations(&self, run: &RunId) -> Result<Vec<BTreeSet<HospitalId>>, JournalError> {
        Ok(self.evaluations.get(run).cloned().unwrap_or_default())
    }

    fn record_evaluation(
        &mut self,
        run: &RunId,
        contributors: &BTreeSet<HospitalId>,
    ) -> Result<(), JournalError> {
        let known = self.evaluations.entry(*run).or_default();
        if !known.contains(contributors) {
            known.push(contributors.clone());
        }
        Ok(())
    }

    fn settle(&mut self, key: &SumKey) -> Result<(), JournalError> {
        self.spent.insert(*key);
        self.seeds.clear();
        self.blobs.clear();
        Ok(())
    }
}
