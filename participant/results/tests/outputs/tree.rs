//! Which files there are, who can read them, and that each says what it is not for.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use results::{NOTICE, Outputs, SliceGrid, write_results};

use crate::made::{plain_patient, predictions};

/// Every file below a folder, and what it holds.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(&inner).expect("a folder") {
            let path = entry.expect("an entry").path();
            private(&path);
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(&path).expect("a file");
                let below = path.strip_prefix(folder).expect("below it");
                found.insert(below.to_owned(), bytes);
            }
        }
    }
    found
}

#[cfg(unix)]
fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let about = fs::metadata(path).expect("there");
    let expected = if about.is_dir() { 0o700 } else { 0o600 };
    let mode = about.permissions().mode() & 0o777;
    assert_eq!(mode, expected, "{}", path.display());
}

#[cfg(not(unix))]
fn private(_: &Path) {}

#[test]
fn all_files_are_private_below_the_folder_and_say_what_they_are_not_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("out");
    let mut patient = plain_patient("../../p", Path::new("/scans/p.nii"));
    patient.scans[0].grid = Some(SliceGrid {
        to_world: [
            [-1.5, 0.0, 0.0, 90.0],
            [0.0, -1.5, 0.0, 80.0],
            [0.0, 0.0, 4.0, -10.0],
            [0.0, 0.0, 0.0, 1.0],
        ],
        planes: 6,
        stated: true,
        images: None,
    });
    let outputs = Outputs {
        heat: true,
        dicom: true,
        bids: true,
    };
    let written = write_results(&target, &predictions(vec![patient]), outputs).expect("written");
    private(&target);
    let files = files(&target);
    assert_eq!(written.files, files.len());
    let above = fs::read_dir(folder.path()).expect("a folder");
    assert_eq!(above.count(), 1, "nothing beside it");
    let mut endings = vec![];
    for (path, bytes) in files {
        let name = path.to_str().expect("plain");
        let text = String::from_utf8_lossy(&bytes);
        match name.rsplit('.').next() {
            // Compressed: nibabel looks into it in another test.
            Some("gz") => {}
            _ => assert!(text.contains(NOTICE), "{name}"),
        }
        endings.push(name.rsplit('/').next().expect("a name").to_owned());
    }
    endings.retain(|name| !name.starts_with("sub-"));
    endings.sort();
    let expected = [
        "README.md",
        "dataset_description.json",
        "participants.json",
        "participants.tsv",
        "predictions.csv",
        "predictions.json",
        "slices.csv",
        "t1-heat.nii.gz",
        "t1-slice-4.png",
    ];
    assert_eq!(endings, expected);
}
