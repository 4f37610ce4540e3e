//! Work within the hours, rest outside of them, and so on, until the work is done or somebody stops it.

use std::{cell::Cell, pin::Pin};

use jiff::{Timestamp, tz::TimeZone};

use super::{Clock, Hours, Moment};

/// Divides time into work and rest.
pub struct Shifts<C> {
    hours: Hours,
    zone: TimeZone,
    clock: C,
}

/// How one span of work ended.
pub enum Shift<T> {
    /// The work is done.
    Done(T),
    /// It was stopped before, and goes on from what it has kept.
    Stopped,
}

/// Who works within the hours.
pub trait Worker {
    /// What the work comes to.
    type Done;
    /// Why it cannot go on.
    type Error;

    /// Told once before each rest when it ends, in words.
    ///
    /// # Errors
    /// Why it cannot rest.
    fn rest(&mut self, until: &str) -> Result<(), Self::Error>;

    /// Works until all is done, or until `end`.
    ///
    /// # Errors
    /// Why it cannot.
    fn work(
        &mut self,
        end: EndOfShift<'_>,
    ) -> impl Future<Output = Result<Shift<Self::Done>, Self::Error>>;
}

/// Ends when the work is to be stopped.
pub type EndOfShift<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

impl<C: Clock> Shifts<C> {
    /// By the clock on a wall in `zone`.
    pub fn new(hours: Hours, zone: TimeZone, clock: C) -> Self {
        Self { hours, zone, clock }
    }

    /// Has the worker rest until the hours begin, and work until they end, again and again. None: `stopping` has ended, at rest or at
    /// work.
    ///
    /// # Errors
    /// The worker's.
    pub async fn run<W: Worker>(
        &self,
        worker: &mut W,
        stopping: impl AsyncFn(),
    ) -> Result<Option<W::Done>, W::Error> {
        loop {
            let begun = tokio::select! {
                biased;
                () = stopping() => None,
                begun = self.begin(worker) => Some(begun),
            };
            match begun {
                None => return Ok(None),
                Some(begun) => begun?,
            }
            let hours_are_over = Cell::new(false);
            let end = Box::pin(async {
                tokio::select! {
                    biased;
                    () = stopping() => {}
                    () = self.end() => hours_are_over.set(true),
                }
            });
            match worker.work(end).await? {
                Shift::Done(result) => return Ok(Some(result)),
                Shift::Stopped if hours_are_over.get() => {}
                Shift::Stopped => return Ok(None),
            }
        }
    }

    async fn begin<W: Worker>(&self, worker: &mut W) -> Result<(), W::Error> {
        let mut told = None;
        while let Moment::Outside { until } = self.moment() {
            if told != Some(until) {
                told = Some(until);
                let until = self.in_words(until);
                // Whoever reads the line may ask where the hospital stands.
                worker.rest(&until)?;
                tracing::info!(
                    "outside the hours in which this hospital takes part (policy.hours): waiting until {until}"
                );
            }
            self.clock.pause(until).await;
        }
        if told.is_some() {
            tracing::info!("the hours in which this hospital takes part have begun");
        }
        Ok(())
    }

    async fn end(&self) {
        loop {
            match self.moment() {
                Moment::Within { until: None } => std::future::pending().await,
                Moment::Within { until: Some(until) } => self.clock.pause(until).await,
                Moment::Outside { .. } => break,
            }
        }
        tracing::warn!(
            "the hours in which this hospital takes part (policy.hours) are over: stopping, to go on when they begin again"
        );
    }

    /// Now.
    pub fn moment(&self) -> Moment {
        self.hours.at(self.clock.now(), &self.zone)
    }

    /// "2026-12-01 19:00 CET", on the clock of the wall.
    pub fn in_words(&self, moment: Timestamp) -> String {
        let moment = moment.to_zoned_datetime(self.zone.clone());
        moment.strftime("%Y-%m-%d %H:%M %Z").to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, convert::Infallible, time::Duration};

    use tokio::sync::watch;

    use super::*;

    /// A clock that stands still until it is set.
    struct SetByHand(watch::Receiver<Timestamp>);

    impl Clock for SetByHand {
        fn now(&self) -> Timestamp {
            *self.0.borrow()
        }

        async fn pause(&self, _: Timestamp) {
            let mut set = self.0.clone();
            set.mark_unchanged();
            // Its test is over otherwise.
            let _ = set.changed().await;
        }
    }

    fn at(time: &str) -> Timestamp {
        format!("2026-12-01T{time}:00Z").parse().expect("a time")
    }

    fn shifts(spans: &[&str], now: &str) -> (Shifts<SetByHand>, watch::Sender<Timestamp>) {
        let (set, clock) = watch::channel(at(now));
        let spans = spans.iter().map(|span| span.parse().expect("a span"));
        let hours = Hours::new(spans.collect());
        let shifts = Shifts::new(hours, TimeZone::UTC, SetByHand(clock));
        (shifts, set)
    }

