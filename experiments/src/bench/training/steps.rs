use std::hint::black_box;

use anyhow::{Context as _, ensure};
use crypto::sealed_sum::HospitalId;
use getrandom::SysRng;
use model::{
    device::Device,
    network::{Architecture, Conditioning},
    train::{Dataset, Trainer, Training, TrainingSettings},
};
use model_data::{Edss, FEATURES, IMAGE_SIDE, Patient, Sample, Slice};
use participant::vault::conditioning::{
    Conditioner,
    release::ReleaseLevels,
    weights::{ConditioningWeights, ScaledFeatures, weight_change},
};
use protocol::{
    network::{CONDITIONED_WEIGHT, ModelLayout},
    training_job::PatientValues,
    vocabulary::ConditioningForm,
};
use rand::RngExt;
use rand_core::UnwrapErr;

use super::{Clock, Variant};

/// One batch: an image of noise for each of as many patients.
pub struct Cohort {
    dataset: Dataset,
    features: Vec<[f64; FEATURES]>,
    samples: Vec<usize>,
}

/// The steps of one variant, one after another on the same batch.
pub struct Steps<'a> {
    training: Training<'a>,
    samples: &'a [usize],
    plaintext: Option<Plaintext>,
}

/// W as a site holds it that conditions in plaintext.
struct Plaintext {
    weights: [f32; FEATURES],
    conditioner: Conditioner,
    features: Vec<ScaledFeatures>,
}

/// A trainer for a variant's network.
pub fn trainer(variant: Variant, device: Device) -> Trainer {
    let conditioning = match variant {
        Variant::Plain => Conditioning::Free,
        Variant::Hybrid | Variant::PlainConditioned => Conditioning::Supplied,
    };
    let architecture = Architecture {
        classes: CLASSES,
        form: ConditioningForm::Study,
        conditioning,
    };
    Trainer::new(architecture, device)
}

impl Cohort {
    /// Draws so many samples.
    ///
    /// # Errors
    /// Never, for one sample or more.
    pub fn draw(batch: usize) -> anyhow::Result<Self> {
        let mut rng = rand::rng();
        let mut pixels = || {
            let uniform = (0..IMAGE_SIDE * IMAGE_SIDE).map(|_| rng.random_range(-1.7..=1.7));
            uniform.collect()
        };
        let patient = |number: usize| Patient {
            id: number.to_string(),
            edss: Edss::new((number % CLASSES) as f64).expect("on the scale"),
            features: vec![None; FEATURES],
            slices: vec![Slice {
                axial_index: 0,
                pixels: pixels(),
            }],
        };
        let patients: Vec<Patient> = (0..batch).map(patient).collect();
        let samples: Vec<Sample> = (0..batch)
            .map(|patient| Sample { patient, slice: 0 })
            .collect();
        let class = |patient: &Patient| usize::from(patient.edss.value() > 0.5);
        let mut rng = rand::rng();
        let features =
            std::iter::repeat_with(|| std::array::from_fn(|_| rng.random_range(0.0..=1.0)));
        Ok(Self {
            dataset: Dataset::new(&patients, &samples, class)?,
            features: features.take(batch).collect(),
            samples: (0..batch).collect(),
        })
    }

    /// Of each patient, in [0, 1].
    pub fn features(&self) -> &[[f64; FEATURES]] {
        &self.features
    }
}

impl<'a> Steps<'a> {
    /// From an initial model, with fresh moments.
    ///
    /// # Errors
    /// Too little memory.
    pub fn begin(
        variant: Variant,
        trainer: &'a mut Trainer,
        cohort: &'a Cohort,
    ) -> anyhow::Result<Self> {
        let layout = ModelLayout::hybrid_cnn(CLASSES as u32);
        let mut model = layout.initial_values(&[7; 32]);
        let range = layout.range(CONDITIONED_WEIGHT).context("it has W")?;
        let weights = std::array::from_fn(|tap| model[range.start + tap]);
        let features = cohort.features.iter().map(|one| Box::from(&one[..]));
        let features: Vec<ScaledFeatures> = features.collect();
        let mut plaintext = Plaintext {
            weights,
            conditioner: conditioner(features.clone())?,
            features,
        };
        let inputs = match variant {
            Variant::Plain => None,
            Variant::Hybrid | Variant::PlainConditioned => {
                model.drain(range);
                Some(plaintext.inputs()?)
            }
        };
        let settings = TrainingSettings {
            batch: cohort.samples.len(),
            ..TrainingSettings::new(vec![0.6, 1.4], [1; 32])
        };
        let training = trainer.begin(&cohort.dataset, &model, inputs.as_ref(), &settings)?;
        Ok(Self {
            training,
            samples: &cohort.samples,
            plaintext: (variant == Variant::PlainConditioned).then_some(plaintext),
        })
    }

    /// Of each of so many steps.
    ///
    /// # Errors
    /// Too little memory, or a loss that is not finite.
    pub fn seconds(&mut self, clock: Clock, steps: usize) -> anyhow::Result<Vec<f64>> {
        let mut step = || {
            let (loss, seconds) = clock.time(|| self.step().map(black_box));
            ensure!(loss?.is_finite(), "the loss is not finite");
            Ok(seconds)
        };
        (0..steps).map(|_| step()).collect()
    }

    fn step(&mut self) -> anyhow::Result<f64> {
        let Some(plaintext) = &mut self.plaintext else {
            return Ok(self.training.step(self.samples)?);
        };
        self.training.set_inputs(&plaintext.inputs()?)?;
        let loss = self.training.step(self.samples)?;
        plaintext.learn(&self.training.input_gradients());
        Ok(loss)
    }
}

impl Plaintext {
    fn inputs(&mut self) -> anyhow::Result<PatientValues> {
        let weights =
            ConditioningWeights::from_kept(ConditioningForm::Study, FEATURES, &self.weights);
        let released = self.conditioner.request(weights, &mut system());
        let released = released
            .ok()
            .context("without a key nothing is encrypted")?;
        Ok(released.inputs)
    }

    fn learn(&mut self, gradients: &PatientValues) {
        let form = ConditioningForm::Study;
        let change = weight_change(form, &self.features, gradients, 1, RATE);
        for (weight, change) in self.weights.iter_mut().zip(change.iter()) {
            *weight += *change as f32;
        }
    }
}

fn conditioner(features: Vec<ScaledFeatures>) -> anyhow::Result<Conditioner> {
    let id = HospitalId::new(1).context("a hospital has a number above zero")?;
    Ok(Conditioner::new(
        id,
        [0; 16].into(),
        features,
        None,
        ReleaseLevels::FINEST,
        &mut system(),
    ))
}

fn system() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

const CLASSES: usize = 2;
/// Of W.
const RATE: f64 = 1e-3;
