//! Manifests of patients and images, and which layout a folder has.

use std::{fs, path::Path};

use model_data::{Cohort, Contrast, DataError, FeatureSchema, Layout, LoadOptions, load_cohort};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::{
    dicom_files::head_series,
    files::{Header, head, raw_workbook, workbook},
};

const DIMS: [i16; 3] = [12, 12, 8];

fn folder(manifest: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    put(folder.path(), "manifest.csv", manifest.as_bytes());
    folder
}

fn put(root: &Path, file: &str, bytes: &[u8]) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().expect("a folder")).expect("creates");
    fs::write(path, bytes).expect("writes");
}

fn put_dicom(root: &Path, folder: &str) {
    for (index, image) in head_series("1.2", [12, 12, 8]).iter().enumerate() {
        put(root, &format!("{folder}/{index}.dcm"), &image.file());
    }
}

fn scan() -> Vec<u8> {
    Header::float32(DIMS).file(&head(DIMS))
}

fn load(root: &Path) -> Result<Cohort, DataError> {
    load_cohort(root, &LoadOptions::default(), |_| ())
}

fn ids(cohort: &Cohort) -> Vec<&str> {
    cohort
        .patients
        .iter()
        .map(|patient| patient.id.as_str())
        .collect()
}

#[test]
fn rows_name_their_images_in_files_and_folders() {
    let root = folder(
        "patient;edss;sex;age;image;contrast\n\
         A;2,5;F;34;scans/a.nii;flair\n\
         B;4;M;51;scans/b;\n\
         C;4;M;51;scans/c.nii;\n\
         D;4;M;51;scans/a.nii;PD\n\
         E;eleven;M;51;scans/a.nii;\n\
         A;3;F;34;scans/a.nii;T1\n\
         A;2.5;F;34;scans/a.nii;FLAIR\n\
         F;2;M;51;;\n\
         G;2;M;51;scans/g.nii;\n\
         \"H \"\"x\"\"; y\";2;M;51;scans/a.nii;\n",
    );
    put(root.path(), "scans/a.nii", &scan());
    put_dicom(root.path(), "scans/b");
    put(root.path(), "scans/g.nii", b"broken");
    let cohort = load(root.path()).expect("loads");
    assert_eq!(ids(&cohort), ["A", "B", "H \"x\"; y"]);
    assert_eq!(cohort.patients[0].edss.value(), 2.5);
    assert_eq!(
        cohort.patients[0].slices, cohort.patients[1].slices,
        "NIfTI and DICOM alike"
    );
    let report = &cohort.report;
    assert_eq!(report.layout, Some(Layout::Manifest));
    let rows: Vec<String> = report.bad_rows.iter().map(ToString::to_string).collect();
    assert_eq!(
        rows,
        [
            "row 6 of the table: its EDSS is missing or not a half point from 0 to 10",
            "row 5 of the table: its contrast is not FLAIR, T1 or T2",
            "row 7 of the table: its EDSS differs from that of the patient's first row",
            "row 8 of the table: its ID occurred before, with an image of this contrast",
        ]
    );
    let files: Vec<String> = report.bad_files.iter().map(ToString::to_string).collect();
    assert_eq!(files.len(), 2);
    assert!(
        files[0].ends_with("scans/c.nii: there is no such file"),
        "{files:?}"
    );
    assert!(
        files[1].ends_with("scans/g.nii: not a NIfTI-1 file: convert it to .nii or .nii.gz"),
        "{files:?}"
    );
    assert_eq!(report.rows_without_images, ["F"]);
    assert_eq!(
        load(&root.path().join("manifest.csv"))
            .expect("loads")
            .patients
            .len(),
        3
    );
}

#[test]
fn a_patients_contrasts_stand_in_columns_or_in_rows() {
    let options = LoadOptions {
        contrasts: vec![Contrast::Flair, Contrast::T1],
        ..LoadOptions::default()
    };
    let scans = |manifest: &str| {
        let root = folder(manifest);
        put(root.path(), "f.nii", &scan());
        put(root.path(), "t.nii", &scan());
        let inventory = Layout::Manifest
            .inventory(root.path(), &options)
            .expect("lists");
        let scans = inventory.entries[0].scans.iter();
        let names = scans.map(|scan| {
            scan.files
                .path()
                .strip_prefix(root.path())
                .map(Path::to_owned)
        });
        names.collect::<Result<Vec<_>, _>>().expect("in the folder")
    };
    let both = [Path::new("f.nii"), Path::new("t.nii")];
    assert_eq!(scans("id,edss,t1,flair\n1,2,t.nii,f.nii\n"), both);
    assert_eq!(
        scans("id,edss,image,contrast\n1,2,t.nii,T1w\n1,2,f.nii,\n"),
        both
    );
}

