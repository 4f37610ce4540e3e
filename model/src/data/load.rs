//! From a data folder to a cohort: the layout is recognised, its scans are read and cut into slices.

use std::path::Path;

use super::{
    BadFile, Cohort, DataError, Entry, Inventory, Layout, LoadOptions, LoadReport, Patient,
    ScanError, ScanSource, Slice, axial_slices,
};

/// How far the reading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadProgress {
    /// Scans read, or found to be unusable.
    pub done: usize,
    /// Scans in all.
    pub scans: usize,
}

/// Reads the cohort in a folder of any [`Layout`].
///
/// Bad files, bad rows, rows without images and images without a row are left out and counted in
/// the report, unless `options.strict`. `progress` is called before the first scan and after each.
///
/// # Errors
/// No folder, no layout known here, no table, a table that cannot be read or has no ID or EDSS
/// column, nobody left; in strict mode, whatever is left out first.
pub fn load_cohort(
    root: &Path,
    options: &LoadOptions,
    progress: impl Fn(LoadProgress) + Sync,
) -> Result<Cohort, DataError> {
    let inventory = Layout::recognise(root)?.inventory(root, options)?;
    let Cohort { patients, report } = read_scans(inventory, options, progress);
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

fn read_scans(
    inventory: Inventory,
    options: &LoadOptions,
    progress: impl Fn(LoadProgress) + Sync,
) -> Cohort {
    let Inventory {
        entries,
        mut report,
    } = inventory;
    let scans = entries.iter().map(|entry| entry.scans.len()).sum();
    let mut done = 0;
    progress(LoadProgress { done, scans });
    let mut patients = vec![];
    for entry in entries {
        let Entry {
            id,
            edss,
            features,
            scans: sources,
        } = entry;
        let mut slices = vec![];
        for source in &sources {
            match read_slices(source, options, &mut report) {
                Ok(of_scan) => slices.extend(of_scan),
                Err(error) => report.bad_files.push(BadFile {
                    path: source.files.path(),
                    reason: error.to_string(),
                }),
            }
            done += 1;
            progress(LoadProgress { done, scans });
        }
        if slices.is_empty() {
            continue;
        }
        for (missing, feature) in report.missing_features.iter_mut().zip(&features) {
            *missing += usize::from(feature.is_none());
        }
        patients.push(Patient {
            id,
            edss,
            features,
            slices,
        });
    }
    Cohort { patients, report }
}

fn read_slices(
    source: &ScanSource,
    options: &LoadOptions,
    report: &mut LoadReport,
) -> Result<Vec<Slice>, ScanError> {
    let scan = source.files.read()?;
    let slices = axial_slices(&scan.volume, options.slices)?;
    if !scan.placement.stated {
        report.warnings.push(format!(
            "{}: does not state its orientation, taken as right, front, head",
            source.files.path().display()
        ));
    }
    Ok(slices)
}
