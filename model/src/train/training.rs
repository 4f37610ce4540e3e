//! Training under way: one batch after another.

use rand::Rng;
use rand_chacha::ChaCha20Rng;
use tch::{Kind, Reduction, TchError, Tensor};

use protocol::training_job::PatientValues;

use super::{
    Dataset, TrainError, Trainer, TrainingSettings,
    dataset::{Batch, patient_table},
    optimiser::{Gradients, Optimiser},
    trainer::{Stream, stream},
};
use crate::{
    device::Device,
    network::{DENSE, DROPOUT, Mode, is_weight},
};

/// A trainer's network as it learns from one data set: [`Trainer::begin`] makes it.
pub struct Training<'a> {
    trainer: &'a Trainer,
    dataset: &'a Dataset,
    optimiser: Optimiser,
    /// `[classes]`.
    class_weights: Tensor,
    masks: ChaCha20Rng,
    inputs: Option<Inputs>,
}

/// What is given of all patients, and what has gathered of its gradients: [P, V] both.
struct Inputs {
    table: Tensor,
    gradients: Tensor,
}

impl<'a> Training<'a> {
    /// With fresh moments, from the values that the network holds.
    ///
    /// # Errors
    /// No memory for the moments.
    pub(super) fn new(
        trainer: &'a Trainer,
        dataset: &'a Dataset,
        inputs: Option<&PatientValues>,
        settings: &TrainingSettings,
    ) -> Result<Self, TrainError> {
        let device = trainer.device;
        let on_device = |inputs| Inputs::new(inputs, device);
        Ok(Self {
            trainer,
            dataset,
            optimiser: settings.optimiser(&trainer.network)?,
            class_weights: settings.class_weights_on(device)?,
            masks: stream(&settings.seed, Stream::DropoutMasks),
            inputs: inputs.map(on_device).transpose()?,
        })
    }

    /// Learns from the samples of these indices: forward, backward, AdamW. Returns their loss, which
    /// is not finite once training has diverged.
    ///
    /// # Errors
    /// What libtorch refuses: no memory.
    pub fn step(&mut self, indices: &[usize]) -> Result<f64, TrainError> {
        let samples = self.dataset.batch(indices, self.trainer.device)?;
        let table = self
            .inputs
            .as_ref()
            .map(|inputs| inputs.table.shallow_clone());
        let (loss, gradients) = self.gradients(&samples, table.as_ref())?;
        self.apply(&gradients)?;
        if let (Some(inputs), Some(gradient)) = (&mut self.inputs, &gradients.inputs) {
            let _ = inputs.gradients.f_add_(gradient)?;
        }
        // Waits for the device, hence last.
        Ok(loss.f_double_value(&[])?)
    }

    /// The gradient of the loss of these samples, in the order of the model, without a step: zero where running statistics stand.
    /// Those of the network have moved by it.
    ///
    /// # Errors
    /// As [`Training::step`].
    pub fn gradient(&mut self, indices: &[usize]) -> Result<Vec<f32>, TrainError> {
        let samples = self.dataset.batch(indices, self.trainer.device)?;
        let table = self
            .inputs
            .as_ref()
            .map(|inputs| inputs.table.shallow_clone());
        let (_, gradients) = self.gradients(&samples, table.as_ref())?;
        let mut parts = gradients.weights.iter();
        let mut flat = Vec::with_capacity(self.trainer.architecture().values());
        for spec in self.trainer.network.layout() {
            let mut values = vec![0.0; spec.values()];
            let part = is_weight(spec).then(|| parts.next()).flatten();
            if let Some(part) = part.filter(|part| part.defined()) {
                let part = part.f_to(tch::Device::Cpu)?.f_contiguous()?;
                part.f_copy_data(&mut values, spec.values())?;
            }
            flat.append(&mut values);
        }
        Ok(flat)
    }

