//! Local epochs with AdamW, and the gradient of every patient's filter.

use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha20Rng;
use tch::{Kind, Reduction, Tensor};

use super::{
    Dataset, Evaluation, TrainError, TrainingSettings,
    dataset::{Batch, filter_table},
};
use crate::{
    data::FEATURES,
    device::Device,
    grad_cam::{HeatMap, heat},
    network::{Architecture, Conditioning, DENSE, DROPOUT, Mode, Network},
};

/// A finished filter of the conditioned convolution: 3x3, row by row, clipped to [-1, 1].
///
/// As confidential as the clinical features it was made from.
pub type Filter = [f32; FEATURES];

/// Samples evaluated at a time.
pub(super) const EVALUATION_BATCH: usize = 64;

/// What a round's training gives.
#[derive(Clone, PartialEq)]
pub struct TrainOutcome {
    /// The trained tensors, flat, in the order of the layout.
    pub model: Vec<f32>,
    /// For each patient, the sum over batches of dL/dF, zero where the filter lies on the clip
    /// (|F| = 1); with the features of its patient each makes a part of dL/dW (MODEL.md, "The
    /// network"). Empty when nothing is conditioned.
    pub filter_gradients: Vec<Filter>,
    /// Batches done.
    pub batches: u32,
    /// Mean of the batches' losses over the last epoch.
    pub train_loss: f64,
}

/// Trains and evaluates one network on one device.
///
/// libtorch computes on one thread, so results do not depend on how many there are; hospitals of
/// one process train side by side on threads of their own. Randomness comes from the settings'
/// seed, never from libtorch's generator, which all of a process share.
pub struct Trainer {
    pub(super) network: Network,
    pub(super) device: Device,
}

impl Trainer {
    /// A trainer for a network of this architecture.
    pub fn new(architecture: Architecture, device: Device) -> Self {
        single_threaded();
        Self {
            network: Network::new(architecture, device),
            device,
        }
    }

    /// The network's architecture.
    pub fn architecture(&self) -> Architecture {
        self.network.architecture()
    }

