//! The same thing again and again: one line when it begins, and then a count.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// What was told of each of some things, and how often it has happened since.
pub struct Repeats<K> {
    told: HashMap<K, Told>,
    told_again_after: Duration,
}

struct Told {
    at: Instant,
    untold: u64,
}

/// Whether something is worth a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// It is new.
    First,
    /// It goes on for so long that it is told again: this often since the last line.
    StillSo {
        /// With this one.
        times: u64,
    },
    /// It was told.
    Told,
}

impl<K: Hash + Eq> Repeats<K> {
    /// What goes on is told again after this time.
    pub fn new(told_again_after: Duration) -> Self {
        Self {
            told: HashMap::new(),
            told_again_after,
        }
    }

    /// It has happened.
    pub fn note(&mut self, what: K, now: Instant) -> Repeat {
        let after = self.told_again_after;
        let is_old = |told: &Told| now.duration_since(told.at) >= after;
        if let Some(told) = self.told.get_mut(&what) {
            told.untold += 1;
            if !is_old(told) {
                return Repeat::Told;
            }
            told.at = now;
            return match std::mem::take(&mut told.untold) {
                // Nothing was between the last line and this: it is no going on.
                1 => Repeat::First,
                times => Repeat::StillSo { times },
            };
        }
        if self.told.len() >= MAX_THINGS {
            self.told.retain(|_, told| !is_old(told));
        }
        // Beyond that each is told as if it were new: memory counts for more.
        if self.told.len() < MAX_THINGS {
            let (at, untold) = (now, 0);
            self.told.insert(what, Told { at, untold });
        }
        Repeat::First
    }

    /// It is over: the next time is a first one. Gives how often it has happened since the last line.
    pub fn is_over(&mut self, what: &K) -> u64 {
        self.told.remove(what).map_or(0, |told| told.untold)
    }
}

/// More than there can be hospitals.
const MAX_THINGS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn what_repeats_is_one_line_and_then_a_count() {
        let began = Instant::now();
        let mut repeats = Repeats::new(HOUR);
        assert_eq!(repeats.note("a", began), Repeat::First);
        for _ in 0..10 {
            assert_eq!(repeats.note("a", began), Repeat::Told);
        }
        assert_eq!(repeats.note("b", began), Repeat::First);
        let later = began + HOUR;
        assert_eq!(repeats.note("a", later), Repeat::StillSo { times: 11 });
        assert_eq!(repeats.note("a", later), Repeat::Told);
        assert_eq!(repeats.is_over(&"a"), 1);
        assert_eq!(repeats.is_over(&"a"), 0);
        assert_eq!(repeats.note("a", later), Repeat::First);
    }

    #[test]
    fn many_different_things_take_bounded_memory() {
        let began = Instant::now();
        let mut repeats = Repeats::new(HOUR);
        for number in 0..10_000 {
            assert_eq!(repeats.note(number, began), Repeat::First);
        }
        assert_eq!(repeats.told.len(), MAX_THINGS);
        assert_eq!(repeats.note(1, began), Repeat::Told);
        assert_eq!(repeats.note(20_000, began + HOUR), Repeat::First);
        assert_eq!(repeats.told.len(), 1);
    }
}
