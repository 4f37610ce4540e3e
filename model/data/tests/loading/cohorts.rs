//! Folders in MS60 layout.

use std::{fs, path::Path};

use model_data::{Cohort, DataError, Feature, LoadOptions, SliceChoice, load_cohort};

use crate::{
    files::{gzipped, workbook},
    folders::{TABLE, folder, put, row, scan},
};

fn load(root: &Path) -> Result<Cohort, DataError> {
    load_cohort(root, &LoadOptions::default(), |_| ())
}

#[test]
fn rows_and_images_meet_and_everything_left_out_is_named() {
    let root = folder(&[
        "1|F|56|43|3|No|Gelenia|Motor|No",
        "2|F|29|19|1.5|No|Gelenia|Sensory|Yes",
        "3|M|24|20|6|No|Tysabri|Visual|No",
        "4|M|30|20|2|No|Tysabri|Visual|No",
        "5|F|33|31|eleven|No|Avonex|Pain|No",
        "2|F|29|19|1.5|No|Gelenia|Sensory|Yes",
        "|F|29|19|1.5|No|Gelenia|Sensory|Yes",
    ]);
    let path = root.path();
    put(path, "1", "1-Flair.nii", &scan());
    put(path, "1", "1-LesionSeg-Flair.nii", b"not looked at");
    put(path, "2", "2-FLAIR.nii.gz", &gzipped(&scan()));
    put(path, "3", "3-Flair.nii", b"broken");
    put(path, "9", "9-Flair.nii", &scan());

    let Cohort {
        patients, report, ..
    } = load(path).expect("two patients are left");
    let ids: Vec<&str> = patients.iter().map(|patient| patient.id.as_str()).collect();
    assert_eq!(ids, ["1", "2"]);
    assert_eq!(patients[0].edss.value(), 3.0);
    assert_eq!(patients[0].slices, patients[1].slices);
    assert_eq!(patients[0].slices.len(), 6, "slices of air are dropped");

    assert_eq!(report.rows, 7);
    assert_eq!(report.rows_without_images, ["4"]);
    assert_eq!(report.images_without_row, [path.join("Patient-9")]);
    assert_eq!(report.bad_files.len(), 1);
    assert_eq!(
        report.bad_files[0].path,
        path.join("Patient-3").join("3-Flair.nii")
    );
    assert_eq!(
        report.bad_files[0].reason,
        "not a NIfTI-1 file: convert it to .nii or .nii.gz"
    );
    let bad_rows: Vec<usize> = report.bad_rows.iter().map(|bad| bad.row).collect();
    assert_eq!(bad_rows, [7, 8, 9]);
    assert!(!report.is_clean());
    let lines = report.to_string();
    for named in [
        "3-Flair.nii",
        "Patient-9",
        "row 7",
        "1 row without images, left out: 4",
    ] {
        assert!(lines.contains(named), "{named} in {lines}");
    }

    let strict = LoadOptions {
        strict: true,
        ..LoadOptions::default()
    };
    let error = load_cohort(path, &strict, |_| ()).expect_err("strict");
    assert!(
        error
            .to_string()
            .contains("3-Flair.nii: not a NIfTI-1 file"),
        "{error}"
    );
}

