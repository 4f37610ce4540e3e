//! What a person sees while work goes on: on a terminal bars that fit 80 columns, otherwise plain lines.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    io::{self, IsTerminal, Write as _},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crypto::sealed_sum::HospitalId;
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use crate::time_left::{in_words, time_left};

/// Writes to stderr.
pub struct Progress {
    terminal: Option<MultiProgress>,
    run: Mutex<Option<RunBars>>,
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

impl Phase {
    /// In the order in which they are counted.
    const WORDS: [&str; 5] = ["trains", "sends", "has sealed", "waits", "is away"];

    fn words(self) -> &'static str {
        let place = match self {
            Self::Training { .. } => 0,
            Self::Uploading { .. } => 1,
            Self::Sealed => 2,
            Self::Waiting => 3,
            Self::Away => 4,
        };
        Self::WORDS[place]
    }

    /// How much of it is done.
    fn share(self) -> f64 {
        match self {
            Self::Training { done, total } => done as f64 / total.max(1) as f64,
            Self::Uploading { sent, total } => sent as f64 / total.max(1) as f64,
            Self::Sealed => 1.0,
            Self::Waiting | Self::Away => 0.0,
        }
    }
}

/// A federation's run: its hospitals in their order, and all of it below them.
struct RunBars {
    hospitals: BTreeMap<HospitalId, HospitalBar>,
    /// In the place of the hospitals' bars, where they are too many: how many do what.
    counts: Option<ProgressBar>,
    whole: ProgressBar,
    rounds: u32,
    rounds_done: u32,
}

struct HospitalBar {
    /// None where hospitals are counted.
    bar: Option<ProgressBar>,
    phase: Phase,
    /// Of this round's training.
    trained: f64,
}

/// Something of which so many parts are to be done.
pub struct Stage {
    bar: ProgressBar,
}

impl Progress {
    /// Looks whether stderr is a terminal.
    pub fn new() -> Self {
        Self::on(io::stderr().is_terminal().then(MultiProgress::new))
    }

    fn on(terminal: Option<MultiProgress>) -> Self {
        Self {
            terminal,
            run: Mutex::default(),
        }
    }

