//! One training, from a cohort to a cell of the tables.

use std::{num::NonZeroUsize, time::Instant};

use anyhow::Context;
use model::{
    balance::balanced,
    network::{Architecture, Conditioning},
    train::{Dataset, EpochRecord, FitSettings, InputSource, Plateau, Trainer, TrainingSettings},
};
use model_data::{FEATURES, Patient, Sample};
use protocol::{labels::class_weights, network::ModelLayout};

use super::{
    cell::{Cell, CellConditioning, CellEpoch, CellKey, TestSlice},
    configuration::{Configuration, balance_of},
    options::ModelName,
    patient_inputs::{Encrypted, PlaintextProducts},
    seeds::{balance_seed, encryption_seed, initial_seed, training_seed},
    split_cohort::SplitCohort,
};
use crate::profile_name::ProfileName;

/// What a training gives: the cell, and the model that it kept.
pub struct Trained {
    /// Curves and predictions.
    pub cell: Cell,
    /// The tensors of the best epoch, flat.
    pub model: Vec<f32>,
}

/// The three networks share every line but their source of what is given of each patient.
pub enum Source {
    /// `hybrid`
    Encrypted(Box<Encrypted>),
    /// `plain-conditioned`
    PlaintextProducts(PlaintextProducts),
    /// `plain`
    Nothing,
}

impl Source {
    /// The source of a network's filters or shifts.
    pub fn new(key: &CellKey, profile: ProfileName, parts: &SplitCohort) -> Self {
        let features = || parts.features.clone();
        match key.model {
            ModelName::Hybrid => Self::Encrypted(Box::new(Encrypted::new(
                features(),
                key.task.classes(),
                profile.profile(),
                encryption_seed(key.seed),
            ))),
            ModelName::PlainConditioned => {
                Self::PlaintextProducts(PlaintextProducts::new(features()))
            }
            ModelName::Plain => Self::Nothing,
        }
    }

    /// As the trainer takes it.
    pub fn as_inputs(&mut self) -> Option<&mut dyn InputSource> {
        match self {
            Self::Encrypted(source) => Some(&mut **source),
            Self::PlaintextProducts(source) => Some(source),
            Self::Nothing => None,
        }
    }

    fn account(&self) -> Option<CellConditioning> {
        match self {
            Self::Encrypted(source) => Some(source.account()),
            Self::PlaintextProducts(source) => Some(source.account()),
            Self::Nothing => None,
        }
    }
}

/// Trains and tests; `progress` is told (batches done, batches in all).
///
/// # Errors
/// Names the cell: patients that cannot be split or balanced, a training that diverges.
pub fn train(
    patients: &[Patient],
    configuration: &Configuration,
    key: &CellKey,
    progress: &mut dyn FnMut(usize, usize),
) -> anyhow::Result<Trained> {
    let began = Instant::now();
    let parts = SplitCohort::new(patients, key, configuration.cuts())?;
    let task = key.task;
    let dataset = |samples: &[Sample]| {
        Dataset::new(patients, samples, |patient| {
            task.class_of(patient.edss, configuration.cuts())
        })
    };
    let cell = || key.to_string();
    let training = balanced(
        patients,
        &parts.split.train,
        task,
        configuration.cuts(),
        balance_of(key.balance),
        balance_seed(key.seed),
    )
    .with_context(cell)?;
    let train_counts = training.counts;
    let validation = dataset(&parts.split.validation).with_context(cell)?;
    let test = dataset(&parts.split.test).with_context(cell)?;
    let mut trainer = Trainer::new(architecture(key), configuration.device()?);
    let mut source = Source::new(key, configuration.profile, &parts);
    let settings = settings(configuration, key, &train_counts);
    let fit = trainer
        .fit(
            &training.dataset,
            &validation,
            &initial(key),
            source.as_inputs(),
            &settings,
            progress,
        )
        .with_context(cell)?;
    let evaluation = trainer
        .evaluate_fit(&test, &fit.model, source.as_inputs())
        .with_context(cell)?;
    let samples = parts.split.test.iter().zip(test.labels());
    let cell = Cell {
        key: *key,
        train_counts,
        epochs: fit.epochs.iter().map(epoch).collect(),
        best_epoch: fit.best_epoch,
        stopped_early: fit.stopped_early,
        test: samples
            .zip(evaluation.probabilities)
            .map(|((sample, label), probabilities)| TestSlice {
                patient: sample.patient,
                slice: sample.slice,
                label,
                probabilities,
            })
            .collect(),
        conditioning: source.account(),
        seconds: began.elapsed().as_secs_f64(),
    };
    Ok(Trained {
        cell,
        model: fit.model,
    })
}

