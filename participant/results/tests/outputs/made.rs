//! Scans that pydicom and nibabel made, each with one bright voxel, and predictions that point at it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use model_data::{IMAGE_SIDE, ScanSource, SliceChoice, axial_slices};
use results::{
    Contrast, PatientPrediction, PredictedBy, Predictions, ScanFiles, ScanOrigin, SlicePicture,
    SlicePrediction,
};
use serde::Deserialize;
use tempfile::TempDir;

use crate::python;

/// No tissue is as bright: standard deviations of its slice.
const BRIGHT: f32 = 8.0;

/// A scan of make_scans.py.
#[derive(Clone, Deserialize)]
pub struct MadeScan {
    pub name: String,
    pub dicom: bool,
    pub files: Vec<PathBuf>,
    /// Of the bright voxel: millimetres towards right, front and head.
    pub world: [f64; 3],
}

/// All scans, below a folder; None where there is no Python with the libraries.
pub fn scans() -> Option<(TempDir, Vec<MadeScan>)> {
    let folder = tempfile::tempdir().expect("a folder");
    python::ask("make_scans.py", &[folder.path()]);
    let list = fs::read(folder.path().join("scans.json")).ok()?;
    let scans = serde_json::from_slice(&list).expect("a list of scans");
    Some((folder, scans))
}

impl MadeScan {
    pub fn origin(&self) -> ScanOrigin {
        let files = if self.dicom {
            ScanFiles::Dicom(self.files.clone())
        } else {
            ScanFiles::Nifti(self.files[0].clone())
        };
        let contrast = Contrast::Flair;
        let origin = ScanOrigin::of(&ScanSource { contrast, files });
        origin.unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// One patient named `patient` with this scan; hot is what is bright, on every slice that shows tissue.
    pub fn patient(&self, patient: &str) -> PatientPrediction {
        let origin = self.origin();
        let scan = origin.files.read().expect("a scan");
        let planes = origin.grid.as_ref().expect("read").planes;
        assert_eq!(scan.volume.dims()[2], planes, "{}", self.name);
        let choice = SliceChoice::All { drop_empty: true };
        let slices = axial_slices(&scan.volume, choice).expect("slices");
        let slices = slices.iter().map(|slice| SlicePrediction {
            scan: 0,
            index: slice.axial_index,
            probabilities: vec![0.125, 0.875],
            picture: Some(SlicePicture {
                pixels: slice
                    .pixels
                    .iter()
                    .map(|p| (p * 40.0 + 60.0).clamp(0.0, 255.0) as u8)
                    .collect(),
                heat: slice
                    .pixels
                    .iter()
                    .map(|p| ((p - BRIGHT) / 100.0).clamp(0.0, 1.0))
                    .collect(),
            }),
        });
        PatientPrediction {
            patient: patient.to_owned(),
            class: 1,
            probabilities: vec![0.125, 0.875],
            low: 0.75,
            high: 0.9375,
            flags: vec![
                "Fewer slices than in training.".into(),
                "The scan is tilted by ≥ 5 degrees.".into(),
            ],
            slices: slices.collect(),
            scans: vec![origin],
        }
    }
}

pub fn predictions(patients: Vec<PatientPrediction>) -> Predictions {
    Predictions {
        model: PredictedBy {
            model_hash: "5a".repeat(32),
            run: Some("ms-2026".into()),
            learning_round: 30,
            in_transcript: true,
            conditioning: "none".into(),
        },
        classes: vec!["lower".into(), "higher".into()],
        patients,
        made_by: "myelin 0.1.0".into(),
        date: "2026-12-01T12:34:56Z".into(),
    }
}

/// A patient without a file: one slice of one scan at the place of `path`.
pub fn plain_patient(patient: &str, path: &Path) -> PatientPrediction {
    PatientPrediction {
        patient: patient.to_owned(),
        class: 0,
        probabilities: vec![0.75, 0.25],
        low: 0.5,
        high: 1.0,
        flags: vec![],
        slices: vec![SlicePrediction {
            scan: 0,
            index: 4,
            probabilities: vec![0.75, 0.25],
            picture: Some(SlicePicture {
                pixels: vec![7; IMAGE_SIDE * IMAGE_SIDE],
                heat: vec![0.5; IMAGE_SIDE * IMAGE_SIDE],
            }),
        }],
        scans: vec![ScanOrigin {
            contrast: Contrast::T1,
            files: ScanFiles::Nifti(path.to_owned()),
            grid: None,
        }],
    }
}
