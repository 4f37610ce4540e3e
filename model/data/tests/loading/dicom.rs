//! DICOM files, and folders of them beside a table.

use std::{
    fs,
    path::{Path, PathBuf},
};

use model_data::{Cohort, Contrast, Layout, LoadOptions, Scan, ScanError, load_cohort, read_dicom};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::dicom_files::{DicomImage, element, head_series, header, with_meta};

const DIMS: [u16; 3] = [12, 12, 8];

fn put(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    fs::create_dir_all(folder).expect("creates");
    let path = folder.join(name);
    fs::write(&path, bytes).expect("writes");
    path
}

/// Named against their order.
fn put_series(folder: &Path, images: &[DicomImage]) -> Vec<PathBuf> {
    let count = images.len();
    let names = (0..count).map(|index| format!("IM{:03}", (index * 5 + 3) % count));
    let files = names.zip(images);
    files
        .map(|(name, image)| put(folder, &name, &image.file()))
        .collect()
}

fn read(images: &[DicomImage]) -> Result<Scan, ScanError> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    read_dicom(&put_series(folder.path(), images))
}

fn refusal(images: &[DicomImage]) -> String {
    read(images).expect_err("refused").to_string()
}

#[test]
fn a_series_is_put_together_by_place() {
    let scan = read(&head_series("1.2", DIMS)).expect("reads");
    assert_eq!(scan.volume.dims(), [12, 12, 8]);
    assert_eq!(scan.volume.spacing_mm(), [1.0, 1.0, 3.0]);
    assert_eq!(scan.volume.axial_plane(0), [0.0; 144]);
    let plane = scan.volume.axial_plane(3);
    assert_eq!(
        [plane[2 + 12 * 2], plane[9 + 12 * 2], plane[2 + 12 * 9]],
        [200.0, 100.0, 100.0]
    );
}

#[test]
fn what_a_file_lacks_is_named_with_the_file() {
    let with = |change: fn(&mut DicomImage)| {
        let mut images = head_series("1.2", DIMS);
        change(&mut images[2]);
        refusal(&images)
    };
    // The third image lies in the file whose name ends on 5.
    for (message, word) in [
        (
            with(|image| image.position = None),
            "ImagePositionPatient is missing",
        ),
        (
            with(|image| image.position = Some("1\\2".into())),
            "ImagePositionPatient is out of range",
        ),
        (
            with(|image| image.position = Some("1\\2\\inf".into())),
            "ImagePositionPatient is out",
        ),
        (
            with(|image| image.orientation = "1\\0\\0\\1\\0\\0"),
            "ImageOrientationPatient is out of range",
        ),
        (
            with(|image| image.slope = Some("NaN")),
            "RescaleSlope is out of range",
        ),
        (
            with(|image| image.slope = Some("0")),
            "RescaleSlope is out of range",
        ),
        (with(|image| image.rows = 0), "Rows is out of range"),
        (with(|image| image.cells.truncate(100)), "truncated"),
        (
            with(|image| image.syntax = "1.2.840.10008.1.2.4.80"),
            "JPEG-LS, which is not read; convert",
        ),
        (with(|image| image.syntax = "1.2.3"), "encoded as 1.2.3"),
        (with(|image| image.columns = 11), "another image size"),
        (
            with(|image| image.orientation = "0\\1\\0\\0\\0\\-1"),
            "another orientation",
        ),
        (
            with(|image| image.position = Some("-10\\-20\\9".into())),
            "same place",
        ),
        (
            with(|image| image.position = Some("-10\\-20\\6.8".into())),
            "not equally spaced",
        ),
    ] {
        assert!(message.contains(word), "{word} in: {message}");
        assert!(message.contains("IM005"), "{message}");
    }
    let mut images = head_series("1.2", DIMS);
    images.remove(2);
    assert!(refusal(&images).contains("1 slice is missing between"));
    let vast = DicomImage {
        rows: 65_535,
        columns: 65_535,
        ..images[0].clone()
    };
    assert!(refusal(&[vast]).contains("more than any scan has"));
    assert!(read_dicom(&[]).is_err());
}

