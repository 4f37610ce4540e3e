//! A tree in the Brain Imaging Data Structure (bids-specification.readthedocs.io).
//!
//! ```text
//! ROOT/participants.tsv                    participant_id, edss, and the features
//! ROOT/sub-K/anat/sub-K_.._FLAIR.nii.gz    or _T1w, _T2w; or .nii
//! ROOT/sub-K/ses-J/anat/..                 of several sessions the first that has the contrast
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

use super::{
    BadFile, BadRow, Contrast, DataError, Doubt, Inventory, LoadOptions, LoadReport, ScanFiles,
    ScanSource, Scores,
    clinical_table::{ClinicalRow, ClinicalTable},
    folder::{composed, entries, is_nifti, root_entries},
    table_header::{Repeats, Wanted},
};

/// The clinical table.
pub(super) const TABLE: &str = "participants.tsv";

/// The label of a folder `sub-<label>` or `ses-<label>`.
pub(super) fn label<'a>(prefix: &str, name: &'a str) -> Option<&'a str> {
    name.strip_prefix(prefix).filter(|label| !label.is_empty())
}

/// Columns that name the session a row is of.
const SESSION_COLUMNS: [&str; 3] = ["sessionid", "session", "ses"];

/// Who is in a BIDS tree, and which scans there are.
///
/// Where the table has a row for each session, a patient is the first row of whose session there are scans.
///
/// # Errors
/// No folder, no `participants.tsv`, one that cannot be read or lacks a column that is needed.
pub(super) fn inventory(root: &Path, options: &LoadOptions) -> Result<Inventory, DataError> {
    let found = root_entries(root)?;
    let wanted = Wanted {
        features: &options.features,
        extra: &SESSION_COLUMNS,
        repeats: Repeats::BySession,
        scores: options.scores,
    };
    let subjects = found
        .iter()
        .filter_map(|(name, path)| Some((label("sub-", name)?, path)).filter(|_| path.is_dir()));
    let subjects: BTreeMap<_, _> = subjects.collect();
    let mut table = if options.scores == Scores::Optional && !found.contains_key(TABLE) {
        ClinicalTable::of_ids(subjects.keys().copied(), options.features.count())
    } else {
        ClinicalTable::read(&root.join(TABLE), wanted)?
    };
    let subject = |id: &str| {
        let id = composed(id);
        subjects.get(label("sub-", &id).unwrap_or(&id)).copied()
    };
    let (mut inventory, rows) = Inventory::of(&mut table);
    let mut named: BTreeSet<&PathBuf> = { table.refused.iter() }
        .filter_map(|id| subject(id))
        .collect();
    let mut without_images: Vec<ClinicalRow> = vec![];
    let mut done = BTreeSet::new();
    let mut owners: BTreeMap<&PathBuf, String> = BTreeMap::new();
    for row in rows {
        if done.contains(&row.id) {
            continue;
        }
        let Some(folder) = subject(&row.id) else {
            without_images.push(row);
            continue;
        };
        let owner = owners.entry(folder).or_insert_with(|| row.id.clone());
        if *owner != row.id {
            inventory.report.bad_rows.push(BadRow {
                row: row.row,
                reason: OTHER_SPELLING,
            });
            continue;
        }
        named.insert(folder);
        let session = row.extra.iter().find(|cell| !cell.is_empty());
        let report = &mut inventory.report;
        match scans_of(folder, session.map(String::as_str), options, report) {
            Ok(scans) if scans.is_empty() => without_images.push(row),
            Ok(scans) => {
                done.insert(row.id.clone());
                inventory.add(row, scans);
            }
            Err(error) => {
                done.insert(row.id.clone());
                report.bad_files.push(BadFile {
                    path: folder.clone(),
                    reason: error.to_string(),
                });
            }
        }
    }
    for row in without_images {
        if done.insert(row.id.clone()) {
            inventory.add(row, vec![]);
        }
    }
    let unnamed = subjects.into_values().filter(|path| !named.contains(path));
    inventory.report.images_without_row = unnamed.cloned().collect();
    Ok(inventory)
}

/// The scans of a subject, of the session of its row where that names one.
fn scans_of(
    subject: &Path,
    session: Option<&str>,
    options: &LoadOptions,
    report: &mut LoadReport,
) -> io::Result<Vec<ScanSource>> {
    let images = anatomical_images(subject, session)?;
    let mut scans = vec![];
    let mut sessions = BTreeSet::new();
    for &contrast in &options.contrasts {
        let suffix = suffix(contrast);
        let mut candidates = images
            .iter()
            .filter(|image| has_suffix(&image.name, suffix));
        let Some(first) = candidates.next() else {
            if options.contrasts.len() > 1 {
                let subject = subject.display();
                report
                    .warnings
                    .push(format!("{subject}: no image _{suffix}.nii"));
            }
            continue;
        };
        sessions.insert(&first.session);
        let mut others = 0;
        for other in candidates {
            others += 1;
            sessions.insert(&other.session);
        }
        if others > 0 {
            report.warnings.push(format!(
                "{}: the first of {} images _{suffix}, the others are not used",
                first.path.display(),
                others + 1
            ));
        }
        scans.push(ScanSource {
            contrast,
            files: ScanFiles::Nifti(first.path.clone()),
        });
    }
    if session.is_none() && sessions.len() > 1 {
        let kind = "has images of several sessions and one row, so the first session that has a contrast is taken: a column session_id of participants.tsv can say of which session the EDSS is";
        report.doubts.push(Doubt::new(subject.display(), kind));
    }
    Ok(scans)
}

/// `sub-01` and `01`, or one name in two spellings of Unicode.
const OTHER_SPELLING: &str = "its ID is another spelling of one that occurred before";

/// An image of a subject.
struct Image {
    name: String,
    path: PathBuf,
    /// Label of its folder, if it lies in one of a session.
    session: Option<String>,
}

/// The images in `anat` and in `ses-*/anat`, session by session; those of the session asked for.
fn anatomical_images(subject: &Path, session: Option<&str>) -> io::Result<Vec<Image>> {
    let folders = entries(subject)?;
    let has_sessions = folders.keys().any(|name| label("ses-", name).is_some());
    // A column may count sessions where the tree has none.
    let asked_for = session.filter(|_| has_sessions);
    let asked_for = asked_for.map(|asked| label("ses-", asked).unwrap_or(asked));
    let mut places = vec![];
    if asked_for.is_none() {
        places.push((None, subject.join("anat")));
    }
    for (name, path) in &folders {
        if let Some(label) = label("ses-", name)
            && asked_for.is_none_or(|asked| asked == label)
        {
            places.push((Some(label.to_owned()), path.join("anat")));
        }
    }
    let mut images = vec![];
    for (session, anat) in places {
        if !anat.is_dir() {
            continue;
        }
        let files = entries(&anat)?.into_iter();
        images.extend(
            files
                .filter(|(name, _)| is_nifti(name))
                .map(|(name, path)| Image {
                    name,
                    path,
                    session: session.clone(),
                }),
        );
    }
    Ok(images)
}

fn has_suffix(name: &str, suffix: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default();
    stem.rsplit_once('_')
        .is_some_and(|(_, last)| last == suffix)
}

fn suffix(contrast: Contrast) -> &'static str {
    match contrast {
        Contrast::Flair => "FLAIR",
        Contrast::T1 => "T1w",
        Contrast::T2 => "T2w",
    }
}
