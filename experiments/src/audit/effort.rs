//! How much an audit does.

use serde::Serialize;

/// The same attacks, controls and bars in both: what differs is how many trials they have, and of what size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effort {
    /// Minutes: whether each attack still does what it did.
    Quick,
    /// An hour or more: numbers with intervals that are narrow enough to mean something.
    Whole,
}

impl Effort {
    /// For people.
    pub fn words(self) -> &'static str {
        self.of("quick", "whole")
    }

    /// A number of trials, or a size, of either.
    pub fn of<T>(self, quick: T, whole: T) -> T {
        match self {
            Self::Quick => quick,
            Self::Whole => whole,
        }
    }
}
