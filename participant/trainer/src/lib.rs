//! The trainer: a hospital's scans and the network. It holds no key, no clinical feature and no socket.
//!
//! [`CnnTrainer`] does the work wherever it runs. In production that is the program `trainer`, a child of `participant`, which
//! speaks [`protocol::training_job::pipe`] over its standard streams; a simulation hosts its trainers itself.
//!
//! | module | what |
//! |---|---|
//! | [`cnn`] | local training and evaluation with libtorch |
//! | `heat`, [`shown_slices`] | where the common model looks in some slices, for people here, and in which |
//! | [`Predictor`] | a kept model on scans without scores |
//! | [`image_set`] | the scans, their labels and their split |
//! | [`serve`] | jobs over a pipe, one after another |
//! | [`confinement`] | what the kernel still lets this process do |
#![forbid(unsafe_code)]

pub mod cnn;
pub mod confinement;
mod grey;
mod heat;
pub mod image_set;
mod predictor;
pub mod serve;
pub mod shown_slices;

pub use self::{cnn::CnnTrainer, image_set::ImageSet, predictor::Predictor};
