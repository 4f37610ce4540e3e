//! Attack 4: what a sample is to the network, from the dense layer's part of one update or of a sum of updates.

mod quotients;

use std::sync::Arc;

use anyhow::ensure;
use crypto::sealed_sum::ClippedTensor;
use model::{
    device::Device,
    metrics::Share,
    train::{Trainer, TrainingSettings},
};
use model_data::Sample;
use protocol::counted::counted;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha20Rng;
use rayon::prelude::*;

use self::quotients::SeenDense;
use super::{
    super::{
        effort::Effort,
        finding::{Finding, Measured, Verdict},
        likeness::{direction, dot, mean_of},
        site::{self, HOSPITALS, Site, architecture, place_of},
    },
    randomness,
    sealed::SealedSum,
};
use crate::simulation::Progress;

/// A slice counts as found from this cosine on. Slices of other patients are below it, nearly always.
const MIN_COSINE_FOUND: f64 = 0.9;
/// Of the control's slices at least this share has to be found.
const MIN_SHARE_FOUND: f64 = 0.9;
/// Slices of other patients, around whose mean cosines are.
const MAX_OTHERS: usize = 96;
/// Of those, one in so many is looked for as if it had been trained on.
const OTHERS_PER_DECOY: usize = 3;
/// Of the slices of one training, no more are looked for.
const MAX_JUDGED: usize = 64;
/// Of a run with the default settings.
const USUAL: Training = Training {
    hospitals: 1,
    batch: 32,
    batches: 1,
    epochs: 2,
    clips_for: None,
};

/// Runs it.
///
/// # Errors
/// Training that cannot be done.
pub fn run(effort: Effort, seed: u64, progress: &Progress) -> anyhow::Result<Finding> {
    let mut randomness = randomness(seed, "dense layer");
    let (patients, slices) = (effort.of(4, 28), 16);
    let all = HOSPITALS * patients;
    let drawing = progress.stage("drawing patients", all + 8);
    let site = Site::draw(all + 8, slices, &mut randomness, || drawing.step());
    drop(drawing);
    let attacked = Attacked {
        hospitals: (0..HOSPITALS)
            .map(|hospital| site.samples_of(hospital * patients..(hospital + 1) * patients))
            .collect(),
        others: site.samples_of(all..all + 8),
        site,
    };
    let settings = claimed(patients * slices);
    let training = progress.stage("updates and sums", 1 + settings.len());
    let mut outcome = |setting: Training| {
        // Enough slices for a share that means something, without an hour for it.
        let slices = setting.hospitals * setting.slices();
        let trials = (effort.of(4, 320) / slices).clamp(1, 40);
        let outcome = attacked.outcome(setting, trials, &mut randomness);
        training.step();
        outcome
    };
    let control = outcome(Training::of_one(1, 1))?;
    let claim: Vec<Outcome> = settings
        .into_iter()
        .map(outcome)
        .collect::<anyhow::Result<_>>()?;
    drop(training);
    let mut sums = claim.iter().filter(|one| one.setting.clips_for.is_some());
    Ok(Finding {
        number: 4,
        attack: "a slice's features from the dense layer of one update",
        attacker_holds: "one update in plaintext, which nobody has (control and first rows), or the opened sum (where a row says so)",
        claimed: "only sums of updates are opened; where hospitals take few steps in a round, the sum can show slices (section 10)",
        control_won: control.share_found() >= MIN_SHARE_FOUND,
        control: control.measured().into(),
        verdict: if sums.any(Outcome::is_more_than_chance) {
            Verdict::LeaksAsStated
        } else {
            Verdict::NotByThisAttack
        },
        claim: claim.iter().flat_map(Outcome::measured).collect(),
        explanation: format!(
            "A unit's weight gradient divided by its bias gradient is what the dense layer was given, if one sample of the batch turned \
             the unit on. AdamW gives away nearly the sign of a gradient that a unit has in one step alone; its epsilon gives away the \
             size of the small ones, whichever step it was, and a sum of hospitals adds nothing to a unit that was off in the others. \
             All units are tried as if they had been on in each of the steps. For each slice trained on the best quotient counts, chosen \
             by who knows the truth: an upper bound. What a slice is to the layer is taken at the start of the round, and slices of one \
             patient are like each other. Cosines are around the mean of {} slices of other patients. Chance is what the same quotients \
             come to for slices that were not trained on; a slice counts as found from {MIN_COSINE_FOUND} on. Sums are sealed and opened \
             by the code that hospitals run; clips for N steps are those of `run.local_steps` = N, and say how finely a sum is told.",
            attacked.others.len().min(MAX_OTHERS),
        ),
        literature: "R-GAP: Zhu and Blaschko 2021; the quotient of weights and bias: Phong et al. 2018",
    })
}

