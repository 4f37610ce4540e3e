//! How far the reading of scans is: a bar on a terminal, otherwise a line of the log now and then.

use std::{
    io::{self, IsTerminal as _},
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use model_data::LoadProgress;

/// Begins with the first report, and is gone from the terminal when dropped.
#[derive(Default)]
pub struct ReadingProgress {
    display: OnceLock<Display>,
}

enum Display {
    Bar(ProgressBar),
    /// When the last line was written.
    Lines(Mutex<Instant>),
}

impl ReadingProgress {
    /// To be called from any thread.
    pub fn show(&self, LoadProgress { done, scans }: LoadProgress) {
        match self.display.get_or_init(|| Display::new(scans)) {
            Display::Bar(bar) => bar.set_position(bar.position().max(done as u64)),
            Display::Lines(last) => {
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                if last.elapsed() >= BETWEEN_LINES && done < scans {
                    *last = Instant::now();
                    tracing::info!(done, scans, "reading scans");
                }
            }
        }
    }
}

impl Display {
    fn new(scans: usize) -> Self {
        if !io::stderr().is_terminal() {
            tracing::info!(scans, "reading scans");
            return Self::Lines(Mutex::new(Instant::now()));
        }
        let style = ProgressStyle::with_template("{msg} [{bar:40}] {pos}/{len}, {eta} left")
            .expect("a template with known keys")
            .progress_chars("=> ");
        let bar = ProgressBar::new(scans as u64).with_style(style);
        Self::Bar(bar.with_message("reading scans"))
    }
}

impl Drop for ReadingProgress {
    fn drop(&mut self) {
        if let Some(Display::Bar(bar)) = self.display.get() {
            bar.finish_and_clear();
        }
    }
}

const BETWEEN_LINES: Duration = Duration::from_secs(10);
