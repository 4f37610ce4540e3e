//! What is left of counters when an attacker takes its own away from an opened sum.

use anyhow::ensure;
use model_data::{FEATURES, Feature};
use participant::vault::statistics::{ClinicalRecords, own_counters};
use protocol::{
    counters::{EvaluationCounters, StatsCounters, specs},
    vocabulary::{Purpose, Task},
};
use rand::{Rng, RngExt, seq::index};
use rand_chacha::ChaCha20Rng;

use super::super::{
    super::effort::Effort,
    patients::{complete_patients, records},
    randomness,
    sealed::SealedSum,
};
use crate::simulation::Progress;

/// How far an attacker is off, and who takes every hospital for the mean of all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MeanError {
    /// The attacker.
    pub found: f64,
    /// A guess.
    pub guessed: f64,
}

/// Of each kind of counter, over all trials.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CounterErrors {
    /// Training slices of a class.
    pub class_counts: MeanError,
    /// Patients with motor symptoms.
    pub with_symptom: MeanError,
    /// The accuracy on the hospital's validation slices.
    pub accuracy: MeanError,
}

impl CounterErrors {
    /// Whether the attacker is never off.
    pub fn are_none(&self) -> bool {
        [self.class_counts, self.with_symptom, self.accuracy]
            .iter()
            .all(|error| error.found == 0.0)
    }
}

/// Of sealed sums of so many hospitals.
///
/// # Errors
/// A sum that does not open, or to something else than the sum.
pub fn counter_errors(
    contributors: usize,
    effort: Effort,
    seed: u64,
    progress: &Progress,
) -> anyhow::Result<CounterErrors> {
    let trials = effort.of(20, 300);
    let mut rng = randomness(seed, &format!("counters of few, {contributors}"));
    let hospitals = made_up(HOSPITALS, seed, &mut rng);
    let means = Known::mean_of(&hospitals)?;
    let stage = progress.stage("sealed sums of counters", trials);
    let mut errors = CounterErrors::default();
    for _ in 0..trials {
        let chosen = index::sample(&mut rng, HOSPITALS, contributors);
        let chosen: Vec<&Hospital> = chosen.iter().map(|place| &hospitals[place]).collect();
        let rest = |own: fn(&Hospital) -> &Vec<u64>, purpose: Purpose, rng: &mut ChaCha20Rng| {
            let lists: Vec<&[u64]> = chosen.iter().map(|hospital| &own(hospital)[..]).collect();
            let sum = sealed_sum(&lists, purpose, rng)?;
            let rest = sum.iter().zip(lists[0]).map(|(sum, own)| sum - own);
            anyhow::Ok(rest.collect::<Vec<u64>>())
        };
        let statistics = rest(|hospital| &hospital.statistics, Purpose::Stats, &mut rng)?;
        let evaluation = rest(
            |hospital| &hospital.evaluation,
            Purpose::Evaluation,
            &mut rng,
        )?;
        let share = 1.0 / (contributors - 1) as f64;
        let found = Known::read(&statistics, &evaluation)?.scaled(share);
        let truth = Known::read(&chosen[1].statistics, &chosen[1].evaluation)?;
        errors.add(&truth, &found, &means);
        stage.step();
    }
    Ok(errors.over(trials as f64))
}

struct Hospital {
    statistics: Vec<u64>,
    evaluation: Vec<u64>,
}

/// What is told of a hospital by its counters.
struct Known {
    class_counts: Vec<f64>,
    with_symptom: f64,
    accuracy: f64,
}

impl Known {
    fn read(statistics: &[u64], evaluation: &[u64]) -> anyhow::Result<Self> {
        let statistics = StatsCounters::read(TASK, FEATURES, statistics)?;
        let evaluation = EvaluationCounters::read(evaluation)?;
        // Its sum is the number of patients that have the symptom.
        let with_symptom = statistics.features[Feature::Motor.index()].sum;
        Ok(Self {
            class_counts: statistics
                .class_counts
                .iter()
                .map(|&count| count as f64)
                .collect(),
            with_symptom,
            accuracy: evaluation.accuracy(),
        })
    }

    /// An equal share of counts; the accuracy of several is their common one.
    fn scaled(mut self, share: f64) -> Self {
        self.class_counts
            .iter_mut()
            .for_each(|count| *count *= share);
        self.with_symptom *= share;
        self
    }

