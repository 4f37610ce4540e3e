//! How far work is that goes from one scan or patient to the next: a bar on a terminal, otherwise a line of the log now and then.

use std::{
    io::{self, IsTerminal as _},
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// Begins with the first report, and is gone from the terminal when dropped.
pub struct Counted {
    /// What is done: "reading".
    work: &'static str,
    /// Of what: "scans".
    units: &'static str,
    display: OnceLock<Display>,
}

enum Display {
    Bar(ProgressBar),
    /// When the last line was written.
    Lines(Mutex<Instant>),
}

impl Counted {
    /// Such as "reading" and "scans".
    pub fn new(work: &'static str, units: &'static str) -> Self {
        Self {
            work,
            units,
            display: OnceLock::new(),
        }
    }

    /// To be called from any thread.
    pub fn show(&self, done: usize, total: usize) {
        match self.display.get_or_init(|| self.begin(total)) {
            Display::Bar(bar) => bar.set_position(bar.position().max(done as u64)),
            Display::Lines(last) => {
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                if last.elapsed() >= BETWEEN_LINES && done < total {
                    *last = Instant::now();
                    tracing::info!(done, total, "{} {}", self.work, self.units);
                }
            }
        }
    }

    fn begin(&self, total: usize) -> Display {
        let Self { work, units, .. } = self;
        if !io::stderr().is_terminal() {
            tracing::info!("{work} {units}: {total}");
            return Display::Lines(Mutex::new(Instant::now()));
        }
        Display::Bar(bar(format!("{work} {units}"), total))
    }
}

fn bar(message: String, total: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} [{wide_bar}] {pos}/{len}, {eta} left")
        .expect("a template with known keys")
        .progress_chars("=> ");
    let bar = ProgressBar::new(total as u64).with_style(style);
    bar.with_message(message)
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(Display::Bar(bar)) = self.display.get() {
            bar.finish_and_clear();
        }
    }
}

const BETWEEN_LINES: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use indicatif::{InMemoryTerm, ProgressDrawTarget};

    use super::*;

    #[test]
    fn a_bar_of_many_fits_80_columns() {
        let terminal = InMemoryTerm::new(24, 80);
        let bar = bar("predicting patients".to_owned(), 100_000);
        bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(terminal.clone())));
        bar.set_position(99_999);
        bar.tick();
        let shown = terminal.contents();
        assert_eq!(shown.lines().count(), 1, "{shown}");
        assert!(shown.starts_with("predicting patients [=====") && shown.ends_with(" left"));
    }
}
