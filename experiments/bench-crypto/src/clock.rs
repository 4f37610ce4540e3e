//! What time is read from, and how an operation is measured with it.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use clap::ValueEnum;

use super::series::{Times, median};

/// What time is read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Clock {
    /// The time that passes: what a user waits for.
    #[default]
    Wall,
    /// The time for which the measuring thread has a processor.
    Processor,
}

impl Clock {
    /// The result of some work, and its seconds.
    pub fn time<T>(self, work: impl FnOnce() -> T) -> (T, f64) {
        match self {
            Self::Wall => {
                let start = Instant::now();
                let result = work();
                (result, start.elapsed().as_secs_f64())
            }
            Self::Processor => {
                let start = processor_time();
                let result = work();
                (result, (processor_time() - start).as_secs_f64())
            }
        }
    }

    /// The name as it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wall => "wall",
            Self::Processor => "processor",
        }
    }
}

/// Measures the operations of one round.
pub struct Stopwatch {
    clock: Clock,
    repetitions: usize,
    times: Times,
}

impl Stopwatch {
    /// For a round in which each operation is repeated so many times.
    pub fn new(clock: Clock, repetitions: usize) -> Self {
        Self {
            clock,
            repetitions,
            times: Times::new(),
        }
    }

    /// The median of the seconds of some work and the release of its result, after one time that does not count.
    ///
    /// # Errors
    /// The first of the work.
    pub fn measure<T>(
        &mut self,
        stem: &str,
        mut work: impl FnMut() -> anyhow::Result<T>,
    ) -> anyhow::Result<()> {
        work()?;
        let mut samples = Vec::with_capacity(self.repetitions);
        for _ in 0..self.repetitions {
            let (result, seconds) = self.clock.time(|| work().map(|made| drop(black_box(made))));
            result?;
            samples.push(seconds);
        }
        self.times.insert(stem.to_owned(), median(samples));
        Ok(())
    }

    /// All of them, by stem.
    pub fn into_times(self) -> Times {
        self.times
    }
}

fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("the time of a thread is not negative")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleep_takes_time_but_no_processor() {
        let sleep = || std::thread::sleep(Duration::from_millis(30));
        let ((), wall) = Clock::Wall.time(sleep);
        let ((), processor) = Clock::Processor.time(sleep);
        assert!(wall >= 0.03);
        assert!(processor < 0.02, "{processor}");
    }

    #[test]
    fn an_error_ends_the_repetitions() {
        let mut calls = 0;
        let mut stopwatch = Stopwatch::new(Clock::Wall, 5);
        let result = stopwatch.measure("fails", || {
            calls += 1;
            anyhow::ensure!(calls < 3, "the third fails");
            Ok(())
        });
        assert!(result.is_err() && calls == 3);
        assert!(stopwatch.into_times().is_empty());
    }
}
