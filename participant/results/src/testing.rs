//! Predictions to test with.

use std::path::PathBuf;

use model_data::{Contrast, IMAGE_SIDE, ScanFiles, SliceGrid};

use crate::{
    PatientPrediction, PredictedBy, Predictions, ScanOrigin, SlicePicture, SlicePrediction,
};

/// One patient, one scan of four planes, two slices.
pub(crate) fn example() -> Predictions {
    let slice = |index| SlicePrediction {
        scan: 0,
        index,
        probabilities: vec![0.25, 0.75],
        picture: Some(picture(|column, _| column as f32 / 128.0)),
    };
    Predictions {
        model: PredictedBy {
            model_hash: "0123456789abcdef".repeat(4),
            run: Some("ms-2026".into()),
            learning_round: 12,
            in_transcript: true,
            conditioning: "none".into(),
        },
        classes: vec!["lower".into(), "higher".into()],
        patients: vec![PatientPrediction {
            patient: "P 1".into(),
            class: 1,
            probabilities: vec![0.25, 0.75],
            low: 0.5,
            high: 0.875,
            flags: vec!["Few slices.".into()],
            slices: vec![slice(2), slice(3)],
            scans: vec![ScanOrigin {
                contrast: Contrast::Flair,
                files: ScanFiles::Nifti(PathBuf::from("/scans/p1.nii")),
                grid: Some(SliceGrid {
                    to_world: [
                        [-1.0, 0.0, 0.0, 64.0],
                        [0.0, -1.0, 0.0, 64.0],
                        [0.0, 0.0, 3.0, 0.0],
                        [0.0, 0.0, 0.0, 1.0],
                    ],
                    planes: 4,
                    stated: true,
                    images: None,
                }),
            }],
        }],
        made_by: "myelin 0.1.0".into(),
        date: "2026-12-01T12:00:00Z".into(),
    }
}

/// Even grey with this heat at (column, row).
pub(crate) fn picture(heat: impl Fn(usize, usize) -> f32) -> SlicePicture {
    let places = 0..IMAGE_SIDE * IMAGE_SIDE;
    SlicePicture {
        pixels: vec![90; IMAGE_SIDE * IMAGE_SIDE],
        heat: places
            .map(|place| heat(place % IMAGE_SIDE, place / IMAGE_SIDE))
            .collect(),
    }
}
