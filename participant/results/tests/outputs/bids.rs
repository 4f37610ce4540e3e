//! The derived data set, as the validator of BIDS sees it.

use std::fs;

use results::{Outputs, write_results};

use crate::{
    made::{plain_patient, predictions, scans},
    python,
};

#[test]
fn the_validator_of_bids_finds_no_error() {
    let Some((folder, scans)) = scans() else {
        return;
    };
    let mut twice = scans[0].patient("sub-01");
    twice.scans.push(twice.scans[0].clone());
    let mut of_second = twice.slices[5].clone();
    of_second.scan = 1;
    twice.slices.push(of_second);
    let odd = scans[1].patient("=cmd\t|' /C calc'!A0");
    let plain = plain_patient("Zoë 3", &folder.path().join("x.nii"));
    let target = folder.path().join("out");
    let outputs = Outputs {
        bids: true,
        ..Outputs::default()
    };
    write_results(&target, &predictions(vec![twice, odd, plain]), outputs).expect("written");
    let bids = target.join("bids");
    let anat = fs::read_dir(bids.join("sub-01/anat"))
        .expect("images")
        .count();
    assert_eq!(anat, 4, "two images, each with a sidecar");
    let table = fs::read_to_string(bids.join("participants.tsv")).expect("there");
    assert_eq!(table.lines().count(), 4);
    assert!(table.contains("\t'=cmd |' /C calc'!A0\t"), "{table}");
    python::ask("check_bids.py", &[&bids]);
}
