//! Local training and evaluation with libtorch.

use model::{
    device::Device,
    network::Architecture,
    train::{Dataset, Trainer, TrainingSettings},
};
use protocol::training_job::{
    EvaluateRequest, EvaluatedCounts, HeatRequest, HeatedSlices, JobProgress, JobWatcher,
    LocalTrainer, TrainRequest, TrainedUpdate, TrainerFailure, TrainingPlan,
};

use crate::{heat::Looking, image_set::ImageSet};

/// Trains the hybrid CNN on a hospital's images.
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

    fn prepared(&mut self, plan: &TrainingPlan) -> Result<&mut Prepared, TrainerFailure> {
        let prepared = match self.prepared.take() {
            Some(prepared) => prepared,
            None => self.prepare(plan)?,
        };
        Ok(self.prepared.insert(prepared))
    }

    fn prepare(&self, plan: &TrainingPlan) -> Result<Prepared, TrainerFailure> {
        let split = self
            .images
            .split(plan.labels)
            .map_err(TrainerFailure::from_error)?;
        let dataset = |samples: &[_]| {
            let dataset = self.images.dataset(samples, plan.labels);
            dataset.map_err(TrainerFailure::from_error)
        };
        let architecture = Architecture::of(plan.labels.task, plan.conditioning, plan.form);
        Ok(Prepared {
            training: dataset(&split.train)?,
            validation: dataset(&split.validation)?,
            trainer: Trainer::new(architecture, self.device),
        })
    }
}

impl LocalTrainer for CnnTrainer {
    fn train(
        &mut self,
        request: TrainRequest,
        watcher: &mut dyn JobWatcher,
    ) -> Result<TrainedUpdate, TrainerFailure> {
        let plan = &request.plan;
        let prepared = self.prepared(plan)?;
        let settings = TrainingSettings {
            learning_rate: plan.learning_rate,
            weight_decay: plan.weight_decay,
            proximal: plan.proximal,
            batch: plan.batch_size as usize,
            local_epochs: plan.local_epochs as usize,
            class_weights: request.class_weights,
            seed: request.seed,
        };
        let inputs = request.inputs.as_deref();
        let (trainer, training) = (&mut prepared.trainer, &prepared.training);
        let outcome = trainer
            .train_round(
                training,
                &request.model,
                inputs,
                &settings,
                &mut |done, total| {
                    watcher.moved(JobProgress::Training { done, total });
                },
            )
            .map_err(TrainerFailure::from_error)?;
        Ok(TrainedUpdate {
            model: outcome.model,
            input_gradients: outcome.input_gradients,
            batches: outcome.batches,
            loss: outcome.train_loss,
        })
    }

    fn evaluate(
        &mut self,
        request: EvaluateRequest,
        watcher: &mut dyn JobWatcher,
    ) -> Result<EvaluatedCounts, TrainerFailure> {
        let prepared = self.prepared(&request.plan)?;
        let inputs = request.inputs.as_deref();
        let evaluation = prepared
            .trainer
            .evaluate(
                &prepared.validation,
                &request.model,
                inputs,
                &mut |done, total| {
                    watcher.moved(JobProgress::Evaluating { done, total });
                },
            )
            .map_err(TrainerFailure::from_error)?;
        Ok(EvaluatedCounts {
            confusion: evaluation.confusion,
            loss_sum: evaluation.loss_sum,
        })
    }

    fn heat(
        &mut self,
        request: HeatRequest,
        _: &mut dyn JobWatcher,
    ) -> Result<HeatedSlices, TrainerFailure> {
        Looking::prepare(&self.images, &request.plan)?.look(&request)
    }
}
