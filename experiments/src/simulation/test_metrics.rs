//! The last common model on the pooled test sets, which only a simulation can pool.

use std::{collections::BTreeMap, fmt::Write as _};

use ::report::clinical::ScoredPatient;
use crypto::sealed_sum::HospitalId;
use model::{
    device::Device,
    metrics::{Intervals, Level, Metrics, Prediction, bootstrap, per_patient},
    network::Architecture,
    train::Trainer,
};
use model_data::{Edss, Slice};
use participant::vault::conditioning::weights::ScaledFeatures;
use protocol::{common_model::CommonModel, manifest::Manifest};

use super::{hospital::TestSet, plain_updates::local_inputs};

/// What the test shows.
pub struct TestResult {
    /// What the model says of every slice.
    pub slices: Vec<Prediction>,
    /// Of every slice by itself.
    pub slice: Metrics,
    /// 95% intervals of `slice`.
    pub slice_intervals: Intervals,
    /// Of every patient by the mean of its slices.
    pub patient: Metrics,
    /// 95% intervals of `patient`.
    pub patient_intervals: Intervals,
    /// Share of the largest class among the patients: what guessing it would reach.
    pub majority_patient: f64,
    /// The same among the slices.
    pub majority_slice: f64,
    /// A slice of every patient, to be shown.
    pub shown: Vec<ShownSlice>,
    /// Of each patient, hospital by hospital.
    pub patients: Vec<TestPatient>,
}

/// A patient of a test set.
pub struct TestPatient {
    /// Whose.
    pub hospital: HospitalId,
    /// Which of the hospital's test patients, from 1.
    pub number: usize,
    /// The score that the class was cut from.
    pub edss: Edss,
    /// How many slices were looked at.
    pub slices: usize,
    /// By the mean of the slices.
    pub prediction: Prediction,
}

impl TestResult {
    /// The patients, for a page.
    pub fn scored(&self) -> Vec<ScoredPatient> {
        let patients = self.patients.iter();
        patients
            .map(|patient| ScoredPatient {
                hospital: Some(patient.hospital.get()),
                edss: patient.edss.value(),
                prediction: patient.prediction.clone(),
            })
            .collect()
    }

    /// A line of a CSV table for each test patient: the hospital, how many slices, the class, and the mean probability of each class. No
    /// name: a patient is a number among the test patients of the hospital.
    pub fn predictions(&self, classes: &[&str]) -> String {
        let mut text = "hospital,patient,slices,truth,predicted".to_owned();
        for class in classes {
            let _ = write!(text, ",p_{class}");
        }
        text.push('\n');
        for patient in &self.patients {
            let TestPatient {
                hospital,
                number,
                slices,
                prediction,
                ..
            } = patient;
            let (truth, predicted) = (classes[prediction.label], classes[prediction.class()]);
            let _ = write!(text, "{hospital},{number},{slices},{truth},{predicted}");
            for share in &prediction.probabilities {
                let _ = write!(text, ",{share}");
            }
            text.push('\n');
        }
        text
    }
}

/// A slice with what the model says of it.
pub struct ShownSlice {
    /// Whose patient.
    pub hospital: HospitalId,
    /// Which of the hospital's test patients, from 1.
    pub patient: usize,
    /// The slice.
    pub slice: Slice,
    /// The class it has.
    pub label: usize,
    /// Probability of each class.
    pub probabilities: Vec<f32>,
    /// The most probable class.
    pub prediction: usize,
    /// Grad-CAM for that class, pixel by pixel, 0 to 1.
    pub attention: Box<[f32]>,
}

/// What the model says of every slice of the test sets, each patient with a number of its own.
///
/// # Errors
/// A model that does not fit the data.
pub fn predictions<'a>(
    manifest: &Manifest,
    model: &CommonModel,
    device: Device,
    sets: impl IntoIterator<Item = (HospitalId, &'a TestSet)>,
    features: &BTreeMap<HospitalId, Vec<ScaledFeatures>>,
) -> anyhow::Result<Vec<Prediction>> {
    let mut trainer = trainer_of(manifest, device);
    let values = model.for_trainer();
    let mut slices: Vec<Prediction> = Vec::new();
    for (hospital, set) in sets {
        let features = features.get(&hospital).map_or(&[][..], Vec::as_slice);
        let inputs = local_inputs(manifest, model, features);
        let evaluation =
            trainer.evaluate(&set.dataset, &values, inputs.as_ref(), &mut |_, _| ())?;
        let numbers = slices.iter().map(|slice| slice.patient + 1);
        let first = numbers.max().unwrap_or(0);
        let own = evaluation.predictions(&set.dataset, first);
        slices.extend(own);
    }
    Ok(slices)
}

