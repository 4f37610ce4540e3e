//! Counts what was lost and says so more and more rarely, so that a full disk does not also fill the log.

use std::fmt::Display;

/// Of one kind of thing.
pub(super) struct Lost {
    what: &'static str,
    count: u64,
}

impl Lost {
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, count: 0 }
    }

    /// One more is lost. Told of the first, second, fourth, eighth ...
    pub(super) fn one_more(&mut self, why: &dyn Display) {
        self.count += 1;
        if self.count.is_power_of_two() {
            let (what, count) = (self.what, self.count);
            tracing::warn!(
                count,
                "{what} are lost; the run goes on. The last one: {why}"
            );
        }
    }
}