/// Every network holds what meets clinical features; where it is conditioned, filters or shifts are made from it.
pub fn architecture(key: &CellKey) -> Architecture {
    Architecture {
        classes: key.task.classes(),
        form: key.form,
        conditioning: Conditioning::Free,
    }
}

/// The same start for every network and training set of a repetition, by PyTorch's rules.
pub fn initial(key: &CellKey) -> Vec<f32> {
    let classes = u32::try_from(architecture(key).classes).expect("a handful of classes");
    ModelLayout::of(classes, key.form, FEATURES).initial_values(&initial_seed(key.seed))
}

/// The study's: AdamW, batches of 32, weights of inverse class frequency, a plateau of 15 epochs.
fn settings(configuration: &Configuration, key: &CellKey, train_counts: &[u64]) -> FitSettings {
    let weights = class_weights(train_counts);
    FitSettings {
        training: TrainingSettings {
            local_epochs: configuration.epochs as usize,
            ..TrainingSettings::new(weights, training_seed(key.seed))
        },
        plateau: Plateau::default(),
        early_stop: NonZeroUsize::new(configuration.early_stop as usize)
            .unwrap_or(NonZeroUsize::MIN),
    }
}

fn epoch(epoch: &EpochRecord) -> CellEpoch {
    CellEpoch {
        learning_rate: epoch.learning_rate,
        train_loss: epoch.train_loss,
        validation_loss: epoch.validation_loss,
        validation_confusion: epoch.validation_confusion.clone(),
    }
}

#[cfg(test)]
mod tests {
    use model::device::Device;
    use phantom::PhantomSettings;
    use protocol::{labels::Task, training_job::SplitKind, vocabulary::ConditioningForm};

    use super::*;
    use crate::reproduce::options::{BalanceName, ReproduceOptions};

    fn cohort() -> Vec<Patient> {
        let settings = PhantomSettings {
            patients: 16,
            slices_per_patient: 3,
            seed: 11,
            ..PhantomSettings::default()
        };
        phantom::cohort(&settings, || ())
    }

    fn configuration(profile: ProfileName) -> Configuration {
        let options = ReproduceOptions {
            profile: Some(profile),
            epochs: Some(3),
            ..ReproduceOptions::default()
        };
        Configuration::new(&options, None).expect("fine")
    }

    fn key(model: ModelName) -> CellKey {
        key_of(model, ConditioningForm::Study)
    }

    fn key_of(model: ModelName, form: ConditioningForm) -> CellKey {
        CellKey {
            task: Task::Binary,
            balance: BalanceName::Original,
            model,
            form,
            split: SplitKind::Slice,
            seed: 1,
        }
    }

