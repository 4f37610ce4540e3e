//! Bootstrap over runs and patients at once, for a mean over runs that were tested on patients of
//! one cohort (Owen 2007, "The pigeonhole bootstrap"): both vary, and a patient who is in the test
//! sets of several runs is drawn for all of them together.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;

use super::{Interval, Level, Metrics, Prediction, bootstrap::interval, per_patient};

/// Scores of one classifier, or their means over several; `None` where one is not defined.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scores {
    /// Share of the samples that are right: also precision, recall and F1 in their micro average.
    pub accuracy: Option<f64>,
    /// Mean recall of the classes that occur.
    pub balanced_accuracy: Option<f64>,
    /// Macro precision.
    pub precision_macro: Option<f64>,
    /// Macro recall.
    pub recall_macro: Option<f64>,
    /// Macro F1.
    pub f1_macro: Option<f64>,
    /// Area under the receiver operating characteristic.
    pub auroc: Option<f64>,
}

impl Scores {
    /// Every score, in the order of the fields.
    pub const ALL: [fn(&Self) -> Option<f64>; 6] = [
        |scores| scores.accuracy,
        |scores| scores.balanced_accuracy,
        |scores| scores.precision_macro,
        |scores| scores.recall_macro,
        |scores| scores.f1_macro,
        |scores| scores.auroc,
    ];

    /// Of no prediction none is defined.
    pub fn of(metrics: &Metrics) -> Self {
        let Metrics {
            confusion, auroc, ..
        } = metrics;
        if confusion.total() == 0 {
            return Self::default();
        }
        let average = confusion.macro_average();
        Self {
            accuracy: Some(confusion.accuracy()),
            balanced_accuracy: Some(confusion.balanced_accuracy()),
            precision_macro: Some(average.precision),
            recall_macro: Some(average.recall),
            f1_macro: Some(average.f1),
            auroc: *auroc,
        }
    }

    /// Each score by itself over those that have it.
    pub fn mean(several: &[Self]) -> Self {
        Self::from_each(|score| {
            let defined: Vec<f64> = several.iter().filter_map(score).collect();
            let mean = defined.iter().sum::<f64>() / defined.len() as f64;
            (!defined.is_empty()).then_some(mean)
        })
    }

    /// `self - other`, where both are defined.
    pub fn minus(&self, other: &Self) -> Self {
        Self::from_each(|score| Some(score(self)? - score(other)?))
    }

    /// Makes each score from the way to it.
    pub fn from_each(mut make: impl FnMut(fn(&Self) -> Option<f64>) -> Option<f64>) -> Self {
        let [
            accuracy,
            balanced_accuracy,
            precision_macro,
            recall_macro,
            f1_macro,
            auroc,
        ] = Self::ALL.map(&mut make);
        Self {
            accuracy,
            balanced_accuracy,
            precision_macro,
            recall_macro,
            f1_macro,
            auroc,
        }
    }
}

/// Which runs and which patients each draw of the bootstrap has: the same for everything that is
/// compared, so that differences are paired.
pub struct CrossedBootstrap {
    draws: Vec<Draw>,
}

struct Draw {
    /// With repetition.
    runs: Vec<usize>,
    /// With repetition.
    patients: Vec<usize>,
}

impl CrossedBootstrap {
    /// Draws runs `0..runs` and patients `0..patients`, each as many as there are, `draws` times.
    /// With a single run only patients vary.
    pub fn new(runs: usize, patients: usize, draws: usize, seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut with_repetition = |count: usize| -> Vec<usize> {
            (0..count).map(|_| rng.random_range(0..count)).collect()
        };
        let draw = |_| Draw {
            runs: with_repetition(runs),
            patients: with_repetition(patients),
        };
        Self {
            draws: (0..draws).map(draw).collect(),
        }
    }

    /// The mean scores over the runs of each draw, on the patients of that draw.
    ///
    /// # Panics
    /// If there are other numbers of runs or patients than were drawn from; as [`Metrics::of`].
    pub fn scores(&self, runs: &[Vec<Prediction>], classes: usize, level: Level) -> Vec<Scores> {
        let units: Vec<Vec<Prediction>> = match level {
            Level::Slice => runs.to_vec(),
            Level::Patient => runs.iter().map(|slices| per_patient(slices)).collect(),
        };
        let by_patient: Vec<Vec<Vec<&Prediction>>> =
            units.iter().map(|run| self.by_patient(run)).collect();
        let of_draw = |draw: &Draw| {
            let mut known = vec![None; runs.len()];
            let of_runs = draw.runs.iter().map(|&run| {
                *known[run].get_or_insert_with(|| {
                    let patients = draw.patients.iter();
                    let drawn = patients.flat_map(|&patient| by_patient[run][patient].iter());
                    Scores::of(&Metrics::of_all(drawn.copied(), classes))
                })
            });
            Scores::mean(&of_runs.collect::<Vec<Scores>>())
        };
        self.draws.iter().map(of_draw).collect()
    }

