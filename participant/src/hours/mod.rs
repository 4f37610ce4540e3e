//! The hours of the day in which this hospital takes part in runs (`policy.hours`).
//!
//! They are hours on the clock of the wall: a span of 19:00-07:00 begins when the clock shows 19:00, whatever has become of the offset
//! to UTC in between. Where clocks are put back, what the clock shows twice counts twice; where they are put forward, what it leaves out
//! is left out.

mod clock;
mod moment;
mod shifts;
mod zone;

use std::{fmt, str::FromStr};

pub use self::{
    clock::{Clock, MachineClock},
    moment::Moment,
    shifts::{EndOfShift, Shift, Shifts, Worker},
    zone::{ZoneError, zone_of_this_machine},
};

/// Spans of the day; none of them: always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hours(Vec<DaySpan>);

impl Hours {
    /// These spans, which may overlap.
    pub fn new(spans: Vec<DaySpan>) -> Self {
        Self(spans)
    }

    /// Whether there is no bound.
    pub fn are_always(&self) -> bool {
        self.0.is_empty()
    }

    /// The spans, as in the settings.
    pub fn spans(&self) -> &[DaySpan] {
        &self.0
    }

    fn contain(&self, minute: u16) -> bool {
        self.are_always() || self.0.iter().any(|span| span.contains(minute))
    }

    /// Minutes of the day at which a span begins or ends.
    fn bounds(&self) -> impl Iterator<Item = u16> {
        let of_span = |span: &DaySpan| [span.from, span.to % MINUTES_OF_A_DAY];
        self.0.iter().flat_map(of_span)
    }
}

/// From one minute of the day, included, to another one, excluded; past midnight where the second does not come after the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DaySpan {
    /// Below [`MINUTES_OF_A_DAY`].
    from: u16,
    /// At most [`MINUTES_OF_A_DAY`], and another one than `from`.
    to: u16,
}

impl DaySpan {
    fn contains(self, minute: u16) -> bool {
        if self.from < self.to {
            (self.from..self.to).contains(&minute)
        } else {
            minute >= self.from || minute < self.to
        }
    }
}

impl fmt::Display for DaySpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [from, to] = [self.from, self.to].map(|minute| (minute / 60, minute % 60));
        let ((from_hour, from_minute), (to_hour, to_minute)) = (from, to);
        write!(
            f,
            "{from_hour:02}:{from_minute:02}-{to_hour:02}:{to_minute:02}"
        )
    }
}

/// A text is no span of the day.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no span of the day, such as 19:00-07:00")]
pub struct NoSpan(String);

impl FromStr for DaySpan {
    type Err = NoSpan;

    fn from_str(text: &str) -> Result<Self, NoSpan> {
        let parse = || {
            let (from, to) = text.split_once('-')?;
            let (from, to) = (minute_of_day(from)?, minute_of_day(to)?);
            // One that ends where it begins may mean nothing as well as everything; the whole day is 00:00-24:00.
            (from < MINUTES_OF_A_DAY && from != to).then_some(Self { from, to })
        };
        parse().ok_or_else(|| NoSpan(text.to_owned()))
    }
}

/// Of "19:00", also of "24:00".
fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let digits = |part: &str| {
        let are_digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        are_digits.then(|| part.parse::<u16>().ok()).flatten()
    };
    let (hour, minute) = (digits(hour)?, digits(minute)?);
    let of_day = hour * 60 + minute;
    (minute < 60 && of_day <= MINUTES_OF_A_DAY).then_some(of_day)
}

const MINUTES_OF_A_DAY: u16 = 24 * 60;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spans_are_read_as_they_are_written() {
        for text in ["19:00-07:00", "00:00-24:00", "23:59-00:00", "00:00-00:01"] {
            let span: DaySpan = text.parse().expect("a span");
            assert_eq!(span.to_string(), text);
        }
        let spaced: DaySpan = " 08:30 - 09:00 ".parse().expect("a span");
        assert_eq!(spaced.to_string(), "08:30-09:00");
        for wrong in [
            "",
            "19:00",
            "19-07",
            "19:00-24:01",
            "24:00-01:00",
            "07:00-07:00",
            "1:00-2:00",
            "19:60-20:00",
            "+1:00-02:00",
            "19:00-07:00-08:00",
            "99:99-00:00",
        ] {
            assert!(wrong.parse::<DaySpan>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_span_may_pass_midnight() {
        let night: DaySpan = "19:00-07:00".parse().expect("a span");
        let at = |hour: u16, minute: u16| night.contains(hour * 60 + minute);
        assert!(at(19, 0) && at(23, 59) && at(0, 0) && at(6, 59));
        assert!(!at(7, 0) && !at(12, 0) && !at(18, 59));
        let evening: DaySpan = "20:00-00:00".parse().expect("a span");
        assert!(evening.contains(23 * 60 + 59) && !evening.contains(0));
    }

    proptest! {
        #[test]
        fn any_text_is_a_span_or_none(text in "[0-9:\\- ]{0,14}|\\PC{0,12}") {
            if let Ok(span) = text.parse::<DaySpan>() {
                prop_assert_eq!(span.to_string().parse(), Ok(span));
            }
        }
    }
}
