//! Local epochs with AdamW, and the gradient of every patient's filter.

use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha20Rng;
use tch::{Kind, Reduction, Tensor};

use super::{
    Dataset, Evaluation,
    adamw::AdamW,
    dataset::{Batch, filter_table},
};
use crate::{
    data::FEATURES,
    device::Device,
    network::{Architecture, Conditioning, DENSE, DROPOUT, LengthMismatch, Mode, Network},
};

/// A finished filter of the conditioned convolution: 3x3, row by row, clipped to [-1, 1].
///
/// As confidential as the clinical features it was made from.
pub type Filter = [f32; FEATURES];

/// Samples evaluated at a time.
const EVALUATION_BATCH: usize = 64;

/// What a round's training is told.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingSettings {
    /// Step size of AdamW.
    pub learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Samples a batch.
    pub batch: usize,
    /// Passes over the data.
    pub local_epochs: usize,
    /// Weight of each class in the loss, the same at every hospital.
    pub class_weights: Vec<f64>,
    /// Seed of shuffles and dropout masks of this hospital and round.
    pub seed: [u8; 32],
}

impl TrainingSettings {
    /// The study's settings: learning rate 1e-3, weight decay 1e-2, batches of 32, two epochs.
    pub fn new(class_weights: Vec<f64>, seed: [u8; 32]) -> Self {
        Self {
            learning_rate: 1e-3,
            weight_decay: 1e-2,
            batch: 32,
            local_epochs: 2,
            class_weights,
            seed,
        }
    }
}

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
    network: Network,
    device: Device,
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
        let parameters = self.network.weights();
        let mut optimiser = AdamW::new(&parameters, settings.learning_rate, settings.weight_decay);
        let class_weights = Tensor::from_slice(&settings.class_weights)
            .to_kind(Kind::Float)
            .to_device(self.device.0);
        let filters = filters.map(|filters| filter_table(filters, self.device));
        let mut filter_gradients = filters.as_ref().map(Tensor::zeros_like);
        let mut inputs = parameters;
        if let Some(filters) = &filters {
            inputs.push(filters.set_requires_grad(true));
        }
        let mut shuffles = stream(&settings.seed, Stream::Shuffles);
        let mut masks = stream(&settings.seed, Stream::DropoutMasks);
        let mut order: Vec<usize> = (0..dataset.len()).collect();
        let batches = order.len().div_ceil(settings.batch);
        let total = batches * settings.local_epochs;
        let mut epoch_loss = 0.0;
        for epoch in 0..settings.local_epochs {
            order.shuffle(&mut shuffles);
            epoch_loss = 0.0;
            for (batch, indices) in order.chunks(settings.batch).enumerate() {
                let samples = dataset.batch(indices, self.device);
                let mask = dropout_mask(indices.len(), &mut masks).to_device(self.device.0);
                let mode = Mode::Training {
                    dropout_mask: &mask,
                };
                let logits = self.logits(&samples, filters.as_ref(), &mode);
                let loss = weighted_loss(&logits, &samples.labels, &class_weights);
                let value = loss.double_value(&[]);
                if !value.is_finite() {
                    return Err(TrainError::NonFiniteLoss {
                        epoch: epoch + 1,
                        batch: batch + 1,
                    });
                }
                epoch_loss += value;
                let mut gradients = Tensor::run_backward(&[loss], &inputs, false, false);
                if let Some(sum) = &mut filter_gradients {
                    *sum += gradients.pop().expect("the filters are the last input");
                }
                optimiser.step(&gradients);
                progress(epoch * batches + batch + 1, total);
            }
        }
        let filter_gradients = match (filters, filter_gradients) {
            (Some(filters), Some(sum)) => rows(&(sum * filters.detach().abs().lt(1.0))),
            _ => vec![],
        };
        Ok(TrainOutcome {
            model: self.network.flatten(),
            filter_gradients,
            batches: u32::try_from(total).map_err(|_| TrainError::Settings {
                setting: "local_epochs",
            })?,
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
        let classes = self.architecture().classes;
        let mut evaluation = Evaluation::empty(classes);
        let order: Vec<usize> = (0..dataset.len()).collect();
        for (batch, indices) in order.chunks(EVALUATION_BATCH).enumerate() {
            let samples = dataset.batch(indices, self.device);
            let logits =
                tch::no_grad(|| self.logits(&samples, filters.as_ref(), &Mode::Evaluation));
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

    /// Logits [B, classes]; `filters` is the table of all patients.
    fn logits(&self, samples: &Batch, filters: Option<&Tensor>, mode: &Mode<'_>) -> Tensor {
        let filters = filters.map(|table| table.index_select(0, &samples.patients));
        self.network
            .forward(&samples.images, filters.as_ref(), mode)
    }

    fn check(&self, dataset: &Dataset, filters: Option<&[Filter]>) -> Result<(), TrainError> {
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

impl TrainingSettings {
    fn check(&self, classes: usize) -> Result<(), TrainError> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let wrong = [
            ("learning_rate", positive(self.learning_rate)),
            (
                "weight_decay",
                self.weight_decay == 0.0 || positive(self.weight_decay),
            ),
            ("batch", self.batch > 0),
            ("local_epochs", self.local_epochs > 0),
            (
                "class_weights",
                self.class_weights.len() == classes
                    && self.class_weights.iter().all(|&weight| positive(weight)),
            ),
        ]
        .into_iter()
        .find(|(_, fine)| !fine);
        match wrong {
            Some((setting, _)) => Err(TrainError::Settings { setting }),
            None => Ok(()),
        }
    }
}

/// Why a round's training or evaluation did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrainError {
    /// The model has another length than the network.
    #[error(transparent)]
    Model(#[from] LengthMismatch),
    /// Too few filters, or filters for a network that takes none.
    #[error("{found} filters supplied where the patients and the architecture need {needed}")]
    Filters {
        /// Filters needed.
        needed: usize,
        /// Filters given.
        found: usize,
    },
    /// A filter with a value outside of [-1, 1], or one that is not a number.
    #[error("the filter of patient {patient} is not clipped to [-1, 1]")]
    FilterRange {
        /// Index of the patient.
        patient: usize,
    },
    /// A label that the classifier has no output for.
    #[error("a sample of class {class} for a classifier of {classes} classes")]
    Class {
        /// Class of the sample.
        class: usize,
        /// Classes of the network.
        classes: usize,
    },
    /// A setting is out of range.
    #[error("training setting {setting} is out of range")]
    Settings {
        /// Its name.
        setting: &'static str,
    },
    /// Training has diverged, or the model held values that are not finite.
    #[error("the loss is not finite in epoch {epoch}, batch {batch}")]
    NonFiniteLoss {
        /// From 1; 0 in an evaluation.
        epoch: usize,
        /// From 1.
        batch: usize,
    },
}

/// Cross-entropy of a batch: weighted by class and divided by the sum of the weights.
pub(super) fn weighted_loss(logits: &Tensor, labels: &Tensor, class_weights: &Tensor) -> Tensor {
    logits.cross_entropy_loss(labels, Some(class_weights), Reduction::Mean, -100, 0.0)
}

/// Makes libtorch compute on the calling thread alone. Its setting is partly the process's and
/// partly the thread's, so every entry says it anew.
fn single_threaded() {
    tch::set_num_threads(1);
}

/// Independent streams of one seed.
#[derive(Clone, Copy)]
enum Stream {
    Shuffles = 1,
    DropoutMasks = 2,
}

fn stream(seed: &[u8; 32], stream: Stream) -> ChaCha20Rng {
    let mut rng = ChaCha20Rng::from_seed(*seed);
    rng.set_stream(stream as u64);
    rng
}

/// [B, 512]: 0 with probability [`DROPOUT`], else 1 / (1 - [`DROPOUT`]).
fn dropout_mask(batch: usize, rng: &mut ChaCha20Rng) -> Tensor {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Edss, IMAGE_SIDE, Patient, Sample, Slice};

    const CLASSES: usize = 2;

    /// Patients whose class shows as a bright half: left or right.
    fn patients() -> Vec<Patient> {
        let slice = |class: usize, axial_index: usize| {
            let pixel = |place: usize| {
                let bright = (place % IMAGE_SIDE < IMAGE_SIDE / 2) == (class == 0);
                let grain = (place * 7919 + axial_index * 104_729) % 1000;
                f32::from(u8::from(bright)) * 2.0 - 1.0 + grain as f32 / 1000.0
            };
            Slice {
                axial_index: axial_index as u32,
                pixels: (0..IMAGE_SIDE * IMAGE_SIDE).map(pixel).collect(),
            }
        };
        let patient = |number: usize| Patient {
            id: number.to_string(),
            edss: Edss::new(if number.is_multiple_of(2) { 1.0 } else { 4.0 })
                .expect("on the scale"),
            features: [None; FEATURES],
            slices: (0..2)
                .map(|index| slice(number % 2, number * 2 + index))
                .collect(),
        };
        (0..4).map(patient).collect()
    }

    fn dataset(of: &[usize]) -> Dataset {
        let samples: Vec<Sample> = of
            .iter()
            .flat_map(|&patient| (0..2).map(move |slice| Sample { patient, slice }))
            .collect();
        let label = |patient: &Patient| usize::from(patient.edss.value() > 2.0);
        Dataset::new(&patients(), &samples, label).expect("samples exist")
    }

    fn trainer(conditioning: Conditioning) -> Trainer {
        let architecture = Architecture {
            classes: CLASSES,
            conditioning,
        };
        Trainer::new(architecture, Device::CPU)
    }

    /// Small weights of no pattern; batch norms at their usual start.
    fn model(architecture: Architecture) -> Vec<f32> {
        let mut rng = ChaCha20Rng::seed_from_u64(5);
        let mut values = Vec::with_capacity(architecture.values());
        for spec in architecture.layout() {
            let fan_in: i64 = spec.shape[1..].iter().product();
            let bound = 1.0 / (fan_in as f32).sqrt();
            let constant = match spec.name.rsplit_once("norm.").map(|(_, last)| last) {
                Some("weight" | "running_var") => Some(1.0),
                Some(_) => Some(0.0),
                None => None,
            };
            let unit = |rng: &mut ChaCha20Rng| rng.next_u32() as f32 / u32::MAX as f32;
            values.extend(
                (0..spec.values())
                    .map(|_| constant.unwrap_or_else(|| (unit(&mut rng) * 2.0 - 1.0) * bound)),
            );
        }
        values
    }

    fn settings() -> TrainingSettings {
        TrainingSettings {
            batch: 3,
            ..TrainingSettings::new(vec![1.0, 1.0], [3; 32])
        }
    }

    fn filters() -> Vec<Filter> {
        vec![[0.25, 0.5, -0.25, 0.125, 1.0, -1.0, 0.0, 0.5, -0.5]; 4]
    }

    fn train(dataset: &Dataset, settings: &TrainingSettings) -> Result<TrainOutcome, TrainError> {
        let mut trainer = trainer(Conditioning::Filters);
        let start = model(trainer.architecture());
        trainer.train_round(dataset, &start, Some(&filters()), settings, &mut |_, _| ())
    }

    #[test]
    fn a_few_epochs_learn_what_can_be_seen() {
        for conditioning in [Conditioning::Filters, Conditioning::Free] {
            let mut trainer = trainer(conditioning);
            let start = model(trainer.architecture());
            let filters = (conditioning == Conditioning::Filters).then(filters);
            let settings = TrainingSettings {
                local_epochs: 15,
                ..settings()
            };
            let mut seen = vec![];
            let mut progress = |done, total| seen.push((done, total));
            let outcome = trainer
                .train_round(
                    &dataset(&[0, 1]),
                    &start,
                    filters.as_deref(),
                    &settings,
                    &mut progress,
                )
                .expect("trains");
            assert_eq!(outcome.batches, 30);
            assert_eq!(seen, (1..=30).map(|done| (done, 30)).collect::<Vec<_>>());
            assert!(outcome.train_loss < 0.1, "loss {}", outcome.train_loss);
            let evaluation = trainer
                .evaluate(&dataset(&[2, 3]), &outcome.model, filters.as_deref())
                .expect("evaluates");
            assert_eq!(evaluation.confusion, [[2, 0], [0, 2]]);
            assert_eq!((evaluation.count, evaluation.probabilities.len()), (4, 4));
            let of_truth: f64 = evaluation
                .probabilities
                .iter()
                .zip([0, 0, 1, 1])
                .map(|(probabilities, class): (_, usize)| -f64::from(probabilities[class]).ln())
                .sum();
            assert!((evaluation.loss_sum - of_truth).abs() < 1e-5);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_model_whatever_else_the_process_trains() {
        let data = || dataset(&[0, 1, 2]);
        let alone = train(&data(), &settings()).expect("trains");
        let beside = std::thread::scope(|scope| {
            let settings = settings();
            let handles = [data(), dataset(&[1, 2, 3])].map(|dataset| {
                let settings = settings.clone();
                scope.spawn(move || train(&dataset, &settings))
            });
            handles.map(|handle| handle.join().expect("no panic").expect("trains"))
        });
        assert!(alone.model == beside[0].model);
        assert!(alone.filter_gradients == beside[0].filter_gradients);
        assert!(alone.model != beside[1].model);
        let otherwise = TrainingSettings {
            seed: [4; 32],
            ..settings()
        };
        let otherwise = train(&data(), &otherwise).expect("trains");
        assert!(alone.model != otherwise.model);
    }

    #[test]
    fn clipped_taps_and_absent_patients_have_no_gradient() {
        let outcome = train(&dataset(&[0, 2]), &settings()).expect("trains");
        let [present, absent, also_present, also_absent] = outcome.filter_gradients[..] else {
            panic!("one gradient per patient");
        };
        assert_eq!([absent, also_absent], [[0.0; FEATURES]; 2]);
        for gradient in [present, also_present] {
            let zeros: Vec<usize> = (0..FEATURES).filter(|&tap| gradient[tap] == 0.0).collect();
            assert_eq!(zeros, [4, 5], "the taps at 1 and -1");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let data = dataset(&[0, 1]);
        let mut trainer = trainer(Conditioning::Filters);
        let start = model(trainer.architecture());
        let mut refusal = |model: &[f32], filters: Option<&[Filter]>, settings: &_| {
            trainer
                .train_round(&data, model, filters, settings, &mut |_, _| ())
                .err()
        };
        let (good, fine) = (settings(), filters());
        let found = start.len() - 1;
        assert_eq!(
            refusal(&start[1..], Some(&fine), &good),
            Some(TrainError::Model(LengthMismatch {
                expected: start.len(),
                found
            }))
        );
        for few in [None, Some(&fine[..1])] {
            let found = few.map_or(0, <[_]>::len);
            let expected = TrainError::Filters { needed: 2, found };
            assert_eq!(refusal(&start, few, &good), Some(expected));
        }
        for wrong in [1.5, f32::NAN] {
            let mut filters = fine.clone();
            filters[1][8] = wrong;
            let expected = TrainError::FilterRange { patient: 1 };
            assert_eq!(refusal(&start, Some(&filters), &good), Some(expected));
        }
        let mut diverged = start.clone();
        diverged[0] = f32::NAN;
        assert_eq!(
            refusal(&diverged, Some(&fine), &good),
            Some(TrainError::NonFiniteLoss { epoch: 1, batch: 1 })
        );
        for (setting, wrong) in [
            (
                "batch",
                TrainingSettings {
                    batch: 0,
                    ..settings()
                },
            ),
            (
                "local_epochs",
                TrainingSettings {
                    local_epochs: 0,
                    ..settings()
                },
            ),
            (
                "learning_rate",
                TrainingSettings {
                    learning_rate: f64::NAN,
                    ..settings()
                },
            ),
            (
                "weight_decay",
                TrainingSettings {
                    weight_decay: -1.0,
                    ..settings()
                },
            ),
            (
                "class_weights",
                TrainingSettings {
                    class_weights: vec![1.0],
                    ..settings()
                },
            ),
        ] {
            let expected = TrainError::Settings { setting };
            assert_eq!(refusal(&start, Some(&fine), &wrong), Some(expected));
        }
    }

    #[test]
    fn a_class_without_an_output_is_refused() {
        let sample = Sample {
            patient: 0,
            slice: 0,
        };
        let data = Dataset::new(&patients(), &[sample], |_| 2).expect("the sample exists");
        assert_eq!(
            train(&data, &settings()).err(),
            Some(TrainError::Class {
                class: 2,
                classes: 2
            })
        );
    }

    #[test]
    fn dropout_drops_its_share_and_keeps_the_mean() {
        let mask = dropout_mask(100, &mut stream(&[9; 32], Stream::DropoutMasks));
        let kept = mask.gt(0.0).to_kind(Kind::Double).mean(Kind::Double);
        assert!((kept.double_value(&[]) - 0.6).abs() < 0.01);
        assert!((mask.mean(Kind::Double).double_value(&[]) - 1.0).abs() < 0.02);
    }
}