#[test]
fn the_quirks_of_the_original_table_are_understood() {
    let root = folder(&[
        "9|F|36|33|6|No|Gelenia|Motore|No",
        "24| f |25|25|0|No|Betaferon|Sensory  & Visual|",
        "25|N|35||4.5|No|Betaferon|Pain|Yes",
        "38|F|25|25|1|Yes|Tysabri|Balance &Motor|No",
        "40|M|15|17|1|Yes|Tysabri||No",
        "44|M|41|41|3|No|Betaferon|Sensory & Visual ,Balance|No",
    ]);
    for patient in ["9", "24", "25", "38", "40", "44"] {
        put(
            root.path(),
            patient,
            &format!("{patient}-Flair.nii"),
            &scan(),
        );
    }
    let Cohort {
        patients, report, ..
    } = load(root.path()).expect("loads");
    let features: Vec<_> = patients
        .iter()
        .map(|patient| &patient.features[..])
        .collect();
    let years = |values: [f64; 3]| values.map(Some);
    let flags = |values: [u8; 4]| values.map(|flag| Some(f64::from(flag)));
    assert_eq!(features[0][0], Some(0.0));
    assert_eq!(features[0][1..4], years([36.0, 33.0, 3.0]));
    assert_eq!(features[0][4], Some(0.0));
    assert_eq!(features[0][5..], flags([1, 0, 0, 0]), "Motore");
    assert_eq!(features[1][5..], flags([0, 1, 1, 0]));
    assert_eq!(features[1][4], None);
    assert_eq!(
        features[2][..4],
        [None, Some(35.0), None, None],
        "sex N, no onset"
    );
    assert_eq!(features[2][5..], flags([0, 0, 0, 0]), "another symptom");
    assert_eq!(features[3][5..], flags([1, 0, 0, 1]));
    assert_eq!(
        features[4][1..4],
        years([15.0, 17.0, 0.0]),
        "onset after age"
    );
    assert_eq!(features[4][5..], [None; 4]);
    assert_eq!(features[5][5..], flags([0, 1, 1, 1]));
    assert_eq!(report.missing_features[Feature::Sex.index()], 1);
    assert_eq!(report.missing_features[Feature::Duration.index()], 1);
    assert_eq!(report.missing_features[Feature::Motor.index()], 1);
    assert_eq!(report.warnings.len(), 1);
    assert!(report.warnings[0].contains("row 7"));
    assert!(report.is_clean(), "nothing was left out");
}

#[test]
fn a_choice_of_slices_is_honoured() {
    let root = folder(&["1|F|56|43|3|No|Gelenia|Motor|No"]);
    put(root.path(), "1", "1-Flair.nii", &scan());
    let options = LoadOptions {
        slices: SliceChoice::evenly(2),
        ..LoadOptions::default()
    };
    let cohort = load_cohort(root.path(), &options, |_| ()).expect("loads");
    let heights = cohort.patients[0]
        .slices
        .iter()
        .map(|slice| slice.axial_index);
    assert_eq!(heights.collect::<Vec<_>>(), [2, 5]);
}

#[test]
fn what_ends_the_reading_names_the_thing_and_what_to_do() {
    let says = |root: &Path, words: &[&str]| {
        let message = load(root).expect_err("cannot load").to_string();
        for word in words {
            assert!(message.contains(word), "{word} in: {message}");
        }
    };
    let root = folder(&["1|F|56|43|3|No|Gelenia|Motor|No"]);
    let path = root.path();
    says(
        &path.join("elsewhere"),
        &["cannot read the data folder", "elsewhere"],
    );
    says(path, &["no patient", "patient 1 of the table has no image"]);
    put(path, "1", "1-Flair.nii", &[]);
    says(path, &["no patient", "1-Flair.nii: empty (0 bytes)"]);

    let without_edss = workbook(&[
        row("title"),
        row("ID|Gender|Age|Disability"),
        row("1|F|56|3"),
    ]);
    fs::write(path.join(TABLE), without_edss).expect("writes");
    says(
        path,
        &[TABLE, "no column named EDSS", "ID, Gender, Age, Disability"],
    );
    fs::write(
        path.join(TABLE),
        workbook(&[row("Name|EDSS"), row("Anna|3")]),
    )
    .expect("writes");
    says(path, &["no column named ID", "Name, EDSS"]);
    fs::write(path.join(TABLE), workbook(&[])).expect("writes");
    says(path, &["no column named ID"]);
    fs::write(path.join(TABLE), b"PK\x03\x04 not really").expect("writes");
    says(path, &["cannot read the clinical table", TABLE]);
    fs::remove_file(path.join(TABLE)).expect("removes");
    says(path, &["no clinical table", "Supplementary Table 1"]);
    for name in ["a.xlsx", "b.xlsx"] {
        fs::write(path.join(name), b"").expect("writes");
    }
    says(path, &["2 tables", "leave one"]);
}

#[test]
fn columns_that_are_not_there_are_imputed_and_warned_of() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let table = workbook(&[row("ID|EDSS|Age"), row("1|2.5|40")]);
    fs::write(folder.path().join("cohort.xlsx"), table).expect("writes");
    put(folder.path(), "1", "1-Flair.nii", &scan());
    let Cohort {
        patients, report, ..
    } = load(folder.path()).expect("loads");
    assert_eq!(patients[0].features[Feature::Age.index()], Some(40.0));
    assert_eq!(report.missing_features.iter().sum::<usize>(), 8);
    assert_eq!(report.warnings.len(), 4);
}
