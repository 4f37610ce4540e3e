//! Attack 8: the slice itself from one update, by looking for a picture whose gradient is the one that was seen.

use anyhow::Context as _;
use model::{
    device::Device,
    metrics::Share,
    network::DROPOUT,
    train::{Dataset, Search, SeenGradient, Trainer, TrainingSettings},
};
use model_data::{IMAGE_SIDE, Sample, Slice};
use protocol::training_job::PatientValues;
use rand::{RngExt as _, seq::SliceRandom as _};
use rand_chacha::ChaCha20Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;

use super::{
    super::{
        effort::Effort,
        finding::{Finding, Measured, Verdict},
        likeness::{cosine_around, mean_of, standardised, structural_similarity},
        site::{HOSPITALS, Site, architecture, place_of},
    },
    randomness,
};
use crate::simulation::Progress;

/// Slices among which the true one is looked for, itself included.
const CANDIDATES: usize = 64;
/// Bias gradients of the dense layer below this are rounding: the unit was off.
const MIN_BIAS_GRADIENT: f32 = 1e-9;

/// Runs it.
///
/// # Errors
/// Training that cannot be done.
pub fn run(effort: Effort, seed: u64, progress: &Progress) -> anyhow::Result<Finding> {
    let mut randomness = randomness(seed, "inversion");
    let (patients, slices) = (effort.of(4, 28), 16);
    let (hospitals, others) = (HOSPITALS * patients, CANDIDATES / slices);
    let drawing = progress.stage("drawing patients", hospitals + 2 * others);
    let site = Site::draw(hospitals + 2 * others, slices, &mut randomness, || {
        drawing.step()
    });
    drop(drawing);
    let own = site.samples_of(hospitals + others..hospitals + 2 * others);
    let attacked = Attacked {
        hospitals: (0..HOSPITALS)
            .map(|hospital| site.samples_of(hospital * patients..(hospital + 1) * patients))
            .collect(),
        others: site
            .samples_of(hospitals..hospitals + others)
            .into_iter()
            .take(CANDIDATES - 1)
            .collect(),
        mean_slice: standardised(&mean_of(own.iter().map(|&sample| site.pixels(sample)))),
        steps: effort.of(100, 1200),
        site: &site,
    };
    let mut jobs = Vec::new();
    for seen in effort.of(&[Seen::Gradient, Seen::Sum][..], &Seen::ALL[..]) {
        let trials = if seen.looked_for() == 1 {
            effort.of(1, 3)
        } else {
            1
        };
        for _ in 0..trials {
            jobs.push(attacked.job(*seen, &mut randomness)?);
        }
    }
    let looking = progress.stage("looking for slices", jobs.len());
    let found: Vec<Outcome> = jobs
        .par_iter()
        .map(|job| {
            let found = attacked.look(job);
            looking.step();
            found
        })
        .collect::<anyhow::Result<_>>()?;
    drop(looking);
    let of = |seen: Seen| found.iter().filter(move |one| one.seen == seen);
    let control_won = of(Seen::Gradient).all(|one| one.ranks.iter().all(|&rank| rank == 1));
    let (first, all) = of(Seen::Sum).fold((0, 0), |(first, all), one| {
        (first + one.first(), all + one.ranks.len())
    });
    let verdict = if 2 * first > all {
        Verdict::LeaksAsStated
    } else {
        Verdict::NotByThisAttack
    };
    let mut claim = Vec::new();
    for seen in Seen::ALL.into_iter().skip(1) {
        claim.extend(measured(seen, of(seen)));
    }
    Ok(Finding {
        number: 8,
        attack: "which slice it was, from one update",
        attacker_holds: "one update in plaintext, which nobody has, or the opened sum (last rows); classes and filters of the slices looked for",
        claimed: "only sums of updates are opened; what a sum says of a hospital is not protected (section 10)",
        control: measured(Seen::Gradient, of(Seen::Gradient)),
        control_won,
        claim,
        verdict,
        explanation: format!(
            "{} steps of Adam by the sign of the slope of one less the cosine of the gradients, plus the total variation; the gradient of \
             that gradient is taken through the trainer's network as it trains, batch norms and conditioned convolution included. \
             From noise. Dropout is read off the dense layer's bias. A slice is recognised by what the network makes of the picture \
             found: rank 1 of {CANDIDATES} is the true slice, the others are of other patients. SSIM is of the picture with the true slice; its chance \
             is that of the mean slice of {} others. AdamW's step is turned back as in attack 4.",
            attacked.steps,
            own.len(),
        ),
        literature: "Geiping, Bauermeister, Droege and Moeller 2020",
    })
}

