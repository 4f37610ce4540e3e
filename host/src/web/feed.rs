//! The state of a program on its way to the browsers.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use tokio::{
    sync::watch,
    time::{Interval, MissedTickBehavior, interval},
};

/// Tells browsers what is new.
pub struct Feed {
    sender: watch::Sender<Arc<str>>,
    told: Value,
    told_at: Instant,
}

impl Feed {
    /// With nothing told yet, and where it is heard.
    pub fn new() -> (Self, watch::Receiver<Arc<str>>) {
        let (sender, receiver) = watch::channel("{}".into());
        let feed = Self {
            sender,
            told: Value::Null,
            told_at: Instant::now(),
        };
        (feed, receiver)
    }

    /// The state, an object, is this now. It is told if it is another one, with the time in `now`; and once in a while in any case.
    pub fn show(&mut self, state: Value) {
        if state == self.told && self.told_at.elapsed() < LONGEST_QUIET {
            return;
        }
        self.told = state.clone();
        self.told_at = Instant::now();
        let mut state = state;
        state["now"] = unix_secs().into();
        self.sender.send_replace(state.to_string().into());
    }
}

/// The moments at which a program looks at itself.
pub fn looks() -> Interval {
    let mut looks = interval(BETWEEN_LOOKS);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

/// Seconds since 1970, UTC.
pub fn unix_secs() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
const LONGEST_QUIET: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_state_is_told_once() {
        let (mut feed, mut heard) = Feed::new();
        feed.show(json!({"n": 1}));
        assert!(heard.has_changed().expect("there is a feed"));
        let first: Value = serde_json::from_str(&heard.borrow_and_update()).expect("JSON");
        assert_eq!(first["n"], 1);
        assert!(first["now"].is_f64());
        feed.show(json!({"n": 1}));
        assert!(!heard.has_changed().expect("there is a feed"));
        feed.show(json!({"n": 2}));
        assert!(heard.has_changed().expect("there is a feed"));
    }
}
