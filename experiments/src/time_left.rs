//! How long work will still take, guessed from how long it has taken so far.

use std::time::Duration;

/// Of work of which this share, of 1, was done in this time. None before there is anything to guess from, and at the end.
pub fn time_left(elapsed: Duration, done: f64) -> Option<Duration> {
    let known = done > 0.0 && done < 1.0;
    let left = elapsed.as_secs_f64() * (1.0 - done) / done;
    known
        .then_some(left)
        .and_then(|left| Duration::try_from_secs_f64(left).ok())
}

/// "about 2 h 1 min left".
pub fn in_words(left: Duration) -> String {
    let seconds = left.as_secs();
    match seconds {
        0..60 => format!("about {seconds} s left"),
        60..3600 => format!("about {} min left", seconds.div_ceil(60)),
        _ => format!(
            "about {} h {} min left",
            seconds / 3600,
            seconds % 3600 / 60
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_said_in_words() {
        let words = |seconds| in_words(Duration::from_secs(seconds));
        assert_eq!(words(12), "about 12 s left");
        assert_eq!(words(61), "about 2 min left");
        assert_eq!(words(7_260), "about 2 h 1 min left");
    }

    #[test]
    fn time_left_is_guessed_where_something_is_done_and_something_is_left() {
        let minute = Duration::from_secs(60);
        assert_eq!(time_left(minute, 0.25), Some(3 * minute));
        for done in [0.0, 1.0, 1e-300] {
            assert_eq!(time_left(minute, done), None, "{done}");
        }
    }
}
