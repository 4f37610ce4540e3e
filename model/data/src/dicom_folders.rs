//! Folders of DICOM series beside a clinical table.
//!
//! ```text
//! ROOT/clinical.csv         or .tsv or .xlsx: ID, EDSS, and the features
//! ROOT/K/..                 (or Patient-K) the files of patient K, one or several series, in folders or not
//! ```
//!
//! Which series is FLAIR, T1 or T2 is told by its SeriesDescription, else its ProtocolName or SequenceName, or by a column
//! "FLAIR series", "T1 series", "T2 series" of the table, which holds such a name or the SeriesInstanceUID.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::{
    BadFile, Contrast, DataError, Doubt, Inventory, LoadOptions, LoadReport, ScanFiles, ScanSource,
    clinical_table::table_beside,
    dicom::{NoSeries, Series, holds_dicom},
    folder::{composed, patient_id, root_entries},
    table_header::{Repeats, Wanted},
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
        repeats: Repeats::Never,
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
        folders.remove(composed(id).as_str());
    }
    let ids: BTreeSet<String> = rows.iter().map(|row| row.id.clone()).collect();
    let mut linked = BTreeSet::new();
    for row in rows {
        let Some(folder) = folders.remove(composed(&row.id).as_str()) else {
            inventory.add(row, vec![]);
            continue;
        };
        let report = &mut inventory.report;
        let mut series = match Series::in_folder(folder) {
            Ok(series) => series,
            Err(bad) => {
                report.bad_files.push(bad);
                continue;
            }
        };
        linked.extend(std::mem::take(&mut series.linked));
        if let Some(owner) = &series.patient_id
            && *owner != row.id
            && ids.contains(owner)
        {
            let doubt = Doubt::new(folder.display(), OTHER_OWNER);
            report.doubts.push(doubt);
        }
        if let Some(scans) = scans_of(&row.extra, folder, series, options, report) {
            inventory.add(row, scans);
        }
    }
    let is_linked =
        |folder: &Path| fs::canonicalize(folder).is_ok_and(|place| linked.contains(&place));
    let without_row =
        { folders.into_values() }.filter(|folder| holds_dicom(folder) && !is_linked(folder));
    inventory.report.images_without_row = without_row.cloned().collect();
    Ok(inventory)
}

/// The series of every contrast asked for, in the order of [`Contrast`] by the names that a table gives them; `None` where there is something and nothing can be used, which the report then says.
pub(super) fn scans_of(
    names: &[String],
    folder: &Path,
    series: Series,
    options: &LoadOptions,
    report: &mut LoadReport,
) -> Option<Vec<ScanSource>> {
    let bad_file = |reason| BadFile {
        path: folder.to_owned(),
        reason,
    };
    let mut absent = vec![];
    let mut refused = false;
    let mut scans = vec![];
    let mut dates = BTreeSet::new();
    for &contrast in &options.contrasts {
        let named = names.get(contrast as usize).map_or("", String::as_str);
        match series.of_contrast(contrast, named, folder, report) {
            Ok(files) => {
                dates.extend(series.date_of(&files).map(str::to_owned));
                scans.push(ScanSource {
                    contrast,
                    files: ScanFiles::Dicom(files),
                });
            }
            Err(NoSeries::Refused(reason)) => {
                report.bad_files.push(bad_file(reason));
                refused = true;
            }
            Err(NoSeries::Absent(reason)) => absent.push(reason),
        }
    }
    if dates.len() > 1 {
        let doubt = Doubt::new(folder.display(), SEVERAL_DATES);
        report.doubts.push(doubt);
    }
    let (is_empty, unusable) = (series.is_empty(), !series.bad_files.is_empty());
    report.bad_files.extend(series.bad_files);
    report.doubts.extend(series.doubts);
    report.warnings.extend(series.warnings);
    match (scans.is_empty(), is_empty) {
        (false, _) => {
            let lines = absent
                .iter()
                .map(|reason| format!("{}: {reason}", folder.display()));
            report.warnings.extend(lines);
        }
        // That no file can be used has been told.
        (true, true) => return (!unusable).then_some(scans),
        (true, false) if refused => return None,
        (true, false) => {
            report.bad_files.extend(absent.into_iter().map(bad_file));
            return None;
        }
    }
    Some(scans)
}

/// The ID of one patient in the folder of another.
const OTHER_OWNER: &str = "PatientID in its files is the ID of another patient of the table: are folders swapped? Name the folder by \
                           the patient whose images it holds";

/// Contrasts of several examinations.
const SEVERAL_DATES: &str = "its contrasts were taken on different days, and the EDSS is of one: columns such as 'FLAIR series' of the table can name \
                             series that belong together";

/// [`SERIES_COLUMNS`] are in the order of the contrasts.
const _: () = assert!(Contrast::Flair as usize == 0 && Contrast::T2 as usize == 2);
