//! A kept model applied to scans whose class nobody has told.
//!
//! ```text
//! model file, card ──> KeptModel ──┬─ W ──> Conditions: filters, flags ──┐
//! transcript, roster ──> checked   └─ the rest of the weights ───────────┴──> trainer ──> predictions of each patient
//! clinical table ────────────────────────────┘
//! ```
//!
//! W and the clinical features both belong to this hospital's vault, so their product is computed here, with the rounding and clipping of
//! every release: an encrypted product of the same two is released as the same numbers. Nothing leaves this machine.

mod alone;
mod conditions;
mod kept_model;
mod model_place;
mod patients;

pub use self::{
    alone::{AloneSettings, train_alone},
    conditions::Conditions,
    kept_model::{KeptModel, KeptModelError, Provenance, Witnesses},
    model_place::ModelPlace,
    patients::{Asked, predict},
};