#[test]
fn truncated_and_foreign_files_are_errors() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = head_series("1.2", DIMS)[3].file();
    let message = |bytes: &[u8]| {
        let path = put(folder.path(), "image", bytes);
        read_dicom(&[path]).expect_err("refused").to_string()
    };
    assert!(message(b"").contains("not a DICOM file"));
    assert!(message(b"BM a bitmap").contains("not a DICOM file"));
    assert!(message(&file[..140]).contains("truncated"));
    for end in [150, 170, 300, file.len() - 1] {
        let found = message(&file[..end]);
        let known = ["truncated", "damaged", "missing", "holds no image"];
        assert!(
            known.iter().any(|word| found.contains(word)),
            "{end}: {found}"
        );
    }
}

#[test]
fn nested_sequences_do_not_overflow_the_stack_and_lengths_are_not_believed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let message = |dataset: &[u8]| {
        let path = put(
            folder.path(),
            "image",
            &with_meta("1.2.840.10008.1.2.1", dataset),
        );
        read_dicom(&[path]).expect_err("refused").to_string()
    };
    let undefined = u32::MAX;
    let deeper = [
        header(0x0040_A730, "SQ", undefined),
        header(0xFFFE_E000, "", undefined),
    ]
    .concat();
    assert!(message(&deeper.repeat(200_000)).contains("truncated"));
    // An end of an item where none is open, then an item.
    let mut stray = header(0x0040_A730, "SQ", undefined);
    stray.extend(header(0xFFFE_E00D, "", 0));
    stray.extend(header(0xFFFE_E000, "", 0));
    assert!(message(&stray).contains("damaged"));
    assert!(message(&header(0x7FE0_0010, "OW", 0xFFFF_FFF0)).contains("truncated"));
    assert!(message(&header(0x0009_0010, "UN", 0xFFFF_FFF0)).contains("truncated"));
}

/// A table beside folders.
fn folder(table: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("clinical.csv"), table).expect("writes");
    folder
}

fn load(root: &Path) -> Cohort {
    load_cohort(root, &LoadOptions::default(), |_| ()).expect("loads")
}

#[test]
fn patients_are_found_and_everything_left_out_is_named() {
    let root = folder(
        "ID,EDSS,Sex,FLAIR series\n1,3,F,\n2,1.5,M,\n3,2,F,\n4,2,F,\n5,6,M,special\n6,2,F,\n7,2,F,nowhere\n",
    );
    let at = |name: &str| root.path().join(name);
    let series = head_series("1.2", DIMS);
    put_series(&at("1").join("study/a"), &series);
    put(
        &at("1"),
        "DICOMDIR",
        &with_meta("1.2.840.10008.1.2.1", &element(0x0004_1130, "CS", b"SET")),
    );
    put(&at("1"), "notes.txt", b"text");
    put(&at("1"), "copy", &series[0].file());
    put_series(&at("Patient-2"), &series[..7]);
    let mut other = series.clone();
    other[3].patient = Some("P2");
    put_series(&at("3"), &other);
    let mut gap = series.clone();
    gap.remove(4);
    put_series(&at("4"), &gap);
    let mut named = series.clone();
    for image in &mut named {
        image.description = Some("special");
    }
    put_series(&at("5"), &named);
    put_series(&at("7"), &named);
    put_series(&at("8"), &series);
    fs::create_dir(at("plots")).expect("creates");

    let Cohort {
        patients, report, ..
    } = load(root.path());
    assert_eq!(report.layout, Some(Layout::Dicom));
    let ids: Vec<&str> = patients.iter().map(|patient| patient.id.as_str()).collect();
    assert_eq!(ids, ["1", "2", "5"]);
    assert_eq!(patients[0].slices.len(), 6, "slices of air are dropped");
    assert_eq!(report.rows_without_images, ["6"]);
    assert_eq!(report.images_without_row, [at("8")]);
    let reasons: Vec<String> = report.bad_files.iter().map(ToString::to_string).collect();
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert!(
        reasons
            .iter()
            .any(|reason| reason.contains("files of two patients")),
        "{reasons:?}"
    );
    assert!(
        reasons
            .iter()
            .any(|reason| reason.contains("1 slice is missing")),
        "{reasons:?}"
    );
    let unnamed = "no series is called 'nowhere'; there are: 'special' (8 images)";
    assert!(
        reasons.iter().any(|reason| reason.ends_with(unnamed)),
        "{reasons:?}"
    );
    let warnings = report.warnings.join("\n");
    for words in [
        "1 file is not DICOM",
        "1 file holds no image",
        "1 file is a copy of another",
    ] {
        assert!(warnings.contains(words), "{words} in {warnings}");
    }
    assert!(
        !format!("{report}{report:?}").contains("P2"),
        "a patient's ID of the hospital is nobody's business"
    );
}

