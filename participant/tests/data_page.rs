//! The page of `participant data check --html`, on small folders made here.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use report::links::leads_outside;
use tempfile::TempDir;

/// Voxels along each edge.
const SIDE: usize = 12;

/// A NIfTI-1 file, float32: a bright box whose brightest voxel is another for each number.
fn scan(number: u8) -> Vec<u8> {
    let mut bytes = vec![0; 352];
    let mut put = |offset: usize, field: &[u8]| {
        bytes[offset..offset + field.len()].copy_from_slice(field);
    };
    put(0, &348_i32.to_le_bytes());
    for (place, dim) in [3, 12, 12, 12, 1, 1, 1, 1_i16].into_iter().enumerate() {
        put(40 + 2 * place, &dim.to_le_bytes());
    }
    put(70, &16_i16.to_le_bytes());
    put(72, &32_i16.to_le_bytes());
    for place in 0..4 {
        put(76 + 4 * place, &1_f32.to_le_bytes());
    }
    put(108, &352_f32.to_le_bytes());
    // sform_code, and the rows: left, back, head.
    put(254, &1_i16.to_le_bytes());
    for (row, sign) in [-1_f32, -1.0, 1.0].into_iter().enumerate() {
        put(280 + 16 * row + 4 * row, &sign.to_le_bytes());
    }
    put(344, b"n+1\0");
    let inside = |at: usize| (2..SIDE - 2).contains(&at);
    for z in 0..SIDE {
        for y in 0..SIDE {
            for x in 0..SIDE {
                let is_head = inside(x) && inside(y) && inside(z);
                let mark = if (x, y, z) == (4, 5, 6) { number } else { 0 };
                let voxel = f32::from(u8::from(is_head)) * 100.0 + f32::from(mark);
                bytes.extend(voxel.to_le_bytes());
            }
        }
    }
    bytes
}

fn put(root: &Path, patient: &str, contrast: &str, bytes: &[u8]) {
    let folder = root.join(format!("Patient-{patient}"));
    fs::create_dir_all(&folder).expect("made");
    fs::write(folder.join(format!("{patient}-{contrast}.nii")), bytes).expect("written");
}

/// One patient of each kind: sound, with a scan cut short, without a row, without images, with a scan of another, without an EDSS.
fn spoilt() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let rows = "\
        ID,EDSS,Gender,Age,Age of onset,Presenting Symptom,Co-morbidity\n\
        Rossi-Anna,2,F,40,31,motor,no\n\
        Verdi-Luca,6,M,51,40,visual,no\n\
        Bianchi-Ida,4,F,44,,sensory,yes\n\
        Neri-Pia,3,F,29,20,motor,no\n\
        Gallo-Ugo,1,M,33,30,motor,no\n\
        Costa-Leo,12,M,60,50,motor,no\n";
    fs::write(root.join("clinical.csv"), rows).expect("written");
    put(root, "Rossi-Anna", "Flair", &scan(1));
    put(root, "Rossi-Anna", "T2", &scan(2));
    let whole = scan(3);
    put(root, "Verdi-Luca", "Flair", &whole[..whole.len() / 2]);
    put(root, "Verdi-Luca", "T2", &scan(4));
    put(root, "Bianchi-Ida", "Flair", &scan(1));
    put(root, "Gallo-Ugo", "Flair", b"");
    put(root, "Fabbri-Eva", "Flair", &scan(5));
    folder
}

/// What names a patient or a file in [`spoilt`].
const NAMES: [&str; 9] = [
    "Rossi", "Verdi", "Bianchi", "Neri", "Gallo", "Costa", "Fabbri", "clinical", ".nii",
];

fn check(root: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_participant"))
        .args(["data", "check"])
        .arg(root)
        .args(["--contrasts", "flair,t2"])
        .args(more)
        .output()
        .expect("it can be started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The page, and what was said on stdout.
fn page(root: &Path, more: &[&str]) -> (String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("check.html");
    let file = path.to_str().expect("a plain path");
    let output = check(root, &[&["--html", file], more].concat());
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let about = fs::metadata(&path).expect("there");
        assert_eq!(about.permissions().mode() & 0o777, 0o600);
    }
    let page = fs::read_to_string(&path).expect("a page");
    (page, text(&output.stdout))
}

/// A page without its pictures, whose base64 spells any word.
fn words(page: &str) -> String {
    let mut parts = page.split("data:image/png;base64,");
    let mut words = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        words += part.split_once('"').expect("a quote").1;
    }
    words
}

/// The cells of the row that begins with this head.
fn row<'a>(page: &'a str, section: &str, head: &str) -> &'a str {
    let (_, section) = page
        .split_once(&format!("\">{section}</h2>"))
        .expect("a section");
    let (_, row) = section
        .split_once(&format!("<tr><th>{head}</th>"))
        .expect("a row");
    row.split("</tr>").next().unwrap_or_default()
}