/// What the attacker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// The gradient of one slice.
    Gradient,
    /// An update of one step of one slice.
    Step,
    /// An update of one step of eight slices.
    Batch,
    /// A hospital's update of a round.
    Round,
    /// The mean of three of those.
    Sum,
}

impl Seen {
    const ALL: [Self; 5] = [
        Self::Gradient,
        Self::Step,
        Self::Batch,
        Self::Round,
        Self::Sum,
    ];

    fn words(self) -> &'static str {
        match self {
            Self::Gradient => "gradient of one slice",
            Self::Step => "AdamW's step of one slice",
            Self::Batch => "AdamW's step of 8 slices",
            Self::Round => "one hospital's round",
            Self::Sum => "the mean of 3 hospitals' rounds",
        }
    }

    /// Slices looked for.
    fn looked_for(self) -> usize {
        match self {
            Self::Batch => 8,
            Self::Gradient | Self::Step | Self::Round | Self::Sum => 1,
        }
    }
}

struct Attacked<'a> {
    site: &'a Site,
    hospitals: Vec<Vec<Sample>>,
    /// Of other patients, to tell the true slice from.
    others: Vec<Sample>,
    mean_slice: Vec<f32>,
    steps: usize,
}

/// One search.
struct Job {
    seen: Seen,
    gradient: Vec<f32>,
    truths: Vec<Sample>,
    class_weights: Vec<f64>,
    /// Noise.
    start: Vec<f32>,
}

/// Of one search.
struct Outcome {
    seen: Seen,
    /// Of each true slice.
    ranks: Vec<usize>,
    similarities: Vec<f64>,
    chances: Vec<f64>,
}

impl Outcome {
    fn first(&self) -> usize {
        self.ranks.iter().filter(|&&rank| rank == 1).count()
    }
}

