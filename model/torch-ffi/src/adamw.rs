use tch::{Kind, TchError, Tensor};
use torch_sys::C_tensor;

use crate::bridge::{TorchError, called, torch_ffi_fused_adamw};

/// How AdamW moves (Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019, algorithm 2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWSettings {
    /// Step size.
    pub learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Decay of the first and of the second moment, each below 1.
    pub betas: (f64, f64),
    /// Added to the root of the second moment.
    pub epsilon: f64,
}

impl Default for AdamWSettings {
    /// PyTorch's.
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            weight_decay: 1e-2,
            betas: (0.9, 0.999),
            epsilon: 1e-8,
        }
    }
}

/// AdamW in one pass over each parameter: ATen's `_fused_adamw_`, on a CPU or a CUDA device.
///
/// Gradients are arguments, as [`Tensor::run_backward`] gives them; those kept in the tensors themselves are neither read nor
/// written. The values are those of libtorch's AdamW up to the order of its roundings.
pub struct FusedAdamW {
    settings: AdamWSettings,
    parameters: Vec<Parameter>,
}

struct Parameter {
    value: Tensor,
    first_moment: Tensor,
    second_moment: Tensor,
    /// Steps done, one float: libtorch wants a tensor, on the device of the others.
    steps: Tensor,
}

impl FusedAdamW {
    /// Fresh moments for these parameters, which it will share with whoever else holds them.
    ///
    /// # Errors
    /// A parameter that is not float32 in one contiguous piece; no memory for the moments.
    pub fn new(
        values: impl IntoIterator<Item = Tensor>,
        settings: AdamWSettings,
    ) -> Result<Self, AdamWError> {
        let parameters = values
            .into_iter()
            .enumerate()
            .map(|(index, value)| Parameter::new(index, value))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            settings,
            parameters,
        })
    }

    /// What it moves by.
    pub fn settings(&self) -> AdamWSettings {
        self.settings
    }

    /// Changes the step size, from the next step on; moments stay.
    pub fn set_learning_rate(&mut self, learning_rate: f64) {
        self.settings.learning_rate = learning_rate;
    }

    /// Moves every parameter that has a gradient. `gradients` are in the order of the parameters; an undefined tensor leaves its
    /// parameter, moments and step count as they are.
    ///
    /// # Errors
    /// Too few or too many gradients, or one of another shape, type or device than its parameter: nothing has moved. What
    /// libtorch itself refuses, no memory for instance, may leave some step counts one too high.
    pub fn step(&mut self, gradients: &[Tensor]) -> Result<(), AdamWError> {
        let expected = self.parameters.len();
        if gradients.len() != expected {
            let found = gradients.len();
            return Err(AdamWError::Count { expected, found });
        }
        let mut moving = Vec::with_capacity(expected);
        for (index, (parameter, gradient)) in self.parameters.iter_mut().zip(gradients).enumerate()
        {
            if gradient.defined() {
                moving.push((parameter.taking(index, gradient)?, parameter));
            }
        }
        // libtorch cannot tell what kind of tensors an empty list has, and refuses it.
        if moving.is_empty() {
            return Ok(());
        }
        let mut lists: [Vec<*mut C_tensor>; 5] = Default::default();
        for (gradient, parameter) in &mut moving {
            let tensors = [
                &mut parameter.value,
                gradient,
                &mut parameter.first_moment,
                &mut parameter.second_moment,
                &mut parameter.steps,
            ];
            for (list, tensor) in lists.iter_mut().zip(tensors) {
                list.push(tensor.as_mut_ptr());
            }
        }
        let [values, gradients, first_moments, second_moments, steps] = &lists;
        let AdamWSettings {
            learning_rate,
            weight_decay,
            betas: (beta1, beta2),
            epsilon,
        } = self.settings;
        // SAFETY: five lists of the same length, of tensors that `moving` keeps alive; those of one parameter have the same
        // shape, type and device, in one contiguous piece each, which libtorch's kernel takes for granted.
        called(|error| unsafe {
            torch_ffi_fused_adamw(
                values.len(),
                values.as_ptr(),
                gradients.as_ptr(),
                first_moments.as_ptr(),
                second_moments.as_ptr(),
                steps.as_ptr(),
                learning_rate,
                beta1,
                beta2,
                weight_decay,
                epsilon,
                error,
            )
        })?;
        Ok(())
    }
}

impl Parameter {
    fn new(index: usize, value: Tensor) -> Result<Self, AdamWError> {
        if value.f_kind()? != Kind::Float || !value.is_contiguous() {
            return Err(AdamWError::Parameter { index });
        }
        let zeros = || Tensor::f_zeros(value.size(), (Kind::Float, value.device()));
        Ok(Self {
            first_moment: zeros()?,
            second_moment: zeros()?,
            steps: Tensor::f_zeros([0_i64; 0], (Kind::Float, value.device()))?,
            value,
        })
    }

    /// The gradient in the parameter's order of values: a backward pass may give it in another.
    fn taking(&self, index: usize, gradient: &Tensor) -> Result<Tensor, AdamWError> {
        let fits = gradient.f_kind()? == Kind::Float
            && gradient.size() == self.value.size()
            && gradient.device() == self.value.device();
        if !fits {
            return Err(AdamWError::Gradient { index });
        }
        Ok(gradient.f_contiguous()?)
    }
}

/// Why AdamW does not start or does not move.
#[derive(Debug, thiserror::Error)]
pub enum AdamWError {
    /// Gradients and parameters differ in number.
    #[error("{found} gradients for {expected} parameters")]
    Count {
        /// Parameters.
        expected: usize,
        /// Gradients.
        found: usize,
    },
    /// Not float32, or not in one contiguous piece.
    #[error("parameter {index} is not float32 in one contiguous piece")]
    Parameter {
        /// Its place.
        index: usize,
    },
    /// Another shape, type or device than the parameter's.
    #[error("gradient {index} has not the shape, type and device of its parameter")]
    Gradient {
        /// Its place.
        index: usize,
    },
    /// libtorch refuses.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// libtorch refuses what tch asks of it.
    #[error(transparent)]
    Tch(#[from] TchError),
}

#[cfg(test)]
mod tests;