/// What is attacked beside the control, where each hospital has so many slices.
fn claimed(slices: usize) -> Vec<Training> {
    let of_one = [(2, 1), (8, 1), (32, 1), (1, 2), (1, 4), (1, 8), (8, 2)];
    let of_one = of_one.map(|(batch, batches)| Training::of_one(batch, batches));
    let of_few_steps = [(1, 1), (1, 200), (2, 2), (6, 6)];
    let of_few_steps = of_few_steps.map(|(batches, clips_for)| Training {
        hospitals: HOSPITALS,
        clips_for: Some(clips_for),
        ..Training::of_one(8, batches)
    });
    let round = Training {
        batches: slices.div_ceil(USUAL.batch),
        ..USUAL
    };
    let sum_of_rounds = Training {
        hospitals: HOSPITALS,
        clips_for: Some(round.steps()),
        ..round
    };
    let mut all = of_one.to_vec();
    all.push(round);
    all.extend(of_few_steps);
    all.push(sum_of_rounds);
    all
}

/// What hospitals do before the attacker sees the update of one, or the sum of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Training {
    hospitals: usize,
    /// Slices of a batch.
    batch: usize,
    /// Of an epoch, at each hospital.
    batches: usize,
    epochs: usize,
    /// Steps that the clips of the sealed sum allow for; none if an update is seen as it is.
    clips_for: Option<u32>,
}

impl Training {
    /// One epoch of one hospital.
    fn of_one(batch: usize, batches: usize) -> Self {
        Self {
            batch,
            batches,
            epochs: 1,
            ..USUAL
        }
    }

    /// Of each hospital.
    fn slices(&self) -> usize {
        self.batch * self.batches
    }

    /// Of each hospital.
    fn steps(&self) -> u32 {
        (self.batches * self.epochs) as u32
    }

    fn words(&self) -> String {
        let each = match self.epochs {
            1 => format!(
                "{} of {}",
                counted(self.steps(), ["step", "steps"]),
                counted(self.batch, ["slice", "slices"])
            ),
            epochs => format!(
                "{epochs} epochs of {} slices, batches of {}: {} steps",
                self.slices(),
                self.batch,
                self.steps()
            ),
        };
        match self.clips_for {
            None => format!("one hospital, {each}"),
            Some(steps) => format!(
                "the opened sum of {} hospitals, {each}, clips for {}",
                self.hospitals,
                counted(steps, ["step", "steps"])
            ),
        }
    }
}

/// Hospitals, and patients that are in none of them.
struct Attacked {
    site: Site,
    hospitals: Vec<Vec<Sample>>,
    others: Vec<Sample>,
}

/// Of one setting.
struct Outcome {
    setting: Training,
    /// Of each slice trained on, the cosine of the quotient that comes nearest.
    cosines: Vec<f64>,
    /// The same of slices that were not.
    of_decoys: Vec<f64>,
}

fn found(cosines: &[f64]) -> Share {
    let found = cosines.iter().filter(|&&cosine| cosine >= MIN_COSINE_FOUND);
    Share {
        part: found.count() as u64,
        whole: cosines.len() as u64,
    }
}

impl Outcome {
    fn share_found(&self) -> f64 {
        found(&self.cosines).value().unwrap_or_default()
    }

    fn found_by_chance(&self) -> f64 {
        found(&self.of_decoys).value().unwrap_or_default()
    }

    fn is_more_than_chance(&self) -> bool {
        self.share_found() > self.found_by_chance()
    }

    fn measured(&self) -> [Measured; 2] {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let setting = self.setting.words();
        let cosine = Measured::value(
            &setting,
            "mean cosine with the features",
            mean(&self.cosines),
        );
        [
            Measured::share(&setting, "slices found", found(&self.cosines))
                .against(self.found_by_chance()),
            cosine.against(mean(&self.of_decoys)).detail(),
        ]
    }
}

