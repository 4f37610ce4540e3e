//! The folder layout of the MS60 data set (Muslim et al. 2022, doi 10.17632/8bctsm8jz7.1).
//!
//! ```text
//! ROOT/Supplementary Table 1 for patient info .xlsx
//! ROOT/Patient-K/K-Flair.nii, K-T1.nii, K-T2.nii (or .nii.gz), lesion masks beside them
//! ```

use std::{collections::BTreeMap, io, path::Path};

use super::{
    Contrast, DataError, Inventory, LoadOptions, ScanFiles, ScanSource,
    clinical_table::{Wanted, table_beside},
    folder::{entries, patient_id, root_entries},
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
        repeats: false,
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
    let mut scans = vec![];
    for &contrast in &options.contrasts {
        let stem = format!("{id}-{}.nii", file_name(contrast));
        let names = [stem.clone(), format!("{stem}.gz")];
        let is_wanted = |name: &str| names.iter().any(|wanted| wanted.eq_ignore_ascii_case(name));
        match files.iter().find(|(name, _)| is_wanted(name)) {
            Some((_, path)) => scans.push(ScanSource {
                contrast,
                files: ScanFiles::Nifti(path.clone()),
            }),
            None if options.contrasts.len() > 1 => {
                warnings.push(format!("{}: no {stem}", folder.display()));
            }
            None => (),
        }
    }
    Ok(scans)
}

fn file_name(contrast: Contrast) -> &'static str {
    match contrast {
        Contrast::Flair => "Flair",
        Contrast::T1 => "T1",
        Contrast::T2 => "T2",
    }
}
