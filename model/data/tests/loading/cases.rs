//! Oddities that people met, each a small data folder in `tests/cases`; its README.txt says what is right.
//!
//! Each is read right, or refused or told with words that name what is odd: never read wrongly in silence.

use std::{
    fs,
    path::{Path, PathBuf},
};

use model_data::{Contrast, Cuts, DataCheck, LoadOptions, load_cohort, read_dicom, read_nifti};

/// What became of a folder.
pub struct Outcome {
    /// "ID EDSS slices" of each patient, parted by commas; empty if the folder is refused.
    pub patients: String,
    /// The account of the reading, or why the folder is refused.
    pub said: String,
    /// Whether the check finds nothing to tell.
    pub clean: bool,
}

/// Reads a folder as a run would, and checks it.
pub fn outcome(root: &Path, contrasts: &str) -> Outcome {
    let options = LoadOptions {
        contrasts: Contrast::list(contrasts).expect("known contrasts"),
        ..LoadOptions::default()
    };
    let patients = load_cohort(root, &options, |_| ()).map_or(String::new(), |cohort| {
        let patients = cohort.patients.iter();
        let patients = patients.map(|p| format!("{} {} {}", p.id, p.edss.value(), p.slices.len()));
        patients.collect::<Vec<_>>().join(", ")
    });
    match DataCheck::of(root, &options, Cuts::default(), |_| ()) {
        Ok(check) => Outcome {
            patients,
            said: format!("{}\n{}", check.report, check.report.dates.join("\n")),
            clean: check.is_clean(),
        },
        Err(error) => Outcome {
            patients,
            said: error.to_string(),
            clean: false,
        },
    }
}

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cases")
        .join(name)
}

const ALL: &str = "1 1.5 10, 2 3 10, 3 4.5 10";
const NOT_3: &str = "1 1.5 10, 2 3 10";
const SUBJECTS: &str = "sub-01 1.5 10, sub-02 3 10, sub-03 4.5 10";

/// A case, the contrasts asked for, the patients read, and what must be said; where that is nothing, the folder must be clean.
type Case = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
);

const CASES: [Case; 39] = [
    (
        "b_flags_float",
        "flair",
        SUBJECTS,
        &[
            "sex is not understood",
            "co-morbidity missing for 1 patient,",
        ],
    ),
    (
        "b_ids_without_zeros",
        "flair",
        "",
        &[
            "patient 1 of the table",
            "sub-001 no row",
            "did you mean the same?",
        ],
    ),
    (
        "b_rows_per_session",
        "flair",
        "sub-01 1.5 10, sub-02 5 10, sub-03 4.5 10",
        &["row 6 of the table: its EDSS is missing"],
    ),
    ("d_da_fl", "flair,t2", "1 1.5 20, 2 3 20, 3 4.5 18", &[]),
    ("d_decimal_comma", "flair", ALL, &[]),
    (
        "d_empty_end_file",
        "flair",
        NOT_3,
        &["is incomplete", "IM_0009: empty (0 bytes)", "2 files"],
    ),
    ("d_explicit_as_implicit", "flair", ALL, &[]),
    (
        "d_jpeg12",
        "flair",
        NOT_3,
        &["IM_0000: encoded as JPEG of 12 bits", "gdcmconv"],
    ),
    (
        "d_mosaic",
        "flair",
        NOT_3,
        &["IM_0001: a Siemens mosaic", "dcm2niix"],
    ),
    ("d_no_group_length", "flair", ALL, &[]),
    ("d_no_preamble", "flair", ALL, &[]),
    ("d_no_preamble_all", "flair", ALL, &[]),
    (
        "d_one_series_uid",
        "flair,t1",
        "1 1.5 20, 2 3 20, 3 4.5 20",
        &[],
    ),
    ("d_private_un", "flair", ALL, &[]),
    ("d_sagittal_2d", "flair", ALL, &[]),
    ("d_same_sop", "flair", ALL, &[]),
    (
        "d_swapped_patient",
        "flair",
        ALL,
        &["Patient-2: PatientID", "Patient-3: PatientID", "swapped?"],
    ),
    (
        "d_two_dates",
        "flair",
        NOT_3,
        &["2019-05-02", "2023-05-02", "'FLAIR series'"],
    ),
    (
        "m_quote",
        "flair",
        "",
        &["manifest.csv", "opened in line 3 and never closed"],
    ),
    (
        "n_crc",
        "flair",
        NOT_3,
        &["3-Flair.nii.gz: damaged on its way", "gzip -t"],
    ),
    (
        "n_forms_disagree",
        "flair",
        ALL,
        &["3-Flair.nii: its sform and its qform disagree"],
    ),
    (
        "n_localizer",
        "flair",
        "1 1.5 10, 2 3 1, 3 4.5 3",
        &[
            "2-Flair.nii.gz: has fewer than 5",
            "3-Flair.nii.gz: has fewer than 5",
        ],
    ),
    (
        "n_pair",
        "flair",
        NOT_3,
        &["the pair 3-Flair.hdr and 3-Flair.img", "fslchfiletype"],
    ),
    ("n_sform_zero", "flair", ALL, &[]),
    ("n_slope_nan", "flair", ALL, &[]),
    (
        "t_comma_comma",
        "flair",
        "",
        &["row 2 of the table: it has more cells than the header"],
    ),
    ("t_escape", "flair", ALL, &["1 row without images"]),
    (
        "t_formula_zero",
        "flair",
        "",
        &["the formulas of sheet 'patients' were never computed"],
    ),
    ("t_hidden_sheet", "flair", ALL, &[]),
    (
        "t_months",
        "flair",
        ALL,
        &["row 4 of the table: the disease duration exceeds the age"],
    ),
    (
        "t_nfd",
        "flair",
        "Jänner 1.5 10, März 3 10, Mai 4.5 10",
        &[],
    ),
    (
        "t_padded_format",
        "flair",
        "",
        &[
            "patient 3 of the table",
            "Patient-003 no row",
            "did you mean the same?",
        ],
    ),
    (
        "t_sex_words",
        "flair",
        "1 1.5 10, 2 3 10, 3 4.5 10, 4 6 10, 5 2 10, 6 5.5 10",
        &[
            "sex missing for 1 patient,",
            "row 7 of the table: sex is not understood",
            "row 2 of the table: co-morbidity is not understood",
        ],
    ),
    (
        "t_symptom_words",
        "flair",
        "1 1.5 10, 2 3 10, 3 4.5 10, 4 6 10, 5 2 10",
        &[],
    ),
    (
        "t_two_edss",
        "flair",
        "",
        &[
            "could be the EDSS",
            "'EDSS (column 5)' and 'EDSS (column 7)'",
        ],
    ),
    (
        "t_two_ids",
        "flair",
        "",
        &[
            "could be the ID",
            "'Patient (column 1)' and 'ID (column 2)'",
        ],
    ),
    ("t_utf16", "flair", ALL, &[]),
    (
        "t_xls_renamed",
        "flair",
        "",
        &["clinical.xlsx", "an old workbook (.xls)"],
    ),
    ("t_xlsx_named_csv", "flair", ALL, &[]),
];

