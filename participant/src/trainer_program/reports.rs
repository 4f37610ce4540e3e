//! What of a trainer's reports on its progress is believed and passed on.
//!
//! Only what rises: one that reports the same step for ever does not get on. And not more often than somebody can look: a flood must not
//! fill the memory of those who are told.

use std::time::{Duration, Instant};

/// The reports on one reading or one job.
pub(super) struct Reports {
    /// Total before done: where memory was short, the work begins again in smaller batches, of which there are more.
    highest: (u64, u64),
    /// When it last rose.
    moved: Instant,
    /// When one was last passed on.
    passed: Option<Instant>,
    /// The highest one, if it was not.
    held: Option<(usize, usize)>,
}

impl Reports {
    /// Of work that begins now.
    pub(super) fn new() -> Self {
        Self {
            highest: (0, 0),
            moved: Instant::now(),
            passed: None,
            held: None,
        }
    }

    /// When the work last moved.
    pub(super) fn moved(&self) -> Instant {
        self.moved
    }

    /// Takes note of a report, (done, total); gives it back if it is to be passed on.
    pub(super) fn note(&mut self, done: u64, total: u64) -> Option<(usize, usize)> {
        if done > total || (total, done) <= self.highest {
            return None;
        }
        self.highest = (total, done);
        self.moved = Instant::now();
        let numbers = (usize::try_from(done).ok()?, usize::try_from(total).ok()?);
        if self
            .passed
            .is_some_and(|passed| passed.elapsed() < BETWEEN_REPORTS)
        {
            self.held = Some(numbers);
            return None;
        }
        (self.passed, self.held) = (Some(self.moved), None);
        Some(numbers)
    }

    /// The last report, if it has not been passed on: the work is done.
    pub(super) fn rest(&mut self) -> Option<(usize, usize)> {
        self.held.take()
    }
}

const BETWEEN_REPORTS: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_flood_the_first_and_the_last_are_passed_on() {
        let mut reports = Reports::new();
        let began = Instant::now();
        let passed = (1..=100_000).filter(|&done| reports.note(done, 100_000).is_some());
        let most = 1 + began.elapsed().as_millis() / BETWEEN_REPORTS.as_millis();
        assert!((1..=1 + most as usize).contains(&passed.count()));
        assert_eq!(reports.rest(), Some((100_000, 100_000)));
        assert_eq!(reports.rest(), None);
    }

    #[test]
    fn what_does_not_rise_is_no_movement() {
        let mut reports = Reports::new();
        assert_eq!(reports.note(3, 8), Some((3, 8)));
        let moved = reports.moved();
        std::thread::sleep(BETWEEN_REPORTS);
        for (done, total) in [(3, 8), (2, 8), (9, 8), (7, 7)] {
            assert_eq!(reports.note(done, total), None, "{done} of {total}");
        }
        assert_eq!(reports.moved(), moved);
        assert_eq!(reports.note(4, 8), Some((4, 8)));
        assert!(reports.moved() > moved);
    }

    #[test]
    fn work_that_begins_again_in_smaller_batches_moves() {
        let mut reports = Reports::new();
        assert_eq!(reports.note(5, 8), Some((5, 8)));
        let moved = reports.moved();
        std::thread::sleep(BETWEEN_REPORTS);
        assert_eq!(reports.note(1, 16), Some((1, 16)));
        assert!(reports.moved() > moved);
    }
}
