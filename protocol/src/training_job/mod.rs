//! What a vault asks of a trainer, and what it gets back. A trainer learns no key, no clinical feature and, when features condition
//! the network, nothing of what the vault keeps of it.
//!
//! ```text
//! vault ── TrainRequest ──> LocalTrainer ── TrainedUpdate ──> vault
//!                               │ the same over a pipe, as frames: [`pipe`]
//!                               └──────> the program `trainer`, which was given a [`DataSet`] at its start
//! ```

mod data_set;
mod heat;
mod patient_values;
pub mod pipe;
mod predict;
mod watcher;

pub use self::{
    data_set::{
        DataSet, DeviceChoice, FilePath, PatientScans, ReadingAccount, ScanPaths, SliceCacheFolder,
        SliceChoice, SplitKind, SplitPlan, UnknownDevice, UnreadableScan,
    },
    heat::{HEAT_SIDE, HeatRequest, HeatedSlice, HeatedSlices, MAX_HEATED_SLICES},
    patient_values::{PatientInputs, PatientValues},
    predict::{
        MAX_PREDICTED_SLICES, PredictRequest, PredictedSlice, PredictedSlices, SlicePicture,
    },
    watcher::{JobProgress, JobWatcher, Unwatched},
};

use crate::{
    codec::{Decode, Encode},
    counters::EvaluationCounters,
    digests::RoundNumber,
    labels::Labels,
    manifest::{Conditioning, ConditioningForm, Manifest},
};

/// What a trainer needs to know of the run. Not the manifest: its `init_seed` gives the initial W, and with W the filters give the
/// clinical features.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct TrainingPlan {
    /// The classes.
    pub labels: Labels,
    /// Whether something is supplied of each patient.
    pub conditioning: Conditioning,
    /// What that is.
    pub form: ConditioningForm,
    /// Passes over the training set.
    pub local_epochs: u32,
    /// Samples of a step.
    pub batch_size: u32,
    /// Of AdamW.
    pub learning_rate: f64,
    /// Of AdamW.
    pub weight_decay: f64,
    /// mu of the proximal term in the loss, mu/2 |w - w_round|^2; 0 for none.
    pub proximal: f64,
}

impl TrainingPlan {
    /// The part of a manifest that concerns the trainer.
    pub fn of(manifest: &Manifest) -> Self {
        Self {
            labels: Labels::of(manifest),
            conditioning: manifest.conditioning,
            form: manifest.conditioning_form,
            local_epochs: manifest.local_epochs,
            batch_size: manifest.batch_size,
            learning_rate: manifest.learning_rate,
            weight_decay: manifest.weight_decay,
            proximal: manifest.strategy.proximal(),
        }
    }
}

/// One round of local training. Holds no key, no clinical feature and nothing of what the vault keeps of the network; nor the hash of the
/// model, which would say whether a guess of W is right.
#[derive(PartialEq, Encode, Decode)]
pub struct TrainRequest {
    /// Number of the round.
    pub round: RoundNumber,
    /// The common model in the order of the layout, without what the vault keeps:
    /// [`CommonModel::for_trainer`](crate::common_model::CommonModel::for_trainer).
    pub model: Vec<f32>,
    /// Of each patient what the run's form of conditioning says: a filter, or shifts of the logits.
    pub inputs: Option<PatientInputs>,
    /// Weight of each class in the loss.
    pub class_weights: Vec<f64>,
    /// Of shuffles and dropout.
    pub seed: [u8; 32],
    /// The run.
    pub plan: TrainingPlan,
}

/// One evaluation of the common model on the validation set.
#[derive(PartialEq, Encode, Decode)]
pub struct EvaluateRequest {
    /// Number of the round, to be handed back.
    pub round: RoundNumber,
    /// As in [`TrainRequest::model`].
    pub model: Vec<f32>,
    /// As in [`TrainRequest::inputs`].
    pub inputs: Option<PatientInputs>,
    /// The run.
    pub plan: TrainingPlan,
}

