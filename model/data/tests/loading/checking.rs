//! What a check of a data folder finds.

use std::path::Path;

use model_data::{
    Contrast, Cuts, DataCheck, DataError, Feature, LoadOptions, ScanName, ShownScan, SliceChoice,
    Task, load_cohort,
};

use crate::{
    files::{Header, gzipped, head},
    folders::{DIMS, folder, put, scan},
};

fn check(root: &Path, contrasts: &[Contrast]) -> DataCheck {
    let options = LoadOptions {
        contrasts: contrasts.to_vec(),
        ..LoadOptions::default()
    };
    DataCheck::of(root, &options, Cuts::default(), |_| ()).expect("a folder that can be read")
}

/// A scan whose brightest voxel is another for each number.
fn other_scan(header: &Header, number: u8) -> Vec<u8> {
    let mut voxels = head(DIMS);
    let place = 4 * (12 * 12 * 4 + 12 * 5 + 5);
    voxels[place..place + 4].copy_from_slice(&(300.0 + f32::from(number)).to_le_bytes());
    header.file(&voxels)
}

#[test]
fn a_sound_folder_is_clean() {
    let root = folder(&[
        "1|F|56|43|3|No|Gelenia|Motor|No",
        "2|M|29|19|1.5|No|Gelenia|Sensory|Yes",
        "3|M|31|19|6|No|Gelenia|Sensory|Yes",
    ]);
    let plain = Header::float32(DIMS);
    for number in 1..=3 {
        let name = format!("{number}-Flair.nii");
        put(
            root.path(),
            &number.to_string(),
            &name,
            &other_scan(&plain, number),
        );
    }
    let found = check(root.path(), &[Contrast::Flair]);
    assert!(found.is_clean());
    assert_eq!((found.patients, found.slices()), (3, 18));
    let binary = &found.tasks[0];
    assert_eq!(
        (binary.task, &binary.patients[..]),
        (Task::Binary, &[1, 2][..])
    );
    assert_eq!(found.tasks[1].patients, [1, 1, 1]);
    assert_eq!(found.tasks[1].slices, [6, 6, 6]);
    assert_eq!(found.grids.len(), 1);
    assert_eq!(
        (found.grids[0].dims, found.grids[0].scans),
        ([12, 12, 8], 3)
    );
}

#[test]
fn the_same_scan_under_two_names_is_found_whatever_its_file_looks_like() {
    let root = folder(&[
        "1|F|56|43|3|No|Gelenia|Motor|No",
        "2|M|29|19|1.5|No|Gelenia|Sensory|Yes",
        "3|M|31|19|6|No|Gelenia|Sensory|Yes",
    ]);
    let path = root.path();
    let plain = Header::float32(DIMS);
    put(path, "1", "1-Flair.nii", &other_scan(&plain, 1));
    put(path, "2", "2-Flair.nii", &other_scan(&plain, 2));
    // Patient 3's is patient 1's, gzipped, and with planes stored from the head down.
    let turned = Header {
        sform: Some([
            [-1.0, 0.0, 0.0, 0.0],
            [0.0, -1.0, 0.0, 0.0],
            [0.0, 0.0, -1.0, 7.0],
        ]),
        ..plain
    };
    let file = other_scan(&Header::float32(DIMS), 1);
    let planes: Vec<u8> = file[352..]
        .chunks(4 * 144)
        .rev()
        .flatten()
        .copied()
        .collect();
    put(path, "3", "3-Flair.nii.gz", &gzipped(&turned.file(&planes)));
    put(
        path,
        "3",
        "3-T1.nii",
        &other_scan(&Header::float32(DIMS), 3),
    );
    let found = check(path, &[Contrast::Flair, Contrast::T1]);
    let name = |id: &str, contrast, file: &str| ScanName {
        id: id.to_owned(),
        contrast,
        path: path.join(format!("Patient-{id}")).join(file),
    };
    let pair = vec![
        name("1", Contrast::Flair, "1-Flair.nii"),
        name("3", Contrast::Flair, "3-Flair.nii.gz"),
    ];
    assert_eq!(found.duplicates, [pair]);
    assert!(!found.is_clean());
    assert!(found.report.is_clean(), "nothing is left out for that");
    let scans: Vec<usize> = found.contrasts.iter().map(|count| count.scans).collect();
    assert_eq!(scans, [3, 1]);
}