impl Attacked<'_> {
    /// Makes what the attacker sees.
    fn job(&self, seen: Seen, randomness: &mut ChaCha20Rng) -> anyhow::Result<Job> {
        let mut samples = self.hospitals[0].clone();
        samples.shuffle(randomness);
        let truths = samples[..seen.looked_for()].to_vec();
        let settings = match seen {
            Seen::Gradient | Seen::Step | Seen::Batch => {
                self.site.settings(truths.len(), 1, randomness)
            }
            Seen::Round | Seen::Sum => self.site.settings(32, 2, randomness),
        };
        let gradient = match seen {
            Seen::Gradient => self.gradient(&truths, &settings)?,
            Seen::Step | Seen::Batch => {
                self.site
                    .gradient_behind_mean(&[&truths], &settings, randomness)?
            }
            Seen::Round => self
                .site
                .gradient_behind_mean(&[&samples], &settings, randomness)?,
            Seen::Sum => {
                let all: Vec<&[Sample]> = self.hospitals.iter().map(Vec::as_slice).collect();
                self.site
                    .gradient_behind_mean(&all, &settings, randomness)?
            }
        };
        let pixels = truths.len() * IMAGE_SIDE * IMAGE_SIDE;
        Ok(Job {
            seen,
            gradient,
            start: (0..pixels)
                .map(|_| randomness.sample(StandardNormal))
                .collect(),
            class_weights: settings.class_weights,
            truths,
        })
    }

    fn gradient(
        &self,
        samples: &[Sample],
        settings: &TrainingSettings,
    ) -> anyhow::Result<Vec<f32>> {
        let dataset = self.site.dataset(samples)?;
        let mut trainer = Trainer::new(architecture(), Device::CPU);
        let mut training = trainer.begin(
            &dataset,
            self.site.start(),
            Some(self.site.inputs()),
            settings,
        )?;
        let all: Vec<usize> = (0..dataset.len()).collect();
        Ok(training.gradient(&all)?)
    }

    fn look(&self, job: &Job) -> anyhow::Result<Outcome> {
        let labels: Vec<usize> = job
            .truths
            .iter()
            .map(|&sample| self.site.class(sample))
            .collect();
        let rows: Vec<[f32; model_data::FEATURES]> = job
            .truths
            .iter()
            .map(|sample| self.site.inputs().row(sample.patient)?.try_into().ok())
            .collect::<Option<_>>()
            .context("a filter has nine values")?;
        let inputs = PatientValues::from(rows);
        let seen = SeenGradient {
            model: self.site.start(),
            gradient: &job.gradient,
            labels: &labels,
            inputs: Some(&inputs),
            class_weights: &job.class_weights,
            dropout: &dropout(&job.gradient, job.truths.len()),
        };
        let search = Search {
            steps: self.steps,
            rate: RATE,
            smoothness: SMOOTHNESS,
            range: RANGE,
        };
        let mut trainer = Trainer::new(architecture(), Device::CPU);
        let found = trainer.invert(&seen, &job.start, search, &mut |_, _| ())?;
        self.judge(job, &inputs, &found.images, &mut trainer)
    }

    /// How like the true slices what was found is, and whether they are recognised by it.
    fn judge(
        &self,
        job: &Job,
        inputs: &PatientValues,
        found: &[Box<[f32]>],
        trainer: &mut Trainer,
    ) -> anyhow::Result<Outcome> {
        let found: Vec<Vec<f32>> = found.iter().map(|image| standardised(image)).collect();
        // All with the filter of the first: it is pictures that are compared.
        let filter = PatientValues::new(
            inputs.per_patient(),
            inputs.row(0).unwrap_or_default().to_vec(),
        );
        let others: Vec<_> = self
            .others
            .iter()
            .map(|&sample| self.seen_as(trainer, self.site.pixels(sample), &filter))
            .collect::<anyhow::Result<_>>()?;
        let middle = mean_of(others.iter().map(|one| &one[..]));
        let pictures: Vec<_> = found
            .iter()
            .map(|picture| self.seen_as(trainer, picture, &filter))
            .collect::<anyhow::Result<_>>()?;
        let nearest = |to: &[f32]| {
            pictures
                .iter()
                .map(|picture| cosine_around(&middle, picture, to))
                .fold(-1.0, f64::max)
        };
        let of_others: Vec<f64> = others.iter().map(|other| nearest(other)).collect();
        let mut outcome = Outcome {
            seen: job.seen,
            ranks: vec![],
            similarities: vec![],
            chances: vec![],
        };
        for &truth in &job.truths {
            let pixels = self.site.pixels(truth);
            let own = nearest(&self.seen_as(trainer, pixels, &filter)?);
            outcome
                .ranks
                .push(1 + of_others.iter().filter(|other| **other >= own).count());
            let similar = found
                .iter()
                .map(|picture| structural_similarity(picture, pixels));
            outcome.similarities.push(similar.fold(-1.0, f64::max));
            outcome
                .chances
                .push(structural_similarity(&self.mean_slice, pixels));
        }
        Ok(outcome)
    }

    /// What the dense layer is given of one picture alone.
    fn seen_as(
        &self,
        trainer: &mut Trainer,
        picture: &[f32],
        filter: &PatientValues,
    ) -> anyhow::Result<Box<[f32]>> {
        let slice = Slice {
            axial_index: 0,
            pixels: picture.into(),
        };
        let dataset = Dataset::unlabelled(&[slice])?;
        let given = trainer.dense_inputs(&dataset, &[0], self.site.start(), Some(filter))?;
        given
            .into_iter()
            .next()
            .context("one picture has one vector")
    }
}

