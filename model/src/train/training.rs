//! Training under way: one batch after another.

use rand::Rng;
use rand_chacha::ChaCha20Rng;
use tch::{Kind, Reduction, TchError, Tensor};

use super::{
    Dataset, Filter, TrainError, Trainer, TrainingSettings,
    dataset::{Batch, filter_table},
    optimiser::{Gradients, Optimiser},
    trainer::{Stream, stream},
};
use crate::{
    device::Device,
    network::{DENSE, DROPOUT, Mode},
};
use model_data::FEATURES;

/// A trainer's network as it learns from one data set: [`Trainer::begin`] makes it.
pub struct Training<'a> {
    trainer: &'a Trainer,
    dataset: &'a Dataset,
    optimiser: Optimiser,
    /// `[classes]`.
    class_weights: Tensor,
    masks: ChaCha20Rng,
    filters: Option<Filters>,
}

/// The filters of all patients, and what has gathered of their gradients: [P, 9] both.
struct Filters {
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
        filters: Option<&[Filter]>,
        settings: &TrainingSettings,
    ) -> Result<Self, TrainError> {
        let device = trainer.device;
        let on_device = |filters| Filters::new(filters, device);
        Ok(Self {
            trainer,
            dataset,
            optimiser: settings.optimiser(&trainer.network)?,
            class_weights: settings.class_weights_on(device)?,
            masks: stream(&settings.seed, Stream::DropoutMasks),
            filters: filters.map(on_device).transpose()?,
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
            .filters
            .as_ref()
            .map(|filters| filters.table.shallow_clone());
        let (loss, gradients) = self.gradients(&samples, table.as_ref())?;
        self.apply(&gradients)?;
        if let (Some(filters), Some(gradient)) = (&mut self.filters, &gradients.filters) {
            let _ = filters.gradients.f_add_(gradient)?;
        }
        // Waits for the device, hence last.
        Ok(loss.f_double_value(&[])?)
    }

    /// Replaces the filters for the steps to come, and forgets what has gathered of their gradients.
    ///
    /// # Errors
    /// Filters for a network that takes none, another number of them, or one outside of [-1, 1].
    pub fn set_filters(&mut self, filters: &[Filter]) -> Result<(), TrainError> {
        self.trainer.check(self.dataset, Some(filters))?;
        self.filters = Some(Filters::new(filters, self.trainer.device)?);
        Ok(())
    }

    /// Changes the step size of AdamW, from the next step on; moments stay.
    pub fn set_learning_rate(&mut self, learning_rate: f64) {
        self.optimiser.set_learning_rate(learning_rate);
    }

    /// The sum over the steps of dL/dF of each patient, zero where the filter lies on the clip.
    /// Empty when nothing is conditioned.
    pub fn filter_gradients(&self) -> Vec<Filter> {
        let gathered = |filters: &Filters| masked(&filters.gradients, &filters.table);
        self.filters.as_ref().map(gathered).unwrap_or_default()
    }

    /// Moves every weight that has a gradient.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub(super) fn apply(&mut self, gradients: &Gradients) -> Result<(), TrainError> {
        Ok(self.optimiser.step(gradients)?)
    }

    /// Loss and gradients of a batch; `filters` is the table of all patients.
    ///
    /// # Errors
    /// What libtorch refuses: no memory.
    pub(super) fn gradients(
        &mut self,
        samples: &Batch,
        filters: Option<&Tensor>,
    ) -> Result<(Tensor, Gradients), TchError> {
        let mask = dropout_mask(samples.labels.numel(), &mut self.masks);
        let mode = Mode::Training {
            dropout_mask: &mask.f_to(self.trainer.device.0)?,
        };
        let logits = self.trainer.logits(samples, filters, &mode)?;
        let loss = weighted_loss(&logits, &samples.labels, &self.class_weights)?;
        let gradients = self.optimiser.backward(&loss, filters)?;
        Ok((loss, gradients))
    }
}

impl Filters {
    fn new(filters: &[Filter], device: Device) -> Result<Self, TchError> {
        let table = filter_table(filters, device)?.f_set_requires_grad(true)?;
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

/// Gradients of a table of filters, 0 where the filter lies on the clip.
pub(super) fn masked(gradients: &Tensor, table: &Tensor) -> Vec<Filter> {
    rows(&(gradients * table.detach().abs().lt(1.0)))
}

/// Rows of a [P, 9] tensor.
fn rows(table: &Tensor) -> Vec<Filter> {
    let mut flat: Vec<f32> = vec![0.0; table.numel()];
    table
        .to_device(tch::Device::Cpu)
        .copy_data(&mut flat, table.numel());
    let (rows, rest) = flat.as_chunks::<FEATURES>();
    debug_assert!(rest.is_empty(), "nine columns");
    rows.to_vec()
}
