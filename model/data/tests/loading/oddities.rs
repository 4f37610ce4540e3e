//! Oddities of the same kinds as in [`crate::cases`], made here: mended is the kind, not the one file.

use std::{fs, path::Path};

use tempfile::TempDir;

use crate::{
    cases::fault,
    dicom_files::{DicomImage, head_series},
    files::{Header, gzipped, head, raw_workbook},
    folders::{DIMS, put, scan},
};

/// A folder with a table and sound scans of patients 1 and 2, in MS60 layout.
fn with_table(name: &str, table: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(folder.path(), name, table);
    for id in ["1", "2"] {
        put(folder.path(), id, &format!("{id}-Flair.nii"), &sound(id));
    }
    folder
}

/// A scan that is not the same for two IDs.
fn sound(id: &str) -> Vec<u8> {
    let mut file = scan();
    let number: u8 = id.parse().expect("a small number");
    let last = file.len() - 2;
    file[last] = number;
    file
}

fn write(root: &Path, file: &str, bytes: &[u8]) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().expect("a folder")).expect("creates");
    fs::write(path, bytes).expect("writes");
}

const BOTH: &str = "1 1.5 6, 2 3 6";

#[test]
fn tables() {
    let utf16: Vec<u8> = "\u{feff}ID;EDSS\n1;1,5\n2;3\n"
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    let without_mark: Vec<u8> = "ID,EDSS\n1,2\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let never_computed = raw_workbook(
        r#"<row r="1"><c r="A1" t="inlineStr"><is><t>ID</t></is></c><c r="B1" t="inlineStr"><is><t>EDSS</t></is></c></row>
           <row r="2"><c r="A2"><v>1</v></c><c r="B2"><f>MAX(C2:D2)</f></c></row>"#,
    );
    let computed = raw_workbook(
        r#"<row r="1"><c r="A1" t="inlineStr"><is><t>ID</t></is></c><c r="B1" t="inlineStr"><is><t>EDSS</t></is></c></row>
           <row r="2"><c r="A2"><v>1</v></c><c r="B2"><f>3/2</f><v>1.5</v></c></row>
           <row r="3"><c r="A3"><v>2</v></c><c r="B3"><f>2+1</f><v>3</v></c></row>"#,
    );
    // Formulas that were computed, and are 0 for all.
    let zeros = raw_workbook(
        r#"<row r="1"><c r="A1" t="inlineStr"><is><t>ID</t></is></c><c r="B1" t="inlineStr"><is><t>EDSS</t></is></c><c r="C1" t="inlineStr"><is><t>x</t></is></c></row>
           <row r="2"><c r="A2"><v>1</v></c><c r="B2"><v>1.5</v></c><c r="C2"><f>1-1</f><v>0</v></c></row>
           <row r="3"><c r="A3"><v>2</v></c><c r="B3"><v>3</v></c><c r="C3"><f>1-1</f><v>0</v></c></row>"#,
    );
    let tables: [(&str, &[u8], &str, &[&str]); 15] = [
        ("clinical.xlsx", &zeros, BOTH, &[]),
        ("clinical.csv", b"sep=;\nID;EDSS\n1;1,5\n2;3\n", BOTH, &[]),
        (
            "clinical.csv",
            b"Our patients\nID;EDSS\n1;1,5\n2;3,0\n",
            BOTH,
            &[],
        ),
        ("clinical.tsv", &utf16, BOTH, &[]),
        (
            "clinical.csv",
            &without_mark,
            "",
            &["clinical.csv", "CSV UTF-8"],
        ),
        (
            "clinical.xlsx",
            &never_computed,
            "",
            &["never computed", "by their values"],
        ),
        ("clinical.xlsx", &computed, BOTH, &[]),
        (
            "clinical.xlsx",
            b"ID,EDSS\n1,1.5\n",
            "",
            &["it is no workbook", "name it .csv"],
        ),
        (
            "clinical.csv",
            b"ID,EDSS,Note\n1,1.5,\"left\n2,3,\"right\n",
            "",
            &["opened in line 2 and text follows its end in line 3"],
        ),
        (
            "clinical.csv",
            b"ID,EDSS,Note\n1,1.5,\"left\n2,3,right\"\n",
            "",
            &["opened in line 2 spans whole rows"],
        ),
        (
            "clinical.csv",
            b"ID,EDSS,Age\n1,1.5,34\n2,3,0,45\n",
            "1 1.5 6",
            &["row 3 of the table: it has more cells"],
        ),
        (
            "clinical.csv",
            b"ID,EDSS\n1,1.5\n2,3\n2,4.5\n",
            "1 1.5 6",
            &[
                "row 3 of the table: its ID has several rows",
                "row 4 of the table: its ID has",
            ],
        ),
        (
            "clinical.csv",
            b"ID,EDSS\n1,1.5\n2,3\nM\xFCller,2\n",
            BOTH,
            &[
                "the table: is not UTF-8",
                "row 4 of the table: letters of its ID are lost",
            ],
        ),
        (
            "clinical.csv",
            b"Subject,Participant ID,EDSS\nA,1,1.5\nB,2,3\n",
            "",
            &[
                "could be the ID",
                "'Subject (column 1)' and 'Participant ID (column 2)'",
            ],
        ),
        (
            "clinical.csv",
            b"ID,EDSS,Age,Sex\n1,1.5,34y,0\n2,3,about 40,w\n",
            BOTH,
            &[
                "row 3 of the table: age is not understood",
                "row 2 of the table: sex is not understood",
                "age missing for 1 patient",
            ],
        ),
    ];
    for (name, table, patients, words) in tables {
        let root = with_table(name, table);
        let label = String::from_utf8_lossy(table).into_owned();
        assert_eq!(
            fault(root.path(), ("a table", "flair", patients, words)),
            None,
            "{label}"
        );
    }
}