    fn by_patient<'a>(&self, run: &'a [Prediction]) -> Vec<Vec<&'a Prediction>> {
        let patients = self.draws.first().map_or(0, |draw| draw.patients.len());
        let mut by_patient = vec![Vec::new(); patients];
        for prediction in run {
            if let Some(of_patient) = by_patient.get_mut(prediction.patient) {
                of_patient.push(prediction);
            } else {
                assert!(self.draws.is_empty(), "a patient that was not drawn from");
            }
        }
        by_patient
    }
}

/// 95% intervals of the scores of many draws, each in the order of [`Scores::ALL`]; `None` where a
/// score is undefined in more than half of the draws.
pub fn score_intervals(draws: &[Scores]) -> [Option<Interval>; 6] {
    Scores::ALL.map(|score| interval(draws.iter().map(score)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Patients `first..first + 30` of 3 slices; those for whom `wrong` says so are taken for the
    /// other class.
    fn run(first: usize, wrong: impl Fn(usize) -> bool) -> Vec<Prediction> {
        let slice = |patient: usize| {
            let label = patient % 2;
            let says = if wrong(patient) { 1 - label } else { label };
            let mut probabilities = vec![0.2; 2];
            probabilities[says] = 0.8;
            Prediction {
                patient,
                label,
                probabilities,
            }
        };
        let patients = first..first + 30;
        patients
            .flat_map(|patient| vec![slice(patient); 3])
            .collect()
    }

    fn width(interval: Option<Interval>) -> f64 {
        let [low, high] = interval.expect("defined");
        high - low
    }

    #[test]
    fn one_run_is_as_wide_as_the_binomial_says() {
        let runs = [run(0, |patient| patient.is_multiple_of(5))];
        let draws = CrossedBootstrap::new(1, 30, 2000, 1).scores(&runs, 2, Level::Slice);
        let [accuracy, ..] = score_intervals(&draws);
        let normal = 2.0 * 1.96 * (0.8_f64 * 0.2 / 30.0).sqrt();
        assert!((width(accuracy) / normal - 1.0).abs() < 0.15);
    }

    #[test]
    fn runs_that_agree_on_the_same_patients_add_nothing_and_those_that_differ_widen() {
        let same = || run(0, |patient| patient.is_multiple_of(5));
        let interval = |runs: &[Vec<Prediction>], patients| {
            let bootstrap = CrossedBootstrap::new(runs.len(), patients, 2000, 1);
            score_intervals(&bootstrap.scores(runs, 2, Level::Patient))[0]
        };
        let one = width(interval(&[same()], 30));
        let three = width(interval(&[same(), same(), same()], 30));
        assert!((three / one - 1.0).abs() < 0.15, "{three} {one}");
        let others = [same(), run(30, |_| false), run(60, |_| true)];
        assert!(width(interval(&others, 90)) > 1.5 * one);
    }

    #[test]
    fn differences_of_the_same_draws_are_paired() {
        let runs = [run(0, |patient| patient.is_multiple_of(5))];
        let draw = || CrossedBootstrap::new(1, 30, 100, 4).scores(&runs, 2, Level::Slice);
        let (a, b) = (draw(), draw());
        let differences: Vec<Scores> = a.iter().zip(&b).map(|(a, b)| a.minus(b)).collect();
        assert_eq!(score_intervals(&differences)[0], Some([0.0, 0.0]));
    }

    #[test]
    fn what_is_undefined_stays_so() {
        let one_class: Vec<Prediction> = run(0, |_| false)
            .into_iter()
            .filter(|prediction| prediction.label == 1)
            .collect();
        let nobody = vec![];
        let bootstrap = CrossedBootstrap::new(2, 30, 50, 1);
        let draws = bootstrap.scores(&[one_class, nobody], 2, Level::Slice);
        let [accuracy, .., auroc] = score_intervals(&draws);
        assert_eq!(accuracy, Some([1.0, 1.0]));
        assert_eq!(auroc, None);
        let means = Scores::mean(&[Scores::default(), Scores::default()]);
        assert_eq!(means, Scores::default());
    }
}
