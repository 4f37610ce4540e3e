//! How a hospital trains in a round; the run's manifest fixes it for all.

use tch::{TchError, Tensor};
use torch_ffi::AdamWSettings;

use super::{TrainError, optimiser::Optimiser};
use crate::{device::Device, network::Network};

/// What a round's training is told.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingSettings {
    /// Step size of AdamW.
    pub learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// mu of the proximal term of the loss, mu/2 |w - w_0|^2 with w_0 what training begins from (Li et al. 2020); 0 for none.
    pub proximal: f64,
    /// Samples a batch.
    pub batch: usize,
    /// Passes over the data.
    pub local_epochs: usize,
    /// Weight of each class in the loss, the same at every hospital.
    pub class_weights: Vec<f64>,
    /// Seed of shuffles and dropout masks of this hospital and round.
    pub seed: [u8; 32],
}

impl TrainingSettings {
    /// The study's settings: learning rate 1e-3, weight decay 1e-2, batches of 32, two epochs.
    pub fn new(class_weights: Vec<f64>, seed: [u8; 32]) -> Self {
        Self {
            learning_rate: 1e-3,
            weight_decay: 1e-2,
            proximal: 0.0,
            batch: 32,
            local_epochs: 2,
            class_weights,
            seed,
        }
    }

    /// AdamW with fresh moments.
    pub(super) fn optimiser(&self, network: &Network) -> Result<Optimiser, TrainError> {
        let settings = AdamWSettings {
            learning_rate: self.learning_rate,
            weight_decay: self.weight_decay,
            ..AdamWSettings::default()
        };
        Ok(Optimiser::new(network, settings, self.proximal)?)
    }

    /// `[classes]`, float.
    ///
    /// # Errors
    /// No memory there.
    pub(super) fn class_weights_on(&self, device: Device) -> Result<Tensor, TchError> {
        let single = self.class_weights.iter().map(|&weight| weight as f32);
        Tensor::from_slice(&single.collect::<Vec<f32>>()).f_to(device.0)
    }

    /// Whether training can be done with these for a network of `classes` outputs.
    pub(super) fn check(&self, classes: usize) -> Result<(), TrainError> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let wrong = [
            ("learning_rate", positive(self.learning_rate)),
            (
                "weight_decay",
                self.weight_decay == 0.0 || positive(self.weight_decay),
            ),
            ("proximal", self.proximal == 0.0 || positive(self.proximal)),
            ("batch", self.batch > 0),
            ("local_epochs", self.local_epochs > 0),
            (
                "class_weights",
                self.class_weights.len() == classes
                    && self.class_weights.iter().all(|&weight| positive(weight)),
            ),
        ]
        .into_iter()
        .find(|(_, fine)| !fine);
        match wrong {
            Some((setting, _)) => Err(TrainError::Settings { setting }),
            None => Ok(()),
        }
    }
}