#[test]
fn manifests() {
    for (table, patients, words) in [
        (
            "id,edss,image\n1,1.5,a.nii\n2,3,pointer.nii.gz\n",
            "1 1.5 6",
            &[
                "pointer.nii.gz: not the file, but a pointer",
                "git lfs pull",
            ][..],
        ),
        (
            "id,edss,image\n1,1.5,a.nii\n2,3,empty.nii\n",
            "1 1.5 6",
            &["empty.nii: empty (0 bytes)"],
        ),
        ("id,patient,edss,image\n1,01,1.5,a.nii\n", "1 1.5 6", &[]),
        (
            "id,image,edss\n1,a.nii,1,5\n2,b.nii,3\n",
            "2 3 6",
            &["row 2 of the table: it has more cells"],
        ),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path();
        write(root, "manifest.csv", table.as_bytes());
        write(root, "a.nii", &sound("1"));
        write(root, "b.nii", &sound("2"));
        write(root, "empty.nii", b"");
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
        write(root, "pointer.nii.gz", pointer);
        assert_eq!(
            fault(root, ("a manifest", "flair", patients, words)),
            None,
            "{table}"
        );
    }
}

#[test]
fn bids() {
    for (table, patients, words) in [
        (
            "participant_id\tsession\tedss\nsub-1\t2\t4\nsub-1\t1\t1.5\nsub-2\t1\t3\n",
            "sub-1 4 6, sub-2 3 6",
            &[][..],
        ),
        (
            "participant_id\tedss\nsub-1\t4\nsub-1\t1.5\nsub-2\t3\n",
            "sub-2 3 6",
            &[
                "row 2 of the table: its ID has several rows",
                "row 3 of the table",
            ],
        ),
        (
            "participant_id\tedss\n1.0\t4\n2.0\t3\n",
            "",
            &[
                "patient 1.0 of the table",
                "sub-1 no row",
                "did you mean the same?",
            ],
        ),
        (
            "participant_id\tedss\nsub-1\t4\nsub-2\t3\n",
            "sub-1 4 6, sub-2 3 6",
            &["sub-1: has images of several sessions"],
        ),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path();
        write(root, "participants.tsv", table.as_bytes());
        for (place, id) in [
            ("sub-1/ses-1/anat/sub-1_ses-1_FLAIR.nii", "1"),
            ("sub-1/ses-2/anat/sub-1_ses-2_FLAIR.nii", "3"),
            ("sub-2/ses-1/anat/sub-2_ses-1_FLAIR.nii", "2"),
        ] {
            write(root, place, &sound(id));
        }
        assert_eq!(
            fault(root, ("a tree", "flair", patients, words)),
            None,
            "{table}"
        );
    }
}

