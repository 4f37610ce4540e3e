//! How a run ended, for whoever started it and for the store.

use std::collections::BTreeMap;

use crypto::sealed_sum::HospitalId;
use protocol::digests::ModelHash;

use crate::store::RunResult;

/// How a run ended.
pub(super) enum Ending {
    Complete {
        model_hash: ModelHash,
        /// Why before its last round, if so.
        early: Option<String>,
        missing: Vec<HospitalId>,
        suspected: BTreeMap<HospitalId, usize>,
    },
    Failed {
        reason: String,
    },
    /// This process ends; the run does not, if it has a state folder.
    Stopped,
}

impl Ending {
    /// What the store is told; nothing of a run that can be taken up again.
    pub(super) fn result(&self) -> Option<RunResult<'_>> {
        match self {
            Self::Complete {
                model_hash, early, ..
            } => Some(RunResult::Complete {
                model_hash,
                early: early.as_deref(),
            }),
            Self::Failed { reason } => Some(RunResult::Failed { reason }),
            Self::Stopped => None,
        }
    }
}