    /// Notes rests and work; its third span of work is done at once.
    #[derive(Default)]
    struct Noting {
        said: RefCell<Vec<String>>,
        begun: Cell<usize>,
    }

    impl Noting {
        fn note(&self, text: impl Into<String>) {
            self.said.borrow_mut().push(text.into());
        }
    }

    impl Worker for &Noting {
        type Done = usize;
        type Error = Infallible;

        fn rest(&mut self, until: &str) -> Result<(), Infallible> {
            self.note(format!("rests until {until}"));
            Ok(())
        }

        async fn work(&mut self, end: EndOfShift<'_>) -> Result<Shift<usize>, Infallible> {
            self.note("works");
            self.begun.set(self.begun.get() + 1);
            if self.begun.get() == 3 {
                return Ok(Shift::Done(3));
            }
            end.await;
            self.note("stops");
            Ok(Shift::Stopped)
        }
    }

    async fn noted(
        shifts: &Shifts<SetByHand>,
        stopped: watch::Receiver<bool>,
        mut worker: &Noting,
    ) -> Option<usize> {
        let stopping = async || {
            let _ = stopped.clone().wait_for(|stopped| *stopped).await;
        };
        match shifts.run(&mut worker, stopping).await {
            Ok(done) => done,
        }
    }

    /// Lets whoever waits for the clock look at it.
    async fn set(clock: &watch::Sender<Timestamp>, times: &[&str]) {
        for time in times {
            tokio::time::sleep(A_MOMENT).await;
            clock.send_replace(at(time));
        }
        tokio::time::sleep(A_MOMENT).await;
    }

    const A_MOMENT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn work_stops_when_the_hours_end_and_goes_on_when_they_begin_again() {
        let (shifts, clock) = shifts(&["08:00-09:00", "12:00-13:00", "15:00-16:00"], "07:00");
        let (_stop, stopped) = watch::channel(false);
        let worker = Noting::default();
        let times = [
            "07:30", "08:00", "08:59", "09:00", "11:00", "12:30", "13:10", "15:00",
        ];
        let (done, ()) = tokio::join!(noted(&shifts, stopped, &worker), set(&clock, &times));
        assert_eq!(done, Some(3));
        let expected = [
            "rests until 2026-12-01 08:00 UTC",
            "works",
            "stops",
            "rests until 2026-12-01 12:00 UTC",
            "works",
            "stops",
            "rests until 2026-12-01 15:00 UTC",
            "works",
        ];
        assert_eq!(worker.said.into_inner(), expected);
    }

    #[tokio::test]
    async fn a_stop_ends_a_rest_as_well_as_work() {
        for (now, expected) in [
            ("07:00", &["rests until 2026-12-01 08:00 UTC"][..]),
            ("08:30", &["works", "stops"][..]),
        ] {
            let (shifts, _clock) = shifts(&["08:00-09:00"], now);
            let (stop, stopped) = watch::channel(false);
            let worker = Noting::default();
            let stops = async {
                tokio::time::sleep(A_MOMENT).await;
                stop.send_replace(true);
            };
            let (done, ()) = tokio::join!(noted(&shifts, stopped, &worker), stops);
            assert_eq!(done, None);
            assert_eq!(worker.said.into_inner(), expected);
        }
    }

    #[tokio::test]
    async fn without_hours_nothing_but_a_stop_ends_the_work() {
        let (shifts, clock) = shifts(&[], "07:00");
        let (stop, stopped) = watch::channel(false);
        let worker = Noting::default();
        let stops = async {
            set(&clock, &["19:00"]).await;
            assert_eq!(*worker.said.borrow(), ["works"]);
            stop.send_replace(true);
        };
        let (done, ()) = tokio::join!(noted(&shifts, stopped, &worker), stops);
        assert_eq!(done, None);
        assert_eq!(worker.said.into_inner(), ["works", "stops"]);
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_is_looked_at_anew() {
        let (shifts, clock) = shifts(&["08:00-09:00"], "07:00");
        let (stop, stopped) = watch::channel(false);
        let worker = Noting::default();
        let stops = async {
            set(&clock, &["08:30", "07:59", "08:10", "09:00"]).await;
            stop.send_replace(true);
        };
        let (done, ()) = tokio::join!(noted(&shifts, stopped, &worker), stops);
        assert_eq!(done, None);
        let expected = [
            "rests until 2026-12-01 08:00 UTC",
            "works",
            "stops",
            "rests until 2026-12-01 08:00 UTC",
            "works",
            "stops",
            "rests until 2026-12-02 08:00 UTC",
        ];
        assert_eq!(worker.said.into_inner(), expected);
    }
}
