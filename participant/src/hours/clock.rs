//! What time it is, and waiting for another.

use std::time::Duration;

use jiff::Timestamp;

/// A clock that can be waited for.
pub trait Clock {
    /// The time.
    fn now(&self) -> Timestamp;

    /// Ends at `until` at the latest. It may end before: whoever waits looks at the clock again.
    fn pause(&self, until: Timestamp) -> impl Future<Output = ()>;
}

/// The clock of this machine, which people set and which goes on while the machine sleeps.
pub struct MachineClock;

impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn pause(&self, until: Timestamp) {
        let rest = self.now().duration_until(until);
        let rest = Duration::try_from(rest).unwrap_or_default();
        tokio::time::sleep(rest.min(BETWEEN_LOOKS)).await;
    }
}

/// So late a clock that was set is noticed, and an hour that has come while the machine slept.
const BETWEEN_LOOKS: Duration = Duration::from_secs(10);
