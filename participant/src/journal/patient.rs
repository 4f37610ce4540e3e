//! A journal that waits while its disk is full, read-only or gone: nothing is lost, and the vault goes on when there is room.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crypto::sealed_sum::{HospitalId, Seed};
use protocol::{
    common_model::CommonModel,
    digests::{HeaderHash, ModelHash, RunId, WeightsHash},
    manifest::Manifest,
    network::ModelLayout,
    round::{header::SumKey, unlock::WeightedMembers},
};

use super::{
    EndedRun, InitialModelMissing, Journal, JournalError, KeptBox, KeptContribution, KeptModel,
    KeptSession, RecordedAnswer, SumOver, SumSubject,
};

/// A journal whose writes wait for the disk. Reads do not wait: they fail only when the file itself is broken.
pub struct PatientJournal<J> {
    journal: J,
    patience: Arc<Patience>,
}

/// What a participant and its journal tell each other about a disk that is waited for.
#[derive(Default)]
pub struct Patience {
    stopping: AtomicBool,
    waiting_since: Mutex<Option<Instant>>,
}

impl Patience {
    /// The participant is to end: the journal gives up waiting.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// How long the journal has been waiting for its disk; none while it does not.
    pub fn waiting_for(&self) -> Option<Duration> {
        let since = self.since();
        since.map(|since| since.elapsed())
    }

    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        let since = self.waiting_since.lock();
        since.unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J: Journal> PatientJournal<J> {
    /// Waits until the disk can be written, or `patience` is over.
    pub fn new(journal: J, patience: Arc<Patience>) -> Self {
        Self { journal, patience }
    }

    fn patiently(
        &mut self,
        mut write: impl FnMut(&mut J) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let mut told: Option<Instant> = None;
        loop {
            let error = match write(&mut self.journal) {
                Err(error) if error.may_pass => error,
                result => {
                    if self.patience.since().take().is_some() && result.is_ok() {
                        tracing::info!("the journal can be written again; going on");
                    }
                    return result;
                }
            };
            let now = Instant::now();
            let since = *self.patience.since().get_or_insert(now);
            if told.is_none_or(|told| told + BETWEEN_WORDS <= now) {
                told = Some(now);
                let seconds = since.elapsed().as_secs();
                tracing::error!(
                    "{error}; waiting for it since {seconds} s, nothing is lost meanwhile"
                );
            }
            let again = now + BEFORE_TRYING_AGAIN;
            while Instant::now() < again {
                if self.patience.stopping.load(Ordering::Relaxed) {
                    return Err(error);
                }
                thread::sleep(GLANCE);
            }
        }
    }
}

impl<J: Journal> Journal for PatientJournal<J> {
    fn kept_session(&self) -> Result<Option<KeptSession>, JournalError> {
        self.journal.kept_session()
    }

    fn begin_session(&mut self, session: &KeptSession) -> Result<(), JournalError> {
        self.patiently(|journal| journal.begin_session(session))
    }

    fn keep_position(&mut self, header: &HeaderHash, position: &[u8]) -> Result<(), JournalError> {
        self.patiently(|journal| journal.keep_position(header, position))
    }

    fn next_attempt(&self, header: &HeaderHash) -> Result<u8, JournalError> {
        self.journal.next_attempt(header)
    }

    fn record_seed(
        &mut self,
        header: &HeaderHash,
        attempt: u8,
        seed: &Seed,
    ) -> Result<(), JournalError> {
        self.patiently(|journal| journal.record_seed(header, attempt, seed))
    }

    fn record_contribution(
        &mut self,
        header: &HeaderHash,
        contribution: &KeptContribution,
        own: &KeptBox,
    ) -> Result<(), JournalError> {
        self.patiently(|journal| journal.record_contribution(header, contribution, own))
    }

    fn contribution(&self, header: &HeaderHash) -> Result<Option<KeptContribution>, JournalError> {
        self.journal.contribution(header)
    }

    fn record_box(&mut self, header: &HeaderHash, opened: &KeptBox) -> Result<(), JournalError> {
        self.patiently(|journal| journal.record_box(header, opened))
    }