#[test]
fn the_page_names_nobody_unless_it_is_asked_to() {
    let folder = spoilt();
    let root = folder.path();
    let (page_without, _) = page(root, &[]);
    assert_eq!(leads_outside(&page_without), [""; 0]);
    let without = words(&page_without);
    assert!(without.contains("images of patients") && without.contains("It names no patient"));
    for name in NAMES {
        assert!(!without.contains(name), "{name}");
    }
    for path in [root.to_str().expect("plain"), "/tmp", "check.html"] {
        assert!(!without.contains(path), "{path}");
    }
    assert!(without.contains("participant data check DIR --contrasts flair,t2 --html FILE"));

    let (page_with, _) = page(root, &["--with-ids"]);
    assert_eq!(leads_outside(&page_with), [""; 0]);
    let with = words(&page_with);
    // Rows go by their number.
    for name in NAMES.into_iter().filter(|name| *name != "Costa") {
        assert!(with.contains(name), "{name}");
    }
    assert!(with.contains("row 7: its EDSS"));
    assert!(with.contains("Patient-Verdi-Luca/Verdi-Luca-Flair.nii: truncated"));
}

#[test]
fn the_page_counts_like_the_text_and_says_why_and_what_to_do() {
    let folder = spoilt();
    let (page, said) = page(folder.path(), &[]);
    let page = words(&page);
    // The text's first lines, but for the names.
    for (head, value) in [("layout", "ms60"), ("patients", "3 of 6 rows")] {
        assert!(said.contains(value), "{value} in:\n{said}");
        assert!(row(&page, "Overview", head).contains(value), "{value}");
    }
    for (head, value) in [
        ("flair", "2 scans, 16 slices"),
        ("t2", "2 scans, 16 slices"),
    ] {
        assert!(said.contains(value), "{value} in:\n{said}");
        assert!(row(&page, "Overview", head).contains(value), "{value}");
    }
    // Three patients are the seventh, for a run by patient.
    assert!(said.contains("problems: 7") && page.contains("<strong>7 problems:</strong>"));
    let too_few = "3 patients with images cannot be split by patient (at least 4 are needed)";
    assert!(said.contains(too_few) && page.contains(too_few), "{said}");
    let (page_by_slice, said) = self::page(folder.path(), &["--split", "slice"]);
    assert!(
        said.contains("problems: 6") && !said.contains("no run"),
        "{said}"
    );
    assert!(!page_by_slice.contains("cannot be split") && page_by_slice.contains("--split slice"));
    assert!(row(&page, "Overview", "scanners").contains("not told by the files: 4 scans"));
    let counts = "Patients, scans and slices";
    let cells = row(&page, counts, "FLAIR");
    assert!(
        cells.ends_with("</span>2</td><td>1</td><td>16</td>"),
        "{cells}"
    );
    let missing = row(&page, "Clinical features", "age at onset");
    assert!(missing.contains("</span>1</td>"), "{missing}");

    for (head, why, remedy) in [
        (
            "1 patient",
            "The table has a row, and there is no image",
            "Add the images",
        ),
        (
            "1 folder",
            "the table has no row",
            "Add a row with the ID and the EDSS",
        ),
        (
            "1 row",
            "The EDSS is missing, or is not a half point",
            "Write the EDSS",
        ),
    ] {
        let cells = row(&page, "Left out, and why", head);
        assert!(cells.contains(why) && cells.contains(remedy), "{cells}");
    }
    for reason in [
        "<tr><th>1 scan</th><td>The file is shorter than its header says.</td><td>Copy it again",
        "<tr><th>1 scan</th><td>The file is empty.</td><td>Copy it again",
        "<tr><th>1 scan</th><td>The same scan has several names.",
    ] {
        assert!(page.contains(reason), "{reason}");
    }
    assert!(said.contains("the same scan") && said.contains("truncated"));
}

#[test]
fn slices_are_shown_of_a_bounded_number_of_patients() {
    let (page_of_few, _) = page(spoilt().path(), &[]);
    assert_eq!(page_of_few.matches("<figure>").count(), 4);
    assert_eq!(
        page_of_few.matches("src=\"data:image/png;base64,").count(),
        4
    );
    assert_eq!(page_of_few.matches(">left out: see below<").count(), 2);
    assert_eq!(page_of_few.matches(">no scan<").count(), 2);

    let many = tempfile::tempdir().expect("a folder");
    let mut rows = "ID,EDSS\n".to_owned();
    for number in 0..40 {
        rows += &format!("{number},2\n");
        put(many.path(), &number.to_string(), "Flair", &scan(number));
    }
    fs::write(many.path().join("clinical.csv"), rows + "99,13\n").expect("written");
    let (page_of_many, _) = page(many.path(), &[]);
    assert_eq!(page_of_many.matches("<figure>").count(), 24);
    assert_eq!(
        page_of_many.matches("src=\"data:image/png;base64,").count(),
        24
    );
    assert!(page_of_many.len() < 1 << 20, "{}", page_of_many.len());
}

#[test]
fn a_page_that_cannot_be_written_is_refused_before_the_scans_are_read() {
    let folder = spoilt();
    let thesis = folder.path().join("thesis.html");
    fs::write(&thesis, "not to be lost").expect("written");
    let refused = |arguments: &[&str]| {
        let output = check(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        text(&output.stderr)
    };
    let said = refused(&["--html", thesis.to_str().expect("plain")]);
    assert!(
        said.contains("thesis.html") && said.contains("name another file"),
        "{said}"
    );
    assert_eq!(fs::read(&thesis).expect("there"), b"not to be lost");
    assert!(refused(&["--html", "nowhere/check.html"]).contains("does not exist"));
    assert!(refused(&["--with-ids"]).contains("--html"));
}