#[test]
fn a_manifest_without_images_says_which_column_is_missing() {
    let root = folder("id,edss,age\n1,2,30\n");
    let error = load(root.path()).expect_err("refused").to_string();
    assert!(
        error.contains("no column named image") && error.contains("id, edss, age"),
        "{error}"
    );
}

#[test]
fn nine_columns_of_choice_are_read_within_their_ranges() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "T2 lesions"];
    let manifest = format!(
        "id,edss,image,{}\n1,2,s.nii,1,2,3,4,5,yes,no,,700\n",
        names.join(",")
    );
    let root = folder(&manifest);
    put(root.path(), "s.nii", &scan());
    let columns: Vec<String> = names.iter().map(|name| format!("{name}: 0..50")).collect();
    let options = LoadOptions {
        features: FeatureSchema::parse(&columns).expect("nine"),
        ..LoadOptions::default()
    };
    let Cohort {
        patients, report, ..
    } = load_cohort(root.path(), &options, |_| ()).expect("loads");
    let expected = [1.0, 2.0, 3.0, 4.0, 5.0, 1.0, 0.0].map(Some);
    assert_eq!(patients[0].features[..7], expected);
    assert_eq!(patients[0].features[7..], [None, Some(50.0)]);
    assert_eq!(report.warnings.len(), 1);
    assert!(report.warnings[0].contains("T2 lesions lies outside of 0 to 50"));
    assert!(
        !report.warnings[0].contains("700"),
        "no clinical value in a report"
    );
    assert!(report.to_string().contains("h missing for 1 patient,"));

    let other = columns
        .iter()
        .map(|column| column.replace("T2 lesions", "spinal lesions"));
    let options = LoadOptions {
        features: FeatureSchema::parse(&other.collect::<Vec<_>>()).expect("nine"),
        ..LoadOptions::default()
    };
    let error = load_cohort(root.path(), &options, |_| ())
        .expect_err("refused")
        .to_string();
    assert!(error.contains("no column named spinal lesions"), "{error}");
}

/// Columns beside features of the study, in the order that was asked for; a sign of the examination is warned about.
#[test]
fn columns_are_read_beside_features_of_the_study() {
    let root = folder(
        "id,edss,image,age,age at onset,smoker,treated,Pyramidal\n1,2,s.nii,44,30,no,18 months,3\n2,6,s.nii,51,,perhaps,200,1\n",
    );
    put(root.path(), "s.nii", &scan());
    let schema = [
        "smoker: flag",
        "disease duration",
        "treated: years",
        "Pyramidal: 0..6",
    ];
    let options = LoadOptions {
        features: FeatureSchema::parse(&schema).expect("four"),
        ..LoadOptions::default()
    };
    let Cohort {
        patients, report, ..
    } = load_cohort(root.path(), &options, |_| ()).expect("loads");
    assert_eq!(
        patients[0].features,
        [Some(0.0), Some(14.0), Some(1.5), Some(3.0)]
    );
    assert_eq!(patients[1].features, [None, None, None, Some(1.0)]);
    assert_eq!(report.missing_features, [1, 1, 1, 0]);
    let doubts: Vec<String> = report.doubts.iter().map(ToString::to_string).collect();
    for what in ["smoker is not understood", "treated is not understood"] {
        assert!(
            doubts.iter().any(|doubt| doubt.contains(what)),
            "{doubts:?}"
        );
    }
    let signs = report
        .warnings
        .iter()
        .filter(|warning| warning.contains("EDSS is computed from"));
    assert_eq!(signs.count(), 1, "{:?}", report.warnings);
    // What nobody has asked for is not missed.
    let missed = report
        .warnings
        .iter()
        .any(|warning| warning.contains("no column 'Gender'"));
    assert!(!missed, "{:?}", report.warnings);
}