    fn boxes(&self, header: &HeaderHash) -> Result<Vec<KeptBox>, JournalError> {
        self.journal.boxes(header)
    }

    fn answer(&self, key: &SumKey) -> Result<Option<RecordedAnswer>, JournalError> {
        self.journal.answer(key)
    }

    fn record_answer(
        &mut self,
        sum: &SumOver,
        answer: &RecordedAnswer,
    ) -> Result<(), JournalError> {
        self.patiently(|journal| journal.record_answer(sum, answer))
    }

    fn is_spent(&self, key: &SumKey) -> Result<bool, JournalError> {
        self.journal.is_spent(key)
    }

    fn evaluations(&self, run: &RunId) -> Result<Vec<BTreeSet<HospitalId>>, JournalError> {
        self.journal.evaluations(run)
    }

    fn same_sums_of_other_runs(
        &self,
        key: &SumKey,
        subjects: &[SumSubject],
    ) -> Result<Vec<WeightedMembers>, JournalError> {
        self.journal.same_sums_of_other_runs(key, subjects)
    }

    fn record_failed_opening(&mut self, sum: &SumOver) -> Result<(), JournalError> {
        self.patiently(|journal| journal.record_failed_opening(sum))
    }

    fn stage_model(
        &mut self,
        run: &RunId,
        model: &CommonModel,
        hash: &ModelHash,
    ) -> Result<(), JournalError> {
        self.patiently(|journal| journal.stage_model(run, model, hash))
    }

    fn model(
        &self,
        run: &RunId,
        manifest: &Manifest,
        hash: &ModelHash,
    ) -> Result<Option<KeptModel>, JournalError> {
        self.journal.model(run, manifest, hash)
    }

    fn initial_model(
        &self,
        layout: &ModelLayout,
        weights: &WeightsHash,
    ) -> Result<Vec<f32>, InitialModelMissing> {
        self.journal.initial_model(layout, weights)
    }

    fn settle(&mut self, sum: &SumOver, position: &[u8]) -> Result<(), JournalError> {
        self.patiently(|journal| journal.settle(sum, position))
    }

    fn end_session(&mut self, ended: Option<&EndedRun>) -> Result<(), JournalError> {
        self.patiently(|journal| journal.end_session(ended))
    }

    fn last_ended_run(&self) -> Result<Option<EndedRun>, JournalError> {
        self.journal.last_ended_run()
    }

    fn ended_run(&self, run: &RunId) -> Result<Option<EndedRun>, JournalError> {
        self.journal.ended_run(run)
    }
}

const BEFORE_TRYING_AGAIN: Duration = Duration::from_secs(3);
const GLANCE: Duration = Duration::from_millis(50);
const BETWEEN_WORDS: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::memory::MemoryJournal;

    fn seed() -> Seed {
        Seed::from_bytes([1; 32])
    }

    #[test]
    fn a_write_waits_until_it_succeeds() {
        let disk = MemoryJournal::default();
        let patience = Arc::new(Patience::default());
        let mut journal = PatientJournal::new(disk.clone(), patience.clone());
        disk.stop_after(0);
        let writer = thread::spawn(move || journal.record_seed(&[2; 32].into(), 0, &seed()));
        while !disk.has_stopped() {
            thread::sleep(GLANCE);
        }
        while patience.waiting_for().is_none() {
            thread::sleep(GLANCE);
        }
        disk.go_on();
        writer.join().expect("no panic").expect("written after all");
        assert_eq!(disk.next_attempt(&[2; 32].into()).expect("readable"), 1);
        assert!(patience.waiting_for().is_none());
    }

    #[test]
    fn one_that_is_to_stop_gives_up_with_the_error() {
        let disk = MemoryJournal::default();
        let patience = Arc::new(Patience::default());
        patience.stop();
        let mut journal = PatientJournal::new(disk.clone(), patience);
        disk.stop_after(0);
        let error = journal.record_seed(&[2; 32].into(), 0, &seed());
        assert!(error.is_err_and(|error| error.may_pass));
    }
}
