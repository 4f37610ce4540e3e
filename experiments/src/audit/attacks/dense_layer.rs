//! Attack 4: what a sample is to the network, from the dense layer's part of one update.
//!
//! The gradient of a dense unit's weights is, for one sample, that of its bias times what the layer is given: one divided by the
//! other gives 8,192 numbers that are as good as the slice. A batch mixes samples, a second step mixes weights.

use model::{device::Device, train::Trainer};
use model_data::Sample;
use protocol::counted::counted;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha20Rng;

use super::{
    super::{
        effort::Effort,
        finding::{Finding, Measured, Verdict},
        first_step::gradient_behind,
        likeness::{cosine_around, mean_of},
        site::{HOSPITALS, MIN_BIAS_GRADIENT, Site, architecture, place_of},
    },
    randomness,
};
use crate::simulation::Progress;

/// A slice counts as found from this cosine on: then it is told from all others, which are below it by far.
const MIN_COSINE_FOUND: f64 = 0.9;
/// Of the control's slices at least this share has to be found.
const MIN_SHARE_FOUND: f64 = 0.9;
/// Slices of others that the truth is compared with.
const MAX_OTHERS: usize = 96;
/// Of the slices of one training, no more are looked for.
const MAX_JUDGED: usize = 64;
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
    let trials = effort.of(4, 40);
    let control = attacked.one_hospital(trials, 1, 1, &mut randomness)?;
    let mut claim = Vec::new();
    for (batch, steps) in [(2, 1), (8, 1), (32, 1), (1, 2), (1, 4), (1, 8)] {
        let trials = (trials / (batch * steps)).max(1);
        claim.push(attacked.one_hospital(trials, batch, steps, &mut randomness)?);
    }
    let round = attacked.round(1, &mut randomness)?;
    let sum = attacked.round(HOSPITALS, &mut randomness)?;
    let control_won = control.share_found() >= MIN_SHARE_FOUND;
    let verdict = if sum.found == 0 {
        Verdict::NotByThisAttack
    } else {
        Verdict::LeaksAsStated
    };
    let stops = claim
        .iter()
        .filter(|one| one.share_found() < 0.5)
        .map(|one| one.setting.clone());
    let stops: Vec<String> = stops.collect();
    claim.extend([round, sum]);
    Ok(Finding {
        number: 4,
        attack: "a slice's features from the dense layer of one update",
        attacker_holds: "one update in plaintext, which nobody has (control and first rows); the opened sum (last row)",
        claimed: "only sums of updates are opened; what a sum says of a hospital is not protected (section 10)",
        control: control.measured(),
        control_won,
        claim: claim.iter().flat_map(Outcome::measured).collect(),
        verdict,
        explanation: format!(
            "A unit's weight gradient divided by its bias gradient is what the dense layer was given, exactly if one sample was in the \
             batch. The trainer's AdamW gives away nearly the sign of a gradient in its first step; its epsilon gives away the size of \
             the small ones, and the units that hardly move are read. For each slice trained on, the best of the 512 quotients counts, \
             chosen by who knows the truth: an upper bound. Cosines are around the mean of {} slices of other patients; chance is the \
             best of those slices in place of the quotients, and a slice counts as found from {MIN_COSINE_FOUND} on. Fewer than half of the slices are \
             found with: {}.",
            attacked.others.len().min(MAX_OTHERS),
            if stops.is_empty() {
                "none of these".to_owned()
            } else {
                stops.join("; ")
            },
        ),
        literature: "R-GAP: Zhu and Blaschko 2021; the quotient of weights and bias: Phong et al. 2018",
    })
}

/// Hospitals, and patients that are in none of them.
struct Attacked {
    site: Site,
    hospitals: Vec<Vec<Sample>>,
    others: Vec<Sample>,
}

/// One setting.
struct Outcome {
    setting: String,
    found: u64,
    cosines: Vec<f64>,
    chances: Vec<f64>,
}

impl Outcome {
    fn new(setting: String) -> Self {
        Self {
            setting,
            found: 0,
            cosines: vec![],
            chances: vec![],
        }
    }

    fn share_found(&self) -> f64 {
        self.found as f64 / self.cosines.len().max(1) as f64
    }

    fn measured(&self) -> Vec<Measured> {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let by_chance = self
            .chances
            .iter()
            .filter(|&&cosine| cosine >= MIN_COSINE_FOUND)
            .count();
        vec![
            Measured::value(
                &self.setting,
                "mean cosine with the features",
                mean(&self.cosines),
            )
            .against(mean(&self.chances)),
            Measured::share(
                &self.setting,
                "slices found",
                model::metrics::Share {
                    part: self.found,
                    whole: self.cosines.len() as u64,
                },
            )
            .against(by_chance as f64 / self.chances.len().max(1) as f64),
        ]
    }
}

