//! The pictures of a run.

use ::report::{
    clinical,
    pictures::{
        Curve, LearningChart, Picture, PictureError, RocCurve, Scale, SliceView, Spread, confusion,
        roc, slices, verdict,
    },
};
use model::metrics::{Level, heat_outside_head, looks_past_the_head, roc_band};
use model_data::IMAGE_SIDE;

use super::round_timeline::round_timeline;
use crate::simulation::{
    BOOTSTRAP_DRAWS, BOOTSTRAP_SEED, HospitalRecord, RoundRecord, ShownSlice, Step, Summary,
    TestResult, leak_warning,
};

/// The pictures that the report of a run shows.
pub struct RunPictures {
    /// Loss and accuracy by round.
    pub learning: Vec<Picture>,
    /// Who did what when in one learning round; none where none was seen.
    pub round: Option<Picture>,
    /// Of the test, by patient and by slice.
    pub confusion: Vec<Picture>,
    /// Of the test, by patient and by slice: of class 1 of two, of each of more against the rest.
    pub roc: Vec<Picture>,
    /// Of the test, by patient: precision against recall, and calibration.
    pub clinical: Vec<Picture>,
    /// A few test slices, with where the model looks.
    pub slices: Picture,
    /// In how many of them the model looks past the head, in words; none where it does in no slice.
    pub past_the_head: Option<String>,
}

impl RunPictures {
    /// Draws them. `classes` are the names of the classes.
    ///
    /// # Errors
    /// What the plotting library says.
    pub fn new(
        summary: &Summary,
        classes: &[&str],
        test: &TestResult,
        steps: &[Step],
    ) -> Result<Self, PictureError> {
        let leak = leak_warning(summary);
        let shows_scores = summary.small_test.is_none();
        Ok(Self {
            learning: learning(&summary.history, leak)?,
            round: round_timeline(steps)?,
            confusion: [
                ("confusion-patients", "Patients", &summary.test.patient),
                ("confusion-slices", "Slices", &summary.test.slice),
            ]
            .map(|(name, title, scores)| {
                confusion(name, &format!("{title}{leak}"), classes, &scores.confusion)
            })
            .into_iter()
            .collect::<Result<_, _>>()?,
            roc: if shows_scores {
                curves(test, classes, leak)?
            } else {
                vec![]
            },
            clinical: if shows_scores {
                clinical::pictures(&test.scored(), classes, leak)?
            } else {
                vec![]
            },
            slices: some_slices(&test.shown, classes)?,
            past_the_head: looks_past_the_head(
                some(&test.shown).map(|shown| {
                    heat_outside_head(&shown.slice.pixels, &shown.attention, IMAGE_SIDE)
                }),
            ),
        })
    }

    /// All of them, to be written into files.
    pub fn all(&self) -> impl Iterator<Item = &Picture> {
        let scores = self.confusion.iter().chain(&self.roc).chain(&self.clinical);
        let runs = self.learning.iter().chain(&self.round);
        runs.chain(scores).chain([&self.slices])
    }
}

fn learning(history: &[RoundRecord], leak: &str) -> Result<Vec<Picture>, PictureError> {
    let curve = |name,
                 of_all: fn(&RoundRecord) -> Option<f64>,
                 of_one: fn(&HospitalRecord) -> Option<f64>| {
        let spread = |round: &RoundRecord| {
            let own: Vec<f64> = round.by_hospital.iter().filter_map(of_one).collect();
            Spread::around(of_all(round)?, &own)
        };
        Curve {
            name,
            points: history.iter().map(spread).collect(),
        }
    };
    let loss = vec![
        curve(
            "training loss",
            |round| round.train_loss,
            |own| own.train_loss,
        ),
        curve(
            "validation loss",
            |round| round.validation.as_ref().map(|all| all.loss),
            |own| own.validation.as_ref().map(|all| all.loss),
        ),
    ];
    let accuracy = vec![curve(
        "validation accuracy",
        |round| round.validation.as_ref().map(|all| all.accuracy),
        |own| own.validation.as_ref().map(|all| all.accuracy),
    )];
    [
        ("learning-loss", "Loss (cross-entropy)", Scale::Data, loss),
        ("learning-accuracy", "Accuracy, by slice", Scale::Share, accuracy),
    ]
    .into_iter()
    .map(|(name, title, scale, curves)| {
        LearningChart {
            name,
            title: &format!("{title}{leak}"),
            step: "round",
            note: "Line: mean over the hospitals, weighted by size. Band: from the lowest hospital to the highest.",
            scale,
            curves,
        }
        .picture()
    })
    .collect()
}

fn curves(test: &TestResult, classes: &[&str], leak: &str) -> Result<Vec<Picture>, PictureError> {
    let of_classes = if classes.len() == 2 {
        1..2
    } else {
        0..classes.len()
    };
    let mut pictures = Vec::new();
    for (name, title, level) in [
        ("patients", "By patient", Level::Patient),
        ("slices", "By slice", Level::Slice),
    ] {
        for class in of_classes.clone() {
            let (draws, seed) = (BOOTSTRAP_DRAWS, BOOTSTRAP_SEED);
            if let Some(curve) = roc_band(&test.slices, class, level, draws, seed) {
                let class = classes[class];
                pictures.push(roc(
                    &format!("roc-{name}-{class}"),
                    &format!("{title}: {class} against the rest{leak}"),
                    &RocCurve::from(&curve),
                )?);
            }
        }
    }
    Ok(pictures)
}

/// Right and wrong ones as they come.
fn some_slices(shown: &[ShownSlice], classes: &[&str]) -> Result<Picture, PictureError> {
    let views: Vec<SliceView<'_>> = some(shown).map(|slice| view(slice, classes)).collect();
    slices("grad-cam", "Some test slices", &views)
}

fn some(shown: &[ShownSlice]) -> impl Iterator<Item = &ShownSlice> {
    let step = shown.len().div_ceil(MAX_SLICES).max(1);
    shown.iter().step_by(step)
}

fn view<'a>(slice: &'a ShownSlice, classes: &[&str]) -> SliceView<'a> {
    SliceView {
        pixels: &slice.slice.pixels,
        side: IMAGE_SIDE,
        attention: &slice.attention,
        caption: verdict(
            format!("hospital {}, patient {}", slice.hospital, slice.patient),
            classes,
            slice.label,
            slice.prediction,
            &slice.probabilities,
        ),
    }
}

const MAX_SLICES: usize = 12;