    /// The plaintext reference: with the same weights the logits of a forward pass differ by at most 1e-6.
    #[test]
    fn the_same_weights_give_the_same_logits_encrypted_and_in_plaintext() {
        let patients = cohort();
        let forms = ConditioningForm::ALL.iter();
        let each = forms.flat_map(|&form| {
            [ProfileName::Hardened, ProfileName::Study].map(|profile| (form, profile))
        });
        for (form, profile) in each {
            let configuration = configuration(profile);
            let probabilities = |model| {
                let key = key_of(model, form);
                let parts =
                    SplitCohort::new(&patients, &key, configuration.cuts()).expect("splits");
                let everything: Vec<Sample> =
                    [parts.split.train.clone(), parts.split.test.clone()].concat();
                let data = Dataset::new(&patients, &everything, |patient| {
                    key.task.class_of(patient.edss, configuration.cuts())
                });
                let data = data.expect("samples exist");
                let mut source = Source::new(&key, profile, &parts);
                let mut trainer = Trainer::new(architecture(&key), Device::CPU);
                let logits = trainer.logits_of_fit(&data, &initial(&key), source.as_inputs());
                logits.expect("evaluates")
            };
            let encrypted = probabilities(ModelName::Hybrid);
            let plaintext = probabilities(ModelName::PlainConditioned);
            let pairs = encrypted.iter().flatten().zip(plaintext.iter().flatten());
            let largest = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(
                largest <= 1e-6,
                "{form}, {profile}: logits differ by {largest}"
            );
        }
    }

    #[test]
    fn a_hardened_training_predicts_what_the_plaintext_reference_does_and_the_plain_network_otherwise()
     {
        let patients = cohort();
        let configuration = configuration(ProfileName::Hardened);
        let cell_of = |model, form| {
            let key = key_of(model, form);
            train(&patients, &configuration, &key, &mut |_, _| ())
                .expect("trains")
                .cell
        };
        for form in [ConditioningForm::Additive, ConditioningForm::Late] {
            let [hybrid, reference] =
                [ModelName::Hybrid, ModelName::PlainConditioned].map(|model| cell_of(model, form));
            assert!(
                hybrid.test == reference.test,
                "{form}: the same predictions"
            );
            assert_eq!(hybrid.epochs, reference.epochs);
        }
        let cell = |model| cell_of(model, ConditioningForm::Study);
        let [hybrid, reference, plain] = [
            ModelName::Hybrid,
            ModelName::PlainConditioned,
            ModelName::Plain,
        ]
        .map(cell);
        assert!(hybrid.test == reference.test, "the same predictions");
        assert_eq!(hybrid.epochs, reference.epochs);
        assert!(hybrid.test != plain.test);
        let account = hybrid.conditioning.expect("conditioned");
        assert_eq!(account.values_that_differ, 0);
        // A product before each batch, one for each validation, one for the test.
        assert_eq!(account.products, 3 * (34_u64.div_ceil(32) + 1) + 1);
        assert!(account.max_abs_error > 0.0 && account.max_abs_error < 1e-9);
        assert_eq!(reference.conditioning.expect("conditioned").products, 0);
        assert_eq!(plain.conditioning, None);
    }

    #[test]
    fn a_cell_says_what_it_was_trained_and_tested_on() {
        let patients = cohort();
        let configuration = configuration(ProfileName::Study);
        let mut steps = Vec::new();
        let mut progress = |done, total| steps.push((done, total));
        let key = key(ModelName::Plain);
        let Trained { cell, model } =
            train(&patients, &configuration, &key, &mut progress).expect("trains");
        let parts = SplitCohort::new(&patients, &key, configuration.cuts()).expect("splits");
        assert_eq!(cell.train_counts, parts.counts(&parts.split.train));
        assert_eq!(cell.train_counts.iter().sum::<u64>(), 34);
        let tested: Vec<Sample> = cell
            .test
            .iter()
            .map(|slice| Sample {
                patient: slice.patient,
                slice: slice.slice,
            })
            .collect();
        assert_eq!(tested, parts.split.test);
        assert!(
            cell.test
                .iter()
                .all(|slice| slice.label == parts.classes[slice.patient])
        );
        assert_eq!(steps.last(), Some(&(6, 6)));
        assert_eq!(model.len(), architecture(&key).values());
        let text = serde_json::to_string(&cell).expect("JSON");
        let read: Cell = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read.test, cell.test);
    }
}
