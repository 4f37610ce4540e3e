//! The hybrid CNN: two convolutions side by side, one of them with a filter per patient, then
//! three blocks of convolution, batch norm, ReLU and pooling, then two dense layers. In the form `late`
//! both convolutions are the same for all patients, and the logits are shifted for each.
//!
//! ```text
//!  image [B, 1, 128, 128] ─┬─ 3x3, filter of the sample's patient ─┐
//!                          └─ 3x3, free, with bias ────────────────┴─ [B, 2, 128, 128]
//!  ─ block1 ─ [B, 8, 64, 64] ─ block2 ─ [B, 16, 32, 32] ─ block3 ─ [B, 32, 16, 16]
//!  ─ dense 512, ReLU, dropout 0.4 ─ classifier (─ plus the patient's shifts) ─ logits [B, classes]
//! ```

mod layout;

use tch::{Kind, TchError, Tensor};

use protocol::{
    network::{CONDITIONED_WEIGHT, TensorSpec},
    vocabulary::ConditioningForm,
};

use crate::device::Device;
pub(crate) use layout::{DENSE, is_weight, sides};
use model_data::{FEATURES, IMAGE_SIDE};

/// Share of the dense layer's outputs that dropout sets to zero while training.
pub const DROPOUT: f64 = 0.4;

/// PyTorch's defaults.
const NORM_MOMENTUM: f64 = 0.1;
const NORM_EPSILON: f64 = 1e-5;

/// What distinguishes one network from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Architecture {
    /// Outputs of the classifier.
    pub classes: usize,
    /// What is given of each patient, where something is.
    pub form: ConditioningForm,
    /// Whether the network holds what that is made from.
    pub conditioning: Conditioning,
}

/// Whether a network holds the tensors that meet clinical features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conditioning {
    /// It does not: a finished filter, or finished shifts, of each patient are supplied. The hybrid and
    /// the plain-conditioned variant differ only in who multiplied.
    Supplied,
    /// It does. Nothing conditions it: one filter for all, trained like any weight (the plain variant);
    /// or, at a single site, what is given of each patient is made from them for every batch.
    Free,
}

/// The network's tensors, and the way through them.
pub struct Network {
    architecture: Architecture,
    layout: Vec<TensorSpec>,
    /// In the order of `layout`; the fields below share their storage.
    tensors: Vec<Tensor>,
    conditioned_weight: Option<Tensor>,
    free_weight: Tensor,
    free_bias: Tensor,
    blocks: [Block; 3],
    dense_weight: Tensor,
    dense_bias: Tensor,
    classifier_weight: Tensor,
    classifier_bias: Tensor,
}

/// How [`Network::forward`] treats dropout and batch norm.
pub enum Mode<'a> {
    /// Batch statistics, running statistics updated, dense outputs multiplied by the mask.
    Training {
        /// [B, 512]: 0, or 1 / (1 - [`DROPOUT`]).
        dropout_mask: &'a Tensor,
    },
    /// Running statistics, no dropout.
    Evaluation,
}

impl Network {
    /// A network of zeros; [`Network::load`] fills it.
    pub fn new(architecture: Architecture, device: Device) -> Self {
        let layout = architecture.layout();
        let zeros = |spec: &TensorSpec| {
            Tensor::zeros(sides(spec), (Kind::Float, device.0)).set_requires_grad(is_weight(spec))
        };
        let tensors: Vec<Tensor> = layout.iter().map(zeros).collect();
        let find = |name: &str| {
            let place = layout.iter().position(|spec| spec.name.0 == name)?;
            Some(tensors[place].shallow_clone())
        };
        let named = |name: &str| find(name).expect("the layout names every tensor of the network");
        let block = |number: usize| Block {
            conv_weight: named(&format!("block{number}.conv.weight")),
            conv_bias: named(&format!("block{number}.conv.bias")),
            norm_weight: named(&format!("block{number}.norm.weight")),
            norm_bias: named(&format!("block{number}.norm.bias")),
            running_mean: named(&format!("block{number}.norm.running_mean")),
            running_variance: named(&format!("block{number}.norm.running_var")),
        };
        Self {
            conditioned_weight: find(CONDITIONED_WEIGHT),
            free_weight: named("free.weight"),
            free_bias: named("free.bias"),
            blocks: [block(1), block(2), block(3)],
            dense_weight: named("dense.weight"),
            dense_bias: named("dense.bias"),
            classifier_weight: named("classifier.weight"),
            classifier_bias: named("classifier.bias"),
            architecture,
            layout,
            tensors,
        }
    }