impl Attacked {
    fn outcome(
        &self,
        setting: Training,
        trials: usize,
        randomness: &mut ChaCha20Rng,
    ) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome {
            setting,
            cosines: vec![],
            of_decoys: vec![],
        };
        for _ in 0..trials {
            self.trial(&mut outcome, randomness)?;
        }
        Ok(outcome)
    }

    fn trial(&self, outcome: &mut Outcome, randomness: &mut ChaCha20Rng) -> anyhow::Result<()> {
        let training = outcome.setting;
        let settings = self
            .site
            .settings(training.batch, training.epochs, randomness);
        let jobs: Vec<(Vec<Sample>, TrainingSettings)> = self.hospitals[..training.hospitals]
            .iter()
            .map(|samples| {
                let mut samples = samples.clone();
                samples.shuffle(randomness);
                samples.truncate(training.slices());
                let seed = site::seed(randomness);
                let settings = settings.clone();
                (samples, TrainingSettings { seed, ..settings })
            })
            .collect();
        let before = dense_part(self.site.start());
        let changes: Vec<Vec<f64>> = jobs
            .par_iter()
            .map(|(samples, settings)| {
                let (after, steps) = self.site.train(samples, settings)?;
                ensure!(
                    steps == training.steps(),
                    "a hospital has done {steps} steps"
                );
                let values = dense_part(&after).into_iter().zip(&before);
                let change = values.map(|(after, before)| f64::from(after) - f64::from(*before));
                Ok(change.collect())
            })
            .collect::<anyhow::Result<_>>()?;
        let (change, resolution) = match training.clips_for {
            Some(steps) => opened(&changes, settings.learning_rate, steps, randomness)?,
            None => (changes.concat(), 0.0),
        };
        let seen = SeenDense {
            before: &before,
            change: &change,
            units: place_of("dense.bias").len(),
            hospitals: training.hospitals,
            steps: training.steps(),
            resolution,
            settings: &settings,
        };
        let trained_on: Vec<Sample> = jobs.into_iter().flat_map(|(samples, _)| samples).collect();
        self.judge(&seen, &trained_on, outcome)
    }

    /// How near quotients come to what the layer was given of the slices trained on, and of others.
    fn judge(
        &self,
        seen: &SeenDense<'_>,
        trained_on: &[Sample],
        outcome: &mut Outcome,
    ) -> anyhow::Result<()> {
        let batch = outcome.setting.batch;
        let others = &self.others[..MAX_OTHERS.min(self.others.len())];
        let others = self.given(others, batch)?;
        let middle = mean_of(others.iter().map(|given| &given[..]));
        let every = trained_on.len().div_ceil(MAX_JUDGED);
        let own = self.given(trained_on, batch)?;
        let own = own.iter().step_by(every);
        let decoys = others.iter().step_by(OTHERS_PER_DECOY);
        let number_of_own = own.len();
        let targets: Vec<Vec<f32>> = own
            .chain(decoys)
            .map(|given| direction(&middle, given))
            .collect();
        // Where there is no quotient at all, nothing is found.
        let nearest = seen
            .quotients()
            .map(|quotient| {
                let quotient = direction(&middle, &quotient);
                let cosines = targets.iter().map(|target| dot(&quotient, target));
                cosines.collect::<Vec<f64>>()
            })
            .reduce(
                || vec![0.0; targets.len()],
                |one, other| one.iter().zip(other).map(|(a, b)| a.max(b)).collect(),
            );
        let (own, decoys) = nearest.split_at(number_of_own);
        outcome.cosines.extend(own);
        outcome.of_decoys.extend(decoys);
        Ok(())
    }

    /// What the dense layer is given of slices at the start, in batches.
    fn given(&self, samples: &[Sample], batch: usize) -> anyhow::Result<Vec<Box<[f32]>>> {
        let dataset = self.site.dataset(samples)?;
        let places: Vec<usize> = (0..samples.len()).collect();
        let mut trainer = Trainer::new(architecture(), Device::CPU);
        let mut given = Vec::new();
        for batch in places.chunks(batch) {
            given.extend(trainer.dense_inputs(
                &dataset,
                batch,
                self.site.start(),
                Some(self.site.inputs()),
            )?);
        }
        Ok(given)
    }
}

