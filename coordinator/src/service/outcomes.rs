//! Outcomes that hospitals may fetch: as files when there is a state folder, else in memory.

use std::{path::PathBuf, sync::Arc};

use dashmap::DashMap;
use protocol::digests::OutcomeName;

/// The published outcomes by name. Written by the owner, read by every link; no lock is held while one is served.
#[derive(Default)]
pub(super) struct Outcomes(DashMap<OutcomeName, Outcome>);

/// Where an outcome's bytes are.
#[derive(Clone)]
pub(super) enum Outcome {
    InMemory(Arc<[u8]>),
    /// One behind the other. Whole: they were synced and renamed before the outcome was published.
    InFiles(Vec<PathBuf>),
}

impl Outcomes {
    pub(super) fn publish(&self, name: OutcomeName, outcome: Outcome) {
        self.0.insert(name, outcome);
    }

    pub(super) fn retract(&self, name: &OutcomeName) {
        self.0.remove(name);
    }

    pub(super) fn find(&self, name: &OutcomeName) -> Option<Outcome> {
        self.0.get(name).map(|outcome| outcome.clone())
    }
}