    /// What it was made from.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Tensors in the order of the flat vector.
    pub fn layout(&self) -> &[TensorSpec] {
        &self.layout
    }

    /// Sets every tensor from a flat vector.
    ///
    /// # Errors
    /// The vector has another length than the layout.
    pub fn load(&mut self, flat: &[f32]) -> Result<(), LengthMismatch> {
        let expected = self.architecture.values();
        if flat.len() != expected {
            return Err(LengthMismatch {
                expected,
                found: flat.len(),
            });
        }
        let mut rest = flat;
        tch::no_grad(|| {
            for (spec, tensor) in self.layout.iter().zip(&mut self.tensors) {
                let (values, after) = rest.split_at(spec.values());
                tensor.copy_(&Tensor::from_slice(values).view(sides(spec).as_slice()));
                rest = after;
            }
        });
        Ok(())
    }

    /// Every tensor, flat, in the order of the layout.
    pub fn flatten(&self) -> Vec<f32> {
        let mut flat = vec![0.0; self.architecture.values()];
        let mut rest = flat.as_mut_slice();
        for (spec, tensor) in self.layout.iter().zip(&self.tensors) {
            let (values, after) = rest.split_at_mut(spec.values());
            tensor.copy_data(values, spec.values());
            rest = after;
        }
        flat
    }

    /// The tensors that meet clinical features, each with its place among [`Network::weights`], in the
    /// order of [`ConditioningForm::tensors`]: none where the network does not hold them.
    pub(crate) fn meeting_features(&self) -> Vec<(usize, &Tensor)> {
        let names = self.architecture.form.tensors();
        let weights = self.weights().enumerate();
        let named = weights.filter(|(_, (spec, _))| names.contains(&spec.name.0.as_str()));
        named.map(|(place, (_, tensor))| (place, tensor)).collect()
    }

    /// What an optimiser moves, in the order of the layout; running statistics are not among it.
    pub(crate) fn weights(&self) -> impl Iterator<Item = (&TensorSpec, &Tensor)> {
        let all = self.layout.iter().zip(&self.tensors);
        all.filter(|(spec, _)| is_weight(spec))
    }

    /// Logits [B, classes] of `images` [B, 1, 128, 128]; `inputs` is what the form of conditioning says of
    /// each sample's patient. Filters [B, 9], row-major 3x3, already clipped to [-1, 1], take the place of
    /// the weight of the first convolution where the network has one; shifts [B, classes] are added to the
    /// logits.
    ///
    /// # Errors
    /// What libtorch refuses: shapes that do not fit, no memory.
    ///
    /// # Panics
    /// If inputs are missing for the architecture.
    pub fn forward(
        &self,
        images: &Tensor,
        inputs: Option<&Tensor>,
        mode: &Mode<'_>,
    ) -> Result<Tensor, TchError> {
        let logits = self.classify(&self.feature_maps(images, inputs, mode)?, mode)?;
        match (self.architecture.form, inputs) {
            (ConditioningForm::Late, Some(shifts)) => logits.f_add(shifts),
            (ConditioningForm::Late, None)
                if self.architecture.conditioning == Conditioning::Supplied =>
            {
                panic!("a network whose logits are shifted for each patient needs the shifts")
            }
            _ => Ok(logits),
        }
    }

