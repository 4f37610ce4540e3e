//! Scans that a kept model is applied to: one file, one patient's folder of DICOM files, or a data folder of any layout. Scores are not
//! needed, and the clinical table may be missing, or lie elsewhere.

use std::{collections::BTreeMap, ffi::OsStr, fs, path::Path};

use super::{
    Contrast, DataError, Doubt, Entry, Inventory, Layout, LoadOptions, ScanFiles, ScanSource,
    Scores, bids,
    clinical_table::ClinicalTable,
    dicom::{Series, is_dicom},
    dicom_folders::scans_of,
    folder::{composed, find_table, is_nifti, is_table, patient_id, root_entries},
    table_header::{Repeats, Wanted},
};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct ToPredict<'a> {
    /// The file or the folder.
    pub path: &'a Path,
    /// A clinical table, in the place of one in the folder.
    pub clinical: Option<&'a Path>,
    /// The name of the patient, where `path` holds the scans of one alone; else it is the name of the file or the folder.
    pub patient: Option<&'a str>,
}

impl ToPredict<'_> {
    /// Who is there, and which scans there are. `options.scores` is of no matter.
    ///
    /// # Errors
    /// Nothing that can be recognised; a table that cannot be read.
    pub fn inventory(self, options: &LoadOptions) -> Result<Inventory, DataError> {
        let options = LoadOptions {
            scores: Scores::Optional,
            ..options.clone()
        };
        let mut inventory = match self.of_one_patient(&options)? {
            Some(inventory) => inventory,
            None => Layout::to_predict(self.path)?.inventory(self.path, &options)?,
        };
        if let Some(table) = self.clinical {
            add_features(&mut inventory, table, &options)?;
        }
        Ok(inventory)
    }

    /// None of a folder of several patients.
    fn of_one_patient(self, options: &LoadOptions) -> Result<Option<Inventory>, DataError> {
        let mut inventory = Inventory::default();
        let scans = if self.path.is_file() {
            let name = name_of(self.path);
            if is_table(&name) {
                return Ok(None);
            }
            let files = match is_nifti(&name) {
                false if is_dicom(self.path) => ScanFiles::Dicom(vec![self.path.to_owned()]),
                _ => ScanFiles::Nifti(self.path.to_owned()),
            };
            let named = contrast_named(&name);
            let asked = options.contrasts.first().copied();
            let contrast = named.or(asked).unwrap_or(Contrast::Flair);
            if named.is_none() {
                let kind = format!(
                    "its name does not say its contrast, and {} is assumed: put it into the name, such as scan_t2.nii.gz, or say --contrasts",
                    contrast.name()
                );
                let doubt = Doubt::new(self.path.display(), kind);
                inventory.report.doubts.push(doubt);
            }
            vec![ScanSource { contrast, files }]
        } else {
            match series_of_one_patient(self.path)? {
                Some(series) => {
                    let report = &mut inventory.report;
                    report.layout = Some(Layout::Dicom);
                    scans_of(&[], self.path, series, options, report).unwrap_or_default()
                }
                None => return Ok(None),
            }
        };
        let name = name_of(self.path);
        let stem = match self.path.is_file() {
            true => without_ending(&name),
            false => &name,
        };
        let id = self.patient.unwrap_or(stem).to_owned();
        if scans.is_empty() {
            inventory.report.rows_without_images.push(id);
        } else {
            inventory.entries.push(Entry {
                id,
                edss: None,
                features: vec![None; options.features.count()],
                scans,
            });
        }
        Ok(Some(inventory))
    }
}

fn name_of(path: &Path) -> String {
    // A link has the patient's name, and what it leads to perhaps another.
    let named = path.file_name().map(OsStr::to_owned);
    let whole = || {
        fs::canonicalize(path)
            .ok()?
            .file_name()
            .map(OsStr::to_owned)
    };
    let name = named.or_else(whole).unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn without_ending(name: &str) -> &str {
    let lower = name.to_ascii_lowercase();
    let ending = [".nii.gz", ".nii", ".dcm"]
        .into_iter()
        .find(|ending| lower.ends_with(ending));
    ending.map_or(name, |ending| &name[..name.len() - ending.len()])
}

/// By whole words: "patient1" is no T1.
fn contrast_named(name: &str) -> Option<Contrast> {
    let lower = without_ending(name).to_ascii_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric());
    let mut named = words.filter_map(|word| match word {
        "flair" => Some(Contrast::Flair),
        "t1" | "t1w" => Some(Contrast::T1),
        "t2" | "t2w" => Some(Contrast::T2),
        _ => None,
    });
    let first = named.next()?;
    named.all(|other| other == first).then_some(first)
}

/// The DICOM files of a folder without a table, where all are of one patient.
fn series_of_one_patient(folder: &Path) -> Result<Option<Series>, DataError> {
    let found = root_entries(folder)?;
    if found.contains_key(super::manifest::FILE) || find_table(folder, &found).is_ok() {
        return Ok(None);
    }
    let is_file = |path: &&std::path::PathBuf| path.is_file() && is_dicom(path);
    let beside = found.values().any(|path| is_file(&path));
    let Ok(series) = Series::in_folder(folder) else {
        // Of several patients: a folder each.
        return Ok(None);
    };
    // Folders whose files do not say whose they are may be those of several patients.
    Ok((beside || series.patient_id.is_some()).then_some(series))
}

/// The features of a table take the place of those that were found beside the scans.
fn add_features(
    inventory: &mut Inventory,
    table: &Path,
    options: &LoadOptions,
) -> Result<(), DataError> {
    let wanted = Wanted {
        features: &options.features,
        extra: &[],
        repeats: Repeats::Never,
        scores: Scores::Optional,
    };
    let ClinicalTable {
        rows,
        bad_rows,
        warnings,
        doubts,
        ..
    } = ClinicalTable::read(table, wanted)?;
    let report = &mut inventory.report;
    report.rows = rows.len() + bad_rows.len();
    report.bad_rows.extend(bad_rows);
    report.warnings.extend(warnings);
    report.doubts.extend(doubts);
    let mut by_id: BTreeMap<String, _> = BTreeMap::new();
    for row in rows {
        if by_id.insert(plain_id(&row.id), row.features).is_some() {
            report.warnings.push(format!(
                "{}: row {} is of a patient who has one before; the later one is taken",
                table.display(),
                row.row
            ));
        }
    }
    for entry in &mut inventory.entries {
        match by_id.remove(&plain_id(&entry.id)) {
            Some(features) => {
                entry.features = features;
                entry.edss = None;
            }
            None => {
                entry.features.fill(None);
                report.warnings.push(format!(
                "{} has no row for patient {:?}: its features are those of an average patient. Name the patient as the table does (--patient)",
                table.display(),
                entry.id
                ));
            }
        }
    }
    Ok(())
}

/// An ID without what folders of a layout put before it, in one spelling of Unicode.
fn plain_id(id: &str) -> String {
    let id = patient_id(id).unwrap_or(id);
    composed(bids::label("sub-", id).unwrap_or(id))
}
