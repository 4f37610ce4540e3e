//! The trainer: scans and the network, no key, no clinical feature, no socket. It sits behind a channel, so that it can become a
//! process of its own.

use model::{
    device::Device,
    network::{Architecture, Conditioning as Filtering},
    train::{Dataset, Trainer, TrainingSettings},
};
use protocol::manifest::{Conditioning, Manifest, Task};

use crate::{
    hospital_data::ImageSet,
    vault::{EvaluateRequest, EvaluatedCounts, TrainRequest, TrainedUpdate, TrainingPlan},
};

/// What the vault asks of whoever trains.
pub trait LocalTrainer: Send {
    /// Trains one round; `progress` is told (steps done, steps in all).
    ///
    /// # Errors
    /// What went wrong, for people.
    fn train(
        &mut self,
        request: TrainRequest,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<TrainedUpdate, String>;

    /// Evaluates the common model on the validation set.
    ///
    /// # Errors
    /// What went wrong, for people.
    fn evaluate(&mut self, request: EvaluateRequest) -> Result<EvaluatedCounts, String>;
}

/// Trains the hybrid CNN with libtorch.
pub struct CnnTrainer {
    images: ImageSet,
    device: Device,
    prepared: Option<Prepared>,
}

/// Made at the first request, when the task is known.
struct Prepared {
    trainer: Trainer,
    training: Dataset,
    validation: Dataset,
}

impl CnnTrainer {
    /// A trainer on these scans.
    pub fn new(images: ImageSet, device: Device) -> Self {
        Self {
            images,
            device,
            prepared: None,
        }
    }

    fn prepared(&mut self, plan: &TrainingPlan) -> Result<&mut Prepared, String> {
        if self.prepared.is_none() {
            let datasets = || {
                let split = self.images.split(plan.labels)?;
                Ok((
                    self.images.dataset(&split.train, plan.labels)?,
                    self.images.dataset(&split.validation, plan.labels)?,
                ))
            };
            let (training, validation) = datasets()
                .map_err(|error: crate::hospital_data::HospitalDataError| error.to_string())?;
            let trainer = Trainer::new(
                architecture(plan.labels.task, plan.conditioning),
                self.device,
            );
            self.prepared = Some(Prepared {
                trainer,
                training,
                validation,
            });
        }
        Ok(self.prepared.as_mut().expect("made above"))
    }
}

impl LocalTrainer for CnnTrainer {
    fn train(
        &mut self,
        request: TrainRequest,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<TrainedUpdate, String> {
        let plan = &request.plan;
        let prepared = self.prepared(plan)?;
        let settings = TrainingSettings {
            learning_rate: plan.learning_rate,
            weight_decay: plan.weight_decay,
            batch: plan.batch_size as usize,
            local_epochs: plan.local_epochs as usize,
            class_weights: request.class_weights,
            seed: request.seed,
        };
        let outcome = prepared
            .trainer
            .train_round(
                &prepared.training,
                &request.model,
                request.filters.as_deref(),
                &settings,
                progress,
            )
            .map_err(|error| error.to_string())?;
        Ok(TrainedUpdate {
            model: outcome.model,
            filter_gradients: outcome.filter_gradients,
            batches: outcome.batches,
            loss: outcome.train_loss,
        })
    }

    fn evaluate(&mut self, request: EvaluateRequest) -> Result<EvaluatedCounts, String> {
        let prepared = self.prepared(&request.plan)?;
        let evaluation = prepared
            .trainer
            .evaluate(
                &prepared.validation,
                &request.model,
                request.filters.as_deref(),
            )
            .map_err(|error| error.to_string())?;
        Ok(EvaluatedCounts {
            confusion: evaluation.confusion,
            loss_sum: evaluation.loss_sum,
        })
    }
}

/// The network of a run.
pub fn architecture(task: Task, conditioning: Conditioning) -> Architecture {
    let conditioning = if conditioning.uses_filters() {
        Filtering::Filters
    } else {
        Filtering::Free
    };
    Architecture {
        classes: task.classes(),
        conditioning,
    }
}

/// Whether the manifest's tensors are those of the network that would be trained: same names, same shapes, same order.
pub fn layout_matches(manifest: &Manifest) -> bool {
    // The miniature networks of `testing`, which only a build for tests knows, are trained by the test itself.
    #[cfg(feature = "testing")]
    if manifest.layout.values() < 10_000 {
        return manifest
            .layout
            .is_trained_for(manifest.task.classes() as u32);
    }
    let network = architecture(manifest.task, manifest.conditioning).layout();
    let kept_by_vault = |name: &str| {
        manifest.conditioning.uses_filters() && name == protocol::network::CONDITIONED_WEIGHT
    };
    let trained = manifest
        .layout
        .tensors
        .iter()
        .filter(|tensor| !kept_by_vault(&tensor.name.0));
    trained.clone().count() == network.len()
        && trained.zip(&network).all(|(theirs, ours)| {
            theirs.name.0 == ours.name
                && theirs
                    .shape
                    .iter()
                    .map(|&side| i64::from(side))
                    .eq(ours.shape.iter().copied())
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{manifest::testing::manifest, network::ModelLayout};

    #[test]
    fn the_protocols_layout_is_the_networks_for_every_task_and_variant() {
        for task in [Task::Binary, Task::Multiclass] {
            for conditioning in [
                Conditioning::EncryptedHardened,
                Conditioning::EncryptedStudy,
                Conditioning::Plain,
                Conditioning::None,
            ] {
                let mut manifest = manifest();
                manifest.task = task;
                manifest.conditioning = conditioning;
                manifest.layout = ModelLayout::hybrid_cnn(task.classes() as u32);
                assert!(layout_matches(&manifest), "{task:?} {conditioning:?}");
                manifest.layout.tensors.0.swap(0, 1);
                assert!(!layout_matches(&manifest));
            }
        }
    }
}
