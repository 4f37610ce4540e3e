//! The run manifest (PROTOCOL.md 3.2): what one training is, signed by the operator, accepted by each hospital by itself.

use crypto::{
    hash::{Digest, labelled_hash},
    sealed_sum::{FieldFormat, HospitalId, SumError, SumShape},
};

use crate::{
    codec::{self, Decode, Encode, Id, List, Text},
    identity::Message,
    network::{ModelLayout, TensorKind},
    roster::Roster,
};

/// What a sum is for (PROTOCOL.md 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Purpose {
    /// Class and feature statistics, once, on the initial model.
    Stats,
    /// The model's change.
    Update,
    /// Confusion matrix and losses of the common model.
    Evaluation,
}

impl Purpose {
    /// For logs and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stats => "stats",
            Self::Update => "update",
            Self::Evaluation => "evaluation",
        }
    }
}

/// What the labels are cut into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Task {
    /// Lower and higher EDSS.
    Binary,
    /// Normal, mild, severe.
    Multiclass,
}

impl Task {
    /// Number of classes.
    pub fn classes(self) -> usize {
        match self {
            Self::Binary => 2,
            Self::Multiclass => 3,
        }
    }
}

/// Where EDSS is cut into the classes of a task (MODEL.md, "Labels").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum LabelScheme {
    /// As the study's text has it: binary above 2.0; normal up to 2.0, mild up to 4.0, severe above.
    AsWritten,
    /// As the study's counts have it: binary above 4.0; normal below 2.0, mild below 4.0, severe from there.
    AsCounted,
}

/// Where the filters of the conditioned convolution come from (MODEL.md, variants).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Conditioning {
    /// Multiplied under CKKS by the coordinator, with the `hardened` parameters.
    EncryptedHardened,
    /// The same with the study's parameters.
    EncryptedStudy,
    /// Multiplied in the clear inside the vault: the oracle.
    Plain,
    /// No conditioning: both convolutions are free.
    None,
}

impl Conditioning {
    /// The CKKS parameters, when anything is encrypted.
    pub fn profile(self) -> Option<crypto::ckks::Profile> {
        match self {
            Self::EncryptedHardened => Some(crypto::ckks::Profile::Hardened),
            Self::EncryptedStudy => Some(crypto::ckks::Profile::Study),
            Self::Plain | Self::None => None,
        }
    }

    /// Whether trainers get filters and never W.
    pub fn uses_filters(self) -> bool {
        self != Self::None
    }
}

/// A counter of a sum: an unsigned whole number, added exactly.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CounterSpec {
    /// What it counts.
    pub name: Text,
    /// Base-256 digits; a value above 256^digits - 1 is clamped and reported.
    pub digits: u8,
}

/// A weight in the mean that differs from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct MemberWeight {
    /// Whose.
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
    /// The filters.
    pub conditioning: Conditioning,
    /// The tensors of the common model.
    pub layout: ModelLayout,
    /// Makes every run unlike any other, also one of the same settings.
    pub nonce: [u8; 32],
    /// Where the initial model comes from. Public: whoever has the manifest knows the initial model, W among it.
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
    /// Optimiser steps of a round at the largest hospital, for the first clip.
    pub local_steps: u32,
    /// Seconds of silence after which a hospital is no longer waited for.
    pub silence_secs: u32,
    /// Weights of the mean; a hospital that is not listed has 1.
    pub weights: List<MemberWeight>,
    /// [`ADAPTIVE_CLIPS`] or [`FIXED_CLIPS`].
    pub clip_rule: u8,
}

/// Clip rule 1 (PROTOCOL.md 3.4): each tensor's clip follows the size of its last mean.
pub const ADAPTIVE_CLIPS: u8 = 1;

/// Clip rule 2: the first clips stay. An optimiser that normalises its steps, as AdamW does, moves any weight by about the learning
/// rate a step at most, also when most weights of the tensor stand still: clips that follow the mean's size would cut such weights off.
pub const FIXED_CLIPS: u8 = 2;

impl Message for Manifest {
    const TYPE: &'static str = "manifest";
}

impl Manifest {
    /// Checks what no field's type expresses.
    ///
    /// # Errors
    /// [`ManifestError`] names the field.
    pub fn check(&self) -> Result<(), ManifestError> {
        let refuse = |field, reason: &str| {
            Err(ManifestError {
                field,
                reason: reason.to_owned(),
            })
        };
        if !self.layout.is_trained_for(self.task.classes() as u32) {
            return refuse(
                "layout",
                "not the tensors of the hybrid network for this task",
            );
        }
        if self.rounds == 0
            || self.local_epochs == 0
            || self.batch_size == 0
            || self.local_steps == 0
            || self.silence_secs == 0
        {
            return refuse(
                "rounds, local_epochs, batch_size, local_steps, silence_secs",
                "each is at least 1",
            );
        }
        for (field, value, most) in [
            ("learning_rate", self.learning_rate, 1.0),
            ("weight_decay", self.weight_decay, 1.0),
            ("conditioning_rate", self.conditioning_rate, 100.0),
        ] {
            if !(0.0..=most).contains(&value) {
                return refuse(field, "not a number from 0 to its bound");
            }
        }
        if self.learning_rate == 0.0 {
            return refuse("learning_rate", "0 learns nothing");
        }
        if ![ADAPTIVE_CLIPS, FIXED_CLIPS].contains(&self.clip_rule) {
            return refuse("clip_rule", "only rules 1 and 2 exist");
        }
        let significant_bits = |weight: u32| 32 - weight.leading_zeros() - weight.trailing_zeros();
        if self
            .weights
            .iter()
            .any(|entry| entry.weight == 0 || significant_bits(entry.weight) > 2)
        {
            return refuse(
                "weights",
                "each is a whole number of at most two significant bits: 1, 2, 3, 4, 6, 8, 12, ...",
            );
        }
        if self.weights.windows(2).any(|pair| pair[0].id >= pair[1].id) {
            return refuse("weights", "each hospital once, sorted by number");
        }
        Ok(())
    }

