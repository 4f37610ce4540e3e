//! What a vault must never forget: what it has answered for, the seed behind every blob it has sent, and its session, so that it goes
//! on after its process was ended at any moment (PROTOCOL.md 3.5 to 3.8).
//!
//! Everything here is on disk, synced, before what depends on it leaves the vault:
//!
//! | | written | before |
//! |---|---|---|
//! | S | [`Journal::begin_session`] | our Ready; anything of the first round |
//! | A | [`Journal::keep_position`] | anything for a header |
//! | B | [`Journal::record_seed`], [`Journal::record_contribution`] | the first byte of the contribution |
//! | C | [`Journal::record_box`] | the box is acknowledged |
//! | D | [`Journal::record_answer`] | the answer |
//! | E | [`Journal::stage_model`], [`Journal::settle`] | `RoundClosed` |
//! | F | [`Journal::end_session`] | the participant ends |

mod initial_models;
pub mod memory;
mod model_files;
pub mod patient;
mod session_key;
pub mod sqlite;

pub use self::{
    initial_models::{InitialModelMissing, missing_initial_model},
    model_files::run_folder,
};

use std::collections::BTreeSet;

use crypto::sealed_sum::{DealerAnswer, HospitalId, Seed};
use protocol::{
    common_model::CommonModel,
    digests::{
        ClipCommit, ContributionDigest, ContributorsHash, HeaderHash, LearningRound, ModelHash,
        RunId, SessionId, Transcript, WeightsHash,
    },
    manifest::Manifest,
    network::ModelLayout,
    round::{header::SumKey, unlock::WeightedMembers},
};
use zeroize::Zeroizing;

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

/// What a sum is about, in whatever run: the models and data behind it. Two sums about the same over two sets of hospitals can be
/// subtracted (PROTOCOL.md 3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SumSubject(pub [u8; 32]);

/// A sum over a set of hospitals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SumOver {
    /// Which sum of its run.
    pub key: SumKey,
    /// What it is about: each of these may be found again in another run by itself.
    pub subjects: Vec<SumSubject>,
    /// U.
    pub members: BTreeSet<HospitalId>,
    /// U as it can be compared with that of another run.
    pub weighted: WeightedMembers,
}

/// A session, in the vault's own form.
pub struct KeptSession {
    /// What does not change: the manifest and the messages of the set-up. Public.
    pub set_up: Vec<u8>,
    /// The keys as they stand, and how far the vault is.
    pub position: Zeroizing<Vec<u8>>,
}

/// A contributor's box for this vault, opened.
pub struct KeptBox {
    /// The contributor.
    pub from: HospitalId,
    /// `D_i` of the contribution it belongs to.
    pub digest: ContributionDigest,
    /// What the contributor said of its clips.
    pub commit: ClipCommit,
    /// Our answer of the dealer check: never another one.
    pub answer: DealerAnswer,
    /// The share. None once it was erased because its contributor is not in U.
    pub share: Option<Zeroizing<Vec<u8>>>,
}

/// Our contribution to the round at hand.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptContribution {
    /// What is uploaded.
    pub blob: Vec<u8>,
    /// Loss and steps of the training behind it, for the next evaluation; zero where there was none.
    pub training: (f64, u32),
}

/// A common model, as far as it is not part of the position.
pub struct KeptModel {
    /// In the order of the manifest's layout.
    pub values: Vec<f32>,
    /// Of the server's optimiser, in the order of the strategy: each as long as `values`.
    pub moments: Vec<Vec<f32>>,
}

/// A run that this vault has taken part in to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedRun {
    /// Which.
    pub run: RunId,
    /// In which session.
    pub session: SessionId,
    /// T of its last round.
    pub transcript: Transcript,
    /// The common model.
    pub model_hash: ModelHash,
    /// The learning round that it comes from.
    pub learning_round: LearningRound,
}

/// The memory of a vault across headers, sessions and restarts.
///
/// # Errors
/// Every function but one gives [`JournalError`] when the journal cannot be read or written: then nothing may be sent.
pub trait Journal: Send {
    /// The session that the vault was in when its process ended.
    fn kept_session(&self) -> Result<Option<KeptSession>, JournalError>;

    /// A session has its keys, or more of its set-up, or follows another of its run: what was kept of a round is erased. One of another
    /// run is ended first ([`Self::end_session`]). The staged model, if any, is the run's then.
    fn begin_session(&mut self, session: &KeptSession) -> Result<(), JournalError>;

