//! The `study` pipeline: training at one site, from start to end, with W among the weights.
//!
//! ```text
//!  W now in force ──> filters of the batch's patients ──> forward, backward ──> AdamW
//!       ▲             (an InputSource: CKKS, plaintext)      │ dL/dF of each patient │
//!       └──────────── dL/dW = sum of f * dL/dF * [|F| < 1] <─┘                       │
//!       └────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! In the other forms of conditioning W and A, or u, stand in the place of W, and shifts of the logits in
//! that of filters. The variants share every line but the source; without one, W is the filter of
//! everybody and its gradient is autograd's (the study's plaintext network).

use std::{error::Error, num::NonZeroUsize};

use rand::seq::SliceRandom;
use tch::Tensor;

use protocol::training_job::PatientValues;

use super::{
    Dataset, Evaluation, TrainError, Training, TrainingSettings,
    dataset::patient_table,
    optimiser::Gradients,
    plateau::{EarlyStop, Plateau, PlateauWatch, Verdict},
    trainer::{Stream, Trainer, check_inputs, finite, single_threaded, stream},
    training::masked,
};
use crate::{
    grad_cam::HeatMap,
    network::{Conditioning, Mode},
};

/// Who makes the filters or shifts of a batch from the weights that meet clinical features, and gives these
/// weights their gradient: whoever has the features.
pub trait InputSource {
    /// What `weights` mean for these patients, in their order: in the form `study` the filters clip(W * f).
    /// `weights` are those of [`ConditioningForm::tensors`](protocol::vocabulary::ConditioningForm::tensors),
    /// one tensor after another.
    ///
    /// # Errors
    /// What went wrong; the message ends up in [`TrainError::InputSource`].
    fn inputs(
        &mut self,
        weights: &[f32],
        patients: &[usize],
    ) -> Result<PatientValues, Box<dyn Error + Send + Sync>>;

    /// The gradient of the weights, in their order, given that of each of these patients' inputs, already 0
    /// where one lies on the clip.
    fn gradient(&self, patients: &[usize], input_gradients: &PatientValues) -> Vec<f32>;
}

/// How a single site trains.
#[derive(Clone, Debug, PartialEq)]
pub struct FitSettings {
    /// Of every batch; `local_epochs` is the most epochs there are.
    pub training: TrainingSettings,
    /// What the training loss does to the learning rate.
    pub plateau: Plateau,
    /// Epochs in a row without a lower validation loss that end the training.
    pub early_stop: NonZeroUsize,
}

/// One epoch of [`Trainer::fit`].
#[derive(Clone, Debug, PartialEq)]
pub struct EpochRecord {
    /// Learning rate it was trained with.
    pub learning_rate: f64,
    /// Mean of the batches' losses.
    pub train_loss: f64,
    /// Class-weighted loss on the validation set: what is kept and when it ends goes by this.
    pub validation_loss: f64,
    /// `confusion[truth][prediction]` on the validation set.
    pub validation_confusion: Vec<Vec<u64>>,
}

/// What training at a single site gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// The tensors of the best epoch, W among them, flat, in the order of the layout.
    pub model: Vec<f32>,
    /// The best epoch, from 1.
    pub best_epoch: usize,
    /// Whether patience ended before the epochs did.
    pub stopped_early: bool,
    /// Every epoch, in order.
    pub epochs: Vec<EpochRecord>,
}

