//! What the network's tensors are, as data: names, shapes and initial values (MODEL.md, "The network").
//!
//! Here and not in the crate that trains, so that the coordinator knows what it adds without libtorch. Whoever trains compares this
//! layout with its own network before the first round.

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};

use crate::{
    codec::{Decode, Encode, List, Text, one_byte},
    vocabulary::ConditioningForm,
};

/// The weight of the first convolution that clinical features condition. Where they do, no trainer gets it.
pub const CONDITIONED_WEIGHT: &str = "conditioned.weight";

/// What an `additive` run multiplies with the features and adds to [`CONDITIONED_WEIGHT`]. It never reaches a trainer.
pub const CONDITIONED_SLOPE: &str = "conditioned.slope";

/// What a `late` run multiplies with the features and adds to the logits: as many values a class as there are features. It never reaches a trainer.
pub const LATE_WEIGHT: &str = "late.weight";

/// Values of a 3x3 filter, and of [`CONDITIONED_WEIGHT`].
pub const CONDITIONED_VALUES: usize = 9;

/// How a tensor moves, which decides its first clip and its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorKind {
    /// Moved by the optimiser.
    Weight,
    /// Of the conditioned convolution, or beside the classifier: where features meet it, moved by the vault; kept in [-16, 16].
    Conditioned,
    /// A running mean of a batch norm.
    RunningMean,
    /// A running variance of a batch norm: kept at 1e-5 or above.
    RunningVariance,
}

one_byte!(TensorKind {
    Weight = 0,
    Conditioned = 1,
    RunningMean = 2,
    RunningVariance = 3,
});

/// One tensor of the common model.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TensorSpec {
    /// Path within the network.
    pub name: Text,
    /// Row-major shape.
    pub shape: List<u32>,
    /// How it moves.
    pub kind: TensorKind,
}

impl TensorSpec {
    /// How many values it has.
    pub fn values(&self) -> usize {
        self.shape.iter().map(|&side| side as usize).product()
    }

    /// PyTorch's fan-in: what one output sums over.
    fn fan_in(&self) -> usize {
        self.shape
            .iter()
            .skip(1)
            .map(|&side| side as usize)
            .product()
    }
}

/// The tensors of a model, sorted by name: the order of flattening everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ModelLayout {
    /// Sorted by name.
    pub tensors: List<TensorSpec>,
}

impl ModelLayout {
    /// The hybrid CNN with `classes` outputs: 4,202,446 parameters with three, 4,201,933 with two, and 112 batch-norm buffers.
    pub fn hybrid_cnn(classes: u32) -> Self {
        use TensorKind::{Conditioned, RunningMean, RunningVariance, Weight};
        let mut tensors = vec![
            tensor(CONDITIONED_WEIGHT, &[1, 1, 3, 3], Conditioned),
            tensor("free.weight", &[1, 1, 3, 3], Weight),
            tensor("free.bias", &[1], Weight),
            tensor("dense.weight", &[512, 8192], Weight),
            tensor("dense.bias", &[512], Weight),
            tensor("classifier.weight", &[classes, 512], Weight),
            tensor("classifier.bias", &[classes], Weight),
        ];
        for (block, inputs, outputs) in [(1, 2, 8), (2, 8, 16), (3, 16, 32)] {
            let mut part = |name: &str, shape: &[u32], kind| {
                tensors.push(tensor(&format!("block{block}.{name}"), shape, kind))
            };
            part("conv.weight", &[outputs, inputs, 3, 3], Weight);
            part("conv.bias", &[outputs], Weight);
            part("norm.weight", &[outputs], Weight);
            part("norm.bias", &[outputs], Weight);
            part("norm.running_mean", &[outputs], RunningMean);
            part("norm.running_var", &[outputs], RunningVariance);
        }
        tensors.sort_by(|left, right| left.name.cmp(&right.name));
        Self {
            tensors: List(tensors),
        }
    }

    /// The network of a form of conditioning: [`Self::hybrid_cnn`], and beside it the tensors that the study does not have.
    pub fn of(classes: u32, form: ConditioningForm, features: usize) -> Self {
        Self::hybrid_cnn(classes).with_tensors_of(classes, form, features)
    }

