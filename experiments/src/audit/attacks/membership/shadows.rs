//! Models of which it is known who was in training: each is attacked by means of the others.

use anyhow::Context as _;
use model::{
    device::Device,
    network::{Architecture, Conditioning},
    train::{Dataset, Trainer, TrainingSettings},
};
use model_data::{Patient, Sample};
use phantom::{PhantomKind, PhantomSettings};
use protocol::{labels::class_weights, network::ModelLayout, vocabulary::ConditioningForm};
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha20Rng;
use rand_core::Rng as _;
use rayon::prelude::*;

use super::{
    super::super::{
        likeness::mean_of,
        site::{LABELS, seed},
    },
    estimator::{Estimator, Scores},
};

/// How a model is trained.
#[derive(Clone, Copy, Debug)]
pub enum Training {
    /// By one hospital, at one go.
    Alone {
        /// Passes over its slices.
        epochs: usize,
    },
    /// By several, whose models are averaged after each round.
    Together {
        /// How many.
        hospitals: usize,
        /// How often.
        rounds: usize,
        /// Passes of each over its slices in a round.
        epochs: usize,
    },
}

/// Patients, and sets of them to train on: in pairs, of which one has every patient that the other has not.
pub struct Shadows {
    patients: Vec<Patient>,
    pairs: Vec<Pair>,
}

struct Pair {
    members: [Vec<usize>; 2],
    seed: [u8; 32],
}

/// What one model says of each patient, by its logit.
struct Said {
    pair: usize,
    is_member: Vec<bool>,
    logits: Vec<f64>,
}

impl Shadows {
    /// Draws patients, and pairs of sets.
    pub fn draw(
        patients: usize,
        slices: usize,
        pairs: usize,
        randomness: &mut ChaCha20Rng,
        drawn: impl Fn() + Sync,
    ) -> Self {
        let settings = PhantomSettings {
            patients,
            slices_per_patient: slices,
            kind: PhantomKind::Realistic,
            seed: randomness.next_u64(),
        };
        let mut order: Vec<usize> = (0..patients).collect();
        let mut pair = |_| {
            order.shuffle(randomness);
            let (one, other) = order.split_at(patients / 2);
            Pair {
                members: [one.to_vec(), other.to_vec()],
                seed: seed(randomness),
            }
        };
        let pairs = (0..pairs).map(&mut pair).collect();
        Self {
            patients: phantom::cohort(&settings, drawn),
            pairs,
        }
    }

    /// Models that will be trained.
    pub fn models(&self) -> usize {
        2 * self.pairs.len()
    }

    /// Trains a model on each set and attacks it by means of all pairs but its own: of these half the models have seen any patient,
    /// whether it was a member or not. `done` is told of each model. The numbers do not depend on the number of threads.
    ///
    /// # Errors
    /// Training that cannot be done.
    pub fn attacked(
        &self,
        training: Training,
        done: impl Fn() + Sync,
    ) -> anyhow::Result<Vec<(Estimator, Scores)>> {
        let models = (0..self.models()).into_par_iter();
        let said = models.map(|model| {
            let said = self.said(model / 2, model % 2, training);
            done();
            said
        });
        let said: Vec<Said> = said.collect::<anyhow::Result<_>>()?;
        Ok(Estimator::ALL
            .map(|estimator| (estimator, scores(&said, estimator)))
            .into())
    }

    fn said(&self, pair: usize, half: usize, training: Training) -> anyhow::Result<Said> {
        let Pair { members, seed } = &self.pairs[pair];
        let members = &members[half];
        let mut trainer = Trainer::new(ARCHITECTURE, Device::CPU);
        let model = self.trained(&mut trainer, members, training, seed)?;
        let all: Vec<usize> = (0..self.patients.len()).collect();
        let dataset = self.dataset(&all)?;
        let evaluation = trainer.evaluate(&dataset, &model, None, &mut |_, _| ())?;
        let mut sums = vec![(0.0, 0.0); self.patients.len()];
        let samples = dataset.patients().iter().zip(dataset.labels());
        for ((&patient, class), shares) in samples.zip(&evaluation.probabilities) {
            let others: f64 = (0..shares.len())
                .filter(|&other| other != class)
                .map(|other| f64::from(shares[other]))
                .sum();
            let tiny = f64::from(f32::MIN_POSITIVE);
            let logit = f64::from(shares[class]).max(tiny).ln() - others.max(tiny).ln();
            sums[patient].0 += logit;
            sums[patient].1 += 1.0;
        }
        Ok(Said {
            pair,
            is_member: all
                .iter()
                .map(|patient| members.contains(patient))
                .collect(),
            logits: sums.iter().map(|(sum, count)| sum / count).collect(),
        })
    }

