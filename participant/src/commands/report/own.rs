//! The common model on this hospital's own test patients, for the page.

use std::path::Path;

use host::failure::Failure;
use model_data::{CacheChoice, LoadOptions, SplitKind};
use model_metrics::{Prediction, heat_outside_head};
use participant::{
    predict::{Conditions, KeptModel, ModelPlace},
    settings::Settings,
};
use protocol::{labels::Labels, training_job::HEAT_SIDE};
use report::{clinical::ScoredPatient, pictures::verdict};
use results::{PatientPrediction, SlicePicture};

use super::Shown;
use crate::commands::{
    applied_model::ScanArguments,
    own_test::{OwnTest, own_options, own_patients, predictions},
    predict::{Scans, Wanted, predict_all},
};

/// What is known of them.
pub struct OwnPart {
    /// Of all patients of this hospital with usable scans, by class.
    pub patients: Vec<u64>,
    /// Which slices of each scan were taken, in words.
    pub slice_choice: String,
    /// Names of the contrasts.
    pub contrasts: Vec<&'static str>,
    /// Why it may not be the test of the run, if so.
    pub doubt: Option<String>,
    /// The test patients.
    pub test: Vec<TestPatient>,
    /// What was said of each of their slices.
    pub slices: Vec<Prediction>,
    /// A slice of each of some of them.
    pub pictures: Vec<LookedAt>,
}

/// One of them, in the order of the data set.
pub struct TestPatient {
    /// As the table names this patient.
    pub id: String,
    /// Truth and probability.
    pub scored: ScoredPatient,
    /// Where 95% of the slices lie, of the predicted class.
    pub spread: (f32, f32),
    /// How many there are.
    pub slices: usize,
    /// What is unusual.
    pub remarks: Vec<String>,
}

/// A slice, and where the model looks.
pub struct LookedAt {
    /// Brightness of the slice, row by row.
    pub pixels: Vec<f32>,
    /// How much each pixel speaks for the predicted class, from 0 to 1, in the same order.
    pub heat: Vec<f32>,
    /// Lines to stand below the slice.
    pub caption: Vec<String>,
    /// The share of the heat outside the head.
    pub outside: Option<f64>,
}

/// What is to be looked at, and what may be shown of it.
pub struct Looking<'a> {
    /// Of the hospital.
    pub settings: &'a Settings,
    /// Where they are from.
    pub file: &'a Path,
    /// Of the model.
    pub place: &'a ModelPlace,
    /// What the reader may see.
    pub shown: Shown,
    /// Whether prepared slices may be kept in the state folder.
    pub may_prepare: bool,
}

impl OwnPart {
    /// Reads the scans and asks the model. Of data that were split by slice there is nobody to ask about.
    ///
    /// # Errors
    /// Data that cannot be read as in the run, or a trainer that fails.
    pub fn look(
        looking: &Looking<'_>,
        model: &KeptModel,
        conditions: &Conditions,
    ) -> Result<Option<Self>, Failure> {
        let Looking {
            settings,
            file,
            place,
            shown,
            may_prepare,
        } = *looking;
        if settings.training.split == SplitKind::Slice {
            return Ok(None);
        }
        let labels = Labels {
            task: model.output.task,
            scheme: model.output.labels,
        };
        let by_card = ScanArguments::as_in_training(settings.training.device);
        let by_card = by_card.options(model, conditions)?;
        let options = LoadOptions {
            // What the run has prepared; nothing of it is thrown away.
            cache: { settings.load_options().cache }
                .filter(|_| may_prepare)
                .map(|cache| CacheChoice {
                    forget_others: false,
                    ..cache
                }),
            ..own_options(settings, &by_card)?
        };
        let scans = Scans::of(own_patients(settings, &options)?);
        let with_file = (settings.clone(), file.to_owned());
        let unread = [place.weights.as_path(), &place.card];
        let device = settings.training.device;
        let mut trainer = scans.open(&options, device, Some(&with_file), &unread)?;
        let slices = trainer.account().slices.to_vec();
        let test = OwnTest::of(&scans, &slices, settings, labels)?;
        let with_pictures: Vec<usize> = { test.places.iter().copied() }
            .take(if shown.images { MAX_PICTURES } else { 0 })
            .collect();
        let wanted = |patient| {
            test.places.contains(&patient).then(|| Wanted {
                heat: with_pictures.contains(&patient),
            })
        };
        let said = predict_all(model, conditions, &scans, wanted, &mut trainer)?;
        drop(trainer);
        let classes = model.output.classes.len();
        let mut part = Self {
            patients: vec![0; classes],
            slice_choice: options.slices.to_string(),
            contrasts: { options.contrasts.iter() }
                .map(|contrast| contrast.name())
                .collect(),
            doubt: test.doubt(place),
            slices: predictions(&scans, &said, labels)?,
            test: vec![],
            pictures: vec![],
        };
        let mut rest = slices.iter();
        for (patient, (entry, said)) in scans.patients().iter().zip(said).enumerate() {
            let of_patient: u32 = rest.by_ref().take(entry.scans.len()).sum();
            if of_patient == 0 {
                continue;
            }
            let score = entry.score().map_err(Failure::settings)?;
            let label = labels.class_of(score);
            if let Some(count) = part.patients.get_mut(label) {
                *count += 1;
            }
            let Some(said) = said else { continue };
            let number = part.test.len() + 1;
            let whose = if shown.ids {
                format!("patient {}", entry.id)
            } else {
                format!("test patient {number}")
            };
            part.pictures
                .extend(picture(&said, whose, label, &model.output.classes));
            part.test.push(TestPatient {
                id: said.patient,
                scored: ScoredPatient {
                    hospital: None,
                    edss: score.value(),
                    prediction: Prediction {
                        patient,
                        label,
                        probabilities: said.probabilities,
                    },
                },
                spread: (said.low, said.high),
                slices: said.slices.len(),
                remarks: said.flags,
            });
        }
        Ok(Some(part))
    }
}

/// The slice in the middle of those that have a picture.
fn picture(
    said: &PatientPrediction,
    whose: String,
    label: usize,
    classes: &[String],
) -> Option<LookedAt> {
    let with_picture: Vec<_> = { said.slices.iter() }
        .filter_map(|slice| Some((slice, slice.picture.as_ref()?)))
        .collect();
    let (slice, SlicePicture { pixels, heat }) = *with_picture.get(with_picture.len() / 2)?;
    let pixels: Vec<f32> = pixels.iter().copied().map(f32::from).collect();
    let names: Vec<&str> = classes.iter().map(String::as_str).collect();
    let probabilities = &slice.probabilities;
    let prediction = Prediction {
        patient: 0,
        label,
        probabilities: probabilities.clone(),
    }
    .class();
    Some(LookedAt {
        outside: heat_outside_head(&pixels, heat, HEAT_SIDE),
        heat: heat.clone(),
        caption: verdict(whose, &names, label, prediction, probabilities),
        pixels,
    })
}

/// Of more patients no slice is shown.
const MAX_PICTURES: usize = 12;