/// Evaluates the model on all test sets.
///
/// # Errors
/// A model that does not fit the data, in words.
pub fn test(
    manifest: &Manifest,
    model: &CommonModel,
    device: Device,
    sets: Vec<(HospitalId, TestSet)>,
    features: &BTreeMap<HospitalId, Vec<ScaledFeatures>>,
) -> anyhow::Result<TestResult> {
    let classes = manifest.task.classes();
    let mut trainer = trainer_of(manifest, device);
    let values = model.for_trainer();
    let (mut slices, mut shown) = (Vec::new(), Vec::new());
    let mut patients_before = 0;
    let mut patients = Vec::new();
    for (hospital, set) in sets {
        let features = features.get(&hospital).map_or(&[][..], Vec::as_slice);
        let inputs = local_inputs(manifest, model, features);
        let evaluation =
            trainer.evaluate(&set.dataset, &values, inputs.as_ref(), &mut |_, _| ())?;
        let own = set
            .dataset
            .patients()
            .iter()
            .zip(set.dataset.labels())
            .zip(evaluation.probabilities);
        let own: Vec<Prediction> = own
            .map(|((patient, label), probabilities)| Prediction {
                patient: patients_before + patient,
                label,
                probabilities,
            })
            .collect();
        let looked_at: Vec<(usize, usize)> = set
            .examples
            .iter()
            .map(|example| (example.sample, own[example.sample].class()))
            .collect();
        let maps = trainer.grad_cam(&set.dataset, &looked_at, &values, inputs.as_ref())?;
        for (example, map) in set.examples.into_iter().zip(maps) {
            let prediction = &own[example.sample];
            shown.push(ShownSlice {
                hospital,
                patient: example.patient,
                slice: example.slice,
                label: prediction.label,
                probabilities: prediction.probabilities.clone(),
                prediction: prediction.class(),
                attention: map.pixels,
            });
        }
        patients.extend(of_hospital(hospital, &set.scores, &own));
        patients_before += own
            .iter()
            .map(|prediction| prediction.patient + 1 - patients_before)
            .max()
            .unwrap_or(0);
        slices.extend(own);
    }
    let of_patients: Vec<Prediction> = patients
        .iter()
        .map(|patient| patient.prediction.clone())
        .collect();
    let intervals = |level| bootstrap(&slices, classes, level, BOOTSTRAP_DRAWS, BOOTSTRAP_SEED);
    Ok(TestResult {
        slice: Metrics::of(&slices, classes),
        patient: Metrics::of(&of_patients, classes),
        slice_intervals: intervals(Level::Slice),
        patient_intervals: intervals(Level::Patient),
        majority_patient: majority(&of_patients, classes),
        majority_slice: majority(&slices, classes),
        shown,
        slices,
        patients,
    })
}

fn trainer_of(manifest: &Manifest, device: Device) -> Trainer {
    let architecture = Architecture::of(
        manifest.task,
        manifest.conditioning,
        manifest.conditioning_form,
    );
    Trainer::new(architecture, device)
}

/// The test patients of one hospital, which are those of `scores` in the same order.
fn of_hospital(
    hospital: HospitalId,
    scores: &BTreeMap<usize, Edss>,
    own: &[Prediction],
) -> Vec<TestPatient> {
    let mut slices: BTreeMap<usize, usize> = BTreeMap::new();
    for slice in own {
        *slices.entry(slice.patient).or_default() += 1;
    }
    let numbered = per_patient(own).into_iter().zip(1..).zip(scores.values());
    numbered
        .map(|((prediction, number), &edss)| TestPatient {
            hospital,
            number,
            edss,
            slices: slices.get(&prediction.patient).copied().unwrap_or(0),
            prediction,
        })
        .collect()
}

/// Draws of patients behind every interval.
pub const BOOTSTRAP_DRAWS: usize = 1000;
/// Of the draws: the same predictions have the same intervals.
pub const BOOTSTRAP_SEED: u64 = 1;

fn majority(predictions: &[Prediction], classes: usize) -> f64 {
    let count = |class| {
        predictions
            .iter()
            .filter(|prediction| prediction.label == class)
            .count()
    };
    (0..classes).map(count).max().unwrap_or(0) as f64 / predictions.len().max(1) as f64
}
