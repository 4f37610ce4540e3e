//! Hospitals of phantom patients that train as in a run with the default settings: what leaves them were it not sealed.

use anyhow::Context as _;
use model::{
    device::Device,
    network::{Architecture, Conditioning},
    train::{Dataset, Trainer, TrainingSettings},
};
use model_data::{FEATURES, Feature, FeatureScaling, Patient, Sample, impute_and_scale};
use participant::vault::conditioning::{release::ReleaseLevels, weights::ConditioningWeights};
use phantom::PhantomSettings;
use protocol::{
    codec::List,
    labels::{LabelScheme, Labels, Task, class_weights},
    network::ModelLayout,
    training_job::PatientValues,
    vocabulary::ConditioningForm,
};
use rand_chacha::ChaCha20Rng;
use rand_core::Rng as _;

use super::{adamw::gradient_behind, likeness::mean_of};

/// The form of conditioning that is the default.
const FORM: ConditioningForm = ConditioningForm::Study;
/// The classes that are.
pub const LABELS: Labels = Labels {
    task: Task::Binary,
    scheme: LabelScheme::AsWritten,
};

/// The network of the default settings, as a trainer has it.
pub fn architecture() -> Architecture {
    Architecture {
        classes: LABELS.task.classes(),
        form: FORM,
        conditioning: Conditioning::Supplied,
    }
}

/// Patients, and all that training needs besides.
pub struct Site {
    patients: Vec<Patient>,
    /// Every slice of every patient.
    samples: Vec<Sample>,
    /// The filter of each patient.
    inputs: PatientValues,
    class_weights: Vec<f64>,
    /// The initial model, as a trainer gets it.
    start: Vec<f32>,
}

impl Site {
    /// Draws patients, an initial model and the filters that follow from both. `drawn` is told of each patient.
    pub fn draw(
        patients: usize,
        slices: usize,
        randomness: &mut ChaCha20Rng,
        drawn: impl Fn() + Sync,
    ) -> Self {
        let settings = PhantomSettings {
            patients,
            slices_per_patient: slices,
            seed: randomness.next_u64(),
            ..PhantomSettings::default()
        };
        let patients = phantom::cohort(&settings, drawn);
        let classes = u32::try_from(LABELS.task.classes()).expect("a handful of classes");
        let layout = ModelLayout::of(classes, FORM, FEATURES);
        let values = layout.initial_values(&seed(randomness));
        let weights = ConditioningWeights::of(FORM, &layout, &values);
        let scaling = FeatureScaling::Unit {
            ranges: Feature::RANGES.to_vec(),
        };
        // The phantom leaves few features out; what stands for those is no matter here.
        let middles = Feature::RANGES.map(|[from, to]| (from + to) / 2.0);
        let features: Vec<_> = patients
            .iter()
            .map(|patient| impute_and_scale(&patient.features, &middles, &scaling))
            .collect();
        let mut counts = vec![0; LABELS.task.classes()];
        let mut samples = Vec::new();
        for (patient, one) in patients.iter().enumerate() {
            counts[LABELS.class_of(one.edss)] += one.slices.len() as u64;
            samples.extend((0..one.slices.len()).map(|slice| Sample { patient, slice }));
        }
        Self {
            samples,
            inputs: weights.local_inputs(&features, ReleaseLevels::FINEST),
            class_weights: class_weights(&counts),
            start: layout.without(FORM.tensors(), &values),
            patients,
        }
    }

    /// The slices of some patients.
    pub fn samples_of(&self, patients: std::ops::Range<usize>) -> Vec<Sample> {
        let samples = self.samples.iter();
        samples
            .filter(|sample| patients.contains(&sample.patient))
            .copied()
            .collect()
    }

    /// The filter of each patient.
    pub fn inputs(&self) -> &PatientValues {
        &self.inputs
    }

    /// The model that training begins from.
    pub fn start(&self) -> &[f32] {
        &self.start
    }

    /// Pixels of a slice.
    pub fn pixels(&self, sample: Sample) -> &[f32] {
        &self.patients[sample.patient].slices[sample.slice].pixels
    }

    /// Class of a slice.
    pub fn class(&self, sample: Sample) -> usize {
        LABELS.class_of(self.patients[sample.patient].edss)
    }

    /// Some slices as a trainer takes them.
    ///
    /// # Errors
    /// No slice.
    pub fn dataset(&self, samples: &[Sample]) -> anyhow::Result<Dataset> {
        let label = |patient: &Patient| LABELS.class_of(patient.edss);
        Ok(Dataset::new(&self.patients, samples, label)?)
    }

    /// The settings of a run, but for these.
    pub fn settings(
        &self,
        batch: usize,
        epochs: usize,
        randomness: &mut ChaCha20Rng,
    ) -> TrainingSettings {
        TrainingSettings {
            batch,
            local_epochs: epochs,
            ..TrainingSettings::new(self.class_weights.clone(), seed(randomness))
        }
    }

    /// The model after training on some slices, and the number of steps.
    ///
    /// # Errors
    /// No slice, or training that cannot be done.
    pub fn train(
        &self,
        samples: &[Sample],
        settings: &TrainingSettings,
    ) -> anyhow::Result<(Vec<f32>, u32)> {
        let dataset = self.dataset(samples)?;
        let mut trainer = Trainer::new(architecture(), Device::CPU);
        let trained = trainer.train_round(
            &dataset,
            &self.start,
            Some(&self.inputs),
            settings,
            &mut |_, _| (),
        );
        let trained = trained.context("a phantom hospital cannot train")?;
        Ok((trained.model, trained.batches))
    }

    /// The gradient behind the mean update of hospitals with these slices, each of which trains with a seed of its own.
    ///
    /// # Errors
    /// As [`Self::train`].
    pub fn gradient_behind_mean(
        &self,
        hospitals: &[impl AsRef<[Sample]>],
        settings: &TrainingSettings,
        randomness: &mut ChaCha20Rng,
    ) -> anyhow::Result<Vec<f32>> {
        let (mut updates, mut steps) = (Vec::new(), 0);
        for samples in hospitals {
            let settings = TrainingSettings {
                seed: seed(randomness),
                ..settings.clone()
            };
            let (after, own_steps) = self.train(samples.as_ref(), &settings)?;
            updates.push(after);
            steps = steps.max(own_steps);
        }
        let after = mean_of(updates.iter().map(Vec::as_slice));
        Ok(gradient_behind(&self.start, &after, steps, settings))
    }
}

/// Hospitals of a sum.
pub const HOSPITALS: usize = 3;

/// Where a tensor lies in the vector that a trainer has.
pub fn place_of(name: &str) -> std::ops::Range<usize> {
    let layout = ModelLayout {
        tensors: List(architecture().layout()),
    };
    layout.range(name).expect("the network has a dense layer")
}

/// Of a model, or of a training.
pub fn seed(randomness: &mut ChaCha20Rng) -> [u8; 32] {
    let mut seed = [0; 32];
    randomness.fill_bytes(&mut seed);
    seed
}
