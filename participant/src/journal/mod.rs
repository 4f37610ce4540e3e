//! What a vault must never forget: what it has answered for, and the seed behind every blob it has sent (PROTOCOL.md 3.5, 3.6).
//!
//! Everything here is on disk, synced, before what depends on it leaves the vault.

pub mod memory;
pub mod sqlite;

use std::collections::BTreeSet;

use crypto::sealed_sum::{HospitalId, Seed};
use protocol::{
    digests::{ContributorsHash, HeaderHash, RunId},
    round::header::SumKey,
};

/// The answer that a vault has given for a sum.
#[derive(Clone, PartialEq, Eq)]
pub struct RecordedAnswer {
    /// hh of the header it answered under.
    pub header: HeaderHash,
    /// uh of the contributors it answered for.
    pub contributors: ContributorsHash,
    /// The whole signed `UnlockShare`: a repeated request gets the identical bytes.
    pub share: Vec<u8>,
}

/// The memory of a vault across headers, sessions and restarts.
pub trait Journal: Send {
    /// Keeps the seed of a contribution before anything is computed from it.
    ///
    /// # Errors
    /// [`JournalError`] when it cannot be written: then nothing may be sent.
    fn record_seed(
        &mut self,
        header: &HeaderHash,
        attempt: u8,
        seed: &Seed,
    ) -> Result<(), JournalError>;

    /// Keeps the whole contribution before its first byte leaves.
    ///
    /// # Errors
    /// As above.
    fn record_blob(&mut self, header: &HeaderHash, blob: &[u8]) -> Result<(), JournalError>;

    /// The answer given for this key, if any.
    ///
    /// # Errors
    /// As above.
    fn answer(&self, key: &SumKey) -> Result<Option<RecordedAnswer>, JournalError>;

    /// Keeps an answer for the contributors `members` before it leaves; if the sum is an evaluation, also that it was over them. Both
    /// or nothing.
    ///
    /// # Errors
    /// As above; also when an answer for this key is there already: there is never a second.
    fn record_answer(
        &mut self,
        key: &SumKey,
        members: &BTreeSet<HospitalId>,
        answer: &RecordedAnswer,
    ) -> Result<(), JournalError>;

    /// Whether a sum of this key was opened: it is spent for good.
    ///
    /// # Errors
    /// As above.
    fn is_spent(&self, key: &SumKey) -> Result<bool, JournalError>;

    /// The contributor sets of the run's evaluations that this vault answered for or saw opened.
    ///
    /// # Errors
    /// As above.
    fn evaluations(&self, run: &RunId) -> Result<Vec<BTreeSet<HospitalId>>, JournalError>;

    /// A sum over these contributors did not open. If it is an evaluation, it counts as one over them.
    ///
    /// # Errors
    /// As above.
    fn record_failed_opening(
        &mut self,
        key: &SumKey,
        members: &BTreeSet<HospitalId>,
    ) -> Result<(), JournalError>;

    /// A sum over these contributors was opened: spends its key, keeps the set if it is an evaluation, and erases all seeds and blobs
    /// up to now. All or nothing.
    ///
    /// # Errors
    /// As above.
    fn settle(&mut self, key: &SumKey, members: &BTreeSet<HospitalId>) -> Result<(), JournalError>;
}

/// The journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot use the vault's journal {place}: {reason}; free disk space or repair the file, then start again"
)]
pub struct JournalError {
    /// Which journal.
    pub place: String,
    /// What went wrong.
    pub reason: String,
}
