//! Whether heat lies on the scan where it was found, as nibabel places both.

use std::fs;

use results::{Outputs, write_results};
use serde_json::json;

use crate::{
    made::{predictions, scans},
    python,
};

#[test]
fn a_bright_voxel_is_hot_at_its_place_in_the_world_whatever_the_axes() {
    let Some((folder, scans)) = scans() else {
        return;
    };
    assert!(scans.len() > 50, "every order and direction of axes");
    let patients = scans.iter().map(|scan| scan.patient(&scan.name)).collect();
    let target = folder.path().join("out");
    let outputs = Outputs {
        heat: true,
        ..Outputs::default()
    };
    write_results(&target, &predictions(patients), outputs).expect("written");
    let cases: Vec<_> = (scans.iter())
        .map(|scan| {
            let heat = target
                .join("heat")
                .join(&scan.name)
                .join("flair-heat.nii.gz");
            // A pixel of the slices is 0.3 to 1.2 mm wide.
            json!({"name": scan.name, "heat": heat, "world": scan.world, "tolerance_mm": 0.2})
        })
        .collect();
    let list = folder.path().join("cases.json");
    fs::write(&list, serde_json::to_vec(&cases).expect("JSON")).expect("written");
    python::ask("check_heat.py", &[&list]);
}
