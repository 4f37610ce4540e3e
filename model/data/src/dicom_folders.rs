//! Folders of DICOM series beside a clinical table.
//!
//! ```text
//! ROOT/clinical.csv         or .tsv or .xlsx: ID, EDSS, and the features
//! ROOT/K/..                 (or Patient-K) the files of patient K, one or several series, in folders or not
//! ```
//!
//! Which series is FLAIR, T1 or T2 is told by its SeriesDescription, else its ProtocolName or SequenceName, or by a column
//! "FLAIR series", "T1 series", "T2 series" of the table, which holds such a name or the SeriesInstanceUID.

use std::{collections::BTreeMap, path::Path};

use super::{
    BadFile, Contrast, DataError, Inventory, LoadOptions, ScanFiles, ScanSource,
    clinical_table::{Wanted, table_beside},
    dicom::{Series, holds_dicom},
    folder::{patient_id, root_entries},
};

const SERIES_COLUMNS: [&str; 3] = ["flairseries", "t1series", "t2series"];

/// Who is in such a folder, and which series there are. The header of every file is read.
///
/// # Errors
/// No folder, no table, a table that cannot be read or lacks a column that is needed.
pub(super) fn inventory(root: &Path, options: &LoadOptions) -> Result<Inventory, DataError> {
    let found = root_entries(root)?;
    let wanted = Wanted {
        features: &options.features,
        extra: &SERIES_COLUMNS,
        repeats: false,
        scores: options.scores,
    };
    let mut folders: BTreeMap<_, _> = found
        .iter()
        .filter(|(_, path)| path.is_dir())
        .map(|(name, path)| (patient_id(name).unwrap_or(name), path))
        .collect();
    let holding = folders.iter().filter(|(_, folder)| holds_dicom(folder));
    let ids = holding.map(|(id, _)| *id);
    let mut table = table_beside(root, &found, ids, wanted)?;
    let (mut inventory, rows) = Inventory::of(&mut table);
    for id in &table.refused {
        folders.remove(id.as_str());
    }
    for row in rows {
        let Some(folder) = folders.remove(row.id.as_str()) else {
            inventory.add(row, vec![]);
            continue;
        };
        let report = &mut inventory.report;
        let series = match Series::in_folder(folder) {
            Ok(series) => series,
            Err(bad) => {
                report.bad_files.push(bad);
                continue;
            }
        };
        let no_series = series.is_empty() && series.bad_files.is_empty();
        let mut missing = vec![];
        let mut scans = vec![];
        for &contrast in &options.contrasts {
            let named = row.extra.get(contrast as usize).map_or("", String::as_str);
            match series.of_contrast(contrast, named, folder, &mut report.warnings) {
                Ok(files) => scans.push(ScanSource {
                    contrast,
                    files: ScanFiles::Dicom(files),
                }),
                Err(reason) => missing.push(reason),
            }
        }
        report.bad_files.extend(series.bad_files);
        report.warnings.extend(series.warnings);
        if scans.is_empty() && !no_series {
            report
                .bad_files
                .extend(missing.into_iter().map(|reason| BadFile {
                    path: folder.clone(),
                    reason,
                }));
            continue;
        }
        if !scans.is_empty() {
            let lines = missing
                .iter()
                .map(|reason| format!("{}: {reason}", folder.display()));
            report.warnings.extend(lines);
        }
        inventory.add(row, scans);
    }
    let without_row = folders.into_values().filter(|folder| holds_dicom(folder));
    inventory.report.images_without_row = without_row.cloned().collect();
    Ok(inventory)
}

/// [`SERIES_COLUMNS`] are in the order of the contrasts.
const _: () = assert!(Contrast::Flair as usize == 0 && Contrast::T2 as usize == 2);
