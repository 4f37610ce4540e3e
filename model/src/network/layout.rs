//! Which tensors a network has: names, shapes, and their order in the flat vector.

use super::{Architecture, Conditioning};

/// One tensor of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Dotted path, as in a PyTorch state dict.
    pub name: String,
    /// Dimensions, slowest first.
    pub shape: Vec<i64>,
    /// How it changes.
    pub kind: TensorKind,
}

impl TensorSpec {
    /// Values it holds.
    pub fn values(&self) -> usize {
        let values: i64 = self.shape.iter().product();
        usize::try_from(values).expect("shapes are positive and small")
    }
}

/// How a tensor changes from round to round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TensorKind {
    /// Moved by the optimiser.
    Weight,
    /// Running mean of a batch norm.
    RunningMean,
    /// Running variance of a batch norm.
    RunningVariance,
}

/// Input and output channels of the three blocks.
const BLOCK_CHANNELS: [(i64, i64); 3] = [(2, 8), (8, 16), (16, 32)];
/// Features after the last pooling: 32 channels of 16 x 16.
const FLATTENED: i64 = 32 * 16 * 16;
/// W, the weight of the first convolution.
pub(super) const CONDITIONED_WEIGHT: &str = "conditioned.weight";
/// Width of the dense layer.
pub(crate) const DENSE: i64 = 512;

impl Architecture {
    /// Every tensor the trainer holds, sorted by name: the order of the flat vector.
    ///
    /// `conditioned.weight` is among them only when nothing conditions it; else the vault keeps it.
    pub fn layout(&self) -> Vec<TensorSpec> {
        use TensorKind::{RunningMean, RunningVariance, Weight};
        let classes = i64::try_from(self.classes).expect("a handful of classes");
        let spec = |name: &str, shape: &[i64], kind| TensorSpec {
            name: name.to_owned(),
            shape: shape.to_vec(),
            kind,
        };
        let mut layout = vec![
            spec("classifier.bias", &[classes], Weight),
            spec("classifier.weight", &[classes, DENSE], Weight),
            spec("dense.bias", &[DENSE], Weight),
            spec("dense.weight", &[DENSE, FLATTENED], Weight),
            spec("free.bias", &[1], Weight),
            spec("free.weight", &[1, 1, 3, 3], Weight),
        ];
        if self.conditioning == Conditioning::Free {
            layout.push(spec(CONDITIONED_WEIGHT, &[1, 1, 3, 3], Weight));
        }
        for (block, (inputs, outputs)) in (1..).zip(BLOCK_CHANNELS) {
            for (name, shape, kind) in [
                ("conv.bias", &[outputs][..], Weight),
                ("conv.weight", &[outputs, inputs, 3, 3], Weight),
                ("norm.bias", &[outputs], Weight),
                ("norm.running_mean", &[outputs], RunningMean),
                ("norm.running_var", &[outputs], RunningVariance),
                ("norm.weight", &[outputs], Weight),
            ] {
                layout.push(spec(&format!("block{block}.{name}"), shape, kind));
            }
        }
        layout.sort_by(|a, b| a.name.cmp(&b.name));
        layout
    }

    /// Length of the flat vector.
    pub fn values(&self) -> usize {
        self.layout().iter().map(TensorSpec::values).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(classes: usize, conditioning: Conditioning) -> usize {
        let architecture = Architecture {
            classes,
            conditioning,
        };
        let layout = architecture.layout();
        let weights = layout.iter().filter(|spec| spec.kind == TensorKind::Weight);
        weights.map(TensorSpec::values).sum()
    }

    #[test]
    fn the_blocks_end_where_the_dense_layer_begins() {
        let side = model_data::IMAGE_SIDE as i64 >> BLOCK_CHANNELS.len();
        assert_eq!(BLOCK_CHANNELS[2].1 * side * side, FLATTENED);
    }

    #[test]
    fn the_parameters_are_those_of_the_study() {
        assert_eq!(parameters(3, Conditioning::Free), 4_202_446);
        assert_eq!(parameters(2, Conditioning::Free), 4_201_933);
        assert_eq!(parameters(2, Conditioning::Filters), 4_201_924);
    }

    #[test]
    fn only_the_free_network_has_the_base_weight_and_names_are_sorted() {
        for conditioning in [Conditioning::Filters, Conditioning::Free] {
            let layout = Architecture {
                classes: 2,
                conditioning,
            }
            .layout();
            assert!(layout.is_sorted_by(|a, b| a.name < b.name));
            let has_base = layout.iter().any(|spec| spec.name == "conditioned.weight");
            assert_eq!(has_base, conditioning == Conditioning::Free);
        }
    }
}