    fn mean_of(hospitals: &[Hospital]) -> anyhow::Result<Self> {
        let known: Vec<Self> = hospitals
            .iter()
            .map(|hospital| Self::read(&hospital.statistics, &hospital.evaluation))
            .collect::<Result<_, _>>()?;
        let mean = |value: &dyn Fn(&Self) -> f64| {
            known.iter().map(value).sum::<f64>() / known.len() as f64
        };
        Ok(Self {
            class_counts: (0..TASK.classes())
                .map(|class| mean(&|one| one.class_counts[class]))
                .collect(),
            with_symptom: mean(&|one| one.with_symptom),
            accuracy: mean(&|one| one.accuracy),
        })
    }
}

impl CounterErrors {
    fn add(&mut self, truth: &Known, found: &Known, guess: &Known) {
        let of_classes = |other: &Known| -> f64 {
            let pairs = truth.class_counts.iter().zip(&other.class_counts);
            pairs
                .map(|(truth, other)| (truth - other).abs())
                .sum::<f64>()
                / truth.class_counts.len() as f64
        };
        self.class_counts.add(of_classes(found), of_classes(guess));
        self.with_symptom.add(
            (truth.with_symptom - found.with_symptom).abs(),
            (truth.with_symptom - guess.with_symptom).abs(),
        );
        self.accuracy.add(
            (truth.accuracy - found.accuracy).abs(),
            (truth.accuracy - guess.accuracy).abs(),
        );
    }

    fn over(self, trials: f64) -> Self {
        let over = |error: MeanError| MeanError {
            found: error.found / trials,
            guessed: error.guessed / trials,
        };
        Self {
            class_counts: over(self.class_counts),
            with_symptom: over(self.with_symptom),
            accuracy: over(self.accuracy),
        }
    }
}

impl MeanError {
    fn add(&mut self, found: f64, guessed: f64) {
        self.found += found;
        self.guessed += guessed;
    }
}

/// Hospitals that differ in size, classes and how well the model does there, with counters by the vault's own code.
fn made_up(count: usize, seed: u64, rng: &mut impl Rng) -> Vec<Hospital> {
    let mut patients = complete_patients(count * MAX_PATIENTS, seed);
    let mut of_hospital = || {
        let number = rng.random_range(10..=MAX_PATIENTS);
        let own = patients.split_off(patients.len() - number);
        let share: f64 = rng.random_range(0.2..0.8);
        let slices = 16 * number as u64;
        let higher = (share * slices as f64).round() as u64;
        let records = ClinicalRecords {
            class_counts: vec![slices - higher, higher],
            ..records(&own)
        };
        let accuracy: f64 = rng.random_range(0.5..0.95);
        let [lower_right, higher_right] = [slices - higher, higher].map(|of_class| {
            let validated = of_class.div_ceil(5);
            [validated, (accuracy * validated as f64).round() as u64]
        });
        let confusion = vec![
            vec![lower_right[1], lower_right[0] - lower_right[1]],
            vec![higher_right[0] - higher_right[1], higher_right[1]],
        ];
        Hospital {
            statistics: own_counters(&records).write(),
            evaluation: EvaluationCounters::of_one(confusion, 12.5, (0.4, 20)).write(),
        }
    };
    (0..count).map(|_| of_hospital()).collect()
}

/// Seals the counters of each hospital, adds, and opens the sum with t answers.
fn sealed_sum(
    lists: &[&[u64]],
    purpose: Purpose,
    rng: &mut ChaCha20Rng,
) -> anyhow::Result<Vec<u64>> {
    let digits: Vec<u8> = specs(purpose, TASK, FEATURES)
        .iter()
        .map(|spec| spec.digits)
        .collect();
    let sum = SealedSum::new(lists.len(), 0, &digits, rng)?;
    let contributions: Vec<_> = lists
        .iter()
        .enumerate()
        .map(|(place, counters)| sum.contribution(place, &[], &[], counters, rng))
        .collect::<anyhow::Result<_>>()?;
    let opened = sum.opened(&contributions)?;
    let expected = (0..digits.len()).map(|place| lists.iter().map(|list| list[place]).sum::<u64>());
    ensure!(
        expected.eq(opened.counters.iter().copied()),
        "a sealed sum of counters opens to something else than their sum"
    );
    Ok(opened.counters.clone())
}

const TASK: Task = Task::Binary;
const HOSPITALS: usize = 40;
const MAX_PATIENTS: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::Progress;

    #[test]
    fn of_two_the_other_is_known_exactly_and_of_three_it_is_not() {
        let progress = Progress::new();
        let errors = |number| counter_errors(number, Effort::Quick, 3, &progress).expect("sums");
        assert!(errors(2).are_none());
        let of_three = errors(3);
        assert!(!of_three.are_none());
        for error in [
            of_three.class_counts,
            of_three.with_symptom,
            of_three.accuracy,
        ] {
            assert!(
                error.found > 0.0 && error.guessed > error.found / 3.0,
                "{error:?}"
            );
        }
    }
}
