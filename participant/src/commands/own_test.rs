//! The test patients of this hospital's own data: those that no run has trained or validated on here.

use std::{collections::BTreeSet, path::Path};

use anyhow::anyhow;
use host::failure::Failure;
use model_data::{Entry, Layout, LoadOptions, SplitKind, split_by_labels};
use model_metrics::Prediction;
use participant::{
    erasure::Erased, learning_history::LearningHistory, predict::ModelPlace, settings::Settings,
    split_fingerprint::SplitFingerprint,
};
use protocol::{labels::Labels, training_job::SplitPlan};

use super::predict::Scans;

/// Who they are, and of which split.
pub struct OwnTest {
    /// Places in the list of patients.
    pub places: BTreeSet<usize>,
    /// Of the split that they are the test part of.
    pub split: SplitFingerprint,
}

/// How a run reads this hospital's data, which its split depends on. `by_card` is how the model's card says that scans are read.
///
/// # Errors
/// The two differ.
pub fn own_options(settings: &Settings, by_card: &LoadOptions) -> Result<LoadOptions, Failure> {
    let own = LoadOptions {
        cache: None,
        ..settings.load_options()
    };
    let differs = if own.contrasts != by_card.contrasts {
        "contrasts (reading.contrasts)"
    } else if own.slices != by_card.slices {
        "slices of each scan (training.slices_per_patient)"
    } else if own.features.places_of(&by_card.features).is_err() {
        "features (reading.feature_columns)"
    } else {
        return Ok(LoadOptions {
            features: by_card.features.clone(),
            ..own
        });
    };
    Err(Failure::settings(anyhow!(
        "the model was trained with other {differs} than this hospital's settings name, so that its test patients cannot be told"
    )))
}

/// Every patient of this hospital, as a run reads them.
///
/// # Errors
/// Data that cannot be read, or a split that leaves nobody.
pub fn own_patients(settings: &Settings, options: &LoadOptions) -> Result<Vec<Entry>, Failure> {
    if settings.training.split == SplitKind::Slice {
        return Err(Failure::settings(anyhow!(
            "training.split is \"slice\": every patient of this hospital has slices that were trained on, and nobody is left to test with. \
             Name a FOLDER of other patients"
        )));
    }
    let mut entries = listed(&settings.data, options)?;
    let erased = Erased::read(&settings.state).map_err(Failure::settings)?;
    entries.retain(|entry| !erased.has(&entry.id));
    Ok(entries)
}

/// Those of a folder that have a score and a scan.
///
/// # Errors
/// A folder that cannot be read, or that holds none.
pub fn listed(folder: &Path, options: &LoadOptions) -> Result<Vec<Entry>, Failure> {
    let found = Layout::recognise(folder).and_then(|layout| layout.inventory(folder, options));
    let found = found.map_err(Failure::settings)?;
    super::predict::tell(&found.report);
    if found.entries.is_empty() {
        return Err(Failure::settings(anyhow!(
            "{} holds no patient with an EDSS and a scan",
            folder.display()
        )));
    }
    Ok(found.entries)
}

impl OwnTest {
    /// Of these patients, whose scans have given so many slices each.
    ///
    /// # Errors
    /// Patients that cannot be split.
    pub fn of(
        scans: &Scans,
        slices: &[u32],
        settings: &Settings,
        labels: Labels,
    ) -> Result<Self, Failure> {
        let mut rest = slices.iter();
        let mut places = vec![];
        let mut scores = vec![];
        let mut ids = vec![];
        for (place, entry) in scans.patients().iter().enumerate() {
            let of_patient: u32 = rest.by_ref().take(entry.scans.len()).sum();
            // One without slices is left out, as in a run.
            if of_patient > 0 {
                let score = entry.score().map_err(Failure::settings)?;
                places.push(place);
                scores.push((score, of_patient as usize));
                ids.push((entry.id.as_str(), score.value(), of_patient as usize));
            }
        }
        let plan = SplitPlan {
            kind: settings.training.split,
            seed: settings.training.seed,
        };
        let split = split_by_labels(&scores, labels, plan).map_err(Failure::settings)?;
        let test = split.test.iter().map(|sample| places[sample.patient]);
        Ok(Self {
            places: test.collect(),
            split: SplitFingerprint::of(plan, ids),
        })
    }

    /// Why the model of a run of this hospital may have been trained on some of them, in sentences, if so.
    pub fn doubt(&self, place: &ModelPlace) -> Option<String> {
        let folder = place.weights.parent().filter(|_| place.own)?;
        let history = LearningHistory::read(folder).ok()?;
        let of_run = history.data?.split;
        let [then, now] = [of_run.patients, self.split.patients];
        let what = match (of_run == self.split, history.split_changed, then == now) {
            (true, false, _) => return None,
            (true, true, _) => {
                "In the course of the run this hospital's patients were split in different ways, as patients, scores, scans or the seed \
                 (training.seed) had changed."
                    .to_owned()
            }
            (false, _, true) => format!(
                "This hospital's patients are not split as in the run: there are {now} with usable scans as then, but their scores, scans, \
                 order or the seed (training.seed) differ."
            ),
            (false, _, false) => format!(
                "This hospital's patients are not split as in the run: then there were {then} with usable scans, now there are {now}."
            ),
        };
        Some(format!(
            "{what} The model may have been trained on some of the test patients, and be shown too good."
        ))
    }
}

/// What was said of each slice of these patients, with the truth.
///
/// # Errors
/// A patient without a score.
pub fn predictions(
    scans: &Scans,
    said: &[Option<results::PatientPrediction>],
    labels: Labels,
) -> Result<Vec<Prediction>, Failure> {
    let mut slices = vec![];
    for (patient, (entry, said)) in scans.patients().iter().zip(said).enumerate() {
        let Some(said) = said else { continue };
        let label = labels.class_of(entry.score().map_err(Failure::settings)?);
        slices.extend(said.slices.iter().map(|slice| Prediction {
            patient,
            label,
            probabilities: slice.probabilities.clone(),
        }));
    }
    Ok(slices)
}
