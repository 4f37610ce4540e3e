//! Many threads, little memory, several contrasts, mixed sizes.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use model_data::{
    Cohort, Contrast, DataError, LoadOptions, LoadProgress, SliceChoice, load_cohort,
};
use rayon::ThreadPoolBuilder;
use tempfile::TempDir;

use crate::{
    files::{Header, head},
    folders::{folder, put, scan},
};

/// Ten patients with scans of different sizes.
fn mixed_cohort() -> TempDir {
    let rows: Vec<String> = (1..=10)
        .map(|id| format!("{id}|F|{}|20|{}|No|Gelenia|Motor|No", 30 + id, id % 5))
        .collect();
    let root = folder(&rows.iter().map(String::as_str).collect::<Vec<_>>());
    for id in 1..=10_i16 {
        let dims = [10 + id, 20 - id, 6 + id % 4];
        let file = Header::float32(dims).file(&head(dims));
        put(
            root.path(),
            &id.to_string(),
            &format!("{id}-Flair.nii"),
            &file,
        );
    }
    root
}

fn with_threads(
    threads: usize,
    root: &TempDir,
    options: &LoadOptions,
) -> Result<Cohort, DataError> {
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    pool.expect("threads")
        .install(|| load_cohort(root.path(), options, |_| ()))
}

#[test]
fn the_cohort_is_the_same_at_any_number_of_threads() {
    let root = mixed_cohort();
    let one = with_threads(1, &root, &LoadOptions::default()).expect("loads");
    let many = with_threads(7, &root, &LoadOptions::default()).expect("loads");
    let ids: Vec<&str> = one
        .patients
        .iter()
        .map(|patient| patient.id.as_str())
        .collect();
    assert_eq!(ids, ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]);
    assert!(one.patients == many.patients && one.report == many.report);
}

#[test]
fn images_of_mixed_sizes_become_slices_of_one() {
    let root = mixed_cohort();
    let cohort = with_threads(2, &root, &LoadOptions::default()).expect("loads");
    let slices = cohort.patients.iter().flat_map(|patient| &patient.slices);
    for slice in slices {
        assert_eq!(slice.pixels.len(), 128 * 128);
        assert!(slice.pixels.iter().all(|pixel| pixel.is_finite()));
    }
    assert!(cohort.report.is_clean());
}

#[test]
fn progress_counts_every_scan_once() {
    let root = mixed_cohort();
    let told = Mutex::new(vec![]);
    let note = |LoadProgress { done, scans }| {
        assert_eq!(scans, 10);
        told.lock().expect("no panic").push(done);
    };
    load_cohort(root.path(), &LoadOptions::default(), note).expect("loads");
    let mut told = told.into_inner().expect("no panic");
    told.sort_unstable();
    assert!(told.into_iter().eq(0..=10));
}

#[test]
fn what_does_not_fit_is_an_error_that_names_the_setting() {
    let root = mixed_cohort();
    let with_limit = |memory_limit_mib| LoadOptions {
        memory_limit_mib,
        ..LoadOptions::default()
    };
    // 10 scans of 4 to 7 slices of 64 KiB, beside a scan that may need a little over 1 MiB.
    for threads in [1, 5] {
        let error = with_threads(threads, &root, &with_limit(3)).expect_err("too little");
        assert!(
            matches!(
                error,
                DataError::Memory {
                    scans: 10,
                    limit_mib: 3
                }
            ),
            "{error}"
        );
        let error = error.to_string();
        assert!(
            error.contains("3 MiB") && error.contains("`memory_limit_mib`"),
            "{error}"
        );
        assert!(with_threads(threads, &root, &with_limit(6)).is_ok());
    }
    let few = LoadOptions {
        slices: SliceChoice::evenly(2),
        ..with_limit(3)
    };
    assert!(with_threads(2, &root, &few).is_ok());
    let error = with_threads(2, &root, &with_limit(1)).expect_err("a scan is too large");
    assert!(matches!(error, DataError::LargeScan { .. }), "{error}");
    assert!(error.to_string().contains("-Flair.nii"), "{error}");
}

#[test]
fn a_failure_ends_the_reading_early() {
    let root = mixed_cohort();
    let options = LoadOptions {
        memory_limit_mib: 2,
        ..LoadOptions::default()
    };
    let most = AtomicUsize::new(0);
    let result = load_cohort(root.path(), &options, |at| {
        most.fetch_max(at.done, Ordering::Relaxed);
    });
    assert!(matches!(result, Err(DataError::Memory { .. })));
    assert!(most.into_inner() < 10);
}

#[test]
fn contrasts_follow_one_another_in_the_order_asked_for() {
    let root = folder(&[
        "1|F|56|43|3|No|Gelenia|Motor|No",
        "2|F|29|19|1.5|No|Gelenia|Pain|No",
    ]);
    let dims = [12, 12, 5];
    let t2 = Header::float32(dims).file(&head(dims));
    for id in ["1", "2"] {
        put(root.path(), id, &format!("{id}-Flair.nii"), &scan());
    }
    put(root.path(), "1", "1-T2.nii", &t2);
    let load = |contrasts: &[Contrast]| {
        let options = LoadOptions {
            contrasts: contrasts.to_vec(),
            ..LoadOptions::default()
        };
        load_cohort(root.path(), &options, |_| ()).expect("loads")
    };
    let slices = |contrasts: &[Contrast]| {
        let cohort = load(contrasts);
        cohort
            .patients
            .into_iter()
            .map(|patient| patient.slices)
            .collect::<Vec<_>>()
    };
    let both = load(&[Contrast::T2, Contrast::Flair]);
    assert_eq!(both.patients.len(), 2);
    let (first, second) = (&both.patients[0].slices, &both.patients[1].slices);
    assert_eq!((first.len(), second.len()), (3 + 6, 6));
    assert!(first[..3] == slices(&[Contrast::T2])[0][..]);
    assert!(first[3..] == slices(&[Contrast::Flair])[0][..]);
    assert_eq!(both.report.warnings.len(), 1, "patient 2 has no T2");
    assert!(both.report.warnings[0].contains("2-T2.nii"));
    let only = load(&[Contrast::T2]);
    assert_eq!(only.report.rows_without_images, ["2"]);
}
