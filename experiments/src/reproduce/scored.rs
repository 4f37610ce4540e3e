//! What was said of the test slices of all repetitions, as numbers: means, their intervals, and the draws behind them, so that
//! differences are paired.

use model::metrics::{
    CrossedBootstrap, Interval, Level, Metrics, Prediction, Scores, per_patient, score_intervals,
};

use super::seeds::BOOTSTRAP_SEED;

/// A number of each kind with its 95% interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The numbers.
    pub scores: Scores,
    /// In the order of [`Scores::ALL`].
    pub intervals: [Option<Interval>; 6],
}

/// Of one classifier, the mean over its repetitions.
pub struct Scored {
    /// By slice.
    pub slice: Estimate,
    /// By patient.
    pub patient: Estimate,
    /// Share of the most frequent class among the slices tested on: what always saying it would reach.
    pub majority: f64,
    /// By slice and by patient, of each draw of the bootstrap.
    draws: [Vec<Scores>; 2],
}

/// A difference of two numbers, paired over repetitions and patients.
pub struct Difference {
    /// Of which rows: "binary, hybrid".
    pub of: String,
    /// How large by slice.
    pub estimate: Estimate,
    /// How large by patient.
    pub patient: Estimate,
}

/// The draws that everything of a reproduction shares; `patients` is the size of the cohort.
pub fn shared_bootstrap(repetitions: usize, patients: usize) -> CrossedBootstrap {
    CrossedBootstrap::new(repetitions, patients, DRAWS, BOOTSTRAP_SEED)
}

impl Scored {
    /// Scores the predictions of each repetition.
    pub fn new(runs: &[Vec<Prediction>], classes: usize, bootstrap: &CrossedBootstrap) -> Self {
        let estimate = |level| {
            let point = |slices: &Vec<Prediction>| match level {
                Level::Slice => Scores::of(&Metrics::of(slices, classes)),
                Level::Patient => Scores::of(&Metrics::of(&per_patient(slices), classes)),
            };
            let points: Vec<Scores> = runs.iter().map(point).collect();
            let draws = bootstrap.scores(runs, classes, level);
            let estimate = Estimate {
                scores: Scores::mean(&points),
                intervals: score_intervals(&draws),
            };
            (estimate, draws)
        };
        let (slice, of_slices) = estimate(Level::Slice);
        let (patient, of_patients) = estimate(Level::Patient);
        Self {
            slice,
            patient,
            majority: majority(runs, classes),
            draws: [of_slices, of_patients],
        }
    }
}

/// The mean over repetitions.
fn majority(runs: &[Vec<Prediction>], classes: usize) -> f64 {
    let of_run = |run: &Vec<Prediction>| {
        let count = |class| run.iter().filter(|one| one.label == class).count();
        (0..classes).map(count).max().unwrap_or(0) as f64 / run.len().max(1) as f64
    };
    runs.iter().map(of_run).sum::<f64>() / runs.len().max(1) as f64
}

/// A name with what is to be subtracted from what.
pub type NamedPair<'a> = (String, [&'a Scored; 2]);

/// The first of each pair minus the second, averaged over the pairs of the same name, in the order in which names come first.
pub fn differences<'a>(pairs: impl Iterator<Item = NamedPair<'a>>) -> Vec<Difference> {
    let mut groups: Vec<(String, Vec<[&Scored; 2]>)> = Vec::new();
    for (name, pair) in pairs {
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, group)) => group.push(pair),
            None => groups.push((name, vec![pair])),
        }
    }
    groups.into_iter().map(difference).collect()
}

fn difference((of, pairs): (String, Vec<[&Scored; 2]>)) -> Difference {
    let mean_of = |each: &dyn Fn(&[&Scored; 2]) -> Scores| {
        Scores::mean(&pairs.iter().map(each).collect::<Vec<Scores>>())
    };
    let estimate = |level: usize, scores: fn(&Scored) -> Scores| {
        let draws: Vec<Scores> = (0..DRAWS)
            .map(|draw| {
                mean_of(&|[one, other]| one.draws[level][draw].minus(&other.draws[level][draw]))
            })
            .collect();
        Estimate {
            scores: mean_of(&|[one, other]| scores(one).minus(&scores(other))),
            intervals: score_intervals(&draws),
        }
    };
    Difference {
        of,
        estimate: estimate(0, |scored| scored.slice.scores),
        patient: estimate(1, |scored| scored.patient.scores),
    }
}

/// Of the bootstrap.
const DRAWS: usize = 1000;
