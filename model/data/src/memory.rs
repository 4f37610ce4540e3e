//! How much memory reading may take, over all threads.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes shared by the scans that are being read and the slices that stay.
///
/// A scan reserves what it needs at most, waits until there is room, and in the end keeps only its
/// slices. Whether a cohort fits does not depend on the number of threads or on who comes first:
/// the slices of all scans and the largest single reservation must fit together.
pub(super) struct MemoryBudget {
    limit: u64,
    largest: u64,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    reserved: u64,
    kept: u64,
    exceeded: bool,
}

/// What stays will not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exceeded;

impl MemoryBudget {
    /// `limit` bytes for reservations of at most `largest`, which must not be above it.
    pub(super) fn new(limit: u64, largest: u64) -> Self {
        debug_assert!(largest <= limit);
        Self {
            limit,
            largest,
            state: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    /// Waits until `bytes` are free. Whoever holds a reservation must not wait for another.
    pub(super) fn reserve(&self, bytes: u64) -> Result<Reservation<'_>, Exceeded> {
        let bytes = bytes.min(self.largest);
        let mut state = self.lock();
        while !state.exceeded && state.kept + state.reserved + bytes > self.limit {
            state = self
                .freed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.exceeded {
            return Err(Exceeded);
        }
        state.reserved += bytes;
        Ok(Reservation {
            budget: self,
            bytes,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room for one scan; free again when dropped.
pub(super) struct Reservation<'a> {
    budget: &'a MemoryBudget,
    bytes: u64,
}

impl Reservation<'_> {
    /// Gives the room back but for `bytes`, which stay.
    pub(super) fn keep(self, bytes: u64) -> Result<(), Exceeded> {
        let mut state = self.budget.lock();
        state.kept += bytes;
        state.exceeded |= state.kept + self.budget.largest > self.budget.limit;
        if state.exceeded {
            Err(Exceeded)
        } else {
            Ok(())
        }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.budget.lock().reserved -= self.bytes;
        self.budget.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU64, Ordering},
        thread,
    };

    use super::*;

    #[test]
    fn what_is_in_flight_and_what_stays_never_pass_the_limit() {
        let budget = MemoryBudget::new(1000, 300);
        let (now, most) = (AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let reservation = budget.reserve(300).expect("fits");
                        let taken = now.fetch_add(300, Ordering::SeqCst) + 300;
                        most.fetch_max(taken, Ordering::SeqCst);
                        thread::yield_now();
                        now.fetch_sub(295, Ordering::SeqCst);
                        reservation.keep(5).expect("fits");
                    }
                });
            }
        });
        assert_eq!(now.into_inner(), 400);
        assert!((300..=1000).contains(&most.into_inner()));
    }

    #[test]
    fn whether_it_fits_does_not_depend_on_the_order() {
        for order in [[100, 600, 1], [600, 1, 100], [1, 100, 600]] {
            let budget = MemoryBudget::new(1000, 300);
            let results = order.map(|bytes| budget.reserve(300).and_then(|room| room.keep(bytes)));
            assert_eq!(results.iter().filter(|result| result.is_err()).count(), 1);
            assert_eq!(
                results[2],
                Err(Exceeded),
                "the sum of 701 and 300 is too much"
            );
            assert!(budget.reserve(1).is_err(), "nobody else need begin");
        }
    }

    #[test]
    fn who_waits_is_told_when_it_will_never_fit() {
        let budget = MemoryBudget::new(1000, 600);
        let first = budget.reserve(600).expect("fits");
        thread::scope(|scope| {
            let second = scope.spawn(|| budget.reserve(600).map(drop));
            assert_eq!(first.keep(500), Err(Exceeded));
            assert_eq!(second.join().expect("no panic"), Err(Exceeded));
        });
    }
}