#[test]
fn nifti_files() {
    let plain = Header::float32(DIMS);
    let voxels = head(DIMS);
    let packed = gzipped(&plain.file(&voxels));
    let mut other_sum = packed.clone();
    let place = packed.len() - 8;
    other_sum[place] ^= 1;
    let infinite = Header {
        slope: f32::INFINITY,
        intercept: f32::NAN,
        ..plain.clone()
    };
    let no_intercept = Header {
        slope: 2.0,
        intercept: f32::NAN,
        ..plain.clone()
    };
    let files: [(&str, Vec<u8>, &str, &[&str]); 8] = [
        ("2-Flair.nii", infinite.file(&voxels), BOTH, &[]),
        (
            "2-Flair.nii",
            no_intercept.file(&voxels),
            "1 1.5 6",
            &["scl_inter"],
        ),
        (
            "2-Flair.nii.gz",
            other_sum,
            "1 1.5 6",
            &["2-Flair.nii.gz: damaged on its way"],
        ),
        (
            "2-Flair.nii.gz",
            packed[..packed.len() - 6].to_vec(),
            "1 1.5 6",
            &["2-Flair.nii.gz: damaged on its way"],
        ),
        (
            "2-Flair.mgz",
            packed.clone(),
            "1 1.5 6",
            &["holds 2-Flair.mgz", "convert it"],
        ),
        (
            "FLAIR_brain.nii.gz",
            packed.clone(),
            "1 1.5 6",
            &["it holds FLAIR_brain.nii.gz", "ID-Flair.nii"],
        ),
        (
            "2-Flair.nii.gz",
            b"/annex/objects/MD5E-s9--ab.nii.gz\n".to_vec(),
            "1 1.5 6",
            &["a pointer to it", "datalad get"],
        ),
        (
            "2-Flair.hdr",
            vec![0; 348],
            "1 1.5 6",
            &["holds 2-Flair.hdr", "convert it"],
        ),
    ];
    for (name, bytes, patients, words) in files {
        let root = with_table("clinical.csv", b"ID,EDSS\n1,1.5\n2,3\n");
        fs::remove_file(root.path().join("Patient-2/2-Flair.nii")).expect("removes");
        put(root.path(), "2", name, &bytes);
        assert_eq!(fault(root.path(), (name, "flair", patients, words)), None);
    }
}