    /// Trains `settings.local_epochs` epochs from `model`, with a fresh optimiser.
    ///
    /// `filters` has one filter per patient of the hospital, in the order of the patients that
    /// the data set was made from; `None` for an architecture without conditioning.
    /// `progress` is told (batches done, batches in all) after each batch.
    ///
    /// # Errors
    /// A model, filters, class weights or labels that do not fit the architecture; a setting out
    /// of range; a loss that is not finite, which names the epoch and the batch.
    pub fn train_round(
        &mut self,
        dataset: &Dataset,
        model: &[f32],
        filters: Option<&[Filter]>,
        settings: &TrainingSettings,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<TrainOutcome, TrainError> {
        single_threaded();
        self.check(dataset, filters)?;
        settings.check(self.architecture().classes)?;
        self.network.load(model)?;
        let mut optimiser = settings.optimiser(self.network.variables());
        let class_weights = settings.class_weights_on(self.device);
        let table = |filters: &[Filter]| filter_table(filters, self.device);
        let filters = filters.map(|filters| table(filters).set_requires_grad(true));
        let mut shuffles = stream(&settings.seed, Stream::Shuffles);
        let mut masks = stream(&settings.seed, Stream::DropoutMasks);
        let mut order: Vec<usize> = (0..dataset.len()).collect();
        let batches = order.len().div_ceil(settings.batch);
        let total = batches.saturating_mul(settings.local_epochs);
        let setting = "local_epochs";
        let steps = u32::try_from(total).map_err(|_| TrainError::Settings { setting })?;
        let mut epoch_loss = 0.0;
        for epoch in 0..settings.local_epochs {
            order.shuffle(&mut shuffles);
            epoch_loss = 0.0;
            for (batch, indices) in order.chunks(settings.batch).enumerate() {
                let samples = dataset.batch(indices, self.device);
                let loss = self.loss(&samples, filters.as_ref(), &class_weights, &mut masks);
                epoch_loss += finite(&loss, epoch + 1, batch + 1)?;
                optimiser.backward_step(&loss);
                progress(epoch * batches + batch + 1, total);
            }
        }
        Ok(TrainOutcome {
            model: self.network.flatten(),
            filter_gradients: filters.as_ref().map(masked_gradients).unwrap_or_default(),
            batches: steps,
            train_loss: epoch_loss / batches as f64,
        })
    }

    /// Evaluates `model` on a data set, without dropout and with the running statistics.
    ///
    /// # Errors
    /// A model or filters that do not fit the architecture; a loss that is not finite.
    pub fn evaluate(
        &mut self,
        dataset: &Dataset,
        model: &[f32],
        filters: Option<&[Filter]>,
    ) -> Result<Evaluation, TrainError> {
        single_threaded();
        self.check(dataset, filters)?;
        self.network.load(model)?;
        let filters = filters.map(|filters| filter_table(filters, self.device));
        self.evaluate_loaded(dataset, filters.as_ref())
    }

    /// Evaluates the tensors that the network holds.
    pub(super) fn evaluate_loaded(
        &self,
        dataset: &Dataset,
        filters: Option<&Tensor>,
    ) -> Result<Evaluation, TrainError> {
        let classes = self.architecture().classes;
        let mut evaluation = Evaluation::empty(classes);
        let order: Vec<usize> = (0..dataset.len()).collect();
        for (batch, indices) in order.chunks(EVALUATION_BATCH).enumerate() {
            let samples = dataset.batch(indices, self.device);
            let logits = tch::no_grad(|| self.logits(&samples, filters, &Mode::Evaluation));
            let logs = logits.log_softmax(-1, Kind::Double);
            let logs = Vec::<Vec<f64>>::try_from(&logs).expect("a matrix of doubles");
            let labels = indices.iter().map(|&index| dataset.label(index));
            for (log_probabilities, label) in logs.iter().zip(labels) {
                evaluation.add(log_probabilities, label);
            }
            if !evaluation.loss_sum.is_finite() {
                return Err(TrainError::NonFiniteLoss {
                    epoch: 0,
                    batch: batch + 1,
                });
            }
        }
        Ok(evaluation)
    }

    /// Grad-CAM heat maps of `model`: for each (index of a sample in the data set, class), where
    /// the evidence for that class lies in that slice.
    ///
    /// # Errors
    /// A model, filters or a class that do not fit the architecture.
    ///
    /// # Panics
    /// If the data set has no such sample.
    pub fn grad_cam(
        &mut self,
        dataset: &Dataset,
        asked: &[(usize, usize)],
        model: &[f32],
        filters: Option<&[Filter]>,
    ) -> Result<Vec<HeatMap>, TrainError> {
        single_threaded();
        self.check(dataset, filters)?;
        let classes = self.architecture().classes;
        if let Some(&(_, class)) = asked.iter().find(|(_, class)| *class >= classes) {
            return Err(TrainError::Class { class, classes });
        }
        self.network.load(model)?;
        let filters = filters.map(|filters| filter_table(filters, self.device));
        let mut maps = Vec::with_capacity(asked.len());
        for some in asked.chunks(EVALUATION_BATCH) {
            let (indices, classes): (Vec<usize>, Vec<i64>) = some
                .iter()
                .map(|&(index, class)| (index, class as i64))
                .unzip();
            let samples = dataset.batch(&indices, self.device);
            let of_samples = filters
                .as_ref()
                .map(|table| table.index_select(0, &samples.patients));
            let classes = Tensor::from_slice(&classes).to_device(self.device.0);
            let heat = heat(
                &self.network,
                &samples.images,
                of_samples.as_ref(),
                &classes,
            );
            maps.extend(HeatMap::each_of(&heat));
        }
        Ok(maps)
    }

    /// Loss of a training batch; `filters` is the table of all patients.
    pub(super) fn loss(
        &self,
        samples: &Batch,
        filters: Option<&Tensor>,
        class_weights: &Tensor,
        masks: &mut ChaCha20Rng,
    ) -> Tensor {
        let batch = samples.labels.numel();
        let dropout_mask = &dropout_mask(batch, masks).to_device(self.device.0);
        let logits = self.logits(samples, filters, &Mode::Training { dropout_mask });
        weighted_loss(&logits, &samples.labels, class_weights)
    }

    /// Logits [B, classes]; `filters` is the table of all patients.
    pub(super) fn logits(
        &self,
        samples: &Batch,
        filters: Option<&Tensor>,
        mode: &Mode<'_>,
    ) -> Tensor {
        let filters = filters.map(|table| table.index_select(0, &samples.patients));
        self.network
            .forward(&samples.images, filters.as_ref(), mode)
    }

    pub(super) fn check(
        &self,
        dataset: &Dataset,
        filters: Option<&[Filter]>,
    ) -> Result<(), TrainError> {
        let Architecture {
            classes,
            conditioning,
        } = self.architecture();
        let class = dataset.highest_label();
        if class >= classes {
            return Err(TrainError::Class { class, classes });
        }
        let needed = match conditioning {
            Conditioning::Filters => dataset.highest_patient() + 1,
            Conditioning::Free => 0,
        };
        match (conditioning, filters) {
            (Conditioning::Free, None) => Ok(()),
            (Conditioning::Filters, Some(filters)) if filters.len() >= needed => {
                let within = |value: &f32| (-1.0..=1.0).contains(value);
                match filters.iter().position(|filter| !filter.iter().all(within)) {
                    Some(patient) => Err(TrainError::FilterRange { patient }),
                    None => Ok(()),
                }
            }
            _ => Err(TrainError::Filters {
                needed,
                found: filters.map_or(0, <[_]>::len),
            }),
        }
    }
}

/// Cross-entropy of a batch: weighted by class and divided by the sum of the weights.
pub(super) fn weighted_loss(logits: &Tensor, labels: &Tensor, class_weights: &Tensor) -> Tensor {
    logits.cross_entropy_loss(labels, Some(class_weights), Reduction::Mean, -100, 0.0)
}

/// The value of a loss.
pub(super) fn finite(loss: &Tensor, epoch: usize, batch: usize) -> Result<f64, TrainError> {
    let value = loss.double_value(&[]);
    if value.is_finite() {
        Ok(value)
    } else {
        Err(TrainError::NonFiniteLoss { epoch, batch })
    }
}

/// Makes libtorch compute on the calling thread alone. Its setting is partly the process's and
/// partly the thread's, so every entry says it anew.
pub(super) fn single_threaded() {
    tch::set_num_threads(1);
}

/// Independent streams of one seed.
#[derive(Clone, Copy)]
pub(super) enum Stream {
    Shuffles = 1,
    DropoutMasks = 2,
}

pub(super) fn stream(seed: &[u8; 32], stream: Stream) -> ChaCha20Rng {
    let mut rng = ChaCha20Rng::from_seed(*seed);
    rng.set_stream(stream as u64);
    rng
}

/// [B, 512]: 0 with probability [`DROPOUT`], else 1 / (1 - [`DROPOUT`]).
pub(super) fn dropout_mask(batch: usize, rng: &mut ChaCha20Rng) -> Tensor {
    let dropped_below = (DROPOUT * f64::from(u32::MAX)) as u32;
    let kept = (1.0 / (1.0 - DROPOUT)) as f32;
    let mask: Vec<f32> = (0..batch * DENSE as usize)
        .map(|_| {
            if rng.next_u32() < dropped_below {
                0.0
            } else {
                kept
            }
        })
        .collect();
    Tensor::from_slice(&mask).view([-1, DENSE])
}

/// The gradient that has gathered in a table of filters, 0 where the filter lies on the clip. The
/// optimiser clears only the gradients of its own variables, so this is the sum over all batches.
pub(super) fn masked_gradients(filters: &Tensor) -> Vec<Filter> {
    rows(&(filters.grad() * filters.detach().abs().lt(1.0)))
}

/// Rows of a [P, 9] tensor.
fn rows(table: &Tensor) -> Vec<Filter> {
    let mut flat = vec![0.0; table.numel()];
    table
        .to_device(tch::Device::Cpu)
        .copy_data(&mut flat, table.numel());
    let (rows, rest) = flat.as_chunks();
    debug_assert!(rest.is_empty(), "nine columns");
    rows.to_vec()
}