    /// What the last convolution block gives, [B, 32, 16, 16]; takes what [`Network::forward`] takes.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub(crate) fn feature_maps(
        &self,
        images: &Tensor,
        inputs: Option<&Tensor>,
        mode: &Mode<'_>,
    ) -> Result<Tensor, TchError> {
        let filters = match self.architecture.form {
            ConditioningForm::Study | ConditioningForm::Additive => inputs,
            ConditioningForm::Late => None,
        };
        let mut hidden = self.side_by_side(images, filters)?;
        for block in &self.blocks {
            hidden = block.forward(&hidden, matches!(mode, Mode::Training { .. }))?;
        }
        Ok(hidden)
    }

    /// From feature maps to logits, before any shift.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub(crate) fn classify(&self, maps: &Tensor, mode: &Mode<'_>) -> Result<Tensor, TchError> {
        let dense = maps
            .f_flatten(1, -1)?
            .f_linear(&self.dense_weight, Some(&self.dense_bias))?
            .f_relu()?;
        let dense = match mode {
            Mode::Training { dropout_mask } => dense.f_mul(dropout_mask)?,
            Mode::Evaluation => dense,
        };
        dense.f_linear(&self.classifier_weight, Some(&self.classifier_bias))
    }

    /// Both first convolutions and their concatenation [B, 2, 128, 128]: each sample's two filters,
    /// [2, 9], times its patches.
    fn side_by_side(&self, images: &Tensor, filters: Option<&Tensor>) -> Result<Tensor, TchError> {
        let side = IMAGE_SIDE as i64;
        let taps = FEATURES as i64;
        let batch = images.size()[0];
        let for_all = |weight: &Tensor| weight.f_view([1, taps])?.f_expand([batch, taps], false);
        let conditioned = match (filters, &self.conditioned_weight) {
            (Some(filters), _) => filters.shallow_clone(),
            (None, Some(weight)) => for_all(weight)?,
            (None, None) => panic!("a network without a weight of its own needs filters"),
        };
        let kernels = Tensor::f_stack(&[conditioned, for_all(&self.free_weight)?], 1)?;
        // The conditioned convolution has no bias.
        let bias = self
            .free_bias
            .f_view([1, 1, 1])?
            .f_pad([0, 0, 1, 0], "constant", 0.0)?;
        let both = bias.f_baddbmm(&kernels, &patches(images)?, 1.0, 1.0)?;
        channels_last(&both.f_view([batch, 2, side, side])?)
    }
}

/// The nine values around each pixel, 0 outside of the image: [B, 1, 128, 128] to [B, 9, 128 * 128].
///
/// A grouped convolution with one group a sample computes the same in twice the time. Patches kept
/// from epoch to epoch would have to be gathered for each batch, which takes as long as making them.
fn patches(images: &Tensor) -> Result<Tensor, TchError> {
    let side = IMAGE_SIDE as i64;
    images
        .f_constant_pad_nd([1, 1, 1, 1])?
        .f_unfold(2, side, 1)?
        .f_unfold(3, side, 1)?
        .f_reshape([-1, FEATURES as i64, side * side])
}

/// A vector of another length than the network's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the network has {expected} values, the model {found}")]
pub struct LengthMismatch {
    /// Values of the network.
    pub expected: usize,
    /// Values given.
    pub found: usize,
}

struct Block {
    conv_weight: Tensor,
    conv_bias: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    running_mean: Tensor,
    running_variance: Tensor,
}

impl Block {
    /// [B, inputs, H, W] to [B, outputs, H/2, W/2].
    ///
    /// The largest of four is pooled before the ReLU, not after: the ReLU is monotone, so values
    /// and gradients are the same, and it has a quarter of the work.
    fn forward(&self, input: &Tensor, training: bool) -> Result<Tensor, TchError> {
        input
            .f_conv2d(&self.conv_weight, Some(&self.conv_bias), 1, 1, 1, 1)?
            .f_batch_norm(
                Some(&self.norm_weight),
                Some(&self.norm_bias),
                Some(&self.running_mean),
                Some(&self.running_variance),
                training,
                NORM_MOMENTUM,
                NORM_EPSILON,
                true,
            )?
            .f_max_pool2d(2, 2, 0, 1, false)?
            .f_relu()
    }
}