    /// Whether there are bars.
    pub fn is_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    /// A line that stays.
    pub fn line(&self, text: impl AsRef<str>) {
        // Not `eprintln!`, which panics when the terminal is gone: the run goes on without it.
        let write = || writeln!(io::stderr(), "{}", text.as_ref());
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
            Some(bars) => {
                let bar = bars.add(ProgressBar::new(total as u64).with_style(whole_style(0.0)));
                shown(bar.with_message(name))
            }
            None => ProgressBar::hidden(),
        };
        Stage { bar }
    }

    /// Shows the hospitals of a run and, below them, all of it, of which so many rounds are done. Without a terminal nothing is said:
    /// lines are for rounds.
    pub fn begin_run(
        &self,
        hospitals: impl ExactSizeIterator<Item = HospitalId>,
        rounds: u32,
        rounds_done: u32,
    ) {
        let Some(bars) = &self.terminal else { return };
        let number = hospitals.len();
        let is_counted = number > MAX_BARS;
        let hospitals = hospitals.map(|id| {
            let bar = (!is_counted).then(|| {
                let bar = ProgressBar::new(PARTS).with_style(hospital_style());
                shown(bars.add(bar.with_message(format!("hospital {id}"))))
            });
            let of_hospital = HospitalBar {
                bar,
                phase: Phase::Waiting,
                trained: 0.0,
            };
            (id, of_hospital)
        });
        let hospitals = hospitals.collect();
        let counts = is_counted.then(|| {
            let style = ProgressStyle::with_template("{wide_msg}").expect("a template");
            shown(bars.add(ProgressBar::new(1).with_style(style)))
        });
        let in_all = u64::from(rounds) * number as u64 * PARTS;
        let done_before = f64::from(rounds_done) / f64::from(rounds.max(1));
        let whole = ProgressBar::new(in_all).with_style(whole_style(done_before));
        let run = RunBars {
            hospitals,
            counts,
            whole: shown(bars.add(whole)),
            rounds,
            rounds_done,
        };
        run.show_whole();
        *self.run() = Some(run);
    }

    /// A hospital begins something, or is further with it.
    pub fn hospital(&self, id: HospitalId, phase: Phase) {
        if let Some(run) = &mut *self.run() {
            run.hospital(id, phase);
        }
    }

    /// So many learning rounds of the run are over.
    pub fn rounds_done(&self, rounds: u32) {
        if let Some(run) = &mut *self.run() {
            run.rounds_done = rounds;
            for hospital in run.hospitals.values_mut() {
                hospital.trained = 0.0;
            }
            run.show_whole();
        }
    }

    /// Takes the run's bars away.
    pub fn clear(&self) {
        let Some(run) = self.run().take() else { return };
        let hospitals = run.hospitals.into_values();
        let bars = hospitals.filter_map(|hospital| hospital.bar);
        for bar in bars.chain(run.counts).chain([run.whole]) {
            bar.finish_and_clear();
        }
    }

    fn run(&self) -> MutexGuard<'_, Option<RunBars>> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl RunBars {
    fn hospital(&mut self, id: HospitalId, phase: Phase) {
        let Some(hospital) = self.hospitals.get_mut(&id) else {
            return;
        };
        hospital.phase = phase;
        if let Phase::Training { .. } = phase {
            // An evaluation, which comes later, counts from 0 again.
            hospital.trained = hospital.trained.max(phase.share());
        }
        if let Some(bar) = &hospital.bar {
            bar.set_prefix(phase.words());
            bar.set_position((phase.share() * PARTS as f64) as u64);
        }
        self.show_whole();
    }

    fn show_whole(&self) {
        if let Some(bar) = &self.counts {
            bar.set_message(self.counts_in_words());
        }
        let present = (self.rounds_done + 1).min(self.rounds);
        let message = format!("round {present} of {}", self.rounds);
        self.whole.set_message(message);
        let hospitals = self.hospitals.len() as f64;
        let trained: f64 = self.hospitals.values().map(|one| one.trained).sum();
        let done = f64::from(self.rounds_done) * hospitals + trained;
        self.whole.set_position((done * PARTS as f64) as u64);
    }

    /// "100 hospitals: 60 trains, 40 waits".
    fn counts_in_words(&self) -> String {
        let counts = Phase::WORDS.map(|words| {
            let phases = self.hospitals.values().map(|hospital| hospital.phase);
            (phases.filter(|phase| phase.words() == words).count(), words)
        });
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let counts: Vec<_> = counts
            .map(|(count, words)| format!("{words} {count}"))
            .collect();
        format!("{} hospitals: {}", self.hospitals.len(), counts.join(", "))
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

/// A bar that is drawn also while nothing is told of it.
fn shown(bar: ProgressBar) -> ProgressBar {
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// What it is, how much of it is done, and what it does.
fn hospital_style() -> ProgressStyle {
    style("{msg:24!} [{wide_bar}] {percent:>3}% {prefix:23!}")
}

/// What it is, how much of it is done, and the time left, if this share of it was done before.
fn whole_style(done_before: f64) -> ProgressStyle {
    let left = move |state: &ProgressState, told: &mut dyn Write| {
        let left = left_since(done_before, state.elapsed(), state.fraction().into());
        let _: fmt::Result = left.map_or(Ok(()), |left| told.write_str(&in_words(left)));
    };
    style("{msg:24!} [{wide_bar}] {percent:>3}% {left:23!}").with_key("left", left)
}

/// Of work of which one share was done before, and another is done in this time.
fn left_since(done_before: f64, elapsed: Duration, done: f64) -> Option<Duration> {
    time_left(elapsed, (done - done_before) / (1.0 - done_before))
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("a template with known keys")
        .progress_chars("=> ")
}

/// More hospitals are counted: their bars would not fit a terminal.
const MAX_BARS: usize = 12;
/// How finely a bar shows what is done.
const PARTS: u64 = 1000;

#[cfg(test)]
mod tests {
    use indicatif::{InMemoryTerm, ProgressDrawTarget};

    use super::*;

    /// On a terminal of 80 columns.
    fn progress() -> (Progress, InMemoryTerm) {
        let terminal = InMemoryTerm::new(24, 80);
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        let bars = MultiProgress::with_draw_target(target);
        (Progress::on(Some(bars)), terminal)
    }

    fn ids(number: u8) -> impl ExactSizeIterator<Item = HospitalId> {
        let ids: Vec<_> = (1..=number).filter_map(HospitalId::new).collect();
        ids.into_iter()
    }

    /// What is to be seen once all is drawn.
    fn seen(terminal: &InMemoryTerm) -> Vec<String> {
        std::thread::sleep(Duration::from_millis(500));
        terminal.contents().lines().map(str::to_owned).collect()
    }

    fn id(number: u8) -> HospitalId {
        HospitalId::new(number).expect("a number of a hospital")
    }

    #[test]
    fn hospitals_are_shown_in_their_order_with_the_whole_below_within_80_columns() {
        let (progress, terminal) = progress();
        progress.begin_run(ids(12), 1000, 0);
        progress.hospital(id(12), Phase::Sealed);
        progress.hospital(id(3), Phase::Training { done: 1, total: 4 });
        let lines = seen(&terminal);
        assert_eq!(lines.len(), 13, "{lines:#?}");
        for (line, number) in lines.iter().zip(1..=12) {
            assert!(line.starts_with(&format!("hospital {number} ")), "{line}");
        }
        assert!(lines[2].ends_with("]  25% trains"), "{}", lines[2]);
        assert!(lines[11].ends_with("] 100% has sealed"), "{}", lines[11]);
        assert!(lines[12].starts_with("round 1 of 1000 "), "{}", lines[12]);
        progress.clear();
        assert_eq!(terminal.contents(), "");
    }

    #[test]
    fn many_hospitals_are_counted() {
        let (progress, terminal) = progress();
        progress.begin_run(ids(100), 8, 0);
        for hospital in ids(60) {
            progress.hospital(hospital, Phase::Training { done: 1, total: 2 });
        }
        progress.hospital(id(100), Phase::Away);
        let lines = seen(&terminal);
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert_eq!(lines[0], "100 hospitals: trains 60, waits 39, is away 1");
        // 60 of 100 hospitals are half through the first of 8 rounds.
        assert!(lines[1].contains("]   4%"), "{}", lines[1]);
    }

    #[test]
    fn the_time_left_is_of_all_rounds_and_of_what_this_process_has_done() {
        let (progress, terminal) = progress();
        progress.begin_run(ids(2), 4, 2);
        let whole = |lines: Vec<String>| lines.last().cloned().unwrap_or_default();
        let line = whole(seen(&terminal));
        assert!(line.starts_with("round 3 of 4"), "{line}");
        assert!(line.ends_with("]  50%"), "nothing to guess from: {line}");
        progress.rounds_done(3);
        let line = whole(seen(&terminal));
        assert!(line.contains("]  75% about "), "{line}");
        // One of two rounds has taken a minute.
        let minute = Duration::from_secs(60);
        assert_eq!(left_since(0.5, minute, 0.75), Some(minute));
    }

    #[test]
    fn a_stage_fits_80_columns_and_is_gone_at_its_end() {
        let (progress, terminal) = progress();
        let stage = progress.stage("writing phantom patients", 4);
        stage.step();
        let lines = seen(&terminal);
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(
            lines[0].starts_with("writing phantom patients ["),
            "{lines:#?}"
        );
        assert!(lines[0].contains("]  25% about "), "{lines:#?}");
        drop(stage);
        assert_eq!(terminal.contents(), "");
    }
}
