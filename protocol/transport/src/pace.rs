//! How fast a hospital lets messages go and come: a bound that its people set, kept by waiting between pieces.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::limits::{Limits, STREAM_WINDOW_BYTES};
use super::wire::LEAF_BYTES;

/// The greatest rate of messages, in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateCap(NonZeroU32);

impl RateCap {
    /// None below [`least`](Self::least).
    pub fn new(megabits_per_second: u32, limits: &Limits) -> Option<Self> {
        let rate = NonZeroU32::new(megabits_per_second)?;
        (rate.get() >= Self::least(limits)).then_some(Self(rate))
    }

    /// In Mbit/s. At less, what may be under way at once, a window of a blob or a long frame, would take longer than half of the time after
    /// which a peer is given up; the other half is for what shares the line with it.
    pub fn least(limits: &Limits) -> u32 {
        let under_way = u64::from(STREAM_WINDOW_BYTES.max(limits.max_frame_bytes));
        let half_micros = (limits.stall_timeout / 2).as_micros().max(1);
        // Bits in a microsecond are megabits in a second.
        let least = (u128::from(under_way) * 8).div_ceil(half_micros);
        u32::try_from(least).unwrap_or(u32::MAX)
    }

    /// In Mbit/s.
    pub fn megabits_per_second(self) -> u32 {
        self.0.get()
    }

    fn bytes_per_sec(self) -> u64 {
        u64::from(self.0.get()) * 1_000_000 / 8
    }

    /// So much the peer may send ahead of what is read here, which it does as fast as the line allows.
    pub(super) fn window_bytes(self) -> u32 {
        let of_half_a_second = u32::try_from(self.bytes_per_sec() / 2).unwrap_or(u32::MAX);
        of_half_a_second.clamp(2 * LEAF_BYTES as u32, STREAM_WINDOW_BYTES)
    }
}

/// Both directions of one hospital's traffic, whatever connection it takes. Without a cap nothing waits.
#[derive(Clone, Default)]
pub(super) struct Paces {
    pub(super) up: Pace,
    pub(super) down: Pace,
}

impl Paces {
    pub(super) fn at_most(cap: RateCap) -> Self {
        Self {
            up: Pace::at_most(cap),
            down: Pace::at_most(cap),
        }
    }
}

/// One direction. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Pace(Option<Arc<Mutex<Schedule>>>);

impl Pace {
    fn at_most(cap: RateCap) -> Self {
        let schedule = Schedule::new(cap.bytes_per_sec(), Instant::now());
        Self(Some(Arc::new(Mutex::new(schedule))))
    }

    /// Waits until what went before has had its time. It waits once: nobody is overtaken for ever, and of several that wait each goes on
    /// by a piece. Cancel-safe.
    pub(super) async fn turn(&self) {
        if let Some(free_at) = self.with(|schedule| schedule.free_at) {
            sleep_until(free_at).await;
        }
    }

    /// Bytes have gone, or come.
    pub(super) fn spent(&self, bytes: usize) {
        self.with(|schedule| schedule.spend(bytes as u64, Instant::now()));
    }

    /// So long a piece is at most between two turns.
    pub(super) fn piece_bytes(&self) -> usize {
        match self.0 {
            Some(_) => LEAF_BYTES,
            None => usize::MAX,
        }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Schedule) -> T) -> Option<T> {
        let schedule = self.0.as_ref()?;
        // Plain values: nothing in them is half done.
        let mut schedule = schedule.lock().unwrap_or_else(PoisonError::into_inner);
        Some(look(&mut schedule))
    }
}

/// When the next piece may go.
struct Schedule {
    bytes_per_sec: u64,
    free_at: Instant,
}

impl Schedule {
    fn new(bytes_per_sec: u64, now: Instant) -> Self {
        Self {
            bytes_per_sec,
            free_at: now,
        }
    }

    fn spend(&mut self, bytes: u64, now: Instant) {
        // What was not used shortly before may be used now: a timer that rings late slows nothing down.
        let earliest = now.checked_sub(CREDIT).unwrap_or(now);
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_sec);
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.free_at = self.free_at.max(earliest) + takes;
    }
}

const CREDIT: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_least_rate_follows_from_the_limits() {
        let usual = Limits::default();
        // 4 MiB in 15 s.
        assert_eq!(RateCap::least(&usual), 3);
        assert_eq!(RateCap::new(0, &usual), None);
        assert_eq!(RateCap::new(2, &usual), None);
        let cap = RateCap::new(3, &usual).expect("allowed");
        assert_eq!(cap.megabits_per_second(), 3);
        assert_eq!(cap.bytes_per_sec(), 375_000);
        assert_eq!(cap.window_bytes(), 187_500);
        let patient = Limits {
            stall_timeout: usual.stall_timeout * 10,
            ..usual
        };
        assert_eq!(RateCap::least(&patient), 1);
        let hasty = Limits {
            stall_timeout: Duration::ZERO,
            ..patient
        };
        assert!(RateCap::least(&hasty) > 1_000_000);
    }

    proptest! {
        /// Whoever waits for each turn sends no more in any time than the rate allows in it, with the credit and one piece on top; and
        /// with timers that ring a little late, hardly less.
        #[test]
        fn the_rate_is_kept_and_reached(
            bytes_per_sec in 375_000_u64..125_000_000,
            pieces in prop::collection::vec((1_u64..=32_768, 0_u64..1_500), 1..300),
        ) {
            let begin = Instant::now();
            let mut schedule = Schedule::new(bytes_per_sec, begin);
            let (mut now, mut sent) = (begin, Vec::new());
            for (bytes, late_micros) in &pieces {
                if schedule.free_at > now {
                    now = schedule.free_at + Duration::from_micros(*late_micros);
                }
                schedule.spend(*bytes, now);
                sent.push((now, *bytes));
            }
            let allowed = |time: Duration| bytes_per_sec as f64 * (time + CREDIT).as_secs_f64() + 32_768.0 + pieces.len() as f64;
            for first in 0..sent.len() {
                let mut total = 0;
                for (at, bytes) in &sent[first..] {
                    total += bytes;
                    prop_assert!(total as f64 <= allowed(*at - sent[first].0));
                }
            }
            let total: u64 = pieces.iter().map(|(bytes, _)| bytes).sum();
            let longest = Duration::from_secs_f64(total as f64 / bytes_per_sec as f64);
            // The last timer alone may count.
            prop_assert!(now - begin <= longest + Duration::from_millis(2));
        }
    }
}
