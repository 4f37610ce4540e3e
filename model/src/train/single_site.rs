//! The `study` pipeline: training at one site, from start to end, with W among the weights.
//!
//! ```text
//!  W now in force ──> filters of the batch's patients ──> forward, backward ──> AdamW
//!       ▲             (a FilterSource: CKKS, the clear)      │ dL/dF of each patient │
//!       └──────────── dL/dW = sum of f * dL/dF * [|F| < 1] <─┘                       │
//!       └────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! The variants share every line but the source of the filters; without one, W is the filter of
//! everybody and its gradient is autograd's (the study's plaintext network).

use std::{error::Error, num::NonZeroUsize};

use rand::seq::SliceRandom;
use tch::Tensor;

use super::{
    Dataset, Evaluation, Filter, TrainError, Training, TrainingSettings,
    dataset::filter_table,
    optimiser::Gradients,
    plateau::{EarlyStop, Plateau, PlateauWatch, Verdict},
    trainer::{Stream, Trainer, finite, single_threaded, stream},
    training::masked,
};
use crate::{
    grad_cam::HeatMap,
    network::{Conditioning, Mode},
};
use model_data::FEATURES;

/// Who makes the filters of a batch from W, and gives W its gradient: whoever has the clinical
/// features.
pub trait FilterSource {
    /// The filters that `weight` means for these patients, in their order: clip(W * f) to [-1, 1].
    ///
    /// # Errors
    /// What went wrong; the message ends up in [`TrainError::FilterSource`].
    fn filters(
        &mut self,
        weight: &Filter,
        patients: &[usize],
    ) -> Result<Vec<Filter>, Box<dyn Error + Send + Sync>>;

    /// dL/dW, given dL/dF of each of these patients, already 0 where a filter lies on the clip.
    fn weight_gradient(&self, patients: &[usize], filter_gradients: &[Filter]) -> Filter;
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
    /// Before each batch `source` makes the filters of the batch's patients from the W now in
    /// force; after it, W moves by AdamW like every other weight. Without a source nothing is
    /// conditioned. `progress` is told (batches done, batches in all) after each batch.
    ///
    /// # Errors
    /// An architecture without W, a model, class weights or labels that do not fit it; a setting
    /// out of range; a source that fails or gives filters outside [-1, 1]; a loss that is not
    /// finite, which names the epoch and the batch; too little memory.
    pub fn fit(
        &mut self,
        training: &Dataset,
        validation: &Dataset,
        initial: &[f32],
        mut source: Option<&mut dyn FilterSource>,
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
        mut source: Option<&mut (dyn FilterSource + '_)>,
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
                let filters = conditioned.as_ref().map(|made| &made.table);
                let samples = training.batch(indices, self.device)?;
                let (loss, mut gradients) = steps.gradients(&samples, filters)?;
                if let (Some(made), Some(source)) = (conditioned, source.as_deref()) {
                    self.give_weight_its_gradient(&mut gradients, &made, source)?;
                }
                steps.apply(&gradients)?;
                epoch_loss += finite(loss.f_double_value(&[])?, epoch, batch + 1)?;
                progress((epoch - 1) * batches + batch + 1, total);
            }
            let everything: Vec<usize> = (0..validation.len()).collect();
            let conditioned = self.conditioned(validation, &everything, source.as_deref_mut())?;
            let filters = conditioned.as_ref().map(|made| &made.table);
            let evaluation = self.evaluate_loaded(validation, filters)?;
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

    /// Evaluates a model of [`Trainer::fit`], with filters from the W it holds.
    ///
    /// # Errors
    /// As [`Trainer::fit`].
    pub fn evaluate_fit(
        &mut self,
        dataset: &Dataset,
        model: &[f32],
        source: Option<&mut dyn FilterSource>,
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
        source: Option<&mut dyn FilterSource>,
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

    /// [`Trainer::grad_cam`] under a model of [`Trainer::fit`], with filters from the W it holds.
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
        source: Option<&mut dyn FilterSource>,
    ) -> Result<Vec<HeatMap>, TrainError> {
        single_threaded();
        self.check_single_site(dataset)?;
        self.network.load(model)?;
        let samples: Vec<usize> = asked.iter().map(|&(sample, _)| sample).collect();
        let conditioned = self.conditioned(dataset, &samples, source)?;
        let table = conditioned.as_ref().map(|made| &made.table);
        self.grad_cam_loaded(dataset, asked, table)
    }

    /// Filters for the patients of some samples, made from the W now in force.
    fn conditioned(
        &self,
        dataset: &Dataset,
        samples: &[usize],
        source: Option<&mut (dyn FilterSource + '_)>,
    ) -> Result<Option<ConditionedBatch>, TrainError> {
        let Some(source) = source else {
            return Ok(None);
        };
        let of_samples = samples.iter().map(|&sample| dataset.patients()[sample]);
        let mut patients: Vec<usize> = of_samples.collect();
        patients.sort_unstable();
        patients.dedup();
        let made = source.filters(&self.weight(), &patients).map_err(|error| {
            TrainError::FilterSource {
                reason: error.to_string(),
            }
        })?;
        if made.len() != patients.len() {
            return Err(TrainError::Filters {
                needed: patients.len(),
                found: made.len(),
            });
        }
        let mut rows = vec![[0.0; FEATURES]; dataset.highest_patient() + 1];
        for (&patient, filter) in patients.iter().zip(made) {
            if !filter.iter().all(|tap| (-1.0..=1.0).contains(tap)) {
                return Err(TrainError::FilterRange { patient });
            }
            rows[patient] = filter;
        }
        let table = filter_table(&rows, self.device)?.f_set_requires_grad(true)?;
        Ok(Some(ConditionedBatch { patients, table }))
    }

    /// Puts dL/dW among the gradients. Autograd has not reached W, as the filters came from
    /// elsewhere.
    fn give_weight_its_gradient(
        &self,
        gradients: &mut Gradients,
        made: &ConditionedBatch,
        source: &dyn FilterSource,
    ) -> Result<(), TrainError> {
        let of_table = gradients.filters.as_ref();
        let of_everybody = masked(of_table.expect("the loss came from the table"), &made.table);
        let of_patients = made.patients.iter().map(|&patient| of_everybody[patient]);
        let of_patients: Vec<Filter> = of_patients.collect();
        let gradient = source.weight_gradient(&made.patients, &of_patients);
        let (place, weight) = self.weight_in_place();
        gradients.weights[place] = filter_table(&[gradient], self.device)?.f_view_as(weight)?;
        Ok(())
    }

    /// The W now in force.
    fn weight(&self) -> Filter {
        let mut weight = [0.0; FEATURES];
        let (_, tensor) = self.weight_in_place();
        tensor
            .to_device(tch::Device::Cpu)
            .copy_data(&mut weight, FEATURES);
        weight
    }

    /// W and its place among the weights.
    fn weight_in_place(&self) -> (usize, &Tensor) {
        let weight = self.network.conditioned_weight();
        weight.expect("checked before the first batch")
    }

    fn check_single_site(&self, dataset: &Dataset) -> Result<(), TrainError> {
        if self.architecture().conditioning != Conditioning::Free {
            let setting = "conditioning";
            return Err(TrainError::Settings { setting });
        }
        self.check(dataset, None)
    }
}

/// The filters of a batch: a row for each patient of the data set, of which only those of the
/// batch's patients mean something.
struct ConditionedBatch {
    /// Whose rows mean something, each once, ascending.
    patients: Vec<usize>,
    /// [P, 9], a leaf of the graph.
    table: Tensor,
}

#[cfg(test)]
mod tests;