#[test]
fn each_case_is_read_right_or_told() {
    let faults: Vec<String> = { CASES.into_iter() }
        .filter_map(|wanted| fault(&case(wanted.0), wanted))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

/// The voxels of patient 3, as pydicom and nibabel read them: their sum, and their sums times the place from right to left, from front
/// to back and from feet to head.
#[test]
fn files_that_were_refused_for_a_false_reason_hold_the_voxels_that_others_read() {
    for name in [
        "d_private_un",
        "d_no_preamble",
        "d_explicit_as_implicit",
        "d_no_group_length",
        "d_same_sop",
        "d_decimal_comma",
        "n_sform_zero",
        "n_slope_nan",
    ] {
        let folder = case(name).join("Patient-3");
        let scan = if name.starts_with('d') {
            let files = fs::read_dir(folder.join("flair")).expect("a series");
            let files = files.map(|file| file.expect("an entry").path());
            read_dicom(&files.collect::<Vec<_>>())
        } else {
            read_nifti(&folder.join("3-Flair.nii"))
        };
        let volume = scan.expect("reads").volume;
        let [nx, ny, nz] = volume.dims();
        assert_eq!([nx, ny, nz], [20, 24, 10], "{name}");
        let mut sums = [0.0; 4];
        for (place, &voxel) in volume.voxels().iter().enumerate() {
            let places = [1, place % nx, place / nx % ny, place / nx / ny];
            for (sum, place) in sums.iter_mut().zip(places) {
                *sum += f64::from(voxel) * place as f64;
            }
        }
        let wanted = [610_907.0, 5_934_984.0, 6_885_393.0, 2_882_810.0];
        assert_eq!(sums, wanted, "{name}");
    }
}

/// In what an outcome is not the one wanted.
pub fn fault(root: &Path, (name, contrasts, patients, words): Case) -> Option<String> {
    let Outcome {
        patients: read,
        said,
        clean,
    } = outcome(root, contrasts);
    let right = read == patients
        && clean == words.is_empty()
        && words.iter().all(|word| said.contains(word));
    (!right).then(|| {
        format!(
            "{name}: clean {clean}, read {read:?}\n  wanted {patients:?} and {words:?}\n  said: {said}"
        )
    })
}

/// Links, which a repository does not carry everywhere: each is made in a copy.
#[cfg(unix)]
mod links {
    use std::os::unix::fs::symlink;

    use super::*;

    const LINKED: [Case; 3] = [
        (
            "d_dangling",
            "flair",
            NOT_3,
            &[
                "is incomplete",
                "IM_0008: a link that leads nowhere",
                "3 files",
            ],
        ),
        ("d_linked_folder", "flair", ALL, &[]),
        (
            "n_annex",
            "flair",
            "1 1.5 10",
            &[
                "2-Flair.nii.gz: a link that leads nowhere",
                "3-Flair.nii.gz: not the file, but a pointer",
                "datalad get",
            ],
        ),
    ];

    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).expect("creates");
        for entry in fs::read_dir(from).expect("a folder") {
            let entry = entry.expect("an entry");
            let (from, to) = (entry.path(), to.join(entry.file_name()));
            if from.is_dir() {
                copy(&from, &to);
            } else {
                fs::copy(&from, &to).expect("copies");
            }
        }
    }

    #[test]
    fn links_are_followed_or_told() {
        for wanted in LINKED {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let root = folder.path();
            copy(&case(wanted.0), root);
            let link = |target: &str, file: &str| {
                let path = root.join(file);
                fs::create_dir_all(path.parent().expect("a folder")).expect("creates");
                symlink(target, path).expect("links");
            };
            match wanted.0 {
                "d_linked_folder" => link("../store", "Patient-3/flair"),
                "n_annex" => link("../.git/annex/objects/a.nii.gz", "Patient-2/2-Flair.nii.gz"),
                _ => {
                    for number in ["08", "09", "10"] {
                        let file = format!("Patient-3/flair/IM_00{number}");
                        link("../../.git/annex/objects/b.dcm", &file);
                    }
                }
            }
            assert_eq!(fault(root, wanted), None);
        }
    }
}
