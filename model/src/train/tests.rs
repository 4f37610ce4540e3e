//! A round's training from outside: that it learns, repeats itself, and refuses.

use protocol::{training_job::PatientValues, vocabulary::ConditioningForm};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use tch::Kind;

use super::{
    Dataset, TrainError, TrainOutcome, Trainer, TrainingSettings,
    trainer::{Stream, stream},
    training::dropout_mask,
};
use crate::{
    device::Device,
    network::{Architecture, Conditioning, LengthMismatch},
};
use model_data::{Edss, FEATURES, IMAGE_SIDE, Patient, Sample, Slice};

pub(super) const CLASSES: usize = 2;

/// Patients whose class shows as a bright half: left or right.
pub(super) fn patients() -> Vec<Patient> {
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
        edss: Edss::new(if number.is_multiple_of(2) { 1.0 } else { 4.0 }).expect("on the scale"),
        features: vec![None; FEATURES],
        slices: (0..2)
            .map(|index| slice(number % 2, number * 2 + index))
            .collect(),
    };
    (0..4).map(patient).collect()
}

pub(super) fn dataset(of: &[usize]) -> Dataset {
    let samples: Vec<Sample> = of
        .iter()
        .flat_map(|&patient| (0..2).map(move |slice| Sample { patient, slice }))
        .collect();
    let label = |patient: &Patient| usize::from(patient.edss.value() > 2.0);
    Dataset::new(&patients(), &samples, label).expect("samples exist")
}

pub(super) fn trainer(conditioning: Conditioning) -> Trainer {
    let architecture = Architecture {
        classes: CLASSES,
        form: ConditioningForm::Study,
        conditioning,
    };
    Trainer::new(architecture, Device::CPU)
}

