//! What of a trainer's reports on its progress is believed and passed on.
//!
//! Only what rises, up to a bound: one that reports the same step for ever does not get on, nor does one that finds more and more to do.
//! And not more often than somebody can look: a flood must not fill the memory of those who are told.

use std::time::{Duration, Instant};

/// The reports on one reading or one job.
pub(super) struct Reports {
    /// Total before done: where memory was short, the work begins again in smaller batches, of which there are more.
    highest: (u64, u64),
    /// How many totals were believed.
    totals: u32,
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
            totals: 0,
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
        if done > total || total > MAX_TOTAL || (total, done) <= self.highest {
            return None;
        }
        if total > self.highest.0 {
            if self.totals == MAX_TOTALS {
                return None;
            }
            self.totals += 1;
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
/// The first one, and one for each time that the work begins again in batches of half the size.
const MAX_TOTALS: u32 = 16;
/// Scans of a reading, steps of a job: far more than any has.
const MAX_TOTAL: u64 = 100_000_000;

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
    fn a_total_that_grows_with_every_report_soon_is_no_movement() {
        let mut reports = Reports::new();
        for step in 1..=u64::from(MAX_TOTALS) {
            reports.note(1, step);
        }
        let moved = reports.moved();
        std::thread::sleep(BETWEEN_REPORTS);
        let beyond = u64::from(MAX_TOTALS) + 1;
        for step in beyond..10 * beyond {
            assert_eq!(reports.note(1, step), None, "1 of {step}");
            assert_eq!(reports.note(step, step), None, "{step} of {step}");
        }
        assert_eq!(reports.moved(), moved);
        // The last total that was believed can still be reached.
        let last = u64::from(MAX_TOTALS);
        assert!(reports.note(last, last).is_some());
        assert!(reports.moved() > moved);
    }

    #[test]
    fn more_than_there_can_be_to_do_is_no_movement() {
        let mut reports = Reports::new();
        for (done, total) in [(1, u64::MAX), (u64::MAX, u64::MAX), (1, MAX_TOTAL + 1)] {
            assert_eq!(reports.note(done, total), None, "{done} of {total}");
        }
        assert_eq!(reports.note(1, MAX_TOTAL), Some((1, 100_000_000)));
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
