//! Local epochs with AdamW, and the gradient of what is given of every patient.

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha20Rng;
use tch::{Kind, TchError, Tensor};

use super::{
    Dataset, Evaluation, TrainError, Training, TrainingSettings,
    dataset::{Batch, patient_table},
    memory::Memory,
};
use protocol::vocabulary::ConditioningForm;

use crate::{
    device::Device,
    grad_cam::{HeatMap, heat},
    network::{Architecture, Conditioning, Mode, Network},
};

use protocol::training_job::PatientValues;

/// Samples evaluated at a time, where there is memory for them.
const EVALUATION_BATCH: usize = 64;

/// What a round's training gives.
#[derive(Clone, PartialEq)]
pub struct TrainOutcome {
    /// The trained tensors, flat, in the order of the layout.
    pub model: Vec<f32>,
    /// For each patient, the sum over batches of the loss's gradient by its filter or shifts, zero where
    /// one lies on the clip; with the features of its patient each makes a part of dL/dW (MODEL.md, "The
    /// network"). Empty when nothing is conditioned.
    pub input_gradients: PatientValues,
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
    /// `inputs` has a filter or shifts of each patient of the hospital, in the order of the patients that
    /// the data set was made from; `None` for an architecture without conditioning.
    /// `progress` is told (batches done, batches in all) after each batch.
    ///
    /// # Errors
    /// A model, inputs, class weights or labels that do not fit the architecture; a setting out
    /// of range; a loss that is not finite, which names the epoch and the batch; too little memory.
    pub fn train_round(
        &mut self,
        dataset: &Dataset,
        model: &[f32],
        inputs: Option<&PatientValues>,
        settings: &TrainingSettings,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<TrainOutcome, TrainError> {
        self.check(dataset, inputs)?;
        settings.check(self.architecture().classes)?;
        self.in_memory(settings.batch.min(dataset.len()), |trainer, batch| {
            let settings = TrainingSettings {
                batch,
                ..settings.clone()
            };
            trainer.epochs(dataset, model, inputs, &settings, progress)
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
        inputs: Option<&PatientValues>,
        settings: &TrainingSettings,
    ) -> Result<Training<'a>, TrainError> {
        single_threaded();
        self.check(dataset, inputs)?;
        settings.check(self.architecture().classes)?;
        self.network.load(model)?;
        Training::new(self, dataset, inputs, settings)
    }

    /// Evaluates `model` on a data set, without dropout and with the running statistics.
    /// `progress` is told (batches done, batches in all) after each batch.
    ///
    /// # Errors
    /// A model or inputs that do not fit the architecture; a loss that is not finite; too little
    /// memory.
    pub fn evaluate(
        &mut self,
        dataset: &Dataset,
        model: &[f32],
        inputs: Option<&PatientValues>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Evaluation, TrainError> {
        single_threaded();
        self.check(dataset, inputs)?;
        self.network.load(model)?;
        let table = inputs
            .map(|inputs| patient_table(inputs, self.device))
            .transpose()?;
        self.in_memory(EVALUATION_BATCH.min(dataset.len()), |trainer, batch| {
            trainer.evaluate_in_batches(dataset, table.as_ref(), batch, progress)
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
        inputs: Option<&PatientValues>,
        settings: &TrainingSettings,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<TrainOutcome, TrainError> {
        let mut training = self.begin(dataset, model, inputs, settings)?;
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
        let input_gradients = training.input_gradients();
        Ok(TrainOutcome {
            model: self.network.flatten(),
            input_gradients,
            batches: steps,
            train_loss: epoch_loss / batches as f64,
        })
    }

    /// Evaluates the tensors that the network holds.
    pub(super) fn evaluate_loaded(
        &self,
        dataset: &Dataset,
        table: Option<&Tensor>,
    ) -> Result<Evaluation, TrainError> {
        self.evaluate_in_batches(dataset, table, self.evaluation_batch(), &mut |_, _| ())
    }

    /// Samples evaluated at a time.
    pub(super) fn evaluation_batch(&self) -> usize {
        self.memory.fitting(EVALUATION_BATCH)
    }

    fn evaluate_in_batches(
        &self,
        dataset: &Dataset,
        table: Option<&Tensor>,
        batch: usize,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Evaluation, TrainError> {
        let classes = self.architecture().classes;
        let mut evaluation = Evaluation::empty(classes);
        let order: Vec<usize> = (0..dataset.len()).collect();
        let batches = order.len().div_ceil(batch);
        for (batch, indices) in order.chunks(batch).enumerate() {
            let samples = dataset.batch(indices, self.device)?;
            let logits = tch::no_grad(|| self.logits(&samples, table, &Mode::Evaluation))?;
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
    /// A model, inputs or a class that do not fit the architecture.
    ///
    /// # Panics
    /// If the data set has no such sample.
    pub fn grad_cam(
        &mut self,
        dataset: &Dataset,
        asked: &[(usize, usize)],
        model: &[f32],
        inputs: Option<&PatientValues>,
    ) -> Result<Vec<HeatMap>, TrainError> {
        single_threaded();
        self.check(dataset, inputs)?;
        self.network.load(model)?;
        let table = inputs
            .map(|inputs| patient_table(inputs, self.device))
            .transpose()?;
        self.grad_cam_loaded(dataset, asked, table.as_ref())
    }

    /// Grad-CAM of the model that is loaded; `table` is that of all patients.
    pub(super) fn grad_cam_loaded(
        &self,
        dataset: &Dataset,
        asked: &[(usize, usize)],
        table: Option<&Tensor>,
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
            let of_samples = table.map(|table| table.index_select(0, &samples.patients));
            let classes = Tensor::from_slice(&classes).to_device(self.device.0);
            let images = &samples.images;
            let heat = heat(&self.network, images, of_samples.as_ref(), &classes)?;
            maps.extend(HeatMap::each_of(&heat));
        }
        Ok(maps)
    }

    /// Logits [B, classes]; `table` is that of all patients.
    pub(super) fn logits(
        &self,
        samples: &Batch,
        table: Option<&Tensor>,
        mode: &Mode<'_>,
    ) -> Result<Tensor, TchError> {
        self.memory.allocate(samples.labels.numel())?;
        let inputs = table
            .map(|table| table.f_index_select(0, &samples.patients))
            .transpose()?;
        self.network.forward(&samples.images, inputs.as_ref(), mode)
    }

    pub(super) fn check(
        &self,
        dataset: &Dataset,
        inputs: Option<&PatientValues>,
    ) -> Result<(), TrainError> {
        let Architecture {
            classes,
            form,
            conditioning,
        } = self.architecture();
        let class = dataset.highest_label();
        if class >= classes {
            return Err(TrainError::Class { class, classes });
        }
        let needed = match conditioning {
            Conditioning::Supplied => dataset.highest_patient() + 1,
            Conditioning::Free => 0,
        };
        match (conditioning, inputs) {
            (Conditioning::Free, None) => Ok(()),
            (Conditioning::Supplied, Some(inputs)) if inputs.len() >= needed => {
                check_inputs(inputs, form, classes)
            }
            _ => Err(TrainError::Inputs {
                needed,
                found: inputs.map_or(0, PatientValues::len),
            }),
        }
    }
}

/// As many values of each patient as the form has, none beyond its limit.
pub(super) fn check_inputs(
    inputs: &PatientValues,
    form: ConditioningForm,
    classes: usize,
) -> Result<(), TrainError> {
    let (needed, found) = (form.values_per_patient(classes), inputs.per_patient());
    if found != needed {
        return Err(TrainError::InputWidth { needed, found });
    }
    let limit = form.limit();
    let within = |value: &f32| (-limit..=limit).contains(value);
    match inputs.rows().position(|row| !row.iter().all(within)) {
        Some(patient) => Err(TrainError::InputRange {
            patient,
            limit: limit as u8,
        }),
        None => Ok(()),
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
