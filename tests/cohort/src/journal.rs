//! A journal in memory that survives its vault, and one that forgets: to see that the checks of the cohort see what the journal prevents.

use std::collections::BTreeSet;

use crypto::sealed_sum::{HospitalId, Seed};
use participant::journal::{
    EndedRun, InitialModelMissing, Journal, JournalError, KeptBox, KeptContribution, KeptModel,
    KeptSession, RecordedAnswer, SumOver, SumSubject, memory::MemoryJournal,
};
use protocol::{
    common_model::CommonModel,
    digests::{HeaderHash, ModelHash, RunId, WeightsHash},
    manifest::Manifest,
    network::ModelLayout,
    round::{header::SumKey, unlock::WeightedMembers},
};

/// A journal in memory that survives its vault. Its clones are one journal.
#[derive(Clone, Default)]
pub struct CohortJournal {
    kept: MemoryJournal,
    forgets: bool,
}

impl CohortJournal {
    /// A journal that keeps everything and, asked for an answer, has none.
    pub fn forgetful() -> Self {
        Self {
            kept: MemoryJournal::default(),
            forgets: true,
        }
    }

    /// The journal without its whims.
    pub fn disk(&self) -> &MemoryJournal {
        &self.kept
    }
}

/// What is passed on as it is.
macro_rules! pass_on {
    ($($(#[$mutable:ident])? fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {$(
        pass_on!(@one $(#[$mutable])? $name ($($argument: $type),*) $result);
    )*};
    (@one #[mutable] $name:ident ($($argument:ident: $type:ty),*) $result:ty) => {
        fn $name(&mut self, $($argument: $type),*) -> Result<$result, JournalError> {
            self.kept.$name($($argument),*)
        }
    };
    (@one $name:ident ($($argument:ident: $type:ty),*) $result:ty) => {
        fn $name(&self, $($argument: $type),*) -> Result<$result, JournalError> {
            self.kept.$name($($argument),*)
        }
    };
}

impl Journal for CohortJournal {
    fn initial_model(
        &self,
        layout: &ModelLayout,
        weights: &WeightsHash,
    ) -> Result<Vec<f32>, InitialModelMissing> {
        self.kept.initial_model(layout, weights)
    }

    pass_on! {
        fn kept_session() -> Option<KeptSession>;
        #[mutable]
        fn begin_session(session: &KeptSession) -> ();
        #[mutable]
        fn keep_position(header: &HeaderHash, position: &[u8]) -> ();
        fn next_attempt(header: &HeaderHash) -> u8;
        #[mutable]
        fn record_seed(header: &HeaderHash, attempt: u8, seed: &Seed) -> ();
        #[mutable]
        fn record_contribution(header: &HeaderHash, contribution: &KeptContribution, own: &KeptBox) -> ();
        fn contribution(header: &HeaderHash) -> Option<KeptContribution>;
        #[mutable]
        fn record_box(header: &HeaderHash, opened: &KeptBox) -> ();
        fn boxes(header: &HeaderHash) -> Vec<KeptBox>;
        #[mutable]
        fn record_failed_opening(sum: &SumOver) -> ();
        #[mutable]
        fn stage_model(run: &RunId, model: &CommonModel, hash: &ModelHash) -> ();
        fn model(run: &RunId, manifest: &Manifest, hash: &ModelHash) -> Option<KeptModel>;
        #[mutable]
        fn settle(sum: &SumOver, position: &[u8]) -> ();
        fn same_sums_of_other_runs(key: &SumKey, subjects: &[SumSubject]) -> Vec<WeightedMembers>;
        #[mutable]
        fn end_session(ended: Option<&EndedRun>) -> ();
        fn ended_run(run: &RunId) -> Option<EndedRun>;
        fn last_ended_run() -> Option<EndedRun>;
    }

    fn answer(&self, key: &SumKey) -> Result<Option<RecordedAnswer>, JournalError> {
        if self.forgets {
            return Ok(None);
        }
        self.kept.answer(key)
    }

    fn record_answer(
        &mut self,
        sum: &SumOver,
        answer: &RecordedAnswer,
    ) -> Result<(), JournalError> {
        if self.forgets {
            return Ok(());
        }
        self.kept.record_answer(sum, answer)
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
}
