//! The page of a run for one hospital. It asks nothing of any network, and tells no path of this machine.

use std::fmt::Write as _;

use host::moment;
use model_data::small_numbers;
use model_metrics::{Level, Metrics, PAST_THE_HEAD, Prediction, looks_past_the_head, roc_band};
use participant::{learning_history::LearningHistory, predict::KeptModel};
use protocol::{HospitalId, training_job::HEAT_SIDE};
use report::{
    clinical::{self, ScoredPatient},
    page::{page, side_by_side},
    pictures::{
        Curve, LearningChart, Picture, PictureError, RocCurve, Scale, SliceView, Spread, confusion,
        escape, roc, slices,
    },
};

use super::{Shown, own::OwnPart};
use crate::commands::applied_model::vouched;

/// What it is made of.
pub struct Page<'a> {
    /// Whose.
    pub hospital: HospitalId,
    /// The one that is reported on.
    pub model: &'a KeptModel,
    /// Whether it is that of the best round, and not of the last.
    pub is_best: bool,
    /// Whether the run went to its end.
    pub is_over: bool,
    /// What was learnt in each round.
    pub history: &'a LearningHistory,
    /// None where the data are split by slice.
    pub own: &'a Option<OwnPart>,
    /// What the reader may see.
    pub shown: Shown,
}

