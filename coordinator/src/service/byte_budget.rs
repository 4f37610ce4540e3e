//! Bounds in bytes of what is queued for one hospital, or from it: a queue that is bounded in messages alone may hold gigabytes.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many bytes may be queued. Clones share them.
#[derive(Clone)]
pub(super) struct ByteBudget(Arc<Semaphore>);

/// Bytes of a budget, given back when this is dropped.
pub(super) struct Room(
    #[expect(dead_code, reason = "it counts while it lives")] OwnedSemaphorePermit,
);

impl ByteBudget {
    pub(super) fn new(bytes: u32) -> Self {
        Self(Arc::new(Semaphore::new(bytes as usize)))
    }

    /// Reserves so many bytes of the budget; none if they exceed what is left.
    pub(super) fn reserve(&self, bytes: usize) -> Option<Room> {
        let bytes = u32::try_from(bytes).ok()?;
        let permits = Arc::clone(&self.0).try_acquire_many_owned(bytes);
        permits.ok().map(Room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_can_be_had_again_and_no_more() {
        let budget = ByteBudget::new(10);
        let first = budget.reserve(7).expect("all is free");
        assert!(budget.clone().reserve(4).is_none());
        assert!(budget.reserve(3).is_some());
        drop(first);
        assert!(budget.reserve(10).is_some());
        assert!(budget.reserve(11).is_none());
        assert!(budget.reserve(usize::MAX).is_none());
    }
}