/// Small weights of no pattern; batch norms at their usual start.
pub(super) fn model(architecture: Architecture) -> Vec<f32> {
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let mut values = Vec::with_capacity(architecture.values());
    for spec in architecture.layout() {
        let fan_in: u32 = spec.shape[1..].iter().product();
        let bound = 1.0 / (fan_in as f32).sqrt();
        let constant = match spec.name.0.rsplit_once("norm.").map(|(_, last)| last) {
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

fn filters() -> PatientValues {
    vec![[0.25, 0.5, -0.25, 0.125, 1.0, -1.0, 0.0, 0.5, -0.5]; 4].into()
}

fn train(dataset: &Dataset, settings: &TrainingSettings) -> Result<TrainOutcome, TrainError> {
    let mut trainer = trainer(Conditioning::Supplied);
    let start = model(trainer.architecture());
    trainer.train_round(dataset, &start, Some(&filters()), settings, &mut |_, _| ())
}

#[test]
fn a_few_epochs_learn_what_can_be_seen() {
    for conditioning in [Conditioning::Supplied, Conditioning::Free] {
        let mut trainer = trainer(conditioning);
        let start = model(trainer.architecture());
        let filters = (conditioning == Conditioning::Supplied).then(filters);
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
                filters.as_ref(),
                &settings,
                &mut progress,
            )
            .expect("trains");
        assert_eq!(outcome.batches, 30);
        assert_eq!(seen, (1..=30).map(|done| (done, 30)).collect::<Vec<_>>());
        assert!(outcome.train_loss < 0.1, "loss {}", outcome.train_loss);
        let evaluation = trainer
            .evaluate(
                &dataset(&[2, 3]),
                &outcome.model,
                filters.as_ref(),
                &mut |_, _| (),
            )
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
    assert!(alone.input_gradients == beside[0].input_gradients);
    assert!(alone.model != beside[1].model);
    let otherwise = TrainingSettings {
        seed: [4; 32],
        ..settings()
    };
    let otherwise = train(&data(), &otherwise).expect("trains");
    assert!(alone.model != otherwise.model);
}

#[test]
fn the_proximal_term_keeps_training_near_its_start() {
    let start = model(trainer(Conditioning::Supplied).architecture());
    let distance = |proximal: f64| {
        let settings = TrainingSettings {
            proximal,
            local_epochs: 6,
            ..settings()
        };
        let trained = train(&dataset(&[0, 1]), &settings).expect("trains").model;
        let away = trained.iter().zip(&start);
        away.map(|(after, before)| f64::from(after - before).powi(2))
            .sum::<f64>()
    };
    let (free, held) = (distance(0.0), distance(10.0));
    assert!(held < free / 2.0, "{held} with the term, {free} without");
}

#[test]
fn clipped_taps_and_absent_patients_have_no_gradient() {
    let outcome = train(&dataset(&[0, 2]), &settings()).expect("trains");
    let (rows, _) = outcome.input_gradients.flat().as_chunks::<FEATURES>();
    let [present, absent, also_present, also_absent] = *rows else {
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
    let mut trainer = trainer(Conditioning::Supplied);
    let start = model(trainer.architecture());
    let mut refusal = |model: &[f32], filters: Option<&PatientValues>, settings: &_| {
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
    let one = PatientValues::new(FEATURES, fine.flat()[..FEATURES].to_vec());
    for few in [None, Some(&one)] {
        let found = few.map_or(0, PatientValues::len);
        let expected = TrainError::Inputs { needed: 2, found };
        assert_eq!(refusal(&start, few, &good), Some(expected));
    }
    let narrow = PatientValues::new(2, vec![0.0; 8]);
    let expected = TrainError::InputWidth {
        needed: 9,
        found: 2,
    };
    assert_eq!(refusal(&start, Some(&narrow), &good), Some(expected));
    for wrong in [1.5, f32::NAN] {
        let mut flat = fine.flat().to_vec();
        flat[FEATURES + 8] = wrong;
        let filters = PatientValues::new(FEATURES, flat);
        let expected = TrainError::InputRange {
            patient: 1,
            limit: 1,
        };
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
            "proximal",
            TrainingSettings {
                proximal: -0.5,
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

#[test]
fn too_little_memory_halves_the_batch_once_and_for_all() {
    let data = dataset(&[0, 1, 2]);
    let halved = TrainingSettings {
        batch: 2,
        ..settings()
    };
    let expected = train(&data, &halved).expect("trains");
    let mut trainer = trainer(Conditioning::Supplied);
    let start = model(trainer.architecture());
    trainer.memory.room_for = Some(2);
    let round = |trainer: &mut Trainer, seen: &mut Vec<(usize, usize)>| {
        let mut progress = |done, total| seen.push((done, total));
        trainer.train_round(&data, &start, Some(&filters()), &settings(), &mut progress)
    };
    for _ in 0..2 {
        let mut seen = vec![];
        let outcome = round(&mut trainer, &mut seen).expect("half a batch fits");
        assert!(outcome == expected);
        assert_eq!(seen, (1..=6).map(|done| (done, 6)).collect::<Vec<_>>());
    }
    trainer.memory.room_for = Some(1);
    let error = round(&mut trainer, &mut vec![]).err();
    let reason = "CUDA out of memory. Tried to allocate 2.00 GiB.".to_owned();
    assert_eq!(error, Some(TrainError::OutOfMemory { samples: 2, reason }));
}

#[test]
fn an_evaluation_halves_its_batch_as_well() {
    let data = dataset(&[0, 1, 2]);
    let mut trainer = trainer(Conditioning::Supplied);
    let start = model(trainer.architecture());
    let in_one = trainer
        .evaluate(&data, &start, Some(&filters()), &mut |_, _| ())
        .expect("evaluates");
    trainer.memory.room_for = Some(3);
    let in_two = trainer
        .evaluate(&data, &start, Some(&filters()), &mut |_, _| ())
        .expect("evaluates");
    assert_eq!(in_one.confusion, in_two.confusion);
    trainer.memory.room_for = Some(2);
    let error = trainer
        .evaluate(&data, &start, Some(&filters()), &mut |_, _| ())
        .expect_err("too small");
    let text = error.to_string();
    assert!(
        text.contains("3 samples") && text.contains("--device cpu"),
        "{text}"
    );
}

#[test]
fn filters_can_be_replaced_from_step_to_step() {
    let data = dataset(&[0, 1]);
    let mut trainer = trainer(Conditioning::Supplied);
    let start = model(trainer.architecture());
    let settings = settings();
    let gradients = |replaced: bool, trainer: &mut Trainer| {
        let first = if replaced {
            vec![[0.5; FEATURES]; 4].into()
        } else {
            filters()
        };
        let mut training = trainer.begin(&data, &start, Some(&first), &settings)?;
        if replaced {
            training.set_inputs(&filters())?;
        }
        let loss = training.step(&[0, 2, 3])?;
        Ok::<_, TrainError>((loss, training.input_gradients()))
    };
    let expected = gradients(false, &mut trainer).expect("trains");
    assert_eq!(gradients(true, &mut trainer).expect("trains"), expected);
    let mut training = trainer
        .begin(&data, &start, Some(&filters()), &settings)
        .expect("begins");
    assert_eq!(
        training.set_inputs(&vec![[2.0; FEATURES]; 4].into()),
        Err(TrainError::InputRange {
            patient: 0,
            limit: 1
        })
    );
}
