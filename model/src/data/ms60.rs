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
    BadFile, Cohort, Contrast, DataError, LoadOptions, LoadReport, Patient, ScanError, Slice,
    axial_slices, clinical_table::ClinicalTable, read_nifti,
};

/// Reads a cohort in MS60 layout.
///
/// Bad files, bad rows, rows without images and images without a row are left out and counted in
/// the report, unless `options.strict`.
///
/// # Errors
/// No folder, no table, a table that cannot be read or has no ID or EDSS column, nobody left; in
/// strict mode, whatever is left out first.
pub fn load_ms60(root: &Path, options: &LoadOptions) -> Result<Cohort, DataError> {
    let folder_error = |error: io::Error| DataError::Folder {
        path: root.to_owned(),
        reason: error.to_string(),
    };
    let entries = entries(root).map_err(folder_error)?;
    let table = ClinicalTable::read(&find_table(root, &entries)?)?;
    let mut folders = patient_folders(&entries);
    let mut report = LoadReport {
        rows: table.rows.len() + table.bad_rows.len(),
        bad_rows: table.bad_rows,
        warnings: table.warnings,
        ..LoadReport::default()
    };
    let mut patients = vec![];
    for row in table.rows {
        let Some(folder) = folders.remove(&row.id) else {
            report.rows_without_images.push(row.id);
            continue;
        };
        let bad_before = report.bad_files.len();
        let slices = slices_of(&folder, &row.id, options, &mut report);
        if slices.is_empty() {
            if report.bad_files.len() == bad_before {
                report.rows_without_images.push(row.id);
            }
            continue;
        }
        for (missing, feature) in report.missing_features.iter_mut().zip(&row.features) {
            *missing += usize::from(feature.is_none());
        }
        patients.push(Patient {
            id: row.id,
            edss: row.edss,
            features: row.features,
            slices,
        });
    }
    report.images_without_row = folders.into_values().collect();
    if options.strict
        && let Some(omission) = report.first_omission()
    {
        return Err(DataError::Strict { omission });
    }
    if patients.is_empty() {
        return Err(DataError::NoPatients {
            path: root.to_owned(),
            first_omission: report.first_omission(),
        });
    }
    Ok(Cohort { patients, report })
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

/// Slices of every contrast asked for; files that cannot be used go to the report.
fn slices_of(
    folder: &Path,
    id: &str,
    options: &LoadOptions,
    report: &mut LoadReport,
) -> Vec<Slice> {
    let files = match entries(folder) {
        Ok(files) => files,
        Err(error) => {
            report.bad_files.push(BadFile {
                path: folder.to_owned(),
                reason: error.to_string(),
            });
            return vec![];
        }
    };
    let mut slices = vec![];
    for contrast in &options.contrasts {
        let stem = format!("{id}-{}.nii", contrast.file_name());
        let names = [stem.clone(), format!("{stem}.gz")];
        let is_wanted = |name: &str| names.iter().any(|wanted| wanted.eq_ignore_ascii_case(name));
        let Some((_, path)) = files.iter().find(|(name, _)| is_wanted(name)) else {
            if options.contrasts.len() > 1 {
                report
                    .warnings
                    .push(format!("{}: no {stem}", folder.display()));
            }
            continue;
        };
        match read_slices(path, options, &mut report.warnings) {
            Ok(of_scan) => slices.extend(of_scan),
            Err(error) => report.bad_files.push(BadFile {
                path: path.clone(),
                reason: error.to_string(),
            }),
        }
    }
    slices
}

fn read_slices(
    path: &Path,
    options: &LoadOptions,
    warnings: &mut Vec<String>,
) -> Result<Vec<Slice>, ScanError> {
    let scan = read_nifti(path)?;
    let slices = axial_slices(&scan.volume, options.slices)?;
    if !scan.orientation_stated {
        warnings.push(format!(
            "{}: does not state its orientation, taken as right, front, head",
            path.display()
        ));
    }
    Ok(slices)
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
