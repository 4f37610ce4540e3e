//! The folder layout of the MS60 data set (Muslim et al. 2022, doi 10.17632/8bctsm8jz7.1).
//!
//! ```text
//! ROOT/Supplementary Table 1 for patient info .xlsx
//! ROOT/Patient-K/K-Flair.nii, K-T1.nii, K-T2.nii (or .nii.gz), lesion masks beside them
//! ```

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    BadFile, Contrast, DataError, Entry, Inventory, LoadOptions, LoadReport, ScanFiles, ScanSource,
    clinical_table::ClinicalTable,
};

/// Who is in a folder in MS60 layout, and which scans there are.
///
/// Bad rows, rows without images and images without a row are counted in the report.
///
/// # Errors
/// No folder, no table, a table that cannot be read or has no ID or EDSS column.
pub(super) fn inventory(root: &Path, options: &LoadOptions) -> Result<Inventory, DataError> {
    let folder_error = |error: io::Error| DataError::Folder {
        path: root.to_owned(),
        reason: error.to_string(),
    };
    let entries = entries(root).map_err(folder_error)?;
    let table = ClinicalTable::read(&find_table(root, &entries)?)?;
    let mut folders = patient_folders(&entries);
    let mut inventory = Inventory {
        entries: vec![],
        report: LoadReport {
            rows: table.rows.len() + table.bad_rows.len(),
            bad_rows: table.bad_rows,
            warnings: table.warnings,
            ..LoadReport::default()
        },
    };
    let report = &mut inventory.report;
    for row in table.rows {
        let Some(folder) = folders.remove(&row.id) else {
            report.rows_without_images.push(row.id);
            continue;
        };
        match scans_of(&folder, &row.id, options, &mut report.warnings) {
            Ok(scans) if scans.is_empty() => report.rows_without_images.push(row.id),
            Ok(scans) => inventory.entries.push(Entry {
                id: row.id,
                edss: row.edss,
                features: row.features,
                scans,
            }),
            Err(error) => report.bad_files.push(BadFile {
                path: folder,
                reason: error.to_string(),
            }),
        }
    }
    report.images_without_row = folders.into_values().collect();
    Ok(inventory)
}

/// Entries of a folder with their names, sorted: the order of a folder is the disk's.
fn entries(folder: &Path) -> io::Result<BTreeMap<String, PathBuf>> {
    fs::read_dir(folder)?
        .map(|entry| {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            Ok((name, entry.path()))
        })
        .collect()
}

fn find_table(root: &Path, entries: &BTreeMap<String, PathBuf>) -> Result<PathBuf, DataError> {
    // "~$.." is what a spreadsheet program leaves beside a file that is open.
    let is_table = |name: &str| name.to_lowercase().ends_with(".xlsx") && !name.starts_with("~$");
    let tables: Vec<_> = entries.iter().filter(|(name, _)| is_table(name)).collect();
    let named = |(name, _): &&(&String, &PathBuf)| name.to_lowercase().contains("patient info");
    let path = root.to_owned();
    match (tables.iter().find(named), tables.as_slice()) {
        (Some((_, table)), _) | (None, [(_, table)]) => Ok((*table).clone()),
        (None, []) => Err(DataError::NoTable { path }),
        (None, several) => Err(DataError::SeveralTables {
            path,
            count: several.len(),
        }),
    }
}

/// Folders `Patient-K` by K.
fn patient_folders(entries: &BTreeMap<String, PathBuf>) -> BTreeMap<String, PathBuf> {
    let patients = entries.iter().filter_map(|(name, path)| {
        let (prefix, id) = name.split_once('-')?;
        let is_patient = prefix.eq_ignore_ascii_case("patient") && path.is_dir();
        is_patient.then(|| (id.trim().to_owned(), path.clone()))
    });
    patients.collect()
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
        let stem = format!("{id}-{}.nii", contrast.file_name());
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

impl Contrast {
    fn file_name(self) -> &'static str {
        match self {
            Self::Flair => "Flair",
            Self::T1 => "T1",
            Self::T2 => "T2",
        }
    }
}
