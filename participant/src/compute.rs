//! Turns at the processor: when several hospitals share a machine, so many of them train at a time.

use std::sync::{Arc, Condvar, Mutex};

/// A number of slots that jobs take and give back. Clones share them.
#[derive(Clone)]
pub struct ComputeSlots(Arc<(Mutex<usize>, Condvar)>);

impl ComputeSlots {
    /// So many jobs at a time, at least one.
    pub fn new(slots: usize) -> Self {
        Self(Arc::new((Mutex::new(slots.max(1)), Condvar::new())))
    }

    /// Runs `job` when a slot is free.
    pub fn run<T>(&self, job: impl FnOnce() -> T) -> T {
        let _slot = Slot::take(&self.0);
        job()
    }
}

/// Gives the slot back also when the job panics.
struct Slot<'a>(&'a (Mutex<usize>, Condvar));

impl<'a> Slot<'a> {
    fn take(shared: &'a (Mutex<usize>, Condvar)) -> Self {
        let free = shared
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut free = shared
            .1
            .wait_while(free, |free| *free == 0)
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *free -= 1;
        Self(shared)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self
            .0
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) += 1;
        self.0.1.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn never_more_jobs_than_slots_and_all_get_their_turn() {
        let slots = ComputeSlots::new(2);
        let (running, most, done) = (
            AtomicUsize::new(0),
            AtomicUsize::new(0),
            AtomicUsize::new(0),
        );
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    slots.run(|| {
                        most.fetch_max(
                            running.fetch_add(1, Ordering::SeqCst) + 1,
                            Ordering::SeqCst,
                        );
                        std::thread::yield_now();
                        running.fetch_sub(1, Ordering::SeqCst);
                        done.fetch_add(1, Ordering::SeqCst);
                    });
                });
            }
        });
        assert!(most.into_inner() <= 2);
        assert_eq!(done.into_inner(), 8);
    }
}