    /// Replaces what is given of each patient for the steps to come, and forgets what has gathered of its
    /// gradients.
    ///
    /// # Errors
    /// Values for a network that takes none, of too few patients, or one beyond the limit of the form.
    pub fn set_inputs(&mut self, inputs: &PatientValues) -> Result<(), TrainError> {
        self.trainer.check(self.dataset, Some(inputs))?;
        self.inputs = Some(Inputs::new(inputs, self.trainer.device)?);
        Ok(())
    }

    /// Changes the step size of AdamW, from the next step on; moments stay.
    pub fn set_learning_rate(&mut self, learning_rate: f64) {
        self.optimiser.set_learning_rate(learning_rate);
    }

    /// The sum over the steps of the loss's gradient by each patient's inputs, zero where one lies on the
    /// clip. Empty when nothing is conditioned.
    pub fn input_gradients(&self) -> PatientValues {
        let limit = self.trainer.architecture().form.limit();
        let gathered = |inputs: &Inputs| masked(&inputs.gradients, &inputs.table, limit);
        self.inputs.as_ref().map(gathered).unwrap_or_default()
    }

    /// Moves every weight that has a gradient.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub(super) fn apply(&mut self, gradients: &Gradients) -> Result<(), TrainError> {
        Ok(self.optimiser.step(gradients)?)
    }

    /// Loss and gradients of a batch; `table` is that of all patients.
    ///
    /// # Errors
    /// What libtorch refuses: no memory.
    pub(super) fn gradients(
        &mut self,
        samples: &Batch,
        table: Option<&Tensor>,
    ) -> Result<(Tensor, Gradients), TchError> {
        let mask = dropout_mask(samples.labels.numel(), &mut self.masks);
        let mode = Mode::Training {
            dropout_mask: &mask.f_to(self.trainer.device.0)?,
        };
        let logits = self.trainer.logits(samples, table, &mode)?;
        let loss = weighted_loss(&logits, &samples.labels, &self.class_weights)?;
        let gradients = self.optimiser.backward(&loss, table)?;
        Ok((loss, gradients))
    }
}

impl Inputs {
    fn new(inputs: &PatientValues, device: Device) -> Result<Self, TchError> {
        let table = patient_table(inputs, device)?.f_set_requires_grad(true)?;
        let gradients = Tensor::f_zeros(table.size(), (Kind::Float, device.0))?;
        Ok(Self { table, gradients })
    }
}

/// Cross-entropy of a batch: weighted by class and divided by the sum of the weights.
pub(super) fn weighted_loss(
    logits: &Tensor,
    labels: &Tensor,
    class_weights: &Tensor,
) -> Result<Tensor, TchError> {
    logits.f_cross_entropy_loss(labels, Some(class_weights), Reduction::Mean, -100, 0.0)
}

/// [B, 512]: 0 with probability [`DROPOUT`], else 1 / (1 - [`DROPOUT`]).
pub(super) fn dropout_mask(batch: usize, rng: &mut ChaCha20Rng) -> Tensor {
    let dropped_below = (DROPOUT * f64::from(u32::MAX)) as u32;
    let kept = (1.0 / (1.0 - DROPOUT)) as f32;
    let mask: Vec<f32> = (0..batch * DENSE as usize)
        .map(|_| {
            if rng.next_u32() < dropped_below {
                0.0
            } else {
                kept
            }
        })
        .collect();
    Tensor::from_slice(&mask).view([-1, DENSE])
}

/// Gradients of a table of patients, 0 where the value lies on the clip.
pub(super) fn masked(gradients: &Tensor, table: &Tensor, limit: f32) -> PatientValues {
    let inside = gradients * table.detach().abs().lt(f64::from(limit));
    let mut flat: Vec<f32> = vec![0.0; inside.numel()];
    inside
        .to_device(tch::Device::Cpu)
        .copy_data(&mut flat, inside.numel());
    let width = table.size()[1];
    PatientValues::new(usize::try_from(width).expect("a handful of values"), flat)
}