/// The same values with the channel as the fastest axis, which the convolutions on a CPU want:
/// a training step takes half the time.
fn channels_last(images: &Tensor) -> Result<Tensor, TchError> {
    images
        .f_permute([0, 2, 3, 1])?
        .f_contiguous()?
        .f_permute([0, 3, 1, 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each() -> impl Iterator<Item = (&'static ConditioningForm, Conditioning)> {
        let of_form = |form| [Conditioning::Supplied, Conditioning::Free].map(|held| (form, held));
        ConditioningForm::ALL.iter().flat_map(of_form)
    }

    #[test]
    fn flatten_gives_back_what_was_loaded() {
        for (&form, conditioning) in each() {
            let architecture = Architecture {
                classes: 3,
                form,
                conditioning,
            };
            let mut network = Network::new(architecture, Device::CPU);
            let flat: Vec<f32> = (0..architecture.values())
                .map(|value| value as f32)
                .collect();
            network.load(&flat).expect("length of the layout");
            assert!(network.flatten() == flat);
            assert_eq!(
                network.load(&flat[1..]),
                Err(LengthMismatch {
                    expected: flat.len(),
                    found: flat.len() - 1
                })
            );
        }
    }

    #[test]
    fn the_shapes_of_the_layout_fit_the_way_through() {
        for (&form, conditioning) in each() {
            let architecture = Architecture {
                classes: 3,
                form,
                conditioning,
            };
            let network = Network::new(architecture, Device::CPU);
            let images = Tensor::zeros([2, 1, 128, 128], (Kind::Float, tch::Device::Cpu));
            let inputs = [2, form.values_per_patient(3) as i64];
            let inputs = Tensor::zeros(inputs, (Kind::Float, tch::Device::Cpu));
            let mask = Tensor::ones([2, DENSE], (Kind::Float, tch::Device::Cpu));
            for mode in [
                Mode::Evaluation,
                Mode::Training {
                    dropout_mask: &mask,
                },
            ] {
                let logits = network.forward(&images, Some(&inputs), &mode);
                assert_eq!(logits.expect("shapes fit").size(), [2, 3]);
            }
        }
    }

    #[test]
    fn shifts_are_added_to_the_logits_of_the_network_without() {
        let architecture = |form, conditioning| Architecture {
            classes: 3,
            form,
            conditioning,
        };
        let late = architecture(ConditioningForm::Late, Conditioning::Supplied);
        let free = architecture(ConditioningForm::Study, Conditioning::Free);
        let names = |architecture: Architecture| -> Vec<String> {
            let layout = architecture.layout().into_iter();
            layout.map(|spec| spec.name.0).collect()
        };
        assert_eq!(names(late), names(free));
        let values: Vec<f32> = (0..late.values())
            .map(|value| ((value * 7919 % 1009) as f32 / 1009.0 - 0.5) / 20.0 + 0.03)
            .collect();
        let images = Tensor::arange(2 * 128 * 128, (Kind::Float, tch::Device::Cpu));
        let images = (images.view([2, 1, 128, 128]) * 0.37).sin();
        let shifts = Tensor::from_slice(&[0.5_f32, -1.0, 0.0, 2.0, 0.25, -8.0]).view([2, 3]);
        let logits = |architecture, inputs: Option<&Tensor>| {
            let mut network = Network::new(architecture, Device::CPU);
            network.load(&values).expect("length of the layout");
            let logits = network.forward(&images, inputs, &Mode::Evaluation);
            logits.expect("shapes fit")
        };
        let expected = logits(free, None) + &shifts;
        assert_eq!(logits(late, Some(&shifts)), expected);
    }
}
