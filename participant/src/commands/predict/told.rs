//! What `participant predict` says at its end.

use std::fmt::Write as _;

use participant::predict::Provenance;
use protocol::counted::counted;
use results::{NOTICE, Predictions, Stored, Written};
use serde_json::json;

use crate::commands::applied_model::{SCANNERS_NOT_KNOWN, vouched};

/// The predictions, and where they went.
pub struct Told<'a> {
    /// What was said of the patients.
    pub predictions: &'a Predictions,
    /// What vouches for the model.
    pub provenance: Provenance,
    /// Whether a strange scanner would be among the remarks.
    pub knows_scanners: bool,
    /// What was written.
    pub written: &'a Written,
    /// What was sent, if that was asked for.
    pub sent: Option<&'a [Stored]>,
}

impl Told<'_> {
    /// For people: a line for each patient.
    pub fn text(&self) -> String {
        let Predictions {
            model,
            classes,
            patients,
            ..
        } = self.predictions;
        let mut text = format!("{NOTICE}.\n");
        let vouched = vouched(self.provenance);
        let _ = writeln!(
            text,
            "model {} of round {}, {vouched}\n",
            model.model_hash.get(..16).unwrap_or(&model.model_hash),
            model.learning_round
        );
        let name = |name: &str| name.chars().take(NAME_CHARS).collect::<String>();
        let width = patients
            .iter()
            .map(|patient| name(&patient.patient).chars().count());
        let width = width.max().unwrap_or(0).max("patient".len());
        let class_width = classes
            .iter()
            .map(String::len)
            .max()
            .unwrap_or(0)
            .max("class".len());
        let _ = writeln!(
            text,
            "{:width$}  {:class_width$}  probability  over the slices  slices  remarks",
            "patient", "class"
        );
        for patient in patients {
            let class = classes.get(patient.class).map_or("", String::as_str);
            let share = patient
                .probabilities
                .get(patient.class)
                .copied()
                .unwrap_or(0.0);
            let _ = writeln!(
                text,
                "{:width$}  {class:class_width$}  {share:>11.3}  {:>6.3} to {:.3}  {:>6}  {}",
                name(&patient.patient),
                patient.low,
                patient.high,
                patient.slices.len(),
                match patient.flags.len() {
                    0 => String::new(),
                    count => format!("{count}, see predictions.csv"),
                }
            );
        }
        if !self.knows_scanners {
            let _ = writeln!(text, "\n{SCANNERS_NOT_KNOWN}");
        }
        let folder = self.written.folder.display();
        let files = counted(self.written.files, ["file", "files"]);
        let _ = write!(text, "\n{files} in {folder}");
        if !self.written.without_dicom.is_empty() {
            let _ = write!(
                text,
                "\nno DICOM objects of {}: no scan is DICOM",
                counted(self.written.without_dicom.len(), ["patient", "patients"])
            );
        }
        if let Some(sent) = self.sent {
            let objects = counted(sent.len(), ["DICOM object", "DICOM objects"]);
            let _ = write!(text, "\n{objects} stored in the archive");
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> String {
        let Predictions {
            model,
            classes,
            patients,
            ..
        } = self.predictions;
        let patients: Vec<_> = patients
            .iter()
            .map(|patient| {
                json!({
                    "patient": patient.patient,
                    "class": classes.get(patient.class),
                    "probabilities": patient.probabilities,
                    "p_low": patient.low,
                    "p_high": patient.high,
                    "flags": patient.flags,
                })
            })
            .collect();
        json!({
            "schema": 1,
            "notice": NOTICE,
            "model_hash": model.model_hash,
            "verified": model.in_transcript,
            "classes": classes,
            "patients": patients,
            "scanners_known": self.knows_scanners,
            "folder": self.written.folder,
            "files": self.written.files,
            "sent": self.sent.map(<[Stored]>::len),
        })
        .to_string()
    }
}

/// Of a patient's name in the table.
const NAME_CHARS: usize = 24;
