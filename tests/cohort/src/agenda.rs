//! The one clock of a cohort, and what is to happen at which time.

use std::collections::BTreeMap;

use crate::parties::Timestamp;

/// The place of a happening among those of one time: what goes before all others, then the order in which they were planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    comes_after: bool,
    number: u64,
}

/// What is to happen, by time and then by place.
pub(crate) struct Agenda<T> {
    now: Timestamp,
    planned: BTreeMap<(Timestamp, Place), T>,
    planned_so_far: u64,
}

impl<T> Agenda<T> {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            now,
            planned: BTreeMap::new(),
            planned_so_far: 0,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    pub(crate) fn plan(&mut self, at: Timestamp, what: T) {
        let place = self.place(true);
        self.put_off(place, at, what);
    }

    /// Plans it before all others of that time.
    pub(crate) fn plan_before_others(&mut self, at: Timestamp, what: T) {
        let place = self.place(false);
        self.put_off(place, at, what);
    }

    fn place(&mut self, comes_after: bool) -> Place {
        self.planned_so_far += 1;
        Place {
            comes_after,
            number: self.planned_so_far,
        }
    }

    /// Plans it for a later time, in the place that it had: what was first stays first.
    pub(crate) fn put_off(&mut self, place: Place, until: Timestamp, what: T) {
        self.planned.insert((until.max(self.now), place), what);
    }

    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.planned.first_key_value().map(|((at, _), _)| *at)
    }

    /// What comes next; the clock is at its time.
    pub(crate) fn pop(&mut self) -> Option<(Place, T)> {
        let ((at, place), what) = self.planned.pop_first()?;
        self.now = at;
        Some((place, what))
    }

    pub(crate) fn advance_to(&mut self, moment: Timestamp) {
        self.now = self.now.max(moment);
    }
}

/// So many milliseconds after a moment.
pub(crate) fn later(moment: Timestamp, millis: u64) -> Timestamp {
    Timestamp(moment.0.saturating_add(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_off_keeps_its_place() {
        let mut agenda = Agenda::new(Timestamp(5));
        agenda.plan(Timestamp(10), "first");
        agenda.plan(Timestamp(20), "third");
        agenda.plan(Timestamp(20), "fourth");
        let (place, first) = agenda.pop().expect("planned");
        agenda.put_off(place, Timestamp(20), first);
        agenda.plan_before_others(Timestamp(20), "before");
        let order: Vec<_> = std::iter::from_fn(|| agenda.pop().map(|(_, what)| what)).collect();
        assert_eq!(order, ["before", "first", "third", "fourth"]);
        assert_eq!(agenda.now(), Timestamp(20));
    }
}
