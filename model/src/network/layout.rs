//! Which tensors a network has, and their order in the flat vector: those of the protocol, without what the vault keeps.

use protocol::{
    network::{ModelLayout, TensorKind, TensorSpec},
    vocabulary::ConditioningForm,
};

use model_data::FEATURES;

use super::{Architecture, Conditioning};

/// Width of the dense layer.
pub(crate) const DENSE: i64 = 512;

impl Architecture {
    /// The network of a run.
    pub fn of(
        task: protocol::labels::Task,
        conditioning: protocol::manifest::Conditioning,
        form: ConditioningForm,
    ) -> Self {
        Self {
            classes: task.classes(),
            form,
            conditioning: if conditioning.uses_features() {
                Conditioning::Supplied
            } else {
                Conditioning::Free
            },
        }
    }

    /// Every tensor the trainer holds, sorted by name: the order of the flat vector.
    ///
    /// What meets clinical features is not among them where the vault keeps it; where it does not, at a single site, they are the study's
    /// nine.
    pub fn layout(&self) -> Vec<TensorSpec> {
        let classes = u32::try_from(self.classes).expect("a handful of classes");
        let all = ModelLayout::of(classes, self.form, FEATURES)
            .tensors
            .0
            .into_iter();
        let kept_by_vault = match self.conditioning {
            Conditioning::Supplied => self.form.tensors(),
            Conditioning::Free => &[],
        };
        let held = |spec: &TensorSpec| !kept_by_vault.contains(&spec.name.0.as_str());
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
            form: ConditioningForm::Study,
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
        assert_eq!(parameters(2, Conditioning::Supplied), 4_201_924);
    }

    #[test]
    fn only_the_free_network_has_what_meets_features_and_names_are_sorted() {
        for &form in ConditioningForm::ALL {
            for conditioning in [Conditioning::Supplied, Conditioning::Free] {
                let layout = Architecture {
                    classes: 2,
                    form,
                    conditioning,
                }
                .layout();
                assert!(layout.is_sorted_by(|a, b| a.name < b.name));
                let names: Vec<&str> = layout.iter().map(|spec| spec.name.0.as_str()).collect();
                for kept in form.tensors() {
                    assert_eq!(names.contains(kept), conditioning == Conditioning::Free);
                }
            }
        }
    }

    #[test]
    fn a_run_has_the_network_of_its_task_and_variant() {
        use protocol::{labels::Task, manifest};
        for &task in Task::ALL {
            for (&conditioning, &form) in
                manifest::Conditioning::ALL.iter().flat_map(|conditioning| {
                    ConditioningForm::ALL
                        .iter()
                        .map(move |form| (conditioning, form))
                })
            {
                let architecture = Architecture::of(task, conditioning, form);
                let whole = ModelLayout::of(task.classes() as u32, form, FEATURES);
                let kept = conditioning.kept_by_vault(form);
                let left = whole.without(kept, &vec![0.0; whole.values()]);
                assert_eq!(architecture.values(), left.len());
            }
        }
    }
}
