//! A plain list of patients and images: `manifest.csv`.
//!
//! ```text
//! patient,edss,sex,age,image,contrast
//! A17,2.5,F,34,scans/a17.nii.gz,FLAIR
//! B02,4,M,51,scans/b02/flair,          a folder: the DICOM series in it
//! ```
//!
//! `patient` (or `id`) and `edss` are needed, and either `image` (with `contrast`, which is FLAIR where it is not told; a
//! patient may have a row for each contrast) or columns `flair`, `t1`, `t2` of images. Relative paths start at the
//! manifest's folder. Images that no row names are not looked for.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    Absent, BadFile, BadRow, Contrast, DataError, Inventory, LoadOptions, LoadReport, ScanFiles,
    ScanSource, Scores,
    clinical_table::{ClinicalRow, ClinicalTable},
    dicom::{NoSeries, Series, is_dicom},
    folder::is_nifti,
    table_header::{Repeats, Wanted},
};

/// The name under which a manifest is found in a folder.
pub(super) const FILE: &str = "manifest.csv";

const EXTRA: [&str; 8] = [
    "image",
    "imagepath",
    "path",
    "file",
    "contrast",
    "flair",
    "t1",
    "t2",
];
const IMAGE: std::ops::Range<usize> = 0..4;
const CONTRAST: usize = 4;
const OF_CONTRAST: [(usize, Contrast); 3] =
    [(5, Contrast::Flair), (6, Contrast::T1), (7, Contrast::T2)];

/// Who is in a manifest, and which images it names.
///
/// # Errors
/// A manifest that cannot be read or lacks a column that is needed.
pub(super) fn inventory(path: &Path, options: &LoadOptions) -> Result<Inventory, DataError> {
    let wanted = Wanted {
        features: &options.features,
        extra: &EXTRA,
        repeats: Repeats::Often,
        scores: options.scores,
    };
    let mut table = ClinicalTable::read(path, wanted)?;
    if !(0..EXTRA.len()).any(|place| place != CONTRAST && table.has_extra[place]) {
        return Err(DataError::NoColumn {
            path: path.to_owned(),
            column: "image".to_owned(),
            found: table.header,
        });
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let (mut inventory, rows) = Inventory::of(&mut table);
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut patients: Vec<(ClinicalRow, Vec<(Contrast, PathBuf)>)> = vec![];
    for row in rows {
        let bad_row = |reason| BadRow {
            row: row.row,
            reason,
        };
        let images = match images(&row, folder) {
            Ok(images) => images,
            Err(reason) => {
                inventory.report.bad_rows.push(bad_row(reason));
                continue;
            }
        };
        let Some(&place) = places.get(&row.id) else {
            places.insert(row.id.clone(), patients.len());
            patients.push((row, images));
            continue;
        };
        let (first, of_patient) = &mut patients[place];
        let taken = |contrast| of_patient.iter().any(|(other, _)| *other == contrast);
        if options.scores == Scores::Needed && first.edss != row.edss {
            let reason = "its EDSS differs from that of the patient's first row";
            inventory.report.bad_rows.push(bad_row(reason));
        } else if images.is_empty() || images.iter().any(|(contrast, _)| taken(*contrast)) {
            let reason = "its ID occurred before, with an image of this contrast";
            inventory.report.bad_rows.push(bad_row(reason));
        } else {
            of_patient.extend(images);
            for (feature, other) in first.features.iter_mut().zip(row.features) {
                *feature = feature.or(other);
            }
        }
    }
    for (row, images) in patients {
        let scans = scans_of(&images, options, &mut inventory.report);
        match scans {
            Some(scans) => inventory.add(row, scans),
            None => continue,
        }
    }
    Ok(inventory)
}

/// What a row names.
fn images(row: &ClinicalRow, folder: &Path) -> Result<Vec<(Contrast, PathBuf)>, &'static str> {
    let cell = |place: usize| Some(row.extra[place].as_str()).filter(|cell| !cell.is_empty());
    let mut images: Vec<(Contrast, PathBuf)> = OF_CONTRAST
        .into_iter()
        .filter_map(|(place, contrast)| Some((contrast, folder.join(cell(place)?))))
        .collect();
    if let Some(image) = IMAGE.clone().find_map(cell) {
        let contrast = match cell(CONTRAST) {
            None => Contrast::Flair,
            Some(name) => {
                Contrast::of_description(name).ok_or("its contrast is not FLAIR, T1 or T2")?
            }
        };
        if images.iter().any(|(other, _)| *other == contrast) {
            return Err("it names two images of one contrast");
        }
        images.push((contrast, folder.join(image)));
    }
    Ok(images)
}

/// The scans asked for; `None` when images are named and none can be used, which the report then says.
fn scans_of(
    images: &[(Contrast, PathBuf)],
    options: &LoadOptions,
    report: &mut LoadReport,
) -> Option<Vec<ScanSource>> {
    let mut scans = vec![];
    let bad_before = report.bad_files.len();
    for &contrast in &options.contrasts {
        let Some((_, path)) = images.iter().find(|(other, _)| *other == contrast) else {
            continue;
        };
        match scan_files(contrast, path, report) {
            Ok(files) => scans.push(ScanSource { contrast, files }),
            Err(reason) => report.bad_files.push(BadFile {
                path: path.clone(),
                reason,
            }),
        }
    }
    let all_bad = scans.is_empty() && report.bad_files.len() > bad_before;
    (!all_bad).then_some(scans)
}

/// A NIfTI file, a DICOM file, or a folder of DICOM files.
fn scan_files(
    contrast: Contrast,
    path: &Path,
    report: &mut LoadReport,
) -> Result<ScanFiles, String> {
    if path.is_dir() {
        let series = Series::in_folder(path).map_err(|bad| bad.reason)?;
        report.bad_files.extend(series.bad_files.iter().cloned());
        report.doubts.extend(series.doubts.iter().cloned());
        report.warnings.extend(series.warnings.iter().cloned());
        // A folder of one series needs no name that says its contrast: the manifest does.
        let files = match series.only() {
            Some(files) => files?,
            None => {
                { series.of_contrast(contrast, "", path, report) }.map_err(|none| match none {
                    NoSeries::Absent(reason) | NoSeries::Refused(reason) => reason,
                })?
            }
        };
        return Ok(ScanFiles::Dicom(files));
    }
    if let Some(absent) = Absent::of(path) {
        return Err(absent.to_string());
    }
    if !path.exists() {
        return Err("there is no such file".to_owned());
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(if !is_nifti(&name) && is_dicom(path) {
        ScanFiles::Dicom(vec![path.to_owned()])
    } else {
        ScanFiles::Nifti(path.to_owned())
    })
}