impl Attacked {
    /// Updates of so many steps, each of another batch.
    fn one_hospital(
        &self,
        trials: usize,
        batch: usize,
        steps: usize,
        randomness: &mut ChaCha20Rng,
    ) -> anyhow::Result<Outcome> {
        let setting = format!(
            "{} of {}",
            counted(steps, ["step", "steps"]),
            counted(batch, ["slice", "slices"])
        );
        let mut outcome = Outcome::new(setting);
        let mut samples = self.hospitals[0].clone();
        for _ in 0..trials {
            samples.shuffle(randomness);
            let trained_on = &samples[..(batch * steps).min(samples.len())];
            let settings = self.site.settings(batch, 1, randomness);
            let (after, steps) = self.site.train(trained_on, &settings)?;
            let gradient = gradient_behind(self.site.start(), &after, steps, &settings);
            // Of several steps, the first one's weights are the ones that are known.
            self.judge(&gradient, trained_on, batch, &mut outcome)?;
        }
        Ok(outcome)
    }

    /// The mean of so many hospitals' updates, a round each.
    fn round(&self, hospitals: usize, randomness: &mut ChaCha20Rng) -> anyhow::Result<Outcome> {
        let settings = self.site.settings(32, 2, randomness);
        let hospitals = &self.hospitals[..hospitals];
        let gradient = self
            .site
            .gradient_behind_mean(hospitals, &settings, randomness)?;
        let (trained_on, hospitals) = (hospitals.concat(), hospitals.len());
        let who = if hospitals == 1 {
            "one hospital's".to_owned()
        } else {
            format!("the mean of {hospitals} hospitals'")
        };
        let mut outcome = Outcome::new(format!(
            "{who} round: 2 epochs of {} slices, batches of 32",
            trained_on.len() / hospitals
        ));
        self.judge(&gradient, &trained_on, 32, &mut outcome)?;
        Ok(outcome)
    }

    /// How near the quotients of a gradient are to what the layer was given of the slices trained on.
    fn judge(
        &self,
        gradient: &[f32],
        trained_on: &[Sample],
        batch: usize,
        outcome: &mut Outcome,
    ) -> anyhow::Result<()> {
        let every = trained_on.len().div_ceil(MAX_JUDGED);
        let truths = self.given(trained_on, batch)?.into_iter().step_by(every);
        let others = self.given(&self.others[..MAX_OTHERS.min(self.others.len())], batch)?;
        let middle = mean_of(others.iter().map(|given| &given[..]));
        let quotients = quotients(gradient);
        for truth in truths {
            let cosine = best(&middle, &truth, quotients.iter().map(Vec::as_slice));
            outcome.found += u64::from(cosine >= MIN_COSINE_FOUND);
            outcome.cosines.push(cosine);
            outcome
                .chances
                .push(best(&middle, &truth, others.iter().map(|given| &given[..])));
        }
        Ok(())
    }

    /// What the dense layer is given of slices at the start, in batches.
    fn given(&self, samples: &[Sample], batch: usize) -> anyhow::Result<Vec<Box<[f32]>>> {
        let dataset = self.site.dataset(samples)?;
        let mut trainer = Trainer::new(architecture(), Device::CPU);
        let places: Vec<usize> = (0..samples.len()).collect();
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

/// The largest cosine with the truth.
fn best<'a>(middle: &[f32], truth: &[f32], among: impl Iterator<Item = &'a [f32]>) -> f64 {
    let cosines = among.map(|one| cosine_around(middle, one, truth));
    cosines.fold(-1.0, f64::max)
}

/// Of each unit that moved: its weights' gradient over its bias's.
fn quotients(gradient: &[f32]) -> Vec<Vec<f32>> {
    let bias = &gradient[place_of("dense.bias")];
    let weight = &gradient[place_of("dense.weight")];
    let rows = weight.chunks_exact(weight.len() / bias.len());
    let on = rows
        .zip(bias)
        .filter(|(_, bias)| bias.abs() > MIN_BIAS_GRADIENT);
    on.map(|(row, bias)| row.iter().map(|value| value / bias).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_step_of_one_slice_tells_its_features_and_two_steps_do_not() {
        let mut randomness = randomness(3, "test");
        let site = Site::draw(4, 8, &mut randomness, || ());
        let attacked = Attacked {
            hospitals: vec![site.samples_of(0..2)],
            others: site.samples_of(2..4),
            site,
        };
        let one = attacked
            .one_hospital(2, 1, 1, &mut randomness)
            .expect("trains");
        assert_eq!((one.found, one.cosines.len()), (2, 2), "{:?}", one.cosines);
        let two_steps = attacked
            .one_hospital(2, 1, 2, &mut randomness)
            .expect("trains");
        assert_eq!(two_steps.found, 0, "{:?}", two_steps.cosines);
    }
}
