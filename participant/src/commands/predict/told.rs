//! What `participant predict` says at its end.

use std::fmt::Write as _;

use participant::predict::Provenance;
use results::{NOTICE, Predictions, Stored, Written};
use serde_json::json;

/// The predictions, and where they went.
pub struct Told<'a> {
    /// What was said of the patients.
    pub predictions: &'a Predictions,
    /// What vouches for the model.
    pub provenance: Provenance,
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
        let vouched = match self.provenance {
            Provenance::OpenedHere => "opened by this hospital in a run".to_owned(),
            Provenance::Signed { by: 1 } => "signed by 1 hospital in the transcript".to_owned(),
            Provenance::Signed { by } => format!("signed by {by} hospitals in the transcript"),
            Provenance::Unknown => "NOT VERIFIED: nothing shows where it comes from".to_owned(),
        };
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
        let folder = self.written.folder.display();
        let _ = write!(text, "\n{} files in {folder}", self.written.files);
        if !self.written.without_dicom.is_empty() {
            let _ = write!(
                text,
                "\nno DICOM objects of {} patients: their scans are not DICOM",
                self.written.without_dicom.len()
            );
        }
        if let Some(sent) = self.sent {
            let _ = write!(text, "\n{} DICOM objects stored in the archive", sent.len());
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
            "folder": self.written.folder,
            "files": self.written.files,
            "sent": self.sent.map(<[Stored]>::len),
        })
        .to_string()
    }
}

/// Of a patient's name in the table.
const NAME_CHARS: usize = 24;
