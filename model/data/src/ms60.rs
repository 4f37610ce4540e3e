//! The folder layout of the MS60 data set (Muslim et al. 2022, doi 10.17632/8bctsm8jz7.1).
//!
//! ```text
//! ROOT/Supplementary Table 1 for patient info .xlsx
//! ROOT/Patient-K/K-Flair.nii, K-T1.nii, K-T2.nii (or .nii.gz), lesion masks beside them
//! ```

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use super::{
    Contrast, DataError, Inventory, LoadOptions, ScanFiles, ScanSource,
    clinical_table::table_beside,
    folder::{entries, is_nifti, patient_id, root_entries},
    table_header::{Repeats, Wanted},
};

/// Who is in a folder in MS60 layout, and which scans there are.
///
/// Bad rows, rows without images and images without a row are counted in the report.
///
/// # Errors
/// No folder, no table, a table that cannot be read or lacks a column that is needed.
pub(super) fn inventory(root: &Path, options: &LoadOptions) -> Result<Inventory, DataError> {
    let found = root_entries(root)?;
    let wanted = Wanted {
        features: &options.features,
        extra: &[],
        repeats: Repeats::Never,
        scores: options.scores,
    };
    let folders: BTreeMap<_, _> = found
        .iter()
        .filter_map(|(name, path)| Some((patient_id(name)?, path)).filter(|_| path.is_dir()))
        .collect();
    let table = table_beside(root, &found, folders.keys().copied(), wanted)?;
    Ok(Inventory::of_folders(
        table,
        folders,
        |id| id,
        |folder, id, warnings| scans_of(folder, id, options, warnings),
    ))
}

/// The scan of every contrast asked for.
fn scans_of(
    folder: &Path,
    id: &str,
    options: &LoadOptions,
    warnings: &mut Vec<String>,
) -> io::Result<Vec<ScanSource>> {
    let files = entries(folder)?;
    let (mut scans, mut missing) = (vec![], vec![]);
    for &contrast in &options.contrasts {
        let stem = format!("{id}-{}.nii", file_name(contrast));
        let names = [stem.clone(), format!("{stem}.gz")];
        let is_wanted = |name: &str| names.iter().any(|wanted| wanted.eq_ignore_ascii_case(name));
        match files.iter().find(|(name, _)| is_wanted(name)) {
            Some((_, path)) => scans.push(ScanSource {
                contrast,
                files: ScanFiles::Nifti(path.clone()),
            }),
            None => missing.push(stem),
        }
    }
    if scans.is_empty() {
        return match not_read(&files, id) {
            Some(reason) => Err(io::Error::other(reason)),
            None => Ok(scans),
        };
    }
    let lines = missing
        .iter()
        .map(|stem| format!("{}: no {stem}", folder.display()));
    warnings.extend(lines);
    Ok(scans)
}

/// What the folder of a patient holds in the place of the scan that is looked for; `None` if no image at all.
fn not_read(files: &BTreeMap<String, PathBuf>, id: &str) -> Option<String> {
    let ends = |name: &str, ends: &[&str]| {
        let name = name.to_ascii_lowercase();
        ends.iter().any(|end| name.ends_with(end))
    };
    let found = |all: &[&str]| files.keys().find(|name| ends(name, all));
    if let (Some(header), Some(voxels)) = (found(&[".hdr", ".hdr.gz"]), found(&[".img", ".img.gz"]))
    {
        return Some(format!(
            "holds the pair {header} and {voxels}, which is not read: convert it to a single .nii.gz, for example with \
             'fslchfiletype NIFTI_GZ' or nibabel"
        ));
    }
    if let Some(other) = found(&OTHER_IMAGES) {
        return Some(format!(
            "holds {other}, a format that is not read here: convert it to .nii.gz"
        ));
    }
    let images: Vec<&str> = { files.keys() }
        .filter(|name| is_nifti(name))
        .map(String::as_str)
        .collect();
    let follows = |name: &&str| {
        name.strip_prefix(id)
            .is_some_and(|rest| rest.starts_with('-'))
    };
    // Of one who has other contrasts, nothing is misnamed.
    let misnamed = !images.is_empty() && !images.iter().any(follows);
    misnamed.then(|| {
        format!("has no scan of the name that is looked for, ID-Flair.nii (or ID-T1, ID-T2; or .nii.gz); it holds {}", images.join(", "))
    })
}

/// How names of images end that other programs write.
const OTHER_IMAGES: [&str; 8] = [
    ".mgz", ".mgh", ".mnc", ".nrrd", ".nhdr", ".mha", ".mhd", ".hdr",
];

fn file_name(contrast: Contrast) -> &'static str {
    match contrast {
        Contrast::Flair => "Flair",
        Contrast::T1 => "T1",
        Contrast::T2 => "T2",
    }
}
