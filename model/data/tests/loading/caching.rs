//! Prepared slices kept on disk: never out of date, never half, never in the way.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

use model_data::{CacheChoice, Cohort, LoadOptions, SliceChoice, load_cohort};

use crate::{
    files::{Header, head},
    folders::{DIMS, folder, put, scan},
};

const ROWS: [&str; 3] = [
    "1|F|56|43|3|No|Gelenia|Motor|No",
    "2|F|29|19|1.5|No|Gelenia|Sensory|Yes",
    "3|M|24|20|6|No|Tysabri|Visual|No",
];

/// Another scan of the same length in bytes for each number.
fn scan_number(number: u8) -> Vec<u8> {
    let mut bytes = scan();
    let last = bytes.len() - 4 * (12 * 12 * 3 + 12 * 6 + 6);
    bytes[last..last + 4].copy_from_slice(&(300.0 + f32::from(number)).to_le_bytes());
    bytes
}

fn cohort_of_three() -> tempfile::TempDir {
    let root = folder(&ROWS);
    for number in 1..=3 {
        let name = format!("{number}-Flair.nii");
        put(
            root.path(),
            &number.to_string(),
            &name,
            &scan_number(number),
        );
    }
    root
}

fn options(cache: &Path) -> LoadOptions {
    LoadOptions {
        cache: Some(CacheChoice {
            folder: cache.to_owned(),
            forget_others: false,
        }),
        ..LoadOptions::default()
    }
}

fn load(root: &Path, options: &LoadOptions) -> Cohort {
    load_cohort(root, options, |_| ()).expect("loads")
}

fn fresh(root: &Path) -> Cohort {
    load(root, &LoadOptions::default())
}

fn entries(cache: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(cache).expect("there");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .collect();
    paths.sort();
    paths
}

#[test]
fn the_second_reading_gives_the_same_slices_without_preparing_them() {
    let (root, cache) = (cohort_of_three(), tempfile::tempdir().expect("a folder"));
    let options = options(&cache.path().join("slices"));
    let first = load(root.path(), &options);
    let second = load(root.path(), &options);
    assert!(first.patients == fresh(root.path()).patients && second.patients == first.patients);
    assert_eq!((first.report.cached, second.report.cached), (0, 3));
    assert_eq!(entries(&cache.path().join("slices")).len(), 3);
    assert!(first.report.warnings.is_empty() && second.report.warnings.is_empty());
    let fewer = LoadOptions {
        slices: SliceChoice::evenly(2),
        ..options
    };
    let fewer = load(root.path(), &fewer);
    assert_eq!(
        (fewer.report.cached, fewer.patients[0].slices.len()),
        (0, 2)
    );
}

#[test]
fn a_changed_file_is_read_again_even_if_its_size_and_time_are_the_same() {
    let (root, cache) = (cohort_of_three(), tempfile::tempdir().expect("a folder"));
    let options = options(cache.path());
    let before = load(root.path(), &options);
    let path = root.path().join("Patient-2/2-Flair.nii");
    let time = fs::metadata(&path)
        .and_then(|data| data.modified())
        .expect("a time");
    fs::write(&path, scan_number(99)).expect("written");
    let file = fs::File::options().write(true).open(&path).expect("opened");
    file.set_modified(time).expect("set");
    let after = load(root.path(), &options);
    assert_eq!(after.report.cached, 2);
    assert!(after.patients[1].slices != before.patients[1].slices);
    assert!(after.patients == fresh(root.path()).patients);
}

#[test]
fn a_damaged_entry_is_made_again() {
    let (root, cache) = (cohort_of_three(), tempfile::tempdir().expect("a folder"));
    let options = options(cache.path());
    let whole = load(root.path(), &options);
    let paths = entries(cache.path());
    let bytes = fs::read(&paths[0]).expect("readable");
    fs::write(&paths[0], &bytes[..bytes.len() / 3]).expect("written");
    let mut flipped = fs::read(&paths[1]).expect("readable");
    flipped[100_000] ^= 0x10;
    fs::write(&paths[1], flipped).expect("written");
    let again = load(root.path(), &options);
    assert_eq!(
        (again.report.cached, again.report.damaged_cache_entries),
        (1, 2)
    );
    assert!(again.patients == whole.patients);
    assert!(again.report.to_string().contains("2 damaged entries"));
    assert!(fs::read(&paths[0]).expect("readable") == bytes, "mended");
    assert_eq!(load(root.path(), &options).report.cached, 3);
}

