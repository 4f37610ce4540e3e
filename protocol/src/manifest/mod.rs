//! The run manifest (PROTOCOL.md 3.2): what one training is, signed by the operator, accepted by each hospital by itself.

mod checked;
mod words;

use std::num::NonZeroU32;

use crypto::{
    hash::labelled_hash,
    sealed_sum::{FieldFormat, HospitalId, SumError, SumShape},
};

use crate::{
    codec::{self, Decode, Encode, Id, List, Text},
    counters::{self, CounterSpec, StatsCounters, WrongCounters},
    digests::{LayoutHash, LearningRound, RunId, WeightsHash},
    features::FeatureSchema,
    identity::Message,
    network::{ModelLayout, TensorKind},
    strategy::Strategy,
};

pub use self::checked::{CheckedManifest, MAX_STRAGGLER_FACTOR, ManifestCheck, ManifestError};
pub use crate::vocabulary::{Conditioning, ConditioningForm, Keep, LabelScheme, Purpose, Task};

/// A weight in the mean that differs from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct MemberWeight {
    /// The hospital concerned.
    pub id: Id,
    /// A whole number of at most two significant bits.
    pub weight: u32,
}

/// One training, as every party knows it.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Manifest {
    /// For people to read.
    pub name: Text,
    /// The labels.
    pub task: Task,
    /// Where they are cut: by all hospitals alike.
    pub label_scheme: LabelScheme,
    /// Who multiplies what the network keeps with the clinical features.
    pub conditioning: Conditioning,
    /// What the products do to the network.
    pub conditioning_form: ConditioningForm,
    /// What the vaults keep moves in every so many learning rounds; 1: in each.
    pub conditioning_every: u32,
    /// What is known of each patient beside the scans. Where nothing is conditioned it is not used: [`Manifest::used_features`].
    pub features: FeatureSchema,
    /// The tensors of the common model.
    pub layout: ModelLayout,
    /// Makes every run unlike any other, also one of the same settings.
    pub nonce: [u8; 32],
    /// Where the initial model comes from, unless `initial_model` names one. Public: whoever has the manifest knows the initial model, W among it.
    pub init_seed: [u8; 32],
    /// Learning steps: an update and an evaluation each.
    pub rounds: u32,
    /// Passes over the local training set in a round.
    pub local_epochs: u32,
    /// Samples of a training step.
    pub batch_size: u32,
    /// Of AdamW.
    pub learning_rate: f64,
    /// Of AdamW.
    pub weight_decay: f64,
    /// `eta_W`: how far W follows its gradient in a round.
    pub conditioning_rate: f64,
    /// How the mean of the updates moves the common model.
    pub strategy: Strategy,
    /// Optimiser steps of a round at the largest hospital, for the first clip.
    pub local_steps: u32,
    /// Seconds of silence after which a hospital is no longer waited for.
    pub silence_secs: u32,
    /// Seconds that the slowest hospital is given in any case, once enough others have contributed.
    pub straggler_floor_secs: u32,
    /// It is given at least so many times the median time of those that have.
    pub straggler_factor: f64,
    /// Weights of the mean; a hospital that is not listed has 1.
    pub weights: List<MemberWeight>,
    /// [`ADAPTIVE_CLIPS`] or [`FIXED_CLIPS`].
    pub clip_rule: u8,
    /// Which model every hospital keeps as the best.
    pub keep: Keep,
    /// The run ends after so many evaluations in a row without gain of what `keep` names; none: never before its last round.
    pub early_stop: Option<NonZeroU32>,
    /// The values that the run starts from, which each hospital has from an earlier run; none: those of `init_seed`.
    pub initial_model: Option<WeightsHash>,
    /// The run begins once so many hospitals have joined; the others take part from a later round on. None: once all have.
    pub start_with: Option<NonZeroU32>,
}

/// Clip rule 1 (PROTOCOL.md 3.4): each tensor's clip follows the size of its last mean.
pub const ADAPTIVE_CLIPS: u8 = 1;

/// Clip rule 2: the first clips stay. An optimiser that normalises its steps, as AdamW does, moves any weight by about the learning
/// rate a step at most, also when most weights of the tensor stand still: clips that follow the mean's size would cut such weights off.
pub const FIXED_CLIPS: u8 = 2;

impl Message for Manifest {
    const TYPE: &'static str = "manifest";
    type Digest = RunId;
}

impl Manifest {
    /// `omega_i`.
    pub fn weight(&self, id: HospitalId) -> u32 {
        self.weights
            .iter()
            .find(|entry| entry.id.0 == id)
            .map_or(1, |entry| entry.weight)
    }

    /// `omega_max` over the members of the federation.
    pub fn largest_weight(&self) -> u32 {
        self.weights
            .iter()
            .map(|entry| entry.weight)
            .fold(1, u32::max)
    }

    /// c_0 of a tensor (PROTOCOL.md 3.2).
    pub fn first_clip(&self, kind: TensorKind) -> f64 {
        match kind {
            TensorKind::Weight => self.largest_step_of_adamw(),
            // Where the vaults keep it, it follows its plain gradient, which no optimiser bounds.
            TensorKind::Conditioned => self
                .largest_step_of_adamw()
                .max(self.largest_gradient() * self.conditioning_rate),
            TensorKind::RunningMean | TensorKind::RunningVariance => 8.0,
        }
    }

