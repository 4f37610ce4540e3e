//! How the model does on this hospital's own test patients, and where it looks.

use std::fmt::Write as _;

use model_data::small_numbers;
use model_metrics::{Level, Metrics, PAST_THE_HEAD, Prediction, looks_past_the_head, roc_band};
use protocol::training_job::HEAT_SIDE;
use report::{
    clinical::{self, ScoredPatient},
    page::side_by_side,
    pictures::{Picture, PictureError, RocCurve, SliceView, confusion, escape, roc, slices},
};

use super::Page;
use crate::commands::report::own::OwnPart;

impl Page<'_> {
    pub(super) fn test(&self) -> Result<String, PictureError> {
        let mut section = "<h2>On this hospital's own test patients</h2>".to_owned();
        let Some(own) = self.own else {
            section += "<p>The data of this hospital are split by slice (training.split): every patient has slices that were trained on, \
                        and nobody is left to test with.</p>";
            return Ok(section);
        };
        if let Some(doubt) = &own.doubt {
            let _ = write!(section, "<p class=\"warning\">{}</p>", escape(doubt));
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
        let mut table = "<table><caption>What the model says of each test patient</caption><tr><th>patient</th><th>true class</th><th>predicted class</th>\
                         <th>probability</th><th>range over the slices</th><th>slices</th><th>remarks</th></tr>"
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
            + "</table><p class=\"note\">Range over the slices: 95% of this patient's slices have a probability in it. It says nothing of how often \
               the model is right."
            + &looked
            + "</p>"
    }

    pub(super) fn where_it_looks(&self) -> Result<String, PictureError> {
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
        let past_the_head = past_the_head.map(|told| {
            format!("<p class=\"warning\">Of the slices shown here, {told}. {PAST_THE_HEAD}</p>")
        });
        Ok(format!(
            "<h2>Where the model looks</h2>{}{}<p class=\"note\">One slice a patient, of {} of the test patients. Every map has a scale of its own: heat \
             cannot be compared between slices. The front of the head is up, the patient's right side is on the left.</p>",
            past_the_head.unwrap_or_default(),
            slices("grad-cam", "Some test slices", &views)?.inline()?,
            pictures.len()
        ))
    }
}

const DRAWS: usize = 1000;
const SEED: u64 = 1;
