//! What the trainer is asked for, and what it hands back. It learns no key, no clinical feature and, when filters are used, no W.

use protocol::{
    counters::EvaluationCounters,
    digests::{ModelHash, RoundNumber},
    manifest::{Conditioning, Manifest},
};

use super::conditioning::Filter;
use crate::hospital_data::Labels;

/// What a trainer needs to know of the run. Not the manifest: its `init_seed` gives the initial W, and with W the filters give the
/// clinical features.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingPlan {
    /// The classes.
    pub labels: Labels,
    /// Whether filters are supplied.
    pub conditioning: Conditioning,
    /// Passes over the training set.
    pub local_epochs: u32,
    /// Samples of a step.
    pub batch_size: u32,
    /// Of AdamW.
    pub learning_rate: f64,
    /// Of AdamW.
    pub weight_decay: f64,
}

impl TrainingPlan {
    /// The part of a manifest that concerns the trainer.
    pub fn of(manifest: &Manifest) -> Self {
        Self {
            labels: Labels::of(manifest),
            conditioning: manifest.conditioning,
            local_epochs: manifest.local_epochs,
            batch_size: manifest.batch_size,
            learning_rate: manifest.learning_rate,
            weight_decay: manifest.weight_decay,
        }
    }
}

/// One round of local training. Holds no key, no clinical feature and, when filters are used, no W.
pub struct TrainRequest {
    /// Number of the round.
    pub round: RoundNumber,
    /// The common model, to be handed back.
    pub model_hash: ModelHash,
    /// The common model in the order of the layout, without W when `filters` are given.
    pub model: Vec<f32>,
    /// One filter a patient.
    pub filters: Option<Vec<Filter>>,
    /// Weight of each class in the loss.
    pub class_weights: Vec<f64>,
    /// Of shuffles and dropout.
    pub seed: [u8; 32],
    /// The run.
    pub plan: TrainingPlan,
}

/// One evaluation of the common model on the validation set.
pub struct EvaluateRequest {
    /// Number of the round, to be handed back.
    pub round: RoundNumber,
    /// As in [`TrainRequest::model`].
    pub model: Vec<f32>,
    /// As in [`TrainRequest::filters`].
    pub filters: Option<Vec<Filter>>,
    /// The run.
    pub plan: TrainingPlan,
}

/// What the trainer hands back.
#[derive(Clone)]
pub struct TrainedUpdate {
    /// The trained model, in the form of [`TrainRequest::model`].
    pub model: Vec<f32>,
    /// Per patient, the sum over batches of dL/dF, zero where clipped; empty without filters.
    pub filter_gradients: Vec<Filter>,
    /// Batches done.
    pub batches: u32,
    /// Mean loss of the last epoch's batches.
    pub loss: f64,
}

/// The counts of an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluatedCounts {
    /// `confusion[truth][prediction]`.
    pub confusion: Vec<Vec<u64>>,
    /// Sum of the samples' losses.
    pub loss_sum: f64,
}

impl EvaluatedCounts {
    /// What this hospital puts into the evaluation's sum, with mean loss and steps of its last training.
    pub fn counters(&self, training: (f64, u32)) -> EvaluationCounters {
        EvaluationCounters::of_one(self.confusion.clone(), self.loss_sum, training)
    }
}