    /// Whether every hospital with a weight of its own is on the roster, so that the largest weight is one that contributes.
    pub fn weights_are_members(&self, roster: &Roster) -> bool {
        self.weights
            .iter()
            .all(|entry| roster.member(entry.id.0).is_some())
    }

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
            // W follows its plain gradient, which no optimiser bounds; entries of 2 have been seen on scans.
            TensorKind::Conditioned => self
                .largest_step_of_adamw()
                .max(LARGEST_GRADIENT * self.conditioning_rate),
            TensorKind::RunningMean | TensorKind::RunningVariance => 8.0,
        }
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

    /// The counters of a sum of this purpose; "contributions" is always the first.
    pub fn counters(&self, purpose: Purpose) -> Vec<CounterSpec> {
        let classes = self.task.classes();
        let mut counters = vec![counter("contributions".into(), 3)];
        match purpose {
            Purpose::Stats => {
                counters.extend(
                    (0..classes)
                        .map(|class| counter(format!("training slices of class {class}"), 3)),
                );
                for feature in 0..crate::network::CONDITIONED_VALUES {
                    counters.push(counter(format!("patients with feature {feature}"), 3));
                    counters.push(counter(format!("sum of feature {feature} in 1/256"), 5));
                    counters.push(counter(
                        format!("sum of squares of feature {feature} in 1/256"),
                        6,
                    ));
                }
            }
            Purpose::Update => counters.push(counter("saturated values".into(), 4)),
            Purpose::Evaluation => {
                for class in 0..classes {
                    counters.extend((0..classes).map(|predicted| {
                        counter(format!("slices of class {class} seen as {predicted}"), 3)
                    }));
                }
                counters.push(counter("validation loss in 1/65536".into(), 6));
                counters.push(counter("training loss in 1/65536".into(), 6));
                counters.push(counter("training steps".into(), 3));
            }
        }
        counters
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

    /// `layout_hash` of the round header: tensor names and shapes, counter names.
    pub fn layout_hash(&self, purpose: Purpose) -> Digest {
        let tensors = match purpose {
            Purpose::Update => codec::encode(&self.layout),
            Purpose::Stats | Purpose::Evaluation => Vec::new(),
        };
        labelled_hash(
            "layout",
            &[&tensors, &codec::encode(&List(self.counters(purpose)))],
        )
    }
}

/// Entries of the gradient of W beyond this are cut off.
const LARGEST_GRADIENT: f64 = 32.0;

/// A manifest that no run can follow.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the run manifest's {field}: {reason}")]
pub struct ManifestError {
    /// Which field.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

fn counter(name: String, digits: u8) -> CounterSpec {
    CounterSpec {
        name: Text(name),
        digits,
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
            layout: ModelLayout::hybrid_cnn(2),
            nonce: [4; 32],
            init_seed: [5; 32],
            rounds: 2,
            local_epochs: 1,
            batch_size: 32,
            learning_rate: 1e-3,
            weight_decay: 1e-2,
            conditioning_rate: 0.1,
            local_steps: 10,
            silence_secs: 30,
            weights: List::default(),
            clip_rule: FIXED_CLIPS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sound_manifest_passes_and_each_fault_is_named() {
        assert_eq!(testing::manifest().check(), Ok(()));
        type Fault = (&'static str, fn(&mut Manifest));
        let faults: [Fault; 5] = [
            ("layout", |manifest| {
                manifest.layout = ModelLayout::hybrid_cnn(3)
            }),
            ("learning_rate", |manifest| {
                manifest.learning_rate = f64::NAN
            }),
            ("conditioning_rate", |manifest| {
                manifest.conditioning_rate = -1.0
            }),
            ("weights", |manifest| {
                manifest.weights.0.push(MemberWeight {
                    id: Id(HospitalId::new(1).expect("in range")),
                    weight: 5,
                })
            }),
            ("clip_rule", |manifest| manifest.clip_rule = 3),
        ];
        for (field, spoil) in faults {
            let mut manifest = testing::manifest();
            spoil(&mut manifest);
            assert_eq!(manifest.check().err().map(|error| error.field), Some(field));
        }
    }

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