#[test]
fn the_contrast_is_told_by_the_name_of_the_series() {
    let root = folder("ID,EDSS,T1 series\n1,3,1.4\n2,2,\n");
    let describe = |series: &'static str, description, bright: u16| {
        let mut images = head_series(series, DIMS);
        for image in &mut images {
            image.description = Some(description);
            image.cells.iter_mut().for_each(|cell| *cell *= bright);
        }
        images
    };
    for patient in ["1", "2"] {
        let at = root.path().join(patient);
        put_series(&at.join("a"), &describe("1.2", "t2_tirm_tra_dark-fluid", 1));
        put_series(&at.join("b"), &describe("1.3", "t1_mprage", 2));
        put_series(&at.join("c"), &describe("1.4", "t1_mprage_post", 3)[..6]);
    }
    let options = LoadOptions {
        contrasts: vec![Contrast::T1, Contrast::T2, Contrast::Flair],
        ..LoadOptions::default()
    };
    let inventory = Layout::Dicom
        .inventory(root.path(), &options)
        .expect("lists");
    let folders = |entry: usize| -> Vec<PathBuf> {
        let scans = inventory.entries[entry].scans.iter();
        scans.map(|scan| scan.files.path()).collect()
    };
    let at = |patient: &str, series: &str| root.path().join(patient).join(series);
    assert_eq!(
        folders(0),
        [at("1", "c"), at("1", "a")],
        "the column names T1, the name FLAIR"
    );
    assert_eq!(folders(1), [at("2", "b"), at("2", "a")], "the larger T1");
    let doubts = format!("{:?}", inventory.report.doubts);
    assert!(
        doubts.contains("'t1_mprage' (8 images) is used as T1, not 't1_mprage_post' (6 images)"),
        "{doubts}"
    );
    let warnings = inventory.report.warnings.join("\n");
    assert!(warnings.contains("no series is called T2"), "{warnings}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn damaged_files_are_an_error_or_a_volume_and_never_a_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        length in any::<prop::sample::Index>(),
        noise in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let check = |bytes: &[u8]| {
            let path = put(folder.path(), "image", bytes);
            let _ = read_dicom(&[path]);
        };
        let mut file = DicomImage::axial("1.2", 0.0, 4, 4, vec![7; 16]).file();
        for (place, byte) in damage {
            let place = place.index(file.len());
            file[place] = byte;
        }
        check(&file);
        check(&file[..length.index(file.len())]);
        check(&noise);
        check(&with_meta("1.2.840.10008.1.2", &noise));
        for syntax in ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"] {
            check(&with_meta(syntax, &noise));
        }
    }

    #[test]
    fn damaged_compressed_pixels_are_an_error_or_a_volume_and_never_a_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        noise in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let image = DicomImage::axial("1.2", 0.0, 8, 8, vec![]);
        let [jpeg, jpeg_2000] = [&JPEG_LOSSLESS[..], &JPEG_2000].map(|stream| {
            let mut stream = stream.to_vec();
            for (place, byte) in &damage {
                let place = place.index(stream.len());
                stream[place] = *byte;
            }
            stream
        });
        let mut rle = vec![0; 64];
        rle[0] = 2;
        rle[4] = 64;
        rle[8] = 64 + (noise.len() / 2) as u8;
        rle.extend(&noise);
        for (syntax, fragment) in [
            ("1.2.840.10008.1.2.4.70", &jpeg),
            ("1.2.840.10008.1.2.4.50", &noise),
            ("1.2.840.10008.1.2.4.90", &jpeg_2000),
            ("1.2.840.10008.1.2.4.91", &noise),
            ("1.2.840.10008.1.2.5", &rle),
            ("1.2.840.10008.1.2.5", &noise),
        ] {
            let path = put(folder.path(), "image", &compressed(&image, syntax, fragment));
            let _ = read_dicom(&[path]);
        }
    }
}

