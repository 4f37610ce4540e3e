//! What the machine of a run costs the coordinator.

use std::time::Duration;

/// Time the machine took, by kind of work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Checking contributions, adding them, making outcomes.
    pub adding: Duration,
    /// Reading CKKS keys and features, multiplying.
    pub conditioning: Duration,
}
