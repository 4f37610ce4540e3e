//! Which tensors a network has, and their order in the flat vector: those of the protocol, without W where the vault keeps it.

use protocol::network::{CONDITIONED_WEIGHT, ModelLayout, TensorKind, TensorSpec};

use super::{Architecture, Conditioning};

/// Width of the dense layer.
pub(crate) const DENSE: i64 = 512;

impl Architecture {
    /// The network of a run.
    pub fn of(
        task: protocol::labels::Task,
        conditioning: protocol::manifest::Conditioning,
    ) -> Self {
        Self {
            classes: task.classes(),
            conditioning: if conditioning.uses_filters() {
                Conditioning::Filters
            } else {
                Conditioning::Free
            },
        }
    }

    /// Every tensor the trainer holds, sorted by name: the order of the flat vector.
    ///
    /// [`CONDITIONED_WEIGHT`] is among them only when nothing conditions it; else the vault keeps it.
    pub fn layout(&self) -> Vec<TensorSpec> {
        let classes = u32::try_from(self.classes).expect("a handful of classes");
        let all = ModelLayout::hybrid_cnn(classes).tensors.0.into_iter();
        let held = |spec: &TensorSpec| {
            self.conditioning == Conditioning::Free || spec.name.0 != CONDITIONED_WEIGHT
        };
        all.filter(held).collect()
    }

    /// Length of the flat vector.
    pub fn values(&self) -> usize {
        self.layout().iter().map(TensorSpec::values).sum()
    }
}

/// Dimensions as libtorch takes them.
pub(crate) fn sides(spec: &TensorSpec) -> Vec<i64> {
    spec.shape.iter().map(|&side| side.into()).collect()
}

/// Whether an optimiser moves the tensor; running statistics are moved by batch norms.
pub(crate) fn is_weight(spec: &TensorSpec) -> bool {
    matches!(spec.kind, TensorKind::Weight | TensorKind::Conditioned)
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
        let weights = layout.iter().filter(|spec| is_weight(spec));
        weights.map(TensorSpec::values).sum()
    }

    #[test]
    fn the_blocks_end_where_the_dense_layer_begins() {
        let layout = ModelLayout::hybrid_cnn(2);
        let shape = |name: &str| {
            let spec = layout.tensors.iter().find(|spec| spec.name.0 == name);
            sides(spec.expect("named"))
        };
        let side = model_data::IMAGE_SIDE as i64 >> 3;
        let channels = shape("block3.conv.weight")[0];
        assert_eq!(shape("dense.weight"), [DENSE, channels * side * side]);
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
            let has_base = layout.iter().any(|spec| spec.name.0 == CONDITIONED_WEIGHT);
            assert_eq!(has_base, conditioning == Conditioning::Free);
        }
    }

    #[test]
    fn a_run_has_the_network_of_its_task_and_variant() {
        use protocol::{labels::Task, manifest};
        for &task in Task::ALL {
            for conditioning in [
                manifest::Conditioning::EncryptedHardened,
                manifest::Conditioning::EncryptedStudy,
                manifest::Conditioning::Plain,
                manifest::Conditioning::None,
            ] {
                let architecture = Architecture::of(task, conditioning);
                let whole = ModelLayout::hybrid_cnn(task.classes() as u32).values();
                let kept_by_vault = if conditioning.uses_filters() { 9 } else { 0 };
                assert_eq!(architecture.values() + kept_by_vault, whole);
            }
        }
    }
}
