//! How a run ended, for whoever started it and for the store.

use std::collections::BTreeMap;

use crypto::sealed_sum::HospitalId;
use protocol::digests::ModelHash;

use super::records::RecordsError;
use crate::store::RunResult;

/// How a run ended.
pub(super) enum Ending {
    Complete {
        model_hash: ModelHash,
        missing: Vec<HospitalId>,
        suspected: BTreeMap<HospitalId, usize>,
    },
    Failed {
        reason: String,
    },
    Stopped,
    RecordsLost(RecordsError),
}

impl Ending {
    /// What the store is told; none when nothing more can be written.
    pub(super) fn result(&self) -> Option<RunResult<'_>> {
        match self {
            Self::Complete { model_hash, .. } => Some(RunResult::Complete { model_hash }),
            Self::Failed { reason } => Some(RunResult::Failed { reason }),
            Self::Stopped => Some(RunResult::Stopped),
            Self::RecordsLost(_) => None,
        }
    }
}
