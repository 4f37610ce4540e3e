//! What a data folder holds, before any image is read.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
};

use protocol::training_job::{FilePath, ReadingAccount, ScanPaths};

use super::{
    BadFile, Contrast, DataError, Edss, LoadReport, Scan, ScanError,
    clinical_table::{ClinicalRow, ClinicalTable},
    dicom::series_extent,
    folder::composed,
    read_dicom, read_nifti,
    scan::{Extent, nifti_extent},
};

/// Who is in a data folder and which scans there are: what a layout finds.
///
/// Nothing of the images has been read.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// Patients with a usable row and at least one scan, in the order of the table.
    pub entries: Vec<Entry>,
    /// What was found and left out so far.
    pub report: LoadReport,
}

impl Inventory {
    /// Nobody yet, and the account of the table; its rows are left for [`Inventory::add`].
    pub(super) fn of(table: &mut ClinicalTable) -> (Self, Vec<ClinicalRow>) {
        let rows = std::mem::take(&mut table.rows);
        let inventory = Self {
            entries: vec![],
            report: LoadReport {
                rows: rows.len() + table.bad_rows.len(),
                bad_rows: std::mem::take(&mut table.bad_rows),
                table: table.source.take(),
                doubts: std::mem::take(&mut table.doubts),
                warnings: std::mem::take(&mut table.warnings),
                ..LoadReport::default()
            },
        };
        (inventory, rows)
    }

    /// Each row of the table with the folder of its patient, for layouts with a folder a patient and a file a scan.
    ///
    /// `folders` go by the names of their patients, which `name` makes of an ID of the table. Rows without a folder, and folders
    /// without a row, are counted in the report.
    pub(super) fn of_folders(
        mut table: ClinicalTable,
        mut folders: BTreeMap<&str, &PathBuf>,
        name: fn(&str) -> &str,
        mut scans_of: impl FnMut(&Path, &str, &mut Vec<String>) -> io::Result<Vec<ScanSource>>,
    ) -> Self {
        let (mut inventory, rows) = Self::of(&mut table);
        for id in &table.refused {
            folders.remove(name(&composed(id)));
        }
        for row in rows {
            let id = composed(&row.id);
            let Some(folder) = folders.remove(name(&id)) else {
                inventory.add(row, vec![]);
                continue;
            };
            match scans_of(folder, &id, &mut inventory.report.warnings) {
                Ok(scans) => inventory.add(row, scans),
                Err(error) => inventory.report.bad_files.push(BadFile {
                    path: folder.clone(),
                    reason: error.to_string(),
                }),
            }
        }
        inventory.report.images_without_row = folders.into_values().cloned().collect();
        inventory
    }

    /// The patients of whom there are slices, once every scan has been read, and the whole account.
    ///
    /// `account` is of the scans of `entries`, in their order; `root` is the folder, for errors.
    ///
    /// # Errors
    /// An account of another number of patients, or of more slices than a machine could hold; nobody is left; with `strict`, whatever was left out first.
    pub fn complete(
        self,
        account: ReadingAccount,
        root: &Path,
        strict: bool,
    ) -> Result<(Vec<ReadEntry>, LoadReport), DataError> {
        let Self {
            entries,
            mut report,
        } = self;
        if account.slices.len() != entries.len() {
            return Err(DataError::OtherPatients {
                listed: entries.len(),
                read: account.slices.len(),
            });
        }
        // The account may come from another program: what is made of it takes memory.
        let slices = account.slices.iter().map(|&slices| u64::from(slices));
        let claimed: u64 = slices.sum();
        if claimed > MAX_SLICES {
            return Err(DataError::TooManySlices { claimed });
        }
        let bad_files = account.unreadable.0.into_iter().map(|scan| BadFile {
            path: scan.path.0,
            reason: scan.reason.0,
        });
        report.bad_files.extend(bad_files);
        report.cached = account.cached as usize;
        report.damaged_cache_entries = account.damaged_cache_entries as usize;
        let warnings = account.warnings.0.into_iter();
        report.warnings.extend(warnings.map(|warning| warning.0));
        let counted = entries.into_iter().zip(account.slices.iter());
        let patients: Vec<ReadEntry> = counted
            .filter(|(_, slices)| **slices > 0)
            .map(|(entry, &slices)| ReadEntry {
                entry,
                slices: slices as usize,
            })
            .collect();
        let features = patients.first().map_or(0, |one| one.entry.features.len());
        let missing = |place: usize| {
            let missing = patients
                .iter()
                .filter(|one| one.entry.features[place].is_none());
            missing.count()
        };
        report.missing_features = (0..features).map(missing).collect();
        if strict && let Some(omission) = report.first_omission() {
            return Err(DataError::Strict { omission });
        }
        if patients.is_empty() {
            return Err(DataError::NoPatients {
                path: root.to_owned(),
                first_omission: report.first_omission(),
            });
        }
        Ok((patients, report))
    }