impl Page<'_> {
    /// The page.
    ///
    /// # Errors
    /// A picture that cannot be drawn.
    pub fn html(&self) -> Result<String, PictureError> {
        let sections = [
            self.headline(),
            self.test()?,
            self.learning()?,
            self.where_it_looks()?,
            self.data(),
            PROTECTION.to_owned(),
            self.how_it_was_made(),
        ];
        let title = format!("Hospital {}: a run of the federation", self.hospital);
        Ok(page(&title, &sections.concat()))
    }

    fn classes(&self) -> Vec<&str> {
        let classes = self.model.output.classes.iter();
        classes.map(String::as_str).collect()
    }

    fn run(&self) -> String {
        let run = self.model.card.run.map(hex::encode).unwrap_or_default();
        run.chars().take(16).collect()
    }

    fn headline(&self) -> String {
        let card = &self.model.card;
        let images = self
            .own
            .as_ref()
            .is_some_and(|own| !own.pictures.is_empty());
        let what = if images {
            "images of patients, and "
        } else {
            ""
        };
        let names = if self.shown.ids {
            "It names patients."
        } else {
            "It names no patient."
        };
        let unfinished = if self.is_over {
            ""
        } else {
            "<p class=\"warning\">The run was not over when this page was made.</p>"
        };
        let which = if self.is_best {
            "keeps as the best one of the run"
        } else {
            "has as the last one of the run"
        };
        format!(
            "<h1>Hospital {}: the run {}</h1><p class=\"warning\"><strong>For this hospital alone:</strong> this page shows {what}what a \
             model says of patients. Give it to nobody who may not see that. {names}</p><p class=\"warning\">For research. Not a medical \
             device, not for diagnosis.</p>{unfinished}<p>What follows is of the common model of round {}, which this hospital {which}.</p>",
            self.hospital,
            escape(&self.run()),
            card.learning_round
        )
    }

    fn test(&self) -> Result<String, PictureError> {
        let mut section = "<h2>On this hospital's own test patients</h2>".to_owned();
        let Some(own) = self.own else {
            section += "<p>The data of this hospital are split by slice (training.split): every patient has slices that were trained on, \
                        and nobody is left to test with.</p>";
            return Ok(section);
        };
        if let Some(doubt) = &own.doubt {
            let _ = write!(section, "<p class=\"warning\">{}.</p>", escape(doubt));
        }
        let classes = self.classes();
        let patients: Vec<Prediction> = { own.test.iter() }
            .map(|patient| patient.scored.prediction.clone())
            .collect();
        let counted = Metrics::of(&patients, classes.len()).confusion;
        let matrix = confusion("confusion-patients", "Patients", &classes, counted.counts())?;
        let warning = small_numbers::warning(counted.counts(), &classes);
        if let Some(warning) = &warning {
            let _ = write!(
                section,
                "<p class=\"warning\"><strong>{}.</strong></p>",
                escape(warning)
            );
            section += &side_by_side(&[matrix])?;
        } else {
            let scored: Vec<ScoredPatient> = { own.test.iter() }
                .map(|patient| patient.scored.clone())
                .collect();
            section += &clinical::tables(&scored, &classes);
            let mut pictures = vec![matrix];
            pictures.extend(self.roc(&own.slices, &classes)?);
            pictures.extend(clinical::pictures(&scored, &classes, "")?);
            section += &side_by_side(&pictures)?;
        }
        Ok(section + &self.patients(own))
    }

    fn roc(&self, slices: &[Prediction], classes: &[&str]) -> Result<Vec<Picture>, PictureError> {
        let bands = clinical::looked_for(classes).filter_map(|class| {
            let band = roc_band(slices, class, Level::Patient, DRAWS, SEED)?;
            Some((class, band))
        });
        bands
            .map(|(class, band)| {
                let class = classes[class];
                roc(
                    &format!("roc-patients-{class}"),
                    &format!("By patient: {class} against the rest"),
                    &RocCurve::from(&band),
                )
            })
            .collect()
    }

    fn patients(&self, own: &OwnPart) -> String {
        let classes = self.classes();
        let name = |class: usize| classes.get(class).copied().unwrap_or("?");
        let mut table = "<table><caption>What the model says of each test patient</caption><tr><th>patient</th><th>has</th><th>is called</th>\
                         <th>probability</th><th>over the slices</th><th>slices</th><th>remarks</th></tr>"
            .to_owned();
        for (number, patient) in (1..).zip(&own.test) {
            let prediction = &patient.scored.prediction;
            let class = prediction.class();
            let who = if self.shown.ids {
                escape(&patient.id)
            } else {
                format!("{number}")
            };
            let probability = prediction.probabilities.get(class).copied();
            let (low, high) = patient.spread;
            let mark = if class == prediction.label {
                ""
            } else {
                ", WRONG"
            };
            let _ = write!(
                table,
                "<tr><th>{who}</th><td>{}</td><td>{}{mark}</td><td>{:.2}</td><td>{low:.2} to {high:.2}</td><td>{}</td><td class=\"words\">{}</td></tr>",
                name(prediction.label),
                name(class),
                probability.unwrap_or_default(),
                patient.slices,
                escape(&patient.remarks.join("; "))
            );
        }
        let looked = match own.pictures.len() {
            all if all == own.test.len() => String::new(),
            0 => " Where the model looks was not examined.".to_owned(),
            some => format!(" Where the model looks was examined for the first {some} alone."),
        };
        table
            + "</table><p class=\"note\">Over the slices: where 95% of the patient's slices lie. It says nothing of how often the model is \
               right."
            + &looked
            + "</p>"
    }

    fn learning(&self) -> Result<String, PictureError> {
        let mut section = "<h2>Learning</h2>".to_owned();
        let rounds = &self.history.rounds;
        let Some(last) = rounds.last() else {
            section += "<p>Nothing was kept of the rounds of this run: it was run by an earlier release, or the disk was full.</p>";
            return Ok(section);
        };
        let of_round = |number: u32| {
            let place = rounds.binary_search_by_key(&number, |round| round.learning_round);
            place.ok().map(|place| &rounds[place])
        };
        let curve = |name, value: &dyn Fn(u32) -> Option<f64>| Curve {
            name,
            points: (1..=last.learning_round)
                .map(|number| Spread::of(&[value(number)?]))
                .collect(),
        };
        let common = |number| of_round(number)?.common;
        let own = |number| of_round(number)?.own;
        let share = |right: u64, slices: u64| (slices > 0).then(|| right as f64 / slices as f64);
        let loss = vec![
            curve("all: training", &|number| common(number)?.training_loss),
            curve("all: validation", &|number| common(number)?.loss),
            curve("here: training", &|number| {
                of_round(number)?.own_training_loss
            }),
            curve("here: validation", &|number| Some(own(number)?.loss)),
        ];
        let accuracy = vec![
            curve("all", &|number| {
                let common = common(number)?;
                share(common.right, common.slices)
            }),
            curve("here", &|number| Some(own(number)?.accuracy)),
        ];
        let charts = [
            ("learning-loss", "Loss (cross-entropy)", Scale::Data, loss),
            (
                "learning-accuracy",
                "Validation slices that are right",
                Scale::Share,
                accuracy,
            ),
        ];
        let pictures: Result<Vec<Picture>, _> = charts
            .into_iter()
            .map(|(name, title, scale, curves)| {
                LearningChart {
                    name,
                    title,
                    step: "round",
                    note: "All: the sum over the hospitals, which is all that anybody learns of the others. Here: this hospital.",
                    scale,
                    curves,
                }
                .picture()
            })
            .collect();
        section += &side_by_side(&pictures?)?;
        section += &self.rounds();
        Ok(section)
    }

    fn rounds(&self) -> String {
        let mut table = "<table><caption>Rounds</caption><tr><th>round</th><th>hospitals</th><th>validation loss, all</th><th>right, all</th>\
                         <th>validation loss, here</th><th>right, here</th></tr>"
            .to_owned();
        let number = |value: Option<f64>| match value.filter(|value| value.is_finite()) {
            Some(value) => format!("{value:.3}"),
            None => "none".to_owned(),
        };
        let none = || "none".to_owned();
        let mut cautions: Vec<String> = vec![];
        for round in &self.history.rounds {
            let (common, own) = (round.common, round.own);
            if let Some(common) = common
                && common.classes == 1
            {
                cautions.push(
                    "the validation slices of all hospitals are of one class: a model that always says this class is right each time"
                        .to_owned(),
                );
            }
            cautions.extend(own.and_then(|own| Some(format!("here: {}", own.caution()?))));
            let right = own.map(|own| (own.accuracy * own.slices as f64).round() as u64);
            let _ = write!(
                table,
                "<tr><th>{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                round.learning_round,
                common.map_or_else(none, |common| common.hospitals.to_string()),
                number(common.and_then(|common| common.loss)),
                common.map_or_else(none, |common| format!(
                    "{} of {}",
                    common.right, common.slices
                )),
                number(own.map(|own| own.loss)),
                own.zip(right)
                    .map_or_else(none, |(own, right)| format!("{right} of {}", own.slices)),
            );
        }
        table += "</table>";
        cautions.sort_unstable();
        cautions.dedup();
        for caution in cautions {
            let _ = write!(table, "<p class=\"warning\">{}.</p>", escape(&caution));
        }
        table
    }

    fn where_it_looks(&self) -> Result<String, PictureError> {
        let pictures = self.own.as_ref().map_or(&[][..], |own| &own.pictures);
        if pictures.is_empty() {
            return Ok(String::new());
        }
        let views: Vec<SliceView<'_>> = { pictures.iter() }
            .map(|looked| SliceView {
                pixels: &looked.pixels,
                side: HEAT_SIDE,
                attention: &looked.heat,
                caption: looked.caption.clone(),
            })
            .collect();
        let past_the_head = looks_past_the_head(pictures.iter().map(|looked| looked.outside));
        let past_the_head = past_the_head
            .map(|told| format!("<p class=\"warning\">Beware: {told}. {PAST_THE_HEAD}</p>"));
        Ok(format!(
            "<h2>Where the model looks</h2>{}{}<p class=\"note\">One slice a patient, of {} of the test patients. Every map has a scale of its own: heat \
             cannot be compared between slices. The front of the head is up, the patient's right side is on the left.</p>",
            past_the_head.unwrap_or_default(),
            slices("grad-cam", "Some test slices", &views)?.inline()?,
            pictures.len()
        ))
    }

    fn data(&self) -> String {
        let card = &self.model.card;
        let mut section = "<h2>Data and training</h2><table class=\"words\">".to_owned();
        let mut row = |name: &str, value: String| {
            let _ = write!(
                section,
                "<tr><th>{name}</th><td>{}</td></tr>",
                escape(&value)
            );
        };
        if let Some(own) = self.own {
            let all: u64 = own.patients.iter().sum();
            let by_class: Vec<String> = { own.patients.iter().zip(self.classes()) }
                .map(|(count, class)| format!("{count} {class}"))
                .collect();
            row(
                "patients here",
                format!("{all} with usable scans: {}", by_class.join(", ")),
            );
            row("test patients here", own.test.len().to_string());
            row("scans", own.contrasts.join(", "));
            row("slices of each scan", own.slice_choice.clone());
        }
        if let Some(data) = self
            .history
            .data
            .as_ref()
            .filter(|data| !data.scanners.is_empty())
        {
            row("scanners here", data.scanners.join("; "));
        }
        let output = &self.model.output;
        let cuts: Vec<String> = output.edss_cuts.iter().map(f64::to_string).collect();
        row(
            "classes",
            format!(
                "{}, by EDSS above {}",
                output.classes.join(", "),
                cuts.join(" and ")
            ),
        );
        row("conditioning", self.model.conditioning.to_string());
        if let Some(strategy) = &card.strategy {
            row("strategy", strategy.clone());
        }
        if let Some(contributors) = &card.contributors {
            row(
                "hospitals in this round's update",
                contributors.len().to_string(),
            );
        }
        section + "</table>"
    }

    fn how_it_was_made(&self) -> String {
        let card = &self.model.card;
        let made = format!("myelin {}", version::VERSION);
        format!(
            "<h2>How this was made</h2><table class=\"words\"><tr><th>when</th><td>{}</td></tr><tr><th>model kept at</th><td>{}</td></tr>\
             <tr><th>model</th><td>{}</td></tr><tr><th>version</th><td>{made}</td></tr>\
             <tr><th>licence of the program</th><td>MIT or Apache-2.0</td></tr><tr><th>to be cited as</th><td>{made}, federated learning \
             with sealed updates; the method is that of Cirillo et al., ITADATA 2025</td></tr></table><footer><p>Run \
             <code>{}</code>. Model hash <code>{}</code>. The model and its card are in the folder of the run in the state folder of this \
             hospital; <code>participant predict</code> applies it to other scans, <code>participant ledger</code> shows what has left the \
             hospital.</p></footer>",
            moment::now(),
            escape(card.date.as_deref().unwrap_or("unknown")),
            vouched(self.model.provenance),
            card.run.map(hex::encode).unwrap_or_default(),
            hex::encode(card.model_hash)
        )
    }
}

const DRAWS: usize = 1000;
const SEED: u64 = 1;

const PROTECTION: &str = "<h2>What others know</h2>\
<p>Nobody outside this hospital knows more of this page than the sums of all hospitals: the curves called \u{201c}all\u{201d}, and the \
common model. The coordinator saw no update, and not even their sum. What successive models tell approximately, and what a run shows of its hospitals, is in \
docs/THREATS.md.</p>";
