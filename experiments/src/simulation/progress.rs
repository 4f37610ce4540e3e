//! What a person sees while a simulation runs: a bar for every hospital on a terminal, otherwise plain lines.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write as _},
    sync::Mutex,
    time::Duration,
};

use crypto::sealed_sum::HospitalId;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Writes to stderr.
pub struct Progress {
    terminal: Option<MultiProgress>,
    hospitals: Mutex<BTreeMap<HospitalId, ProgressBar>>,
}

/// What a hospital is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing of its own.
    Waiting,
    /// Steps of training.
    Training {
        /// Done.
        done: usize,
        /// In all.
        total: usize,
    },
    /// A contribution on its way.
    Uploading {
        /// Bytes sent.
        sent: u64,
        /// In all.
        total: u64,
    },
    /// Its own part of a sum is sealed.
    Sealed,
    /// Not reachable.
    Away,
}

/// Something of which so many parts are to be done.
pub struct Stage {
    bar: ProgressBar,
}

impl Progress {
    /// Looks whether stderr is a terminal.
    pub fn new() -> Self {
        let terminal = std::io::stderr().is_terminal().then(MultiProgress::new);
        Self {
            terminal,
            hospitals: Mutex::default(),
        }
    }

    /// Whether there are bars.
    pub fn is_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    /// A line that stays.
    pub fn line(&self, text: impl AsRef<str>) {
        // Not `eprintln!`, which panics when the terminal is gone: the run goes on without it.
        let write = || writeln!(std::io::stderr(), "{}", text.as_ref());
        let _ = match &self.terminal {
            Some(bars) => bars.suspend(write),
            None => write(),
        };
    }

    /// Something with `total` parts, which are said where there is no terminal; gone from the terminal when it is dropped.
    pub fn stage(&self, name: &'static str, total: usize) -> Stage {
        if !self.is_terminal() {
            self.line(format!("{name}: {total}"));
        }
        self.bar(name, total)
    }

    /// As [`stage`](Self::stage), of parts that mean nothing to a person: nothing is said without a terminal.
    pub fn bar(&self, name: &'static str, total: usize) -> Stage {
        let bar = match &self.terminal {
            Some(bars) => bars.add(
                ProgressBar::new(total as u64)
                    .with_style(style())
                    .with_message(name),
            ),
            None => ProgressBar::hidden(),
        };
        Stage { bar }
    }

    /// A hospital's bar says what it does. Without a terminal nothing is said: lines are for rounds.
    pub fn hospital(&self, id: HospitalId, phase: Phase) {
        let Some(bars) = &self.terminal else { return };
        let mut hospitals = self
            .hospitals
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let bar = hospitals.entry(id).or_insert_with(|| {
            let bar = bars.add(
                ProgressBar::new(0)
                    .with_style(style())
                    .with_prefix(format!("hospital {id} ")),
            );
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let (message, done, total) = match phase {
            Phase::Waiting => ("waits", 0, 1),
            Phase::Training { done, total } => ("trains", done as u64, total as u64),
            Phase::Uploading { sent, total } => ("sends", sent, total),
            Phase::Sealed => ("has sealed", 1, 1),
            Phase::Away => ("is away", 0, 1),
        };
        bar.set_message(message);
        bar.set_length(total);
        bar.set_position(done);
    }

    /// Takes the hospitals' bars away.
    pub fn clear(&self) {
        let mut hospitals = self
            .hospitals
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        for bar in std::mem::take(&mut *hospitals).into_values() {
            bar.finish_and_clear();
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Stage {
    /// So many parts are done.
    pub fn at(&self, done: usize) {
        self.bar.set_position(done as u64);
    }

    /// One more part is done.
    pub fn step(&self) {
        self.bar.inc(1);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix}{msg:24} [{bar:40}] {percent:>3}%")
        .expect("a template with known keys")
        .progress_chars("=> ")
}
