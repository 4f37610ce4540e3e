//! Outcomes that hospitals may fetch, in memory.

use std::sync::Arc;

use crypto::hash::Digest;
use dashmap::DashMap;

/// The published outcomes by name. Written by the owner, read by every link; no lock is held while one is served.
#[derive(Default)]
pub(super) struct Outcomes(DashMap<Digest, Arc<[u8]>>);

impl Outcomes {
    pub(super) fn publish(&self, name: Digest, bytes: Arc<[u8]>) {
        self.0.insert(name, bytes);
    }

    pub(super) fn retract(&self, name: &Digest) {
        self.0.remove(name);
    }

    pub(super) fn find(&self, name: &Digest) -> Option<Arc<[u8]>> {
        self.0.get(name).map(|bytes| Arc::clone(&bytes))
    }
}