    /// Entries of a gradient beyond this are cut off.
    fn largest_gradient(&self) -> f64 {
        match self.conditioning_form {
            // Nothing bounds those of a filter; entries of 2 have been seen on scans.
            ConditioningForm::Study | ConditioningForm::Additive => 32.0,
            // A mean over samples of at most 1 times a feature of at most 8.
            ConditioningForm::Late => 8.0,
        }
    }

    /// The tensors that the vaults keep: no trainer of this run gets them.
    pub fn kept_by_vault(&self) -> &'static [&'static str] {
        self.conditioning.kept_by_vault(self.conditioning_form)
    }

    /// How many different values the tensors that the vaults keep have in this run, if no round fails: that of the start, and one after
    /// each round in which they move. For each of them a trainer is given something of every patient.
    pub fn conditioning_versions(&self) -> u32 {
        match self.kept_by_vault() {
            [] => 0,
            _ => {
                let moved = self.rounds.checked_div(self.conditioning_every);
                moved.unwrap_or(0).saturating_add(1)
            }
        }
    }

    /// Whether what the vaults keep moves by the update of this learning round.
    pub fn conditioning_moves_in(&self, round: LearningRound) -> bool {
        round.get().is_multiple_of(self.conditioning_every)
    }

    /// Four times what AdamW moves a weight by in a round when all its gradients agree.
    fn largest_step_of_adamw(&self) -> f64 {
        4.0 * self.learning_rate * f64::from(self.local_steps)
    }

    /// Real values of a sum of this purpose.
    pub fn values(&self, purpose: Purpose) -> usize {
        match purpose {
            Purpose::Update => self.layout.values(),
            Purpose::Stats | Purpose::Evaluation => 0,
        }
    }

    /// The features whose sums are opened and that meet the network; none where nothing is conditioned.
    pub fn used_features(&self) -> FeatureSchema {
        self.conditioning.used(&self.features)
    }

    /// What a `stats` sum of this run says.
    ///
    /// # Errors
    /// [`WrongCounters`] when there are not as many counters as it has.
    pub fn read_stats(&self, counters: &[u64]) -> Result<StatsCounters, WrongCounters> {
        StatsCounters::read(self.task, self.used_features().count(), counters)
    }

    /// The counters of a sum of this purpose; "contributions" is always the first.
    pub fn counters(&self, purpose: Purpose) -> Vec<CounterSpec> {
        counters::specs(purpose, self.task, self.used_features().count())
    }

    /// The shape of a sum of this purpose among `joined` share holders.
    ///
    /// # Errors
    /// [`SumError`] when so many hospitals or values do not fit the suite.
    pub fn shape(&self, purpose: Purpose, joined: usize) -> Result<SumShape, SumError> {
        let digits: Vec<u8> = self
            .counters(purpose)
            .iter()
            .map(|counter| counter.digits)
            .collect();
        SumShape::new(self.values(purpose), &digits, FieldFormat::TwoBy24, joined)
    }

    /// `layout_hash` of the round header: names, shapes and kinds of the tensors, names and digits of the counters.
    pub fn layout_hash(&self, purpose: Purpose) -> LayoutHash {
        let tensors = match purpose {
            Purpose::Update => codec::encode(&self.layout),
            Purpose::Stats | Purpose::Evaluation => Vec::new(),
        };
        labelled_hash(
            "layout",
            &[&tensors, &codec::encode(&List(self.counters(purpose)))],
        )
        .into()
    }
}

/// Manifests for tests.
#[cfg(any(test, feature = "testing"))]
pub mod testing {
    use super::*;

    /// A binary run of two rounds with plain conditioning.
    pub fn manifest() -> Manifest {
        Manifest {
            name: "test".into(),
            task: Task::Binary,
            label_scheme: LabelScheme::AsWritten,
            conditioning: Conditioning::Plain,
            conditioning_form: ConditioningForm::Study,
            conditioning_every: 1,
            features: FeatureSchema::study(),
            layout: ModelLayout::hybrid_cnn(2),
            nonce: [4; 32],
            init_seed: [5; 32],
            rounds: 2,
            local_epochs: 1,
            batch_size: 32,
            learning_rate: 1e-3,
            weight_decay: 1e-2,
            conditioning_rate: 0.1,
            strategy: Strategy::FedAvg,
            local_steps: 10,
            silence_secs: 30,
            straggler_floor_secs: 600,
            straggler_factor: 10.0,
            weights: List::default(),
            clip_rule: FIXED_CLIPS,
            keep: Keep::BestLoss,
            early_stop: None,
            initial_model: None,
            start_with: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_takes_514_chunks_with_two_classes_and_515_with_three_the_tag_among_them() {
        for (task, chunks) in [(Task::Binary, 514), (Task::Multiclass, 515)] {
            let manifest = Manifest {
                task,
                layout: ModelLayout::hybrid_cnn(task.classes() as u32),
                ..testing::manifest()
            };
            let shape = manifest.shape(Purpose::Update, 10).expect("fits");
            assert_eq!(shape.chunks(), chunks);
        }
        for purpose in [Purpose::Stats, Purpose::Evaluation] {
            assert_eq!(
                testing::manifest()
                    .shape(purpose, 10)
                    .expect("fits")
                    .chunks(),
                2
            );
        }
    }

    #[test]
    fn purposes_have_layouts_of_their_own() {
        let manifest = testing::manifest();
        assert_ne!(
            manifest.layout_hash(Purpose::Stats),
            manifest.layout_hash(Purpose::Evaluation)
        );
        assert_ne!(
            manifest.layout_hash(Purpose::Update),
            manifest.layout_hash(Purpose::Evaluation)
        );
    }
}