#[test]
fn a_cache_that_cannot_be_written_is_a_warning() {
    let root = cohort_of_three();
    let file = root.path().join("a file");
    fs::write(&file, "no folder").expect("written");
    let cohort = load(root.path(), &options(&file));
    assert_eq!(cohort.patients.len(), 3);
    assert_eq!(cohort.report.warnings.len(), 1);
    let warning = &cohort.report.warnings[0];
    assert!(warning.contains("a file cannot be written"), "{warning}");
    assert!(cohort.report.is_clean());
}

#[test]
fn images_do_not_outlive_their_files_where_the_cache_is_one_data_sets_own() {
    let (root, cache) = (cohort_of_three(), tempfile::tempdir().expect("a folder"));
    let mut options = options(cache.path());
    load(root.path(), &options);
    fs::remove_dir_all(root.path().join("Patient-3")).expect("removed");
    load(root.path(), &options);
    assert_eq!(entries(cache.path()).len(), 3, "shared: nothing is removed");
    if let Some(choice) = &mut options.cache {
        choice.forget_others = true;
    }
    assert_eq!(load(root.path(), &options).report.cached, 2);
    assert_eq!(entries(cache.path()).len(), 2);
}

#[test]
fn two_readings_at_once_are_as_good_as_one() {
    let (root, cache) = (cohort_of_three(), tempfile::tempdir().expect("a folder"));
    let expected = fresh(root.path()).patients;
    thread::scope(|scope| {
        let readers: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| load(root.path(), &options(cache.path()))))
            .collect();
        for reader in readers {
            let cohort = reader.join().expect("no panic");
            assert!(cohort.patients == expected);
            assert_eq!(cohort.report.damaged_cache_entries, 0);
            assert!(cohort.report.warnings.is_empty());
        }
    });
    assert_eq!(entries(cache.path()).len(), 3);
}

#[test]
fn what_a_file_does_not_say_is_told_each_time() {
    let root = folder(&ROWS[..1]);
    let cache = tempfile::tempdir().expect("a folder");
    let mut silent = Header::float32(DIMS);
    silent.sform = None;
    put(root.path(), "1", "1-Flair.nii", &silent.file(&head(DIMS)));
    let (first, second) = (
        load(root.path(), &options(cache.path())),
        load(root.path(), &options(cache.path())),
    );
    assert_eq!(second.report.cached, 1);
    assert!(first.report.warnings[0].contains("does not state its orientation"));
    assert_eq!(first.report.warnings, second.report.warnings);
}

/// What is in the cache must be what the code of today would make. If this fails, the preparation
/// has changed: raise `PREPARATION` in `model_data`'s cache, then record the new value here.
#[test]
fn the_preparation_is_the_one_of_its_version() {
    let root = folder(&ROWS[..1]);
    let dims = [90, 70, 12];
    let mut voxels = head(dims);
    for (place, voxel) in voxels.chunks_exact_mut(4).enumerate() {
        let value = f32::from_le_bytes([voxel[0], voxel[1], voxel[2], voxel[3]]);
        let texture = (place * 2_654_435_761 % 1000) as f32 / 10.0;
        voxel.copy_from_slice(&(value + texture).to_le_bytes());
    }
    let mut header = Header::float32(dims);
    header.sform = Some([
        [0.7, 0.1, 0.0, 0.0],
        [-0.1, 0.0, 2.9, 0.0],
        [0.0, 0.8, 0.1, 0.0],
    ]);
    put(root.path(), "1", "1-Flair.nii", &header.file(&voxels));
    let cohort = fresh(root.path());
    // FNV-1a, 64 bits.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for slice in &cohort.patients[0].slices {
        let index = slice.axial_index.to_le_bytes();
        let pixels = slice.pixels.iter().flat_map(|pixel| pixel.to_le_bytes());
        for byte in index.into_iter().chain(pixels) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    assert_eq!(
        hash,
        0xfaf3_c00f_6370_ecda,
        "{hash:#x} of {} slices",
        cohort.patients[0].slices.len()
    );
}
