//! The end of a certificate, told 30, 7 and 1 days ahead: in `doctor` when it is asked, in the log once a day.

use std::time::{Duration, SystemTime};

use protocol::counted::counted;

use crate::doctor::utc;

/// A certificate that ends soon, or has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateEnd {
    at: SystemTime,
    urgency: Urgency,
    left: Duration,
}

/// How long there is to renew it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// 30 days or less.
    Month,
    /// 7 days or less.
    Week,
    /// A day or less.
    Day,
    /// It has ended.
    Over,
}

impl CertificateEnd {
    /// Of a certificate that is valid until `at`; none while that is more than 30 days away.
    pub fn near(at: SystemTime, now: SystemTime) -> Option<Self> {
        let left = at.duration_since(now).unwrap_or_default();
        let urgency = match left {
            _ if at < now => Urgency::Over,
            left if left <= DAY => Urgency::Day,
            left if left <= 7 * DAY => Urgency::Week,
            left if left <= 30 * DAY => Urgency::Month,
            _ => return None,
        };
        Some(Self { at, urgency, left })
    }

    /// How urgent it is to renew it.
    pub fn urgency(&self) -> Urgency {
        self.urgency
    }

    /// "ends in 7 days, at 2027-03-01T10:00:00Z", or "has ended: it was valid until ..".
    pub fn words(&self) -> String {
        let at = utc(self.at);
        let time = match self.left.as_secs() / DAY.as_secs() {
            _ if self.urgency == Urgency::Over => {
                return format!("has ended: it was valid until {at}");
            }
            0 => counted(self.left.as_secs() / 3600, ["hour", "hours"]),
            days => counted(days, ["day", "days"]),
        };
        format!("ends in {time}, at {at}")
    }

    /// "renew it this week".
    pub fn how_soon(&self) -> &'static str {
        match self.urgency {
            Urgency::Month => "renew it this month",
            Urgency::Week => "renew it this week",
            Urgency::Day => "renew it today",
            Urgency::Over => "renew it now",
        }
    }

    /// A line of the log: `whose` is "this hospital's certificate", `renewal` the command or what else is to be done.
    pub fn tell(&self, whose: &str, renewal: &str) {
        let (words, how_soon) = (self.words(), self.how_soon());
        match self.urgency {
            Urgency::Month => tracing::info!("{whose} {words}; {how_soon}: {renewal}"),
            Urgency::Week => tracing::warn!("{whose} {words}; {how_soon}: {renewal}"),
            Urgency::Day | Urgency::Over => {
                tracing::error!("{whose} {words}; {how_soon}: {renewal}");
            }
        }
    }
}

/// So often it is told while a program runs.
pub const TOLD_EVERY: Duration = DAY;

const DAY: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::{output::kept_lines::Lines, text_lines::TextLines};

    fn at(day: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000) + u32::try_from(day).expect("small") * DAY
    }

    #[test]
    fn an_end_becomes_more_urgent_as_it_comes_near() {
        let second = Duration::from_secs(1);
        let near = |now| CertificateEnd::near(at(100), now);
        assert_eq!(near(at(70) - second), None);
        for (now, urgency, words, how_soon) in [
            (at(70), Urgency::Month, "ends in 30 days", "this month"),
            (
                at(93) - second,
                Urgency::Month,
                "ends in 7 days",
                "this month",
            ),
            (at(93), Urgency::Week, "ends in 7 days", "this week"),
            (
                at(99) - second,
                Urgency::Week,
                "ends in 1 day, at 2027-",
                "this week",
            ),
            (at(99), Urgency::Day, "ends in 1 day, at 2027-", "today"),
            (
                at(99) + 3600 * second,
                Urgency::Day,
                "ends in 23 hours",
                "today",
            ),
            (at(100), Urgency::Day, "ends in 0 hours", "today"),
            (at(100) + second, Urgency::Over, "has ended", "now"),
            (at(200), Urgency::Over, "has ended", "now"),
        ] {
            let end = near(now).expect("it is near");
            assert_eq!(end.urgency(), urgency, "{end:?}");
            assert!(end.words().starts_with(words), "{}", end.words());
            assert!(end.how_soon().ends_with(how_soon), "{end:?}");
        }
    }

    #[test]
    fn the_log_tells_of_it_with_growing_urgency_and_the_remedy() {
        let lines = Lines::default();
        let log = tracing_subscriber::fmt()
            .with_writer(lines.writer())
            .with_ansi(false)
            .event_format(TextLines)
            .finish();
        tracing::subscriber::with_default(log, || {
            for day in [71, 94, 99, 101] {
                let end = CertificateEnd::near(at(100), at(day)).expect("it is near");
                end.tell("this hospital's certificate", "participant keys renew");
            }
        });
        let text = lines.text();
        let levels = text.lines().map(|line| line.split_whitespace().nth(1));
        let levels: Vec<_> = levels.map(Option::unwrap_or_default).collect();
        assert_eq!(levels, ["INFO", "WARN", "ERROR", "ERROR"]);
        for line in text.lines() {
            assert!(line.contains("this hospital's certificate "), "{line}");
            assert!(line.ends_with(": participant keys renew"), "{line}");
        }
    }
}
