//! BIDS trees.

use std::{fs, path::Path};

use model_data::{Cohort, Contrast, DataError, Feature, Layout, LoadOptions, load_cohort};
use tempfile::TempDir;

use crate::files::{Header, gzipped, head};

const DIMS: [i16; 3] = [12, 12, 8];

fn tree(table: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("participants.tsv"), table).expect("writes");
    fs::write(folder.path().join("dataset_description.json"), "{}").expect("writes");
    folder
}

fn put(root: &Path, file: &str, bytes: &[u8]) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().expect("a folder")).expect("creates");
    fs::write(path, bytes).expect("writes");
}

fn scan() -> Vec<u8> {
    Header::float32(DIMS).file(&head(DIMS))
}

#[test]
fn participants_and_images_meet_and_everything_left_out_is_named() {
    let root = tree(
        "participant_id\tage\tsex\tedss\tage_at_onset\tsensory\tmotor_symptoms\n\
         sub-01\t34\tF\t2.5\t30\t1\tyes\n\
         sub-02\t51\tM\tn/a\tn/a\t1\tno\n\
         03\tn/a\tO\t4\t22\t1\tn/a\n\
         sub-04\t40\tF\t1\t30\t1\tno\n\
         sub-05\t40\tF\t1\t30\t1\tno\n\
         sub-05\t40\tF\t1\t30\t1\tno\n",
    );
    let path = root.path();
    put(path, "sub-01/anat/sub-01_FLAIR.nii.gz", &gzipped(&scan()));
    put(path, "sub-01/anat/sub-01_T1w.nii", &scan());
    put(path, "sub-02/anat/sub-02_FLAIR.nii", &scan());
    put(
        path,
        "sub-03/ses-b/anat/sub-03_ses-b_FLAIR.nii",
        b"not looked at",
    );
    put(
        path,
        "sub-03/ses-a/anat/sub-03_ses-a_acq-3d_FLAIR.nii",
        &scan(),
    );
    put(path, "sub-04/anat/sub-04_T1w.nii", &scan());
    put(path, "sub-05/anat/sub-05_FLAIR.nii", &scan()[..400]);
    put(path, "sub-06/anat/sub-06_FLAIR.nii", &scan());
    put(
        path,
        "derivatives/sub-01/anat/sub-01_FLAIR.nii",
        b"not looked at",
    );

    let Cohort {
        patients, report, ..
    } = load_cohort(path, &LoadOptions::default(), |_| ()).expect("two are left");
    assert_eq!(report.layout, Some(Layout::Bids));
    let ids: Vec<&str> = patients.iter().map(|patient| patient.id.as_str()).collect();
    assert_eq!(ids, ["sub-01", "03"]);
    assert_eq!(patients[0].slices, patients[1].slices);
    let feature = |patient: usize, feature: Feature| patients[patient].features[feature.index()];
    assert_eq!(feature(0, Feature::Duration), Some(4.0));
    assert_eq!(feature(0, Feature::Sex), Some(0.0));
    assert_eq!(feature(0, Feature::Motor), Some(1.0));
    assert_eq!(
        feature(0, Feature::Sensory),
        None,
        "a functional system is no symptom"
    );
    assert_eq!(
        [feature(1, Feature::Sex), feature(1, Feature::Age)],
        [None, None]
    );
    assert_eq!(report.rows_without_images, ["sub-04"]);
    assert_eq!(report.images_without_row, [path.join("sub-06")]);
    let rows: Vec<usize> = report.bad_rows.iter().map(|bad| bad.row).collect();
    assert_eq!(rows, [3, 7]);
    assert_eq!(report.bad_files.len(), 1);
    assert!(
        report.bad_files[0]
            .to_string()
            .contains("sub-05_FLAIR.nii: truncated")
    );
    let warnings = report.warnings.join("\n");
    assert!(
        warnings.contains("sub-03_ses-a_acq-3d_FLAIR.nii: the first of 2 images"),
        "{warnings}"
    );
}

#[test]
fn other_contrasts_have_their_suffixes() {
    let root = tree("participant_id\tedss\nsub-1\t2\n");
    for suffix in ["FLAIR", "T1w", "T2w", "PDw"] {
        put(
            root.path(),
            &format!("sub-1/anat/sub-1_{suffix}.nii"),
            &scan(),
        );
    }
    let options = LoadOptions {
        contrasts: vec![Contrast::T2, Contrast::T1],
        ..LoadOptions::default()
    };
    let inventory = Layout::Bids
        .inventory(root.path(), &options)
        .expect("lists");
    let names = inventory.entries[0]
        .scans
        .iter()
        .map(|scan| scan.files.path());
    let anat = root.path().join("sub-1/anat");
    assert_eq!(
        names.collect::<Vec<_>>(),
        [anat.join("sub-1_T2w.nii"), anat.join("sub-1_T1w.nii")]
    );
}

#[test]
fn a_table_without_edss_says_so() {
    let root = tree("participant_id\tage\nsub-1\t30\n");
    put(root.path(), "sub-1/anat/sub-1_FLAIR.nii", &scan());
    let error = load_cohort(root.path(), &LoadOptions::default(), |_| ()).expect_err("refused");
    assert!(matches!(error, DataError::NoColumn { .. }));
    let error = error.to_string();
    assert!(
        error.contains("no column named EDSS") && error.contains("participant_id, age"),
        "{error}"
    );
}
