//! From a loss to weights that have moved.

use tch::{TchError, Tensor};
use torch_ffi::{AdamWError, AdamWSettings, FusedAdamW};

use super::proximal::Proximal;
use crate::network::Network;

/// AdamW over the weights of one network.
///
/// Gradients are handed over as values and not kept with the weights: nothing has to be set to zero
/// before a step, nor added to the zeros.
pub(super) struct Optimiser {
    adamw: FusedAdamW,
    weights: Vec<Tensor>,
    proximal: Option<Proximal>,
}

/// What a backward pass finds.
pub(super) struct Gradients {
    /// Of each of [`Network::weights`], in that order; undefined where the loss does not depend on it.
    pub weights: Vec<Tensor>,
    /// Of the table of patients, if there is one: [P, V].
    pub inputs: Option<Tensor>,
}

impl Optimiser {
    /// Moments of zero for the network's weights, which it moves in place; `mu` is of the proximal term around the weights as they are.
    ///
    /// # Errors
    /// No memory for the moments.
    pub fn new(network: &Network, settings: AdamWSettings, mu: f64) -> Result<Self, AdamWError> {
        let shared = || network.weights().map(|(_, weight)| weight.shallow_clone());
        let weights: Vec<_> = shared().collect();
        Ok(Self {
            adamw: FusedAdamW::new(shared(), settings)?,
            proximal: Proximal::around(mu, &weights)?,
            weights,
        })
    }

    /// Changes the step size, from the next step on; moments stay.
    pub fn set_learning_rate(&mut self, learning_rate: f64) {
        self.adamw.set_learning_rate(learning_rate);
    }

    /// The gradients of a loss, with that of the table of patients it came from.
    ///
    /// # Errors
    /// What libtorch refuses: no memory.
    pub fn backward(&self, loss: &Tensor, table: Option<&Tensor>) -> Result<Gradients, TchError> {
        let moved: Vec<&Tensor> = self.weights.iter().chain(table).collect();
        let mut gradients = Tensor::f_run_backward(&[loss], &moved, false, false)?;
        let inputs = gradients.split_off(self.weights.len()).pop();
        Ok(Gradients {
            weights: gradients,
            inputs,
        })
    }

    /// Moves every weight that has a gradient.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn step(&mut self, gradients: &Gradients) -> Result<(), AdamWError> {
        match &self.proximal {
            None => self.adamw.step(&gradients.weights),
            Some(proximal) => {
                let gradients = proximal.add_to(&gradients.weights, &self.weights)?;
                self.adamw.step(&gradients)
            }
        }
    }
}