/// Axial images of a head, all with these further elements.
fn series(
    uid: &'static str,
    description: &'static str,
    extra: &[(u32, &'static str, &str)],
) -> Vec<DicomImage> {
    let images = head_series(uid, [12, 12, 8]).into_iter();
    let with_all = |image: DicomImage| {
        let described = DicomImage {
            description: Some(description),
            ..image
        };
        let with = |image: DicomImage, (tag, vr, text): &(u32, &'static str, &str)| {
            image.with(*tag, vr, text)
        };
        extra.iter().fold(described, with)
    };
    images.map(with_all).collect()
}

fn put_images(root: &Path, folder: &str, images: &[DicomImage]) {
    for (place, image) in images.iter().enumerate() {
        write(root, &format!("{folder}/IM{place:03}"), &image.file());
    }
}

/// What a series of patient 1 makes of the folder; `contrast` is asked for.
fn dicom(contrast: &str, patients: &str, words: &[&'static str], fill: impl Fn(&Path)) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path();
    write(root, "clinical.csv", b"ID,EDSS\n1,1.5\n");
    fill(root);
    let words: &'static [&'static str] = Vec::leak(words.to_vec());
    let patients: &'static str = String::leak(patients.to_owned());
    let contrast: &'static str = String::leak(contrast.to_owned());
    assert_eq!(fault(root, ("a series", contrast, patients, words)), None);
}

const INVERSION_TIME: u32 = 0x0018_0082;
const ECHO_TIME: u32 = 0x0018_0081;
const BODY_PART: u32 = 0x0018_0015;
const SCANNING_SEQUENCE: u32 = 0x0018_0020;
const SERIES_NUMBER: u32 = 0x0020_0011;
const STUDY_DATE: u32 = 0x0008_0020;

#[test]
fn contrasts_of_series() {
    let nulled = [(INVERSION_TIME, "DS", "2200")];
    dicom(
        "flair",
        "1 1.5 6",
        &["the inversion time of FLAIR"],
        |root| {
            put_images(root, "1/a", &series("1.2", "t2_tse_ir", &nulled));
        },
    );
    // With the short one of STIR it stays what it is called.
    dicom("flair", "", &["no series is called FLAIR"], |root| {
        put_images(
            root,
            "1/a",
            &series("1.2", "t2_stir", &[(INVERSION_TIME, "DS", "160")]),
        );
    });
    dicom("t2", "1 1.5 6", &[], |root| {
        put_images(root, "1/a", &series("1.2", "t2_tse", &[]));
        let neck = [(BODY_PART, "CS", "CSPINE")];
        let images = series("1.3", "t2_tse_sag", &neck);
        put_images(root, "1/b", &[images.clone(), images].concat());
        put_images(
            root,
            "1/c",
            &series("1.4", "t2_fl2d", &[(SCANNING_SEQUENCE, "CS", "GR")]),
        );
    });
}

#[test]
fn volumes_are_of_one_series_whole_and_of_one_day() {
    // One UID and no other name: another number parts them.
    dicom(
        "flair",
        "1 1.5 6",
        &["several series could be FLAIR"],
        |root| {
            put_images(
                root,
                "1/a",
                &series("1.2", "flair", &[(SERIES_NUMBER, "IS", "3")]),
            );
            let images = series("1.2", "flair", &[(SERIES_NUMBER, "IS", "4")]);
            let images = images.into_iter().take(7).enumerate();
            let others = images.map(|(place, image)| DicomImage {
                instance: Some(format!("1.9.{place}")),
                ..image
            });
            put_images(root, "1/b", &others.collect::<Vec<_>>());
        },
    );
    // Two echoes whose images lie between each other.
    dicom("flair", "", &["another echo time than"], |root| {
        let mut images = series("1.2", "flair", &[(ECHO_TIME, "DS", "90")]);
        let second = series("1.2", "flair", &[(ECHO_TIME, "DS", "20")]);
        images.extend(second.into_iter().enumerate().map(|(place, image)| {
            let height = place as f64 * 3.0 + 1.5;
            DicomImage {
                position: Some(format!("-10\\-20\\{height}")),
                instance: Some(format!("1.9.{place}")),
                ..image
            }
        }));
        put_images(root, "1/a", &images);
    });
    dicom(
        "flair",
        "",
        &["2021-01-31", "2022-01-31", "'FLAIR series'"],
        |root| {
            put_images(
                root,
                "1/a",
                &series("1.2", "flair", &[(STUDY_DATE, "DA", "20210131")]),
            );
            put_images(
                root,
                "1/b",
                &series("1.3", "flair", &[(STUDY_DATE, "DA", "20220131")])[..6],
            );
        },
    );
    dicom(
        "flair,t1",
        "1 1.5 12",
        &["were taken on different days"],
        |root| {
            let of = |day| [(STUDY_DATE, "DA", day)];
            put_images(root, "1/a", &series("1.2", "flair", &of("20210131")));
            put_images(root, "1/b", &series("1.3", "t1", &of("20220131")));
        },
    );
    dicom(
        "flair",
        "",
        &["is incomplete", "IM007: truncated"],
        |root| {
            let images = series("1.2", "flair", &[]);
            put_images(root, "1/a", &images);
            write(root, "1/a/IM007", &images[7].file()[..300]);
        },
    );
    // Two series in one folder: of which the empty file was cannot be told, but that it is empty.
    dicom("flair", "1 1.5 6", &["IM900: empty (0 bytes)"], |root| {
        put_images(root, "1", &series("1.2", "flair", &[]));
        for (place, image) in series("1.3", "t1_mprage", &[]).iter().enumerate() {
            write(root, &format!("1/T1{place:03}"), &image.file());
        }
        write(root, "1/IM900", b"");
    });
    // Copies, pixel by pixel, are still passed over.
    dicom("flair", "1 1.5 6", &[], |root| {
        put_images(root, "1/a", &series("1.2", "flair", &[]));
        put_images(root, "1/again", &series("1.2", "flair", &[]));
    });
}

#[cfg(unix)]
#[test]
fn links_in_a_circle_end() {
    dicom("flair", "1 1.5 6", &[], |root| {
        put_images(root, "1/a", &series("1.2", "flair", &[]));
        std::os::unix::fs::symlink("..", root.join("1/a/up")).expect("links");
        std::os::unix::fs::symlink("a", root.join("1/b")).expect("links");
    });
}
