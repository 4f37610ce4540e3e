//! Many seeds at once; what fails is shortened until every operation that is left is needed, and printed with the line that plays it
//! again.

use std::{
    collections::BTreeMap,
    env, fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use crate::{
    faults::FaultCounts,
    invariants::Violation,
    operation::Operation,
    scenario::{Ending, Report, Scenario},
};

/// The variable that names the one seed to play.
pub const SEED_VARIABLE: &str = "MYELIN_COHORT_SEED";
/// The variable that names the operations to keep, by their places in the list of the seed, separated by commas.
pub const OPERATIONS_VARIABLE: &str = "MYELIN_COHORT_OPERATIONS";

/// The variable that names other seeds than those of the test, as `from..to`: for a longer search.
pub const SEEDS_VARIABLE: &str = "MYELIN_COHORT_SEEDS";

/// What many runs have come to.
#[derive(Debug, Default)]
pub struct Tally {
    /// Runs.
    pub runs: u64,
    /// What went wrong in them.
    pub faults: FaultCounts,
    /// How they ended.
    pub endings: BTreeMap<String, u64>,
    /// The longest of them.
    pub most_happenings: u64,
    /// Where something happened that must not.
    pub failures: Vec<Failure>,
}

/// A run in which something happened that must not.
#[derive(Debug)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// What happened.
    pub what: Outcome,
    /// What went wrong in it, as far as it is needed, each with its place in the list of the seed.
    pub operations: Vec<(usize, Operation)>,
}

/// How a run went.
#[derive(Debug)]
pub enum Outcome {
    /// To its end.
    Played(Report),
    /// One of the machines, or the cohort itself, panicked.
    Panicked(String),
}

impl Outcome {
    /// The kind of what happened that must not, if anything did.
    fn kind(&self) -> Option<String> {
        match self {
            Self::Panicked(message) => Some(format!("panic {message}")),
            Self::Played(report) => report.violations.first().map(kind_of),
        }
    }
}

fn kind_of(violation: &Violation) -> String {
    let text = violation.to_string();
    let kind = text.split(' ').next().unwrap_or_default();
    kind.to_owned()
}

/// Plays these seeds on all processors. A panic of a machine counts as a failure of its seed.
pub fn play_seeds(seeds: std::ops::Range<u64>) -> Tally {
    let next = AtomicU64::new(seeds.start);
    let tally = Mutex::new(Tally::default());
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let outcome = play(&Scenario::of_seed(seed));
                    let failure = outcome
                        .kind()
                        .map(|kind| shortened(&Scenario::of_seed(seed), &kind));
                    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                    tally.add(outcome, failure);
                }
            });
        }
    });
    tally.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// The seeds that the environment names, if it names any.
///
/// # Panics
/// If the variable holds something else than two numbers.
pub fn seeds_of_environment() -> Option<std::ops::Range<u64>> {
    let text = env::var(SEEDS_VARIABLE).ok()?;
    let (first, end) = text.split_once("..").expect("seeds are written as 0..100");
    let number = |text: &str| text.trim().parse().expect("a seed is a whole number");
    Some(number(first)..number(end))
}

/// The scenario that the environment names, if it names one.
///
/// # Panics
/// If the variables hold something else than numbers.
pub fn scenario_of_environment() -> Option<Scenario> {
    let seed = env::var(SEED_VARIABLE).ok()?;
    let mut scenario = Scenario::of_seed(seed.parse().expect("a seed is a whole number"));
    if let Ok(kept) = env::var(OPERATIONS_VARIABLE) {
        let places = kept.split(',').filter(|place| !place.is_empty());
        let places: Vec<usize> = places
            .map(|place| place.trim().parse().expect("places are whole numbers"))
            .collect();
        scenario.keep(&places);
    }
    Some(scenario)
}

/// Plays a scenario; a panic in it is part of what came of it.
pub fn play(scenario: &Scenario) -> Outcome {
    match catch_unwind(AssertUnwindSafe(|| scenario.play())) {
        Ok(report) => Outcome::Played(report),
        Err(payload) => {
            let text = payload.downcast_ref::<String>().cloned().or_else(|| {
                payload
                    .downcast_ref::<&str>()
                    .map(|text| (*text).to_owned())
            });
            Outcome::Panicked(text.unwrap_or_else(|| "without words".to_owned()))
        }
    }
}

/// Leaves out one operation after another, as long as the same kind of thing happens.
fn shortened(scenario: &Scenario, kind: &str) -> Failure {
    let mut places: Vec<usize> = (0..scenario.operations.len()).collect();
    let fails = |places: &[usize]| {
        let mut shorter = scenario.clone();
        shorter.keep(places);
        let outcome = play(&shorter);
        (outcome.kind().as_deref() == Some(kind)).then_some(outcome)
    };
    let mut what = play(scenario);
    let mut index = places.len();
    while index > 0 {
        index -= 1;
        let mut fewer = places.clone();
        fewer.remove(index);
        if let Some(outcome) = fails(&fewer) {
            (places, what) = (fewer, outcome);
            // What was needed beside it may not be any more.
            index = places.len();
        }
    }
    let operations = places
        .iter()
        .map(|&place| (place, scenario.operations[place].clone()));
    Failure {
        seed: scenario.seed,
        what,
        operations: operations.collect(),
    }
}

impl Scenario {
    /// Leaves only the operations with these places in the list.
    fn keep(&mut self, places: &[usize]) {
        let mut place = 0;
        self.operations.retain(|_| {
            place += 1;
            places.contains(&(place - 1))
        });
    }
}

impl Tally {
    /// This and that of other seeds.
    pub fn join(&mut self, others: Self) {
        self.runs += others.runs;
        self.faults.add(&others.faults);
        for (ending, runs) in others.endings {
            *self.endings.entry(ending).or_default() += runs;
        }
        self.most_happenings = self.most_happenings.max(others.most_happenings);
        self.failures.extend(others.failures);
    }

    fn add(&mut self, outcome: Outcome, failure: Option<Failure>) {
        self.runs += 1;
        let ending = match &outcome {
            Outcome::Played(report) => {
                self.faults.add(&report.faults);
                self.most_happenings = self.most_happenings.max(report.happenings);
                report.ending.clone()
            }
            Outcome::Panicked(_) => Ending::Violated,
        };
        *self.endings.entry(format!("{ending:?}")).or_default() += 1;
        self.failures.extend(failure);
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            Outcome::Played(report) => writeln!(formatter, "seed {}: {report:#?}", self.seed)?,
            Outcome::Panicked(text) => writeln!(formatter, "seed {}: panic: {text}", self.seed)?,
        }
        for (place, operation) in &self.operations {
            writeln!(formatter, "  {place}: {operation:?}")?;
        }
        let places: Vec<_> = self
            .operations
            .iter()
            .map(|(place, _)| place.to_string())
            .collect();
        write!(
            formatter,
            "{SEED_VARIABLE}={} {OPERATIONS_VARIABLE}={} cargo test -p cohort --test faulty_rounds",
            self.seed,
            places.join(",")
        )
    }
}
