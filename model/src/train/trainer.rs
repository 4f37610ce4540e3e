//! Local epochs with AdamW, and the gradient of every patient's filter.

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha20Rng;
use tch::{Kind, TchError, Tensor};

use super::{
    Dataset, Evaluation, TrainError, Training, TrainingSettings,
    dataset::{Batch, filter_table},
    memory::Memory,
};
use crate::{
    device::Device,
    grad_cam::{HeatMap, heat},
    network::{Architecture, Conditioning, Mode, Network},
};

pub use protocol::training_job::Filter;

/// Samples evaluated at a time, where there is memory for them.
const EVALUATION_BATCH: usize = 64;

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
///
/// Where the device has too little memory for a batch, the work begins again with batches of half
/// the size, and a warning; this trainer then keeps to half. Where that is not enough it is an error.
pub struct Trainer {
    pub(super) network: Network,
    pub(super) device: Device,
    pub(super) memory: Memory,
}

impl Trainer {
    /// A trainer for a network of this architecture.
    pub fn new(architecture: Architecture, device: Device) -> Self {
        single_threaded();
        Self {
            network: Network::new(architecture, device),
            device,
            memory: Memory::default(),
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
    /// of range; a loss that is not finite, which names the epoch and the batch; too little memory.
    pub fn train_round(
        &mut self,
        dataset: &Dataset,
        model: &[f32],
        filters: Option<&[Filter]>,
        settings: &TrainingSettings,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<TrainOutcome, TrainError> {
        self.check(dataset, filters)?;
        settings.check(self.architecture().classes)?;
        self.in_memory(settings.batch.min(dataset.len()), |trainer, batch| {
            let settings = TrainingSettings {
                batch,
                ..settings.clone()
            };
            trainer.epochs(dataset, model, filters, &settings, progress)
        })
    }

    /// Loads `model` and begins to train it, with fresh moments, batch by batch as the caller chooses.
    /// Nothing is halved: a batch for which there is no memory is an error.
    ///
    /// # Errors
    /// As [`Trainer::train_round`].
    pub fn begin<'a>(
        &'a mut self,
        dataset: &'a Dataset,
        model: &[f32],
        filters: Option<&[Filter]>,
        settings: &TrainingSettings,
    ) -> Result<Training<'a>, TrainError> {
        single_threaded();
        self.check(dataset, filters)?;
        settings.check(self.architecture().classes)?;
        self.network.load(model)?;
        Training::new(self, dataset, filters, settings)
    }

    /// Evaluates `model` on a data set, without dropout and with the running statistics.
    /// `progress` is told (batches done, batches in all) after each batch.
    ///
    /// # Errors
    /// A model or filters that do not fit the architecture; a loss that is not finite; too little
    /// memory.
    pub fn evaluate(
        &mut self,
        dataset: &Dataset,
        model: &[f32],
        filters: Option<&[Filter]>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Evaluation, TrainError> {
        single_threaded();
        self.check(dataset, filters)?;
        self.network.load(model)?;
        let filters = filters
            .map(|filters| filter_table(filters, self.device))
            .transpose()?;
        self.in_memory(EVALUATION_BATCH.min(dataset.len()), |trainer, batch| {
            trainer.evaluate_in_batches(dataset, filters.as_ref(), batch, progress)
        })
    }

    /// Does work that takes up to `samples` samples at a time, once more from its beginning where
    /// memory does not suffice.
    pub(super) fn in_memory<T>(
        &mut self,
        samples: usize,
        mut work: impl FnMut(&mut Self, usize) -> Result<T, TrainError>,
    ) -> Result<T, TrainError> {
        let mut samples = self.memory.fitting(samples);
        loop {
            match work(self, samples) {
                Err(error) => samples = self.memory.after(error, samples)?,
                done => return done,
            }
        }
    }

    /// The epochs of a round, from the first.
    fn epochs(
        &mut self,
        dataset: &Dataset,
        model: &[f32],
        filters: Option<&[Filter]>,
        settings: &TrainingSettings,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<TrainOutcome, TrainError> {
        let mut training = self.begin(dataset, model, filters, settings)?;
        let mut shuffles = stream(&settings.seed, Stream::Shuffles);
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
                epoch_loss += finite(training.step(indices)?, epoch + 1, batch + 1)?;
                progress(epoch * batches + batch + 1, total);
            }
        }
        let filter_gradients = training.filter_gradients();
        Ok(TrainOutcome {
            model: self.network.flatten(),
            filter_gradients,
            batches: steps,
            train_loss: epoch_loss / batches as f64,
        })
    }

    /// Evaluates the tensors that the network holds.
    pub(super) fn evaluate_loaded(
        &self,
        dataset: &Dataset,
        filters: Option<&Tensor>,
    ) -> Result<Evaluation, TrainError> {
        self.evaluate_in_batches(dataset, filters, self.evaluation_batch(), &mut |_, _| ())
    }

    /// Samples evaluated at a time.
    pub(super) fn evaluation_batch(&self) -> usize {
        self.memory.fitting(EVALUATION_BATCH)
    }

    fn evaluate_in_batches(
        &self,
        dataset: &Dataset,
        filters: Option<&Tensor>,
        batch: usize,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Evaluation, TrainError> {
        let classes = self.architecture().classes;
        let mut evaluation = Evaluation::empty(classes);
        let order: Vec<usize> = (0..dataset.len()).collect();
        let batches = order.len().div_ceil(batch);
        for (batch, indices) in order.chunks(batch).enumerate() {
            let samples = dataset.batch(indices, self.device)?;
            let logits = tch::no_grad(|| self.logits(&samples, filters, &Mode::Evaluation))?;
            let logs = logits.f_log_softmax(-1, Kind::Double)?;
            let logs = Vec::<Vec<f64>>::try_from(&logs)?;
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
            progress(batch + 1, batches);
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
        self.network.load(model)?;
        let filters = filters
            .map(|filters| filter_table(filters, self.device))
            .transpose()?;
        self.grad_cam_loaded(dataset, asked, filters.as_ref())
    }

    /// Grad-CAM of the model that is loaded; `filters` is the table of all patients.
    pub(super) fn grad_cam_loaded(
        &self,
        dataset: &Dataset,
        asked: &[(usize, usize)],
        filters: Option<&Tensor>,
    ) -> Result<Vec<HeatMap>, TrainError> {
        let classes = self.architecture().classes;
        if let Some(&(_, class)) = asked.iter().find(|(_, class)| *class >= classes) {
            return Err(TrainError::Class { class, classes });
        }
        let mut maps = Vec::with_capacity(asked.len());
        for some in asked.chunks(self.evaluation_batch()) {
            let (indices, classes): (Vec<usize>, Vec<i64>) = some
                .iter()
                .map(|&(index, class)| (index, class as i64))
                .unzip();
            let samples = dataset.batch(&indices, self.device)?;
            let of_samples = filters.map(|table| table.index_select(0, &samples.patients));
            let classes = Tensor::from_slice(&classes).to_device(self.device.0);
            let images = &samples.images;
            let heat = heat(&self.network, images, of_samples.as_ref(), &classes)?;
            maps.extend(HeatMap::each_of(&heat));
        }
        Ok(maps)
    }

    /// Logits [B, classes]; `filters` is the table of all patients.
    pub(super) fn logits(
        &self,
        samples: &Batch,
        filters: Option<&Tensor>,
        mode: &Mode<'_>,
    ) -> Result<Tensor, TchError> {
        self.memory.allocate(samples.labels.numel())?;
        let filters = filters
            .map(|table| table.f_index_select(0, &samples.patients))
            .transpose()?;
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

/// A loss, unless training has diverged.
pub(super) fn finite(loss: f64, epoch: usize, batch: usize) -> Result<f64, TrainError> {
    if loss.is_finite() {
        Ok(loss)
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
