//! A journal in memory, and one that forgets: to see that the checks of the cohort see what the journal prevents.

use std::collections::BTreeSet;

use crypto::sealed_sum::{HospitalId, Seed};
use participant::journal::{Journal, JournalError, RecordedAnswer, memory::MemoryJournal};
use protocol::{
    digests::{HeaderHash, RunId},
    round::header::SumKey,
};

/// See the module.
#[derive(Default)]
pub struct CohortJournal {
    kept: MemoryJournal,
    forgets: bool,
}

impl CohortJournal {
    /// A journal that keeps everything and, asked for it, has nothing.
    pub fn forgetful() -> Self {
        Self {
            kept: MemoryJournal::default(),
            forgets: true,
        }
    }
}

impl Journal for CohortJournal {
    fn record_seed(
        &mut self,
        header: &HeaderHash,
        attempt: u8,
        seed: &Seed,
    ) -> Result<(), JournalError> {
        self.kept.record_seed(header, attempt, seed)
    }

    fn record_blob(&mut self, header: &HeaderHash, blob: &[u8]) -> Result<(), JournalError> {
        self.kept.record_blob(header, blob)
    }

    fn answer(&self, key: &SumKey) -> Result<Option<RecordedAnswer>, JournalError> {
        if self.forgets {
            return Ok(None);
        }
        self.kept.answer(key)
    }

    fn record_answer(
        &mut self,
        key: &SumKey,
        members: &BTreeSet<HospitalId>,
        answer: &RecordedAnswer,
    ) -> Result<(), JournalError> {
        if self.forgets {
            return Ok(());
        }
        self.kept.record_answer(key, members, answer)
    }

    fn is_spent(&self, key: &SumKey) -> Result<bool, JournalError> {
        Ok(!self.forgets && self.kept.is_spent(key)?)
    }

    fn evaluations(&self, run: &RunId) -> Result<Vec<BTreeSet<HospitalId>>, JournalError> {
        if self.forgets {
            return Ok(Vec::new());
        }
        self.kept.evaluations(run)
    }

    fn record_failed_opening(
        &mut self,
        key: &SumKey,
        members: &BTreeSet<HospitalId>,
    ) -> Result<(), JournalError> {
        self.kept.record_failed_opening(key, members)
    }

    fn settle(&mut self, key: &SumKey, members: &BTreeSet<HospitalId>) -> Result<(), JournalError> {
        self.kept.settle(key, members)
    }
}