    /// A header was accepted: keeps the position with it. Seeds, blobs and boxes of all other headers are erased.
    fn keep_position(&mut self, header: &HeaderHash, position: &[u8]) -> Result<(), JournalError>;

    /// The number of the next attempt to contribute under a header: one more than the largest that a seed was kept for.
    fn next_attempt(&self, header: &HeaderHash) -> Result<u8, JournalError>;

    /// Keeps the seed of a contribution before anything is computed from it.
    fn record_seed(
        &mut self,
        header: &HeaderHash,
        attempt: u8,
        seed: &Seed,
    ) -> Result<(), JournalError>;

    /// Keeps the whole contribution, and our own share of it, before its first byte leaves.
    fn record_contribution(
        &mut self,
        header: &HeaderHash,
        contribution: &KeptContribution,
        own: &KeptBox,
    ) -> Result<(), JournalError>;

    /// The contribution made under a header, if any.
    fn contribution(&self, header: &HeaderHash) -> Result<Option<KeptContribution>, JournalError>;

    /// Keeps an opened box before it is acknowledged.
    fn record_box(&mut self, header: &HeaderHash, opened: &KeptBox) -> Result<(), JournalError>;

    /// The boxes opened under a header, our own share included.
    fn boxes(&self, header: &HeaderHash) -> Result<Vec<KeptBox>, JournalError>;

    /// The answer given for this key, if any.
    fn answer(&self, key: &SumKey) -> Result<Option<RecordedAnswer>, JournalError>;

    /// Keeps an answer for a sum before it leaves, and that the sum was over its members; and erases the shares of all others. All or
    /// nothing. Another answer for its key than the one that is there is an error: there is never a
    /// second.
    fn record_answer(&mut self, sum: &SumOver, answer: &RecordedAnswer)
    -> Result<(), JournalError>;

    /// Whether a sum of this key was opened: it is spent for good.
    fn is_spent(&self, key: &SumKey) -> Result<bool, JournalError>;

    /// The contributor sets of the run's evaluations that this vault answered for or saw opened.
    fn evaluations(&self, run: &RunId) -> Result<Vec<BTreeSet<HospitalId>>, JournalError>;

    /// The contributors of all sums of the same purpose about one of these subjects, in other runs than this one, that this vault
    /// answered for or saw opened.
    fn same_sums_of_other_runs(
        &self,
        key: &SumKey,
        subjects: &[SumSubject],
    ) -> Result<Vec<WeightedMembers>, JournalError>;

    /// A sum did not open. It counts as one over its members all the same.
    fn record_failed_opening(&mut self, sum: &SumOver) -> Result<(), JournalError>;

    /// Keeps the model that an update leads to, beside the one before, until [`Self::settle`] has made it the run's.
    fn stage_model(
        &mut self,
        run: &RunId,
        model: &CommonModel,
        hash: &ModelHash,
    ) -> Result<(), JournalError>;

    /// The run's model with this hash, if all of it was kept.
    fn model(
        &self,
        run: &RunId,
        manifest: &Manifest,
        hash: &ModelHash,
    ) -> Result<Option<KeptModel>, JournalError>;

    /// A sum was opened: spends its key, keeps that it was over its members, keeps the position after it, and erases all seeds, blobs and
    /// boxes up to now. All or nothing. Then the staged model, if any, is the run's.
    fn settle(&mut self, sum: &SumOver, position: &[u8]) -> Result<(), JournalError>;

    /// The vault leaves its session: everything of it is erased, and of a run that has ended well that is kept. What was answered and
    /// spent stays.
    fn end_session(&mut self, ended: Option<&EndedRun>) -> Result<(), JournalError>;

    /// The values of a model that an earlier run has left here, or that was put here by hand: those of this hash, in the order of the
    /// layout.
    ///
    /// # Errors
    /// [`InitialModelMissing`].
    fn initial_model(
        &self,
        layout: &ModelLayout,
        weights: &WeightsHash,
    ) -> Result<Vec<f32>, InitialModelMissing>;

    /// The run that has ended here last.
    fn last_ended_run(&self) -> Result<Option<EndedRun>, JournalError>;

    /// Whether the vault has taken part in this run to its end.
    fn ended_run(&self, run: &RunId) -> Result<Option<EndedRun>, JournalError>;
}

/// The journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the vault's journal {place}: {reason}; free disk space or repair the file")]
pub struct JournalError {
    /// Which journal.
    pub place: String,
    /// What went wrong.
    pub reason: String,
    /// Whether it may pass by itself, as a full disk does. Nothing was written then.
    pub may_pass: bool,
}