#[test]
fn everything_odd_is_counted() {
    let root = folder(&[
        "1|F|56|43|3|No|Gelenia|Motor|No",
        "2|F|29|19|3.5|No|Gelenia|Motor|",
        "3|F|31||4|No|Gelenia|Motor|No",
        "4|F|31|20|4|No|Gelenia|Motor|No",
        "5|F|31|20|3|No|Gelenia|Motor|No",
        "6|F|31|20|12|No|Gelenia|Motor|No",
        "7|F|31|20|2.25|No|Gelenia|Motor|No",
        "8|F|31|20|2|No|Gelenia|Motor|No",
    ]);
    let path = root.path();
    let plain = Header::float32(DIMS);
    let silent = Header {
        sform: None,
        ..plain.clone()
    };
    let oblique = Header {
        sform: Some([
            [-0.98, 0.0, 0.0, 0.0],
            [0.0, -0.98, -0.2, 0.0],
            [0.0, -0.2, 0.98, 0.0],
        ]),
        ..plain.clone()
    };
    let sagittal = Header {
        sform: Some([
            [0.0, 0.0, -2.0, 0.0],
            [-1.0, 0.0, 0.0, 0.0],
            [0.0, 1.0, 0.0, 0.0],
        ]),
        ..plain.clone()
    };
    put(path, "1", "1-Flair.nii", &other_scan(&silent, 1));
    put(path, "2", "2-Flair.nii", &other_scan(&oblique, 2));
    put(path, "3", "3-Flair.nii", &other_scan(&sagittal, 3));
    let mut broken = other_scan(&plain, 4);
    for place in [352, 360] {
        broken[place..place + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    }
    put(path, "4", "4-Flair.nii", &broken);
    put(path, "9", "9-Flair.nii", &scan());
    let found = check(path, &[Contrast::Flair]);

    assert_eq!(found.patients, 3);
    let orientations = found.orientations;
    assert_eq!(
        (
            orientations.not_stated,
            orientations.permuted,
            orientations.oblique
        ),
        (1, 1, 1)
    );
    assert!((orientations.largest_tilt_degrees - 11.5).abs() < 0.1);
    let grids: Vec<_> = found
        .grids
        .iter()
        .map(|grid| (grid.dims, grid.scans))
        .collect();
    assert_eq!(
        grids,
        [([8, 12, 12], 1), ([12, 12, 8], 1), ([12, 12, 8], 1)]
    );
    assert_eq!(found.grids[2].spacing_mm, [1.0, 1.0, 1.0]);

    assert_eq!(found.non_finite.len(), 1);
    assert_eq!(found.non_finite[0].voxels, 2);
    assert_eq!(found.non_finite[0].path, path.join("Patient-4/4-Flair.nii"));
    assert_eq!(found.report.bad_files.len(), 1);
    assert_eq!(found.report.images_without_row, [path.join("Patient-9")]);
    assert_eq!(found.report.rows_without_images, ["5", "8"]);
    let bad_rows: Vec<usize> = found.report.bad_rows.iter().map(|row| row.row).collect();
    assert_eq!(bad_rows, [8, 9]);
    assert!(
        found.report.bad_rows[0]
            .reason
            .contains("half point from 0 to 10")
    );

    let feature = |feature: Feature| {
        let count = found.features[feature.index()];
        (count.missing, count.constant)
    };
    assert_eq!(feature(Feature::Sex), (0, true));
    assert_eq!(feature(Feature::Age), (0, false));
    assert_eq!(feature(Feature::AgeAtOnset), (1, false));
    assert_eq!(feature(Feature::Comorbidity), (1, true));
    assert_eq!(found.tasks[0].patients, [0, 3]);
    assert_eq!(found.tasks[1].patients, [0, 3, 0]);
}

#[test]
fn a_folder_without_anyone_is_a_finding_and_no_folder_an_error() {
    let root = folder(&["1|F|56|43|3|No|Gelenia|Motor|No"]);
    let found = check(root.path(), &[Contrast::Flair]);
    assert_eq!((found.patients, found.is_clean()), (0, false));
    let options = LoadOptions::default();
    let nowhere = DataCheck::of(&root.path().join("no"), &options, Cuts::default(), |_| ());
    assert!(matches!(nowhere, Err(DataError::Folder { .. })));
}

#[test]
fn patients_are_shown_as_the_network_takes_them() {
    let root = folder(&[
        "1|F|56|43|3|No|Gelenia|Motor|No",
        "2|M|29|19|1.5|No|Gelenia|Sensory|Yes",
        "3|M|31|19|6|No|Gelenia|Sensory|Yes",
    ]);
    let path = root.path();
    let plain = Header::float32(DIMS);
    for number in [1, 3] {
        let flair = format!("{number}-Flair.nii");
        put(
            path,
            &number.to_string(),
            &flair,
            &other_scan(&plain, number),
        );
    }
    put(path, "1", "1-T2.nii", &other_scan(&plain, 11));
    let whole = other_scan(&plain, 2);
    put(path, "2", "2-Flair.nii", &whole[..whole.len() / 2]);
    for slices in [
        SliceChoice::All { drop_empty: true },
        SliceChoice::evenly(3),
    ] {
        let options = LoadOptions {
            contrasts: vec![Contrast::T2, Contrast::Flair],
            slices,
            ..LoadOptions::default()
        };
        let cohort = load_cohort(path, &options, |_| ()).expect("a cohort");
        let middle = |patient: usize, scan: usize, scans: usize| {
            let all = &cohort.patients[patient].slices;
            let of_scan = all.len() / scans;
            ShownScan::Middle(all[scan * of_scan + of_scan / 2].clone())
        };
        let shown = |most| {
            let check = DataCheck::with_patients(path, &options, Cuts::default(), most, |_| ());
            check.expect("a folder that can be read").1
        };
        let all = shown(24);
        let numbers: Vec<(usize, &str)> = { all.iter() }
            .map(|patient| (patient.number, patient.id.as_str()))
            .collect();
        assert_eq!(numbers, [(1, "1"), (2, "2"), (3, "3")]);
        let seen = |t2, flair| vec![(Contrast::T2, t2), (Contrast::Flair, flair)];
        assert_eq!(all[0].scans, seen(middle(0, 0, 2), middle(0, 1, 2)));
        assert_eq!(all[1].scans, seen(ShownScan::Absent, ShownScan::Unusable));
        assert_eq!(all[2].scans, seen(ShownScan::Absent, middle(1, 0, 1)));
        let numbers = |most| shown(most).iter().map(|patient| patient.number).collect();
        let (two, none): (Vec<usize>, Vec<usize>) = (numbers(2), numbers(0));
        assert_eq!((two, none), (vec![1, 2], vec![]));
    }
}