impl Trainer {
    /// Trains from `initial` until the epochs or the patience are at their end, and keeps the
    /// model of the lowest validation loss.
    ///
    /// Before each batch `source` makes what the form gives of the batch's patients from the W now in
    /// force; after it, W moves by AdamW like every other weight. Without a source nothing is
    /// conditioned. `progress` is told (batches done, batches in all) after each batch.
    ///
    /// # Errors
    /// An architecture without W, a model, class weights or labels that do not fit it; a setting
    /// out of range; a source that fails or gives values beyond the form's limit; a loss that is not
    /// finite, which names the epoch and the batch; too little memory.
    pub fn fit(
        &mut self,
        training: &Dataset,
        validation: &Dataset,
        initial: &[f32],
        mut source: Option<&mut dyn InputSource>,
        settings: &FitSettings,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Fit, TrainError> {
        single_threaded();
        let FitSettings { training: own, .. } = settings;
        self.check_single_site(training)?;
        self.check_single_site(validation)?;
        own.check(self.architecture().classes)?;
        self.in_memory(own.batch.min(training.len()), |trainer, batch| {
            let mut settings = settings.clone();
            settings.training.batch = batch;
            trainer.network.load(initial)?;
            let source = source.as_deref_mut();
            trainer.fit_loaded(training, validation, source, &settings, progress)
        })
    }

    /// Trains the tensors that the network holds.
    fn fit_loaded(
        &self,
        training: &Dataset,
        validation: &Dataset,
        mut source: Option<&mut (dyn InputSource + '_)>,
        settings: &FitSettings,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Fit, TrainError> {
        let FitSettings { training: own, .. } = settings;
        let mut steps = Training::new(self, training, None, own)?;
        let mut shuffles = stream(&own.seed, Stream::Shuffles);
        let mut plateau = PlateauWatch::new(settings.plateau);
        let mut early_stop = EarlyStop::new(settings.early_stop);
        let mut learning_rate = own.learning_rate;
        let mut order: Vec<usize> = (0..training.len()).collect();
        let batches = order.len().div_ceil(own.batch);
        let total = batches.saturating_mul(own.local_epochs);
        let mut fit = Fit {
            model: vec![],
            best_epoch: 0,
            stopped_early: false,
            epochs: vec![],
        };
        for epoch in 1..=own.local_epochs {
            order.shuffle(&mut shuffles);
            let mut epoch_loss = 0.0;
            for (batch, indices) in order.chunks(own.batch).enumerate() {
                let conditioned = self.conditioned(training, indices, source.as_deref_mut())?;
                let table = conditioned.as_ref().map(|made| &made.table);
                let samples = training.batch(indices, self.device)?;
                let (loss, mut gradients) = steps.gradients(&samples, table)?;
                if let (Some(made), Some(source)) = (conditioned, source.as_deref()) {
                    self.give_weights_their_gradient(&mut gradients, &made, source)?;
                }
                steps.apply(&gradients)?;
                epoch_loss += finite(loss.f_double_value(&[])?, epoch, batch + 1)?;
                progress((epoch - 1) * batches + batch + 1, total);
            }
            let everything: Vec<usize> = (0..validation.len()).collect();
            let conditioned = self.conditioned(validation, &everything, source.as_deref_mut())?;
            let table = conditioned.as_ref().map(|made| &made.table);
            let evaluation = self.evaluate_loaded(validation, table)?;
            let validation_loss = evaluation.weighted_loss(&own.class_weights);
            let train_loss = epoch_loss / batches as f64;
            fit.epochs.push(EpochRecord {
                learning_rate,
                train_loss,
                validation_loss,
                validation_confusion: evaluation.confusion,
            });
            match early_stop.after(validation_loss) {
                Verdict::Best => {
                    fit.model = self.network.flatten();
                    fit.best_epoch = epoch;
                }
                Verdict::Continue => (),
                Verdict::Stop => {
                    fit.stopped_early = epoch < own.local_epochs;
                    break;
                }
            }
            learning_rate = plateau.rate_after(train_loss, learning_rate);
            steps.set_learning_rate(learning_rate);
        }
        Ok(fit)
    }

    /// Evaluates a model of [`Trainer::fit`], with filters or shifts from the W it holds.
    ///
    /// # Errors
    /// As [`Trainer::fit`].
    pub fn evaluate_fit(
        &mut self,
        dataset: &Dataset,
        model: &[f32],
        source: Option<&mut dyn InputSource>,
    ) -> Result<Evaluation, TrainError> {
        single_threaded();
        self.check_single_site(dataset)?;
        self.network.load(model)?;
        let everything: Vec<usize> = (0..dataset.len()).collect();
        let conditioned = self.conditioned(dataset, &everything, source)?;
        self.evaluate_loaded(dataset, conditioned.as_ref().map(|made| &made.table))
    }

    /// Logits of every sample under a model of [`Trainer::fit`], as [`Trainer::evaluate_fit`] has
    /// them before the softmax.
    ///
    /// # Errors
    /// As [`Trainer::fit`].
    pub fn logits_of_fit(
        &mut self,
        dataset: &Dataset,
        model: &[f32],
        source: Option<&mut dyn InputSource>,
    ) -> Result<Vec<Vec<f32>>, TrainError> {
        single_threaded();
        self.check_single_site(dataset)?;
        self.network.load(model)?;
        let everything: Vec<usize> = (0..dataset.len()).collect();
        let conditioned = self.conditioned(dataset, &everything, source)?;
        let table = conditioned.as_ref().map(|made| &made.table);
        let mut logits = Vec::with_capacity(dataset.len());
        for indices in everything.chunks(self.evaluation_batch()) {
            let samples = dataset.batch(indices, self.device)?;
            let of_batch = tch::no_grad(|| self.logits(&samples, table, &Mode::Evaluation))?;
            logits.extend(Vec::<Vec<f32>>::try_from(&of_batch)?);
        }
        Ok(logits)
    }

    /// [`Trainer::grad_cam`] under a model of [`Trainer::fit`], with filters or shifts from the W it holds.
    ///
    /// # Errors
    /// As [`Trainer::fit`], and a class that there is not.
    ///
    /// # Panics
    /// If the data set has no such sample.
    pub fn grad_cam_of_fit(
        &mut self,
        dataset: &Dataset,
        asked: &[(usize, usize)],
        model: &[f32],
        source: Option<&mut dyn InputSource>,
    ) -> Result<Vec<HeatMap>, TrainError> {
        single_threaded();
        self.check_single_site(dataset)?;
        self.network.load(model)?;
        let samples: Vec<usize> = asked.iter().map(|&(sample, _)| sample).collect();
        let conditioned = self.conditioned(dataset, &samples, source)?;
        let table = conditioned.as_ref().map(|made| &made.table);
        self.grad_cam_loaded(dataset, asked, table)
    }

    /// What the form gives of the patients of some samples, made from the W now in force.
    fn conditioned(
        &self,
        dataset: &Dataset,
        samples: &[usize],
        source: Option<&mut (dyn InputSource + '_)>,
    ) -> Result<Option<ConditionedBatch>, TrainError> {
        let Some(source) = source else {
            return Ok(None);
        };
        let of_samples = samples.iter().map(|&sample| dataset.patients()[sample]);
        let mut patients: Vec<usize> = of_samples.collect();
        patients.sort_unstable();
        patients.dedup();
        let made = source
            .inputs(&self.weights_in_force(), &patients)
            .map_err(|error| TrainError::InputSource {
                reason: error.to_string(),
            })?;
        if made.len() != patients.len() {
            return Err(TrainError::Inputs {
                needed: patients.len(),
                found: made.len(),
            });
        }
        let width = made.per_patient();
        let mut rows = vec![0.0; width * (dataset.highest_patient() + 1)];
        for (&patient, row) in patients.iter().zip(made.rows()) {
            rows[patient * width..][..width].copy_from_slice(row);
        }
        let rows = PatientValues::new(width, rows);
        let architecture = self.architecture();
        check_inputs(&rows, architecture.form, architecture.classes)?;
        let table = patient_table(&rows, self.device)?.f_set_requires_grad(true)?;
        Ok(Some(ConditionedBatch { patients, table }))
    }

    /// Puts the gradient of what meets features among the gradients. Autograd has not reached it, as what
    /// is given of each patient came from elsewhere.
    fn give_weights_their_gradient(
        &self,
        gradients: &mut Gradients,
        made: &ConditionedBatch,
        source: &dyn InputSource,
    ) -> Result<(), TrainError> {
        let of_table = gradients.inputs.as_ref();
        let of_table = of_table.expect("the loss came from the table");
        let of_everybody = masked(of_table, &made.table, self.architecture().form.limit());
        let rows = made.patients.iter();
        let rows = rows.filter_map(|&patient| of_everybody.row(patient));
        let of_patients = PatientValues::new(
            of_everybody.per_patient(),
            rows.flatten().copied().collect(),
        );
        let gradient = source.gradient(&made.patients, &of_patients);
        let mut rest = gradient.as_slice();
        for (place, weight) in self.network.meeting_features() {
            let (own, after) = rest.split_at(weight.numel());
            rest = after;
            let own = Tensor::from_slice(own).f_to(self.device.0)?;
            gradients.weights[place] = own.f_view_as(weight)?;
        }
        Ok(())
    }

    /// The weights that meet features, as they are now: one tensor after another.
    fn weights_in_force(&self) -> Vec<f32> {
        let mut weights = vec![];
        for (_, tensor) in self.network.meeting_features() {
            let start = weights.len();
            weights.resize(start + tensor.numel(), 0.0);
            tensor
                .to_device(tch::Device::Cpu)
                .copy_data(&mut weights[start..], tensor.numel());
        }
        weights
    }

    fn check_single_site(&self, dataset: &Dataset) -> Result<(), TrainError> {
        if self.architecture().conditioning != Conditioning::Free {
            let setting = "conditioning";
            return Err(TrainError::Settings { setting });
        }
        self.check(dataset, None)
    }
}

/// What is given of each patient in a batch: a row for each patient of the data set, of which only those of
/// the batch's patients mean something.
struct ConditionedBatch {
    /// Whose rows mean something, each once, ascending.
    patients: Vec<usize>,
    /// [P, V], a leaf of the graph.
    table: Tensor,
}

#[cfg(test)]
mod tests;
