//! A tree in the Brain Imaging Data Structure (bids-specification.readthedocs.io).
//!
//! ```text
//! ROOT/participants.tsv                    participant_id, edss, and the features
//! ROOT/sub-K/anat/sub-K_.._FLAIR.nii.gz    or _T1w, _T2w; or .nii
//! ROOT/sub-K/ses-J/anat/..                 of several sessions the first that has the contrast
//! ```

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use super::{
    Contrast, DataError, Inventory, LoadOptions, ScanFiles, ScanSource, Scores,
    clinical_table::{ClinicalTable, Wanted},
    folder::{entries, is_nifti, root_entries},
};

/// The clinical table.
pub(super) const TABLE: &str = "participants.tsv";

/// The label of a folder `sub-<label>` or `ses-<label>`.
pub(super) fn label<'a>(prefix: &str, name: &'a str) -> Option<&'a str> {
    name.strip_prefix(prefix).filter(|label| !label.is_empty())
}

/// Who is in a BIDS tree, and which scans there are.
///
/// # Errors
/// No folder, no `participants.tsv`, one that cannot be read or lacks a column that is needed.
pub(super) fn inventory(root: &Path, options: &LoadOptions) -> Result<Inventory, DataError> {
    let found = root_entries(root)?;
    let wanted = Wanted {
        features: &options.features,
        extra: &[],
        repeats: false,
        scores: options.scores,
    };
    let subjects: BTreeMap<_, _> = found
        .iter()
        .filter_map(|(name, path)| Some((label("sub-", name)?, path)).filter(|_| path.is_dir()))
        .collect();
    let table = if options.scores == Scores::Optional && !found.contains_key(TABLE) {
        ClinicalTable::of_ids(subjects.keys().copied())
    } else {
        ClinicalTable::read(&root.join(TABLE), wanted)?
    };
    Ok(Inventory::of_folders(
        table,
        subjects,
        |id| label("sub-", id).unwrap_or(id),
        |folder, _, warnings| scans_of(folder, options, warnings),
    ))
}

fn scans_of(
    subject: &Path,
    options: &LoadOptions,
    warnings: &mut Vec<String>,
) -> io::Result<Vec<ScanSource>> {
    let images = anatomical_images(subject)?;
    let mut scans = vec![];
    for &contrast in &options.contrasts {
        let suffix = suffix(contrast);
        let mut candidates = images.iter().filter(|(name, _)| has_suffix(name, suffix));
        let Some((_, first)) = candidates.next() else {
            if options.contrasts.len() > 1 {
                warnings.push(format!("{}: no image _{suffix}.nii", subject.display()));
            }
            continue;
        };
        let others = candidates.count();
        if others > 0 {
            warnings.push(format!(
                "{}: the first of {} images _{suffix}, the others are not used",
                first.display(),
                others + 1
            ));
        }
        scans.push(ScanSource {
            contrast,
            files: ScanFiles::Nifti(first.clone()),
        });
    }
    Ok(scans)
}

/// Names and paths of the images in `anat` and in `ses-*/anat`, session by session.
fn anatomical_images(subject: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let folders = entries(subject)?;
    let sessions = folders
        .iter()
        .filter(|(name, _)| label("ses-", name).is_some());
    let places = [subject]
        .into_iter()
        .chain(sessions.map(|(_, path)| path.as_path()));
    let mut images = vec![];
    for anat in places.map(|place| place.join("anat")) {
        if anat.is_dir() {
            let files = entries(&anat)?.into_iter();
            images.extend(files.filter(|(name, _)| is_nifti(name)));
        }
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