    fn with_tensors_of(mut self, classes: u32, form: ConditioningForm, features: usize) -> Self {
        let own = match form {
            ConditioningForm::Study => return self,
            ConditioningForm::Additive => {
                tensor(CONDITIONED_SLOPE, &[1, 1, 3, 3], TensorKind::Conditioned)
            }
            ConditioningForm::Late => tensor(
                LATE_WEIGHT,
                &[classes, u32::try_from(features).unwrap_or(u32::MAX)],
                TensorKind::Conditioned,
            ),
        };
        let tensors = &mut self.tensors.0;
        if form == ConditioningForm::Late {
            // No feature meets it: a weight like the others.
            let base = tensors
                .iter_mut()
                .filter(|tensor| tensor.name.0 == CONDITIONED_WEIGHT);
            base.for_each(|tensor| tensor.kind = TensorKind::Weight);
        }
        let place = tensors.partition_point(|other| other.name < own.name);
        tensors.insert(place, own);
        self
    }

    /// `values`, in the order of this layout, without those of some tensors.
    pub fn without(&self, names: &[&str], values: &[f32]) -> Vec<f32> {
        let mut left = Vec::with_capacity(values.len());
        let mut rest = values;
        for tensor in self.tensors.iter() {
            let (own, after) = rest.split_at(tensor.values());
            rest = after;
            if !names.contains(&tensor.name.0.as_str()) {
                left.extend_from_slice(own);
            }
        }
        left
    }

    /// Values of all tensors, buffers included.
    pub fn values(&self) -> usize {
        self.tensors.iter().map(TensorSpec::values).sum()
    }

    /// Trainable values: what "parameters" counts.
    pub fn parameters(&self) -> usize {
        let trainable = |tensor: &&TensorSpec| {
            matches!(tensor.kind, TensorKind::Weight | TensorKind::Conditioned)
        };
        self.tensors
            .iter()
            .filter(trainable)
            .map(TensorSpec::values)
            .sum()
    }

    /// Where a tensor's values lie in the flat vector.
    pub fn range(&self, name: &str) -> Option<std::ops::Range<usize>> {
        let mut start = 0;
        for tensor in self.tensors.iter() {
            let end = start + tensor.values();
            if tensor.name.0 == name {
                return Some(start..end);
            }
            start = end;
        }
        None
    }

    /// The initial model, by PyTorch's rules: weights and biases of convolutions and dense layers uniform in ±1/sqrt(fan-in), batch
    /// norms at one and zero. What only some forms of conditioning have begins at zero: every form begins as the same network. Drawn from
    /// ChaCha20 in the order of the layout, so every party makes the same values.
    pub fn initial_values(&self, seed: &[u8; 32]) -> Vec<f32> {
        let mut rng = ChaCha20Rng::from_seed(*seed);
        let mut values = Vec::with_capacity(self.values());
        for tensor in self.tensors.iter() {
            let name = tensor.name.0.as_str();
            let constant = match tensor.kind {
                TensorKind::RunningMean => Some(0.0),
                TensorKind::RunningVariance => Some(1.0),
                _ if name.ends_with("norm.weight") => Some(1.0),
                _ if name.ends_with("norm.bias") => Some(0.0),
                _ if [CONDITIONED_SLOPE, LATE_WEIGHT].contains(&name) => Some(0.0),
                _ => None,
            };
            if let Some(constant) = constant {
                values.extend(std::iter::repeat_n(constant, tensor.values()));
                continue;
            }
            // A bias is as wide as the weight it belongs to.
            let weight = name
                .strip_suffix(".bias")
                .map(|layer| format!("{layer}.weight"));
            let fan_in = weight
                .and_then(|weight| self.tensors.iter().find(|other| other.name.0 == weight))
                .unwrap_or(tensor)
                .fan_in();
            let bound = 1.0 / (fan_in as f64).sqrt();
            values.extend(
                (0..tensor.values())
                    .map(|_| ((2.0 * unit_interval(&mut rng) - 1.0) * bound) as f32),
            );
        }
        values
    }
}

fn tensor(name: &str, shape: &[u32], kind: TensorKind) -> TensorSpec {
    TensorSpec {
        name: name.into(),
        shape: List(shape.to_vec()),
        kind,
    }
}

