//! `predictions.json`: all that the tables say, and which model said it.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::{NOTICE_IN_FULL, PatientPrediction, PredictedBy, Predictions, ResultsError};

/// Raised when a reader of the older form would misunderstand a newer one.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    notice: &'static str,
    made_by: &'a str,
    date: &'a str,
    model: &'a PredictedBy,
    classes: &'a [String],
    patients: Vec<Patient<'a>>,
}

#[derive(Serialize)]
struct Patient<'a> {
    patient: &'a str,
    class: &'a str,
    class_index: usize,
    probabilities: &'a [f32],
    low: f32,
    high: f32,
    flags: &'a [String],
    scans: Vec<Scan<'a>>,
    slices: Vec<Slice<'a>>,
}

#[derive(Serialize)]
struct Scan<'a> {
    name: String,
    contrast: &'a str,
    dicom: bool,
    path: PathBuf,
    /// From column, row and plane of its slices to millimetres towards right, front and head.
    slices_to_world: Option<[[f64; 4]; 4]>,
}

#[derive(Serialize)]
struct Slice<'a> {
    scan: usize,
    slice: u32,
    probabilities: &'a [f32],
}

/// The document, for people as well: with line breaks.
pub(crate) fn document(predictions: &Predictions) -> Result<Vec<u8>, ResultsError> {
    let patients = predictions.patients.iter();
    let patients = patients.map(|patient| Patient::of(patient, &predictions.classes));
    let document = Document {
        schema: SCHEMA,
        notice: NOTICE_IN_FULL,
        made_by: &predictions.made_by,
        date: &predictions.date,
        model: &predictions.model,
        classes: &predictions.classes,
        patients: patients.collect(),
    };
    lines(&document)
}

impl<'a> Patient<'a> {
    fn of(patient: &'a PatientPrediction, classes: &'a [String]) -> Self {
        let scan = |(scan, name): (&'a crate::ScanOrigin, String)| Scan {
            name,
            contrast: scan.contrast.name(),
            dicom: scan.dicom().is_some(),
            path: shown(&scan.files.path()),
            slices_to_world: scan.grid.as_ref().map(|grid| grid.to_world),
        };
        let slices = patient.slices.iter();
        Self {
            patient: &patient.patient,
            class: &classes[patient.class],
            class_index: patient.class,
            probabilities: &patient.probabilities,
            low: patient.low,
            high: patient.high,
            flags: &patient.flags,
            scans: patient
                .scans
                .iter()
                .zip(patient.scan_names())
                .map(scan)
                .collect(),
            slices: slices
                .map(|slice| Slice {
                    scan: slice.scan,
                    slice: slice.index,
                    probabilities: &slice.probabilities,
                })
                .collect(),
        }
    }
}

/// JSON has text alone; a path of other bytes is shown with signs in their place.
fn shown(path: &Path) -> PathBuf {
    path.to_string_lossy().into_owned().into()
}

/// JSON with line breaks, and one at the end.
pub(crate) fn lines(document: &impl Serialize) -> Result<Vec<u8>, ResultsError> {
    let encoded = serde_json::to_vec_pretty(document);
    let mut bytes = encoded.map_err(|error| ResultsError::encode("JSON")(error.into()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::example;

    #[test]
    fn the_document_says_what_it_is_not_for_and_has_every_field() {
        let bytes = document(&example()).expect("made");
        let read: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(read["schema"], 1);
        let notice = read["notice"].as_str().expect("text");
        assert!(notice.starts_with(crate::NOTICE));
        let patient = &read["patients"][0];
        assert_eq!(patient["class"], "higher");
        assert_eq!(patient["probabilities"], serde_json::json!([0.25, 0.75]));
        assert_eq!(patient["scans"][0]["name"], "flair");
        assert_eq!(patient["slices"][1]["slice"], 3);
        assert_eq!(read["model"]["learning_round"], 12);
    }
}
