//! The hybrid CNN of the study and its training: the only crate that sees libtorch. Scans and patients come from `model_data`.
//!
//! ```text
//!   MS60 folder                                         one hospital's round
//!   NIfTI + xlsx ──> Cohort ──> split ──> Dataset ──> Trainer ──> model, filter gradients
//!   (or a phantom)     │                                 ▲
//!                      └─ features, labels               └─ common model, clipped filters
//! ```
//!
//! What it does not do: it holds no key, opens no socket and never sees a clinical vector while it
//! trains. It is handed the finished filter of each patient and gives back the gradient of that
//! filter. In a federation it does not see W, the base weight of the conditioned convolution,
//! either; at a single site W is among the weights that it trains.
//!
//! - [`balance`]: a training set with its classes made equally large.
//! - [`network`]: the layers, and the order of their values in a flat vector.
//! - [`train`]: one hospital's part of a round, training at a single site, and evaluation.
//! - [`grad_cam`]: where in a slice the evidence for a class lies.
//! - [`metrics`]: what is reported of predictions, by slice and by patient.
//! - [`device`]: CPU or CUDA.
//! - [`end_process`]: the way out while libtorch may still compute.
//! - [`keep_freed_memory`]: for programs that train.
#![forbid(unsafe_code)]

pub mod balance;
pub mod device;
pub mod grad_cam;
pub mod network;
#[cfg(test)]
mod script_inputs;
pub mod train;

/// What is reported of predictions, which needs no libtorch.
pub use model_metrics as metrics;
pub use torch_ffi::{end_process, keep_freed_memory};
