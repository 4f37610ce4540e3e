//! Outcomes that hospitals may fetch, in memory.

use std::sync::Arc;

use dashmap::DashMap;
use protocol::digests::OutcomeName;

/// The published outcomes by name. Written by the owner, read by every link; no lock is held while one is served.
#[derive(Default)]
pub(super) struct Outcomes(DashMap<OutcomeName, Arc<[u8]>>);

impl Outcomes {
    pub(super) fn publish(&self, name: OutcomeName, bytes: Arc<[u8]>) {
        self.0.insert(name, bytes);
    }

    pub(super) fn retract(&self, name: &OutcomeName) {
        self.0.remove(name);
    }

    pub(super) fn find(&self, name: &OutcomeName) -> Option<Arc<[u8]>> {
        self.0.get(name).map(|bytes| Arc::clone(&bytes))
    }
}
