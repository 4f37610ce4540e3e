//! Whether a moment is within the hours, and until when that stays so.

use jiff::{SignedDuration, Timestamp, ToSpan as _, civil::DateTime, tz::TimeZone};

use super::Hours;

/// A moment, as the hours see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The hospital may take part.
    Within {
        /// When that ends; none: never.
        until: Option<Timestamp>,
    },
    /// It may not.
    Outside {
        /// When that ends, or when to look again.
        until: Timestamp,
    },
}

impl Hours {
    /// What the clock on a wall in this zone says of this moment.
    pub fn at(&self, now: Timestamp, zone: &TimeZone) -> Moment {
        let within = self.has(now, zone);
        let mut changes = self.possible_changes(now, zone);
        changes.sort_unstable();
        let change = changes
            .into_iter()
            .find(|change| *change > now && self.has(*change, zone) != within);
        if within {
            Moment::Within { until: change }
        } else {
            Moment::Outside {
                until: change.unwrap_or_else(|| look_again(now)),
            }
        }
    }

    fn has(&self, moment: Timestamp, zone: &TimeZone) -> bool {
        let time = zone.to_datetime(moment).time();
        let [hour, minute] =
            [time.hour(), time.minute()].map(|part| u16::from(part.unsigned_abs()));
        self.contain(hour * 60 + minute)
    }

    /// All moments of the next days at which something can change: the clock comes to a bound of a span, or is put forward or back.
    fn possible_changes(&self, now: Timestamp, zone: &TimeZone) -> Vec<Timestamp> {
        let today = zone.to_datetime(now).date();
        let days =
            (-1..=DAYS_AHEAD).filter_map(|day| today.checked_add(i64::from(day).days()).ok());
        let bounds = days.flat_map(|day| {
            self.bounds().map(move |minute| {
                // Of a day, and so within both.
                day.at((minute / 60) as i8, (minute % 60) as i8, 0, 0)
            })
        });
        let of_clock = |bound: DateTime| {
            let moment = zone.to_ambiguous_timestamp(bound);
            // A clock that is put back comes to some of them twice.
            [moment.earlier(), moment.later()].into_iter().flatten()
        };
        let horizon = look_again(now);
        let put = zone.following(now).map(|transition| transition.timestamp());
        bounds
            .flat_map(of_clock)
            .chain(put.take_while(|moment| *moment <= horizon))
            .collect()
    }
}

/// Every span comes once a day, but for days on which clocks leave it out.
const DAYS_AHEAD: i32 = 8;

