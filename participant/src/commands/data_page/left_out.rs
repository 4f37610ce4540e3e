//! What is left out and why, what is in doubt, and what was noted: by kind, with a remedy.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use ::report::pictures::escape;
use model_data::{BadFile, DataCheck};

use super::{
    super::data_kinds::from_here,
    Names,
    known::{self, Known},
};

/// Three sections: left out, in doubt, notes.
pub fn sections(folder: &Path, check: &DataCheck, names: Names) -> String {
    let parts = [
        (
            "Left out, and why",
            left_out(check),
            "Nothing is left out, and no scan is there twice.",
        ),
        ("In doubt", in_doubt(check), "Nothing was guessed."),
        ("Notes", notes(check, names), "Nothing else is unusual."),
    ];
    let section = |(heading, kinds, none)| section(heading, kinds, none, folder, names);
    parts.map(section).concat()
}

/// Cases of one kind.
struct Kind {
    /// What they are: "scans".
    of: &'static str,
    why: String,
    remedy: String,
    /// Each of them, for those who may know.
    cases: Vec<String>,
}

impl Kind {
    /// None of no cases.
    fn of_all(of: &'static str, known: Known, cases: Vec<String>) -> Option<Self> {
        (!cases.is_empty()).then(|| Self {
            of,
            why: known.why.to_owned(),
            remedy: known.remedy.to_owned(),
            cases,
        })
    }
}

/// One kind for each reason, those with the most cases first.
fn by_reason(of: &'static str, cases: impl Iterator<Item = (Known, String)>) -> Vec<Kind> {
    let mut kinds: BTreeMap<&str, (Known, Vec<String>)> = BTreeMap::new();
    for (known, case) in cases {
        let (_, of_kind) = kinds.entry(known.why).or_insert_with(|| (known, vec![]));
        of_kind.push(case);
    }
    let kinds = kinds.into_values();
    let mut kinds: Vec<Kind> = kinds
        .filter_map(|(known, cases)| Kind::of_all(of, known, cases))
        .collect();
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.cases.len()));
    kinds
}

fn left_out(check: &DataCheck) -> Vec<Kind> {
    let report = &check.report;
    let near = report.near_misses();
    let pairs = near.iter().map(|(id, folder)| {
        let folder = folder.display();
        format!("patient {id} of the table, and {folder}")
    });
    let rows = report.rows_without_images.iter();
    let rows = rows.filter(|id| !near.iter().any(|(other, _)| other == id));
    let folders = report.images_without_row.iter();
    let folders = folders.filter(|folder| !near.iter().any(|(_, other)| other == folder));
    let folders = folders.map(|folder| folder.display().to_string());
    let mut kinds: Vec<Kind> = [
        Kind::of_all("patients", NEARLY, pairs.collect()),
        Kind::of_all("patients", WITHOUT_IMAGES, rows.cloned().collect()),
        Kind::of_all("folders", WITHOUT_ROW, folders.collect()),
    ]
    .into_iter()
    .flatten()
    .collect();
    let files = { report.bad_files.iter() }
        .map(|file: &BadFile| (known::of_file(&file.reason), file.to_string()));
    kinds.extend(by_reason("scans", files));
    let rows = { report.bad_rows.iter() }.map(|row| {
        let case = format!("row {}: {}", row.row, row.reason);
        (known::of_row(row.reason), case)
    });
    kinds.extend(by_reason("rows", rows));
    let twice = check.duplicates.iter().map(|names| {
        let names = names.iter();
        let names = names.map(|name| {
            let path = name.path.display();
            format!("patient {} {} ({path})", name.id, name.contrast)
        });
        names.collect::<Vec<_>>().join(" and ")
    });
    kinds.extend(Kind::of_all("scans", TWICE, twice.collect()));
    kinds
}

/// The kinds of doubts name nobody: their subjects do.
fn in_doubt(check: &DataCheck) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = vec![];
    for doubt in &check.report.doubts {
        let (why, remedy) = doubt.kind.split_once(": ").unwrap_or((&doubt.kind, LOOK));
        match kinds.iter_mut().find(|kind| kind.why == why) {
            Some(kind) => kind.cases.push(doubt.about.clone()),
            None => kinds.push(Kind {
                of: "cases",
                why: why.to_owned(),
                remedy: remedy.to_owned(),
                cases: vec![doubt.about.clone()],
            }),
        }
    }
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.cases.len()));
    kinds
}

fn notes(check: &DataCheck, names: Names) -> Vec<Kind> {
    let notes = check.report.warnings.iter();
    let notes = notes.map(|note| (known::of_note(note), note.clone()));
    let mut kinds = by_reason("times", notes);
    if names == Names::Told {
        kinds.extend(Kind::of_all("folders", DATES, check.report.dates.clone()));
    }
    kinds
}

fn section(heading: &str, kinds: Vec<Kind>, none: &str, folder: &Path, names: Names) -> String {
    let mut section = format!("<h2>{heading}</h2>");
    if kinds.is_empty() {
        let _ = write!(section, "<p>{none}</p>");
        return section;
    }
    section += "<table class=\"words\"><tr><th>number</th><th>why</th><th>what to do</th></tr>";
    for kind in kinds {
        let count = kind.cases.len();
        let _ = write!(
            section,
            "<tr><th>{count} {}</th><td>{}{}</td><td>{}</td></tr>",
            if count == 1 {
                singular(kind.of)
            } else {
                kind.of
            },
            escape(&sentence(&kind.why)),
            match names {
                Names::Told => cases(&kind.cases, folder),
                Names::Withheld => String::new(),
            },
            escape(&sentence(&kind.remedy)),
        );
    }
    section + "</table>"
}

/// To be opened: there may be many.
fn cases(cases: &[String], folder: &Path) -> String {
    let mut list = "<details><summary>which</summary><ul>".to_owned();
    for case in cases.iter().take(MAX_CASES) {
        let _ = write!(list, "<li>{}</li>", escape(&from_here(folder, case)));
    }
    if cases.len() > MAX_CASES {
        let more = cases.len() - MAX_CASES;
        let _ = write!(
            list,
            "<li>and {more} more: participant data check DIR --all</li>"
        );
    }
    list + "</ul></details>"
}

/// Texts of a check are fragments.
fn sentence(fragment: &str) -> String {
    let mut letters = fragment.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    let end = if fragment.ends_with(['.', '?']) {
        ""
    } else {
        "."
    };
    format!("{}{}{end}", first.unwrap_or_default(), letters.as_str())
}

fn singular(noun: &'static str) -> &'static str {
    noun.strip_suffix('s').unwrap_or(noun)
}

const NEARLY: Known = Known {
    why: "A patient of the table has no images, and a folder whose name is nearly the ID has no row.",
    remedy: "If they are one, write the ID as the folder has it.",
};
const WITHOUT_IMAGES: Known = Known {
    why: "The table has a row, and there is no image of the patient.",
    remedy: "Add the images, or take the row away.",
};
const WITHOUT_ROW: Known = Known {
    why: "There are images, and the table has no row for the patient.",
    remedy: "Add a row with the ID and the EDSS, or take the images away.",
};
const TWICE: Known = Known {
    why: "The same scan has several names. It is used under each of them.",
    remedy: "Find out whose it is, and take the others away.",
};
const DATES: Known = Known {
    why: "The dates of the examinations in a folder that holds several.",
    remedy: "Leave the one that belongs to the EDSS, or name it in the table.",
};
const LOOK: &str = "look whether that is right";
const MAX_CASES: usize = 500;