/// A column that is asked for by its name is not taken for the study's feature that it is named like, whichever comes first.
#[test]
fn a_column_of_choice_is_no_feature_of_the_study() {
    for header in [
        "Comorbidity index,Co-morbidity",
        "Co-morbidity,Comorbidity index",
    ] {
        let root = folder(&format!(
            "id,edss,image,{header}\n1,2,s.nii,1,1\n2,6,s.nii,0,0\n3,6,s.nii,{}\n",
            if header.starts_with("Comorb") {
                "7,no"
            } else {
                "no,7"
            }
        ));
        put(root.path(), "s.nii", &scan());
        let options = LoadOptions {
            features: FeatureSchema::parse(&["co-morbidity", "comorbidity index: 0..10"])
                .expect("two"),
            ..LoadOptions::default()
        };
        let Cohort {
            patients, report, ..
        } = load_cohort(root.path(), &options, |_| ()).expect("loads");
        assert_eq!(patients[2].features, [Some(0.0), Some(7.0)], "{header}");
        assert!(report.doubts.is_empty(), "{:?}", report.doubts);
    }
    // Letters and digits alone do not tell these apart.
    let root = folder("id,edss,image,T2 <5mm,T2 >5mm\n1,2,s.nii,1,3\n");
    put(root.path(), "s.nii", &scan());
    let options = LoadOptions {
        features: FeatureSchema::parse(&["T2 5mm: 0..10"]).expect("one"),
        ..LoadOptions::default()
    };
    let refused = load_cohort(root.path(), &options, |_| ()).expect_err("which of the two?");
    assert!(refused.to_string().contains("T2 <5mm"), "{refused}");
}

#[test]
fn a_layout_is_told_by_what_is_there() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let recognised = || Layout::recognise(root.path());
    let message = || recognised().expect_err("not recognised").to_string();
    for sought in [
        "manifest.csv",
        "participants.tsv",
        "clinical.csv",
        "Patient-1",
        "DICOM",
    ] {
        assert!(message().contains(sought), "{sought}");
    }
    put(root.path(), "clinical.csv", b"id,edss\n1,2\n");
    assert_eq!(recognised().expect("a table"), Layout::Ms60);
    put_dicom(root.path(), "Patient-1/study");
    assert_eq!(recognised().expect("DICOM"), Layout::Dicom);
    put(root.path(), "Patient-1/1-Flair.nii", &scan());
    assert_eq!(recognised().expect("NIfTI beside it"), Layout::Ms60);
    put(root.path(), "participants.tsv", b"participant_id\tedss\n");
    assert_eq!(recognised().expect("no subject"), Layout::Ms60);
    put(root.path(), "sub-1/anat/sub-1_FLAIR.nii", &scan());
    assert!(matches!(
        recognised(),
        Err(DataError::SeveralLayouts { .. })
    ));
    assert!(message().contains("BIDS") && message().contains("MS60"));
    put(root.path(), "manifest.csv", b"id,edss,image\n");
    assert_eq!(recognised().expect("somebody said so"), Layout::Manifest);
    assert!(matches!(
        Layout::recognise(&root.path().join("elsewhere")),
        Err(DataError::Folder { .. })
    ));
}

#[test]
fn a_workbook_with_a_cell_far_out_is_refused_before_anything_is_allocated() {
    let root = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(root.path().join("Patient-1")).expect("creates");
    let cells = r#"<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>"#;
    put(root.path(), "clinical.xlsx", &raw_workbook(cells));
    let error = load(root.path()).expect_err("refused").to_string();
    assert!(
        error.contains("column 16384 is not of a table of patients"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_bytes_as_a_table_are_a_cohort_or_an_error_and_never_a_panic(
        noise in prop::collection::vec(any::<u8>(), 0..400),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let damaged = |mut bytes: Vec<u8>| {
            for (place, byte) in &damage {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            bytes
        };
        let cell = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect();
        let rows = [cell(&["ID", "EDSS", "Age", "Sex"]), cell(&["1", "2.5", "40", "F"])];
        let sheet = r#"<row r="1"><c r="A1" t="inlineStr"><is><t>ID</t></is></c><c r="B1"><v>1</v></c></row>"#;
        let xml = String::from_utf8_lossy(&damaged(sheet.as_bytes().to_vec())).into_owned();
        let tables = [
            ("manifest.csv", noise.clone()),
            ("manifest.csv", damaged(b"id,edss,image\n1,2.5,\"a.nii\"\n2,3,b.nii\n".to_vec())),
            ("participants.tsv", damaged(b"participant_id\tedss\tage\nsub-1\t2.5\t40\n".to_vec())),
            ("clinical.xlsx", noise),
            ("clinical.xlsx", damaged(workbook(&rows))),
            ("clinical.xlsx", raw_workbook(&xml)),
        ];
        for (name, bytes) in tables {
            let root = tempfile::tempdir().expect("a temporary folder");
            fs::create_dir(root.path().join("sub-1")).expect("creates");
            fs::create_dir(root.path().join("Patient-1")).expect("creates");
            put(root.path(), name, &bytes);
            for layout in [Layout::Manifest, Layout::Bids, Layout::Ms60, Layout::Dicom] {
                let _ = layout.inventory(root.path(), &LoadOptions::default());
            }
        }
    }
}