/// What a training gives.
#[derive(Clone, PartialEq, Encode, Decode)]
pub struct TrainedUpdate {
    /// The trained model, in the form of [`TrainRequest::model`].
    pub model: Vec<f32>,
    /// For each patient, the sum over batches of the loss's gradient by each of its inputs, zero where clipped; empty without inputs.
    pub input_gradients: PatientValues,
    /// Batches done.
    pub batches: u32,
    /// Mean loss of the last epoch's batches.
    pub loss: f64,
}

impl TrainedUpdate {
    /// Whether it can be the answer to a request: as many values, and a gradient for each input.
    pub fn fits(&self, request: &TrainRequest) -> bool {
        let gradients_fit = match &request.inputs {
            Some(inputs) => self.input_gradients.is_shaped_like(inputs),
            None => self.input_gradients.is_empty(),
        };
        self.model.len() == request.model.len() && gradients_fit
    }
}

/// The counts of an evaluation: of one hospital, hence not for a log.
#[derive(Clone, PartialEq, Encode, Decode)]
#[cfg_attr(any(test, feature = "testing"), derive(Debug))]
pub struct EvaluatedCounts {
    /// `confusion[truth][prediction]`, in slices.
    pub confusion: Vec<Vec<u64>>,
    /// Sum of the samples' losses (cross-entropy, natural logarithm).
    pub loss_sum: f64,
}

impl EvaluatedCounts {
    /// Whether it can be the answer to a request: a row and a column for each class.
    pub fn fits(&self, request: &EvaluateRequest) -> bool {
        let classes = request.plan.labels.task.classes();
        let is_row =
            |row: &Vec<u64>| row.len() == classes && row.iter().all(|&slices| slices <= MAX_SLICES);
        self.confusion.len() == classes && self.confusion.iter().all(is_row)
    }

    /// What this hospital puts into the evaluation's sum, with mean loss and steps of its last training.
    pub fn counters(&self, training: (f64, u32)) -> EvaluationCounters {
        EvaluationCounters::of_one(self.confusion.clone(), self.loss_sum, training)
    }
}

/// Slices of a cell: more than any hospital has, and few enough to be added up.
const MAX_SLICES: u64 = u32::MAX as u64;

/// Why a trainer has not done its job, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TrainerFailure(pub String);

impl TrainerFailure {
    /// For whoever is to read it, only the words of `error` count.
    pub fn from_error(error: impl std::error::Error) -> Self {
        Self(error.to_string())
    }
}

/// Whoever trains for a vault: in this process, or a program of its own.
pub trait LocalTrainer: Send {
    /// Trains one round; `watcher` is told how far it is.
    ///
    /// # Errors
    /// [`TrainerFailure`].
    fn train(
        &mut self,
        request: TrainRequest,
        watcher: &mut dyn JobWatcher,
    ) -> Result<TrainedUpdate, TrainerFailure>;

    /// Evaluates the common model on the validation set; `watcher` is told how far it is.
    ///
    /// # Errors
    /// [`TrainerFailure`].
    fn evaluate(
        &mut self,
        request: EvaluateRequest,
        watcher: &mut dyn JobWatcher,
    ) -> Result<EvaluatedCounts, TrainerFailure>;

    /// Looks where the common model looks in some of the validation slices, for people here. What is trained and evaluated afterwards
    /// is as if it had not. A trainer without a network has no pictures.
    ///
    /// # Errors
    /// [`TrainerFailure`].
    fn heat(
        &mut self,
        _request: HeatRequest,
        _watcher: &mut dyn JobWatcher,
    ) -> Result<HeatedSlices, TrainerFailure> {
        Ok(HeatedSlices::default())
    }

    /// Applies a kept model to the slices of one patient of the list. Only a trainer that was given scans without scores does.
    ///
    /// # Errors
    /// [`TrainerFailure`].
    fn predict(
        &mut self,
        _request: PredictRequest,
        _watcher: &mut dyn JobWatcher,
    ) -> Result<PredictedSlices, TrainerFailure> {
        Err(TrainerFailure("this trainer makes no predictions".into()))
    }
}