    /// A patient with these scans; one without any is counted as such.
    pub(super) fn add(&mut self, row: ClinicalRow, scans: Vec<ScanSource>) {
        if scans.is_empty() {
            self.report.rows_without_images.push(row.id);
            return;
        }
        self.entries.push(Entry {
            id: row.id,
            edss: row.edss,
            features: row.features,
            scans,
        });
    }
}

/// Slices of a hospital, 64 KiB each: 256 GiB of them.
pub(super) const MAX_SLICES: u64 = 1 << 22;

/// A patient whose scans are still files.
#[derive(Clone, PartialEq)]
pub struct Entry {
    /// Name within the cohort.
    pub id: String,
    /// Disability score; none only where [`Scores::Optional`](super::Scores::Optional).
    pub edss: Option<Edss>,
    /// Raw values in the order of [`super::LoadOptions::features`]; `None` where the row has none.
    pub features: Vec<Option<f64>>,
    /// One of each contrast asked for that is there, in the order asked for; at least one.
    pub scans: Vec<ScanSource>,
}

impl Entry {
    /// The score of a patient who needs one.
    ///
    /// # Errors
    /// [`DataError::NoScore`].
    pub fn score(&self) -> Result<Edss, DataError> {
        let missing = || DataError::NoScore {
            id: self.id.clone(),
        };
        self.edss.ok_or_else(missing)
    }
}

/// Name and scans only: the rest is clinical.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("id", &self.id)
            .field("scans", &self.scans)
            .finish_non_exhaustive()
    }
}

/// A patient whose scans have been read: how many slices there are is known, where they are is not said.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadEntry {
    /// What the table and the layout say.
    pub entry: Entry,
    /// Slices of all its scans, at least one.
    pub slices: usize,
}

/// One scan of a patient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanSource {
    /// What kind of image it is.
    pub contrast: Contrast,
    /// Where its bytes are.
    pub files: ScanFiles,
}

/// The files that together are one scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScanFiles {
    /// One NIfTI-1 file, plain or gzipped.
    Nifti(PathBuf),
    /// The files of one DICOM series, one or more; their order has no meaning.
    Dicom(Vec<PathBuf>),
}

impl ScanFiles {
    /// Reads the scan.
    ///
    /// # Errors
    /// Whatever keeps the files from being a volume.
    pub fn read(&self) -> Result<Scan, ScanError> {
        match self {
            Self::Nifti(path) => read_nifti(path),
            Self::Dicom(paths) => read_dicom(paths),
        }
    }

    /// How large the scan is, from headers alone.
    pub(super) fn extent(&self) -> Result<Extent, ScanError> {
        match self {
            Self::Nifti(path) => nifti_extent(path),
            Self::Dicom(paths) => series_extent(paths),
        }
    }

    /// Every file, for what concerns their bytes.
    pub fn paths(&self) -> &[PathBuf] {
        match self {
            Self::Nifti(path) => std::slice::from_ref(path),
            Self::Dicom(paths) => paths,
        }
    }

    /// What names the scan to people: its file, or the folder of its series.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::Nifti(path) => path.clone(),
            Self::Dicom(paths) => {
                let folder = paths.first().and_then(|first| first.parent());
                folder.map(PathBuf::from).unwrap_or_default()
            }
        }
    }
}

/// As a trainer is told of it.
impl From<&ScanFiles> for ScanPaths {
    fn from(files: &ScanFiles) -> Self {
        match files {
            ScanFiles::Nifti(path) => Self::Nifti(FilePath(path.clone())),
            ScanFiles::Dicom(paths) => Self::Dicom(paths.iter().cloned().map(FilePath).collect()),
        }
    }
}

impl From<&ScanPaths> for ScanFiles {
    fn from(paths: &ScanPaths) -> Self {
        match paths {
            ScanPaths::Nifti(FilePath(path)) => Self::Nifti(path.clone()),
            ScanPaths::Dicom(paths) => {
                Self::Dicom(paths.iter().map(|path| path.0.clone()).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(slices: &[u32]) -> Result<usize, DataError> {
        let entry = |id: usize| Entry {
            id: id.to_string(),
            edss: Edss::new(1.0),
            features: vec![None; 9],
            scans: vec![],
        };
        let inventory = Inventory {
            entries: (0..slices.len()).map(entry).collect(),
            report: LoadReport::default(),
        };
        let account = ReadingAccount {
            slices: slices.iter().copied().collect(),
            ..ReadingAccount::default()
        };
        let (patients, _) = inventory.complete(account, Path::new("/data"), false)?;
        Ok(patients.len())
    }

    #[test]
    fn more_slices_than_a_machine_could_hold_are_not_believed() {
        let most = u32::try_from(MAX_SLICES).expect("a plain limit");
        assert!(matches!(complete(&[most - 1, 1]), Ok(2)));
        for counts in [[u32::MAX, u32::MAX], [most, 1]] {
            let error = complete(&counts).expect_err("refused");
            assert!(matches!(error, DataError::TooManySlices { .. }), "{error}");
            assert!(error.to_string().contains("slices_per_patient"), "{error}");
        }
    }
}