    fn trained(
        &self,
        trainer: &mut Trainer,
        members: &[usize],
        training: Training,
        begin: &[u8; 32],
    ) -> anyhow::Result<Vec<f32>> {
        let layout = ModelLayout::hybrid_cnn(ARCHITECTURE.classes as u32);
        let mut model = layout.initial_values(begin);
        let mut counts = vec![0; ARCHITECTURE.classes];
        for &patient in members {
            let patient = &self.patients[patient];
            counts[LABELS.class_of(patient.edss)] += patient.slices.len() as u64;
        }
        let (hospitals, rounds, epochs) = match training {
            Training::Alone { epochs } => (1, 1, epochs),
            Training::Together {
                hospitals,
                rounds,
                epochs,
            } => (hospitals, rounds, epochs),
        };
        let parts = (0..hospitals).map(|hospital| {
            let own: Vec<usize> = members
                .iter()
                .copied()
                .skip(hospital)
                .step_by(hospitals)
                .collect();
            self.dataset(&own)
        });
        let parts: Vec<Dataset> = parts.collect::<anyhow::Result<_>>()?;
        let mut own_seed = *begin;
        for round in 0..rounds {
            let mut updates = Vec::with_capacity(hospitals);
            for (hospital, part) in parts.iter().enumerate() {
                // Of each hospital and round another.
                [own_seed[0], own_seed[1]] = [begin[0] ^ round as u8, begin[1] ^ hospital as u8];
                let settings = TrainingSettings {
                    local_epochs: epochs,
                    ..TrainingSettings::new(class_weights(&counts), own_seed)
                };
                let trained = trainer.train_round(part, &model, None, &settings, &mut |_, _| ());
                updates.push(trained.context("a phantom hospital cannot train")?.model);
            }
            model = mean_of(updates.iter().map(Vec::as_slice));
        }
        Ok(model)
    }

    fn dataset(&self, patients: &[usize]) -> anyhow::Result<Dataset> {
        let slices = |&patient: &usize| {
            (0..self.patients[patient].slices.len()).map(move |slice| Sample { patient, slice })
        };
        let samples: Vec<Sample> = patients.iter().flat_map(slices).collect();
        Ok(Dataset::new(&self.patients, &samples, |patient| {
            LABELS.class_of(patient.edss)
        })?)
    }
}

/// Of every patient against every model, by means of the pairs that the model is not in.
fn scores(said: &[Said], estimator: Estimator) -> Scores {
    let mut scores = Vec::new();
    for target in said {
        for (patient, &logit) in target.logits.iter().enumerate() {
            let [seen, unseen] = [true, false].map(|seen| -> Vec<f64> {
                let others = said.iter().filter(|other| other.pair != target.pair);
                let others = others.filter(|other| other.is_member[patient] == seen);
                others.map(|other| other.logits[patient]).collect()
            });
            scores.push((
                estimator.score(logit, &seen, &unseen),
                target.is_member[patient],
            ));
        }
    }
    Scores(scores)
}

/// Nothing conditions it, so that a model is all that there is to know.
const ARCHITECTURE: Architecture = Architecture {
    classes: 2,
    form: ConditioningForm::Study,
    conditioning: Conditioning::Free,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_judged_by_other_pairs_alone() {
        let said = |pair, logits: [f64; 2], first_is_member| Said {
            pair,
            is_member: vec![first_is_member, !first_is_member],
            logits: logits.to_vec(),
        };
        // Members get 3, others 1; the pair of the first two models is of another kind.
        let all = [
            said(0, [3.0, 1.0], true),
            said(0, [1.0, 3.0], false),
            said(1, [3.0, 1.0], true),
            said(1, [1.0, 3.0], false),
        ];
        let scores = scores(&all, Estimator::LikelihoodRatio);
        assert_eq!(scores.0.len(), 8);
        assert_eq!(scores.area(), Some(1.0));
        assert!(
            scores
                .0
                .iter()
                .all(|(score, member)| *score == if *member { 4.0 } else { -4.0 })
        );
    }

    #[test]
    fn each_patient_is_in_one_set_of_each_pair() {
        let mut randomness = super::super::super::randomness(1, "test");
        let shadows = Shadows::draw(5, 1, 3, &mut randomness, || ());
        for pair in &shadows.pairs {
            let mut all = pair.members.concat();
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2, 3, 4]);
        }
        assert!(shadows.pairs[0].members != shadows.pairs[1].members);
        assert_eq!(shadows.models(), 6);
    }
}