fn look_again(now: Timestamp) -> Timestamp {
    let later = now.checked_add(SignedDuration::from_hours(24 * i64::from(DAYS_AHEAD)));
    later.unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hours::DaySpan;

    fn zone(rule: &str) -> TimeZone {
        TimeZone::posix(rule).expect("a zone")
    }

    /// Put forward at 2 in the last night to a Sunday in March, back at 3 in October.
    fn berlin() -> TimeZone {
        zone("CET-1CEST,M3.5.0,M10.5.0/3")
    }

    fn hours(spans: &[&str]) -> Hours {
        let spans = spans.iter().map(|span| span.parse().expect("a span"));
        Hours::new(spans.collect())
    }

    fn moment(text: &str) -> Timestamp {
        text.parse().expect("a moment")
    }

    fn within(until: &str) -> Moment {
        Moment::Within {
            until: Some(moment(until)),
        }
    }

    fn outside(until: &str) -> Moment {
        Moment::Outside {
            until: moment(until),
        }
    }

    #[test]
    fn a_night_begins_in_the_evening_and_ends_in_the_morning() {
        let night = hours(&["19:00-07:00"]);
        let at = |text: &str| night.at(moment(text), &berlin());
        assert_eq!(at("2026-06-01T12:00:00Z"), outside("2026-06-01T17:00:00Z"));
        assert_eq!(at("2026-06-01T17:00:00Z"), within("2026-06-02T05:00:00Z"));
        assert_eq!(at("2026-06-02T04:59:59Z"), within("2026-06-02T05:00:00Z"));
        assert_eq!(at("2026-06-02T05:00:00Z"), outside("2026-06-02T17:00:00Z"));
    }

    #[test]
    fn no_spans_and_spans_of_the_whole_day_never_end() {
        let always = Moment::Within { until: None };
        let now = moment("2026-06-01T12:00:00Z");
        assert_eq!(hours(&[]).at(now, &berlin()), always);
        assert_eq!(hours(&["00:00-24:00"]).at(now, &berlin()), always);
        let halves = hours(&["12:00-00:00", "00:00-13:00"]);
        assert_eq!(halves.at(now, &berlin()), always);
    }

    #[test]
    fn spans_that_touch_are_one() {
        let touching = hours(&["08:00-12:00", "12:00-15:30"]);
        let at = touching.at(moment("2026-01-10T08:00:00Z"), &berlin());
        assert_eq!(at, within("2026-01-10T14:30:00Z"));
    }

    #[test]
    fn where_clocks_are_put_forward_what_they_leave_out_is_left_out() {
        // The clock goes from 01:59 to 03:00 at 01:00 UTC on 29 March 2026.
        let at = |spans: &[&str], text: &str| hours(spans).at(moment(text), &berlin());
        let night = "2026-03-29T00:30:00Z";
        assert_eq!(at(&["02:15-02:45"], night), outside("2026-03-30T00:15:00Z"));
        assert_eq!(at(&["02:30-04:00"], night), outside("2026-03-29T01:00:00Z"));
        assert_eq!(at(&["01:00-02:30"], night), within("2026-03-29T01:00:00Z"));
        assert_eq!(at(&["19:00-07:00"], night), within("2026-03-29T05:00:00Z"));
    }

    #[test]
    fn where_clocks_are_put_back_what_they_show_twice_counts_twice() {
        // The clock goes from 02:59 back to 02:00 at 01:00 UTC on 25 October 2026.
        let at = |spans: &[&str], text: &str| hours(spans).at(moment(text), &berlin());
        let twice = ["02:15-02:45"];
        for (now, expected) in [
            ("2026-10-24T23:30:00Z", outside("2026-10-25T00:15:00Z")),
            ("2026-10-25T00:15:00Z", within("2026-10-25T00:45:00Z")),
            ("2026-10-25T00:45:00Z", outside("2026-10-25T01:15:00Z")),
            ("2026-10-25T01:15:00Z", within("2026-10-25T01:45:00Z")),
            ("2026-10-25T01:45:00Z", outside("2026-10-26T01:15:00Z")),
        ] {
            assert_eq!(at(&twice, now), expected, "{now}");
        }
        // 25 hours of a night that has one more.
        let before = "2026-10-24T22:30:00Z";
        assert_eq!(at(&["00:00-03:00"], before), within("2026-10-25T02:00:00Z"));
    }

    fn spans() -> impl Strategy<Value = Vec<DaySpan>> {
        let span = (0_u16..1440, 0_u16..=1440)
            .prop_filter_map("it ends elsewhere", |(from, to)| {
                (from != to).then_some(DaySpan { from, to })
            });
        prop::collection::vec(span, 0..4)
    }

    fn zones() -> impl Strategy<Value = TimeZone> {
        prop::sample::select(vec![
            "UTC0",
            "CET-1CEST,M3.5.0,M10.5.0/3",
            // Half an hour is put forward, in the south.
            "LHST-10:30LHDT-11,M10.1.0,M4.1.0",
            // Twelve hours at a second that is no minute's first.
            "AAA-05:45BBB-17:45,J60/03:04:05,J300/13:14:15",
            "EST5EDT,M3.2.0,M11.1.0",
        ])
        .prop_map(zone)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// Against a look at the clock in every minute, and around every second at which something is said to change.
        #[test]
        fn until_then_nothing_changes_and_then_it_does(
            spans in spans(),
            zone in zones(),
            // The year 2026.
            now in 1_767_225_600_i64..1_798_761_600,
        ) {
            let hours = Hours::new(spans);
            let now = Timestamp::from_second(now).expect("in range");
            let shows = |moment: Timestamp| {
                let time = zone.to_datetime(moment).time();
                let minute = u16::from(time.hour().unsigned_abs()) * 60 + u16::from(time.minute().unsigned_abs());
                hours.spans().is_empty() || hours.spans().iter().any(|span| span.contains(minute))
            };
            let is_within = shows(now);
            let until = match hours.at(now, &zone) {
                Moment::Within { until } => { prop_assert!(is_within); until }
                Moment::Outside { until } => { prop_assert!(!is_within); Some(until) }
            };
            let last = until.unwrap_or_else(|| now + SignedDuration::from_hours(49));
            prop_assert!(last > now);
            let mut at = now;
            while at < last {
                prop_assert_eq!(shows(at), is_within);
                at += SignedDuration::from_secs(60);
            }
            if let Some(until) = until {
                prop_assert_eq!(shows(until), !is_within);
                prop_assert_eq!(shows(until - SignedDuration::from_secs(1)), is_within);
            }
        }
    }
}