#[test]
fn jpeg_2000_is_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cells: Vec<u16> = (0..64).map(|cell| 60 * cell).collect();
    let images = [0.0, 2.0].map(|height| DicomImage::axial("1.2", height, 8, 8, cells.clone()));
    let read = |name: &str, file: &dyn Fn(&DicomImage) -> Vec<u8>| {
        let paths = [0, 1].map(|place| {
            let name = format!("{name} {place}");
            put(folder.path(), &name, &file(&images[place]))
        });
        read_dicom(&paths).expect("reads").volume.voxels().to_vec()
    };
    let native = read("native", &DicomImage::file);
    assert_eq!(native[63], 3780.0);
    let syntax = "1.2.840.10008.1.2.4.90";
    assert_eq!(
        read("compressed", &|image| compressed(image, syntax, &JPEG_2000)),
        native
    );
}

/// A file of one compressed frame in one fragment.
fn compressed(image: &DicomImage, syntax: &'static str, fragment: &[u8]) -> Vec<u8> {
    let mut dataset = image.elements();
    dataset.extend(header(0x7FE0_0010, "OB", u32::MAX));
    dataset.extend(header(0xFFFE_E000, "", 0));
    dataset.extend(header(0xFFFE_E000, "", fragment.len() as u32));
    dataset.extend(fragment);
    dataset.extend(header(0xFFFE_E0DD, "", 0));
    with_meta(syntax, &dataset)
}

/// The cells 0, 60, 120 and so on of 8 x 8, of 12 bits, written by OpenJPEG 2.5.4 without its comment.
const JPEG_2000: [u8; 160] = [
    255, 79, 255, 81, 0, 41, 0, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0,
    0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 11, 1, 1, 255, 82, 0, 12, 0, 0, 0, 1, 0, 0, 4, 4, 0, 1,
    255, 92, 0, 4, 64, 96, 255, 144, 0, 10, 0, 0, 0, 0, 0, 93, 0, 1, 255, 147, 223, 225, 48, 18,
    43, 4, 221, 49, 149, 46, 119, 90, 237, 243, 95, 27, 158, 221, 142, 56, 253, 154, 87, 189, 117,
    52, 89, 179, 191, 6, 173, 93, 99, 223, 11, 157, 34, 243, 71, 210, 52, 238, 98, 250, 104, 0, 0,
    95, 115, 156, 37, 247, 249, 22, 212, 234, 108, 146, 186, 50, 14, 131, 220, 233, 99, 90, 93, 91,
    27, 124, 223, 55, 206, 35, 195, 134, 196, 122, 111, 255, 217,
];

/// 8 x 8 cells of 12 bits, written by imagecodecs 2026.3.6.
const JPEG_LOSSLESS: [u8; 126] = [
    255, 216, 255, 196, 0, 23, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 9, 6, 16, 255,
    195, 0, 11, 16, 0, 8, 0, 8, 1, 0, 17, 0, 255, 218, 0, 8, 1, 0, 0, 6, 0, 0, 237, 174, 215, 107,
    181, 218, 237, 118, 182, 161, 168, 212, 106, 53, 26, 141, 70, 165, 168, 106, 53, 26, 141, 70,
    163, 81, 169, 106, 26, 141, 70, 163, 81, 168, 212, 106, 90, 134, 163, 81, 168, 212, 106, 53,
    26, 150, 161, 168, 212, 106, 53, 26, 141, 70, 165, 168, 106, 53, 26, 141, 70, 163, 81, 169,
    106, 26, 141, 70, 163, 81, 168, 212, 106, 0, 255, 217,
];