/// Uniform in [0, 1) with 53 bits.
fn unit_interval(rng: &mut impl Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Networks for tests.
#[cfg(any(test, feature = "testing"))]
pub mod testing {
    use super::{
        CONDITIONED_WEIGHT, ConditioningForm, List, ModelLayout,
        TensorKind::{Conditioned, RunningMean, RunningVariance, Weight},
        tensor,
    };

    /// [`miniature`] of a form of conditioning.
    pub fn miniature_of(
        classes: u32,
        width: u32,
        form: ConditioningForm,
        features: usize,
    ) -> ModelLayout {
        miniature(classes, width).with_tensors_of(classes, form, features)
    }

    /// A network with a tensor of every kind, small enough for thousands of rounds in one test. Nothing trains it.
    pub fn miniature(classes: u32, width: u32) -> ModelLayout {
        let mut tensors = vec![
            tensor(CONDITIONED_WEIGHT, &[1, 1, 3, 3], Conditioned),
            tensor("free.weight", &[1, 1, 3, 3], Weight),
            tensor("free.bias", &[1], Weight),
            tensor("norm.running_mean", &[4], RunningMean),
            tensor("norm.running_var", &[4], RunningVariance),
            tensor("classifier.weight", &[classes, width], Weight),
            tensor("classifier.bias", &[classes], Weight),
        ];
        tensors.sort_by(|left, right| left.name.cmp(&right.name));
        ModelLayout {
            tensors: List(tensors),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_has_the_size_of_the_study() {
        assert_eq!(ModelLayout::hybrid_cnn(3).parameters(), 4_202_446);
        assert_eq!(ModelLayout::hybrid_cnn(2).parameters(), 4_201_933);
        assert_eq!(ModelLayout::hybrid_cnn(2).values(), 4_201_933 + 112);
    }

    #[test]
    fn tensors_are_sorted_and_found() {
        let layout = ModelLayout::hybrid_cnn(2);
        for &form in ConditioningForm::ALL {
            let tensors = ModelLayout::of(2, form, 9).tensors;
            assert!(tensors.is_sorted_by(|one, other| one.name < other.name));
        }
        assert_eq!(
            layout.range(CONDITIONED_WEIGHT).map(|range| range.len()),
            Some(CONDITIONED_VALUES)
        );
        assert_eq!(layout.range("absent"), None);
    }

    #[test]
    fn initial_values_follow_pytorchs_bounds_and_the_seed() {
        let layout = ModelLayout::hybrid_cnn(2);
        let values = layout.initial_values(&[1; 32]);
        assert_eq!(values.len(), layout.values());
        assert_eq!(values, layout.initial_values(&[1; 32]));
        assert_ne!(values, layout.initial_values(&[2; 32]));
        for (name, bound) in [
            ("dense.weight", 1.0 / 8192_f32.sqrt()),
            ("dense.bias", 1.0 / 8192_f32.sqrt()),
            (CONDITIONED_WEIGHT, 1.0 / 3.0),
        ] {
            let part = &values[layout.range(name).expect("present")];
            let largest = part
                .iter()
                .fold(0.0_f32, |largest, value| largest.max(value.abs()));
            assert!(
                largest <= bound && largest > 0.5 * bound,
                "{name}: {largest} of {bound}"
            );
        }
        assert!(
            values[layout.range("block2.norm.running_var").expect("present")]
                .iter()
                .all(|&value| value == 1.0)
        );
    }

    #[test]
    fn every_form_begins_as_the_network_of_the_study() {
        let study = ModelLayout::of(3, ConditioningForm::Study, 9);
        assert_eq!(study, ModelLayout::hybrid_cnn(3));
        let expected = study.initial_values(&[1; 32]);
        for (form, own, values) in [
            (ConditioningForm::Additive, CONDITIONED_SLOPE, 9),
            (ConditioningForm::Late, LATE_WEIGHT, 27),
        ] {
            let layout = ModelLayout::of(3, form, 9);
            let initial = layout.initial_values(&[1; 32]);
            assert_eq!(
                initial[layout.range(own).expect("its own")],
                vec![0.0; values]
            );
            assert_eq!(layout.without(&[own], &initial), expected);
            assert_eq!(layout.parameters(), study.parameters() + values);
        }
    }
}