/// The weights of the dense layer's units, and then their biases.
fn dense_part(model: &[f32]) -> Vec<f32> {
    let tensors = ["dense.weight", "dense.bias"];
    tensors.map(|name| &model[place_of(name)]).concat()
}

/// The sum of changes as a sealed sum opens to it, with clips that allow for so many steps, and how finely it is told (PROTOCOL.md 3.4).
fn opened(
    changes: &[Vec<f64>],
    learning_rate: f64,
    local_steps: u32,
    randomness: &mut ChaCha20Rng,
) -> anyhow::Result<(Vec<f64>, f64)> {
    let (hospitals, values) = (changes.len(), changes[0].len());
    let clip = 4.0 * learning_rate * f64::from(local_steps);
    let clips = [ClippedTensor { values, clip }];
    let sealed = SealedSum::new(hospitals, values, &[3], randomness)?;
    let contributions: Vec<_> = changes
        .iter()
        .enumerate()
        .map(|(place, change)| sealed.contribution(place, change, &clips, &[1], randomness))
        .collect::<anyhow::Result<_>>()?;
    let opened = Arc::new(sealed.opened(&contributions)?);
    let mean = opened.mean(&sealed.shape, &clips, 1, hospitals as u64)?;
    let mean = mean.to_vec();
    let sum = mean.iter().map(|mean| mean * hospitals as f64).collect();
    Ok((sum, clip / sealed.shape.largest_value() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attacked(randomness: &mut ChaCha20Rng) -> Attacked {
        let site = Site::draw(4, 8, randomness, || ());
        Attacked {
            hospitals: vec![site.samples_of(0..1), site.samples_of(1..2)],
            others: site.samples_of(2..4),
            site,
        }
    }

    fn sum_of_two(batch: usize, clips_for: u32) -> Training {
        Training {
            hospitals: 2,
            clips_for: Some(clips_for),
            ..Training::of_one(batch, 1)
        }
    }

    #[test]
    fn few_steps_of_single_slices_show_them() {
        let mut randomness = randomness(3, "test");
        let attacked = attacked(&mut randomness);
        for (setting, slices) in [
            (Training::of_one(1, 1), 1),
            (Training::of_one(1, 2), 2),
            (sum_of_two(1, 1), 2),
        ] {
            let outcome = attacked.outcome(setting, 2, &mut randomness);
            let outcome = outcome.expect("trains");
            let found = found(&outcome.cosines);
            assert_eq!(
                (found.part, found.whole),
                (2 * slices, 2 * slices),
                "{setting:?}"
            );
            assert!(outcome.is_more_than_chance(), "{setting:?}");
        }
    }

    #[test]
    fn a_sum_that_is_told_coarsely_shows_nothing() {
        let mut randomness = randomness(4, "test");
        let attacked = attacked(&mut randomness);
        // With clips for a million steps the least difference is two learning rates.
        let outcome = attacked.outcome(sum_of_two(1, 1_000_000), 1, &mut randomness);
        let outcome = outcome.expect("trains");
        assert_eq!(found(&outcome.cosines).part, 0, "{:?}", outcome.cosines);
        assert!(!outcome.is_more_than_chance());
    }

    #[test]
    fn an_opened_sum_is_the_sum_to_within_what_it_tells() {
        let mut randomness = randomness(5, "test");
        let changes = [vec![1e-3, -2e-5, 0.0], vec![5e-4, 3e-5, 0.0], vec![0.0; 3]];
        let (sum, resolution) = opened(&changes, 1e-3, 2, &mut randomness).expect("opens");
        // Three hospitals leave 22 bits.
        assert!((resolution - 8e-3 / 2_097_151.0).abs() < 1e-15);
        for (sum, expected) in sum.iter().zip([1.5e-3, 1e-5, 0.0]) {
            assert!((sum - expected).abs() <= 1.5 * resolution, "{sum}");
        }
    }

    #[test]
    fn what_is_attacked_names_every_setting_and_fits_a_hospital() {
        let all = claimed(64);
        let words: std::collections::BTreeSet<String> = all.iter().map(Training::words).collect();
        assert_eq!(words.len(), all.len(), "{words:?}");
        assert!(all.iter().all(|one| one.slices() <= 64));
        assert!(words.contains(
            "the opened sum of 3 hospitals, 2 epochs of 64 slices, batches of 32: 4 steps, clips for 4 steps"
        ));
    }
}