/// By what dropout has multiplied each output of the dense layer. A unit whose bias has no gradient was off; of several slices it is not
/// seen which, and for all of them the mean is taken.
fn dropout(gradient: &[f32], slices: usize) -> Vec<f32> {
    let kept = if slices == 1 {
        1.0 / (1.0 - DROPOUT)
    } else {
        1.0
    };
    let units = gradient[place_of("dense.bias")].iter();
    let of_one: Vec<f32> = units
        .map(|bias| {
            if bias.abs() > MIN_BIAS_GRADIENT {
                kept as f32
            } else {
                0.0
            }
        })
        .collect();
    of_one.repeat(slices)
}

fn measured<'a>(seen: Seen, outcomes: impl Iterator<Item = &'a Outcome>) -> Vec<Measured> {
    let (mut ranks, mut first, mut similar, mut chance) = (0, 0, 0.0, 0.0);
    let mut count = 0;
    for outcome in outcomes {
        first += outcome.first();
        ranks += outcome.ranks.iter().sum::<usize>();
        similar += outcome.similarities.iter().sum::<f64>();
        chance += outcome.chances.iter().sum::<f64>();
        count += outcome.ranks.len();
    }
    if count == 0 {
        return vec![];
    }
    let all = count as f64;
    vec![
        Measured::value(
            seen.words(),
            "mean rank of the true slice among the candidates",
            ranks as f64 / all,
        )
        .against((CANDIDATES + 1) as f64 / 2.0),
        Measured::share(
            seen.words(),
            "true slices of rank 1",
            Share {
                part: first as u64,
                whole: count as u64,
            },
        )
        .against(1.0 / CANDIDATES as f64),
        Measured::value(seen.words(), "SSIM", similar / all).against(chance / all),
    ]
}

/// Of Adam, in deviations of a slice; Geiping et al. have 0.1.
const RATE: f64 = 0.1;
/// Weight of the total variation; theirs is between 1e-6 and 1e-1, by image.
const SMOOTHNESS: f64 = 0.3;
/// Slices of phantoms, and of patients, lie between.
const RANGE: [f32; 2] = [-2.0, 6.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_without_a_gradient_were_off() {
        let mut gradient = vec![0.0; architecture().values()];
        let bias = place_of("dense.bias");
        gradient[bias.start + 3] = -1e-4;
        let one = dropout(&gradient, 1);
        assert_eq!((one.len(), one[0]), (512, 0.0));
        assert!((one[3] - 1.0 / 0.6).abs() < 1e-6);
        let two = dropout(&gradient, 2);
        assert_eq!((two.len(), two[3], two[515], two[4]), (1024, 1.0, 1.0, 0.0));
    }

    #[test]
    fn a_slice_is_recognised_by_itself_and_not_by_another() {
        let mut randomness = randomness(5, "test");
        let site = Site::draw(3, 4, &mut randomness, || ());
        let attacked = Attacked {
            hospitals: vec![site.samples_of(0..1)],
            others: site.samples_of(1..3),
            mean_slice: standardised(&mean_of(
                site.samples_of(0..3)
                    .into_iter()
                    .map(|sample| site.pixels(sample)),
            )),
            steps: 1,
            site: &site,
        };
        let job = attacked
            .job(Seen::Gradient, &mut randomness)
            .expect("computes");
        let row: [f32; 9] = site
            .inputs()
            .row(0)
            .expect("a filter")
            .try_into()
            .expect("nine values");
        let mut trainer = Trainer::new(architecture(), Device::CPU);
        let mut judged = |sample: Sample| {
            let found = [Box::from(site.pixels(sample))];
            attacked
                .judge(&job, &vec![row].into(), &found, &mut trainer)
                .expect("computes")
        };
        let itself = judged(job.truths[0]);
        assert_eq!(itself.ranks, [1]);
        assert!(itself.similarities[0] > 0.999 && itself.chances[0] < 0.9);
        let another = judged(attacked.others[0]);
        assert!(another.ranks[0] > 1 && another.similarities[0] < 0.9);
    }
}
