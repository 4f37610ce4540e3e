//! Patients with what was left out on the way, and why.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use protocol::counted::counted;

use super::{
    Contrast, Feature, FeatureSchema, Layout, Patient, ReadOptions, ScanSource, SliceChoice,
    near_ids,
};

/// Patients read from a folder, and the account of the reading.
#[derive(Clone, Debug)]
pub struct Cohort {
    /// Patients with a row and at least one slice, in the order of the table. At least one.
    pub patients: Vec<Patient>,
    /// Where the scans of each patient are, in the same order.
    pub scans: Vec<Vec<ScanSource>>,
    /// What was found, and what was left out.
    pub report: LoadReport,
}

/// What a loader is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadOptions {
    /// Which scans of a patient; their slices follow one another.
    pub contrasts: Vec<Contrast>,
    /// Which slices of a scan.
    pub slices: SliceChoice,
    /// What is read of each patient's row.
    pub features: FeatureSchema,
    /// Whether every patient needs a score.
    pub scores: Scores,
    /// Whether anything left out is an error.
    pub strict: bool,
    /// Most memory for scans on their way and for the slices that stay.
    pub memory_limit_mib: u64,
    /// Where prepared slices are kept for the next time, if anywhere.
    pub cache: Option<CacheChoice>,
}

impl LoadOptions {
    /// The part that concerns the images.
    pub fn reading(&self) -> ReadOptions {
        ReadOptions {
            slices: self.slices,
            memory_limit_mib: self.memory_limit_mib,
            cache: self.cache.clone(),
        }
    }

    /// Enough for 60,000 slices beside the largest scan.
    pub const MEMORY_LIMIT_MIB: u64 = 4096;
}

/// Whether patients are read with their disability scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scores {
    /// A patient without one is left out: there is nothing to train on, or to compare with.
    #[default]
    Needed,
    /// For a model that is applied: scores are not looked for, and there may be no table.
    Optional,
}

/// A folder for prepared slices: images of patients, in files for their owner alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheChoice {
    /// The folder; made unless it is there.
    pub folder: PathBuf,
    /// Whether a reading removes from it what is not in the data folder any more, so that images
    /// do not outlive their files. Not for a folder that several data sets share.
    pub forget_others: bool,
}

/// FLAIR, every slice that shows tissue, lenient, no cache.
impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            contrasts: vec![Contrast::Flair],
            slices: SliceChoice::All { drop_empty: true },
            features: FeatureSchema::study(),
            scores: Scores::Needed,
            strict: false,
            memory_limit_mib: Self::MEMORY_LIMIT_MIB,
            cache: None,
        }
    }
}

/// Counts and names of what a loader met. Holds no clinical value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// How the folder is laid out.
    pub layout: Option<Layout>,
    /// Which table was read, and which of its columns.
    pub table: Option<TableSource>,
    /// For each contrast the DICOM series that were taken for it, by their names, and how often.
    pub series: BTreeMap<Contrast, BTreeMap<String, usize>>,
    /// Names of the features, where they are not the study's.
    pub feature_names: Option<Vec<String>>,
    /// Rows of the table that are not empty.
    pub rows: usize,
    /// Rows that name a patient of whom there is no image: their IDs.
    pub rows_without_images: Vec<String>,
    /// Image folders that no row of the table names.
    pub images_without_row: Vec<PathBuf>,
    /// Image files that could not be used.
    pub bad_files: Vec<BadFile>,
    /// Rows that could not be used.
    pub bad_rows: Vec<BadRow>,
    /// How often each feature is missing among the patients kept.
    pub missing_features: Vec<usize>,
    /// Scans whose slices came from the cache.
    pub cached: usize,
    /// Entries of the cache that were damaged and have been made again.
    pub damaged_cache_entries: usize,
    /// What was guessed or not understood: nothing is left out, but a person should look.
    pub doubts: Vec<Doubt>,
    /// Oddities that left nothing out.
    pub warnings: Vec<String>,
    /// Dates of examinations, where somebody has to choose: of patients, for whoever asked for a report, and for no log.
    pub dates: Vec<String>,
}

impl LoadReport {
    /// How much of each kind was left out or is in doubt, in words that name no patient, no file and no date: for what is made to be shared.
    pub fn counts(&self) -> Vec<String> {
        let kinds = [
            (
                self.rows_without_images.len(),
                "rows of the table without images, left out",
            ),
            (
                self.images_without_row.len(),
                "folders of images without a row, left out",
            ),
            (
                self.bad_files.len(),
                "image files that cannot be used, left out",
            ),
            (self.bad_rows.len(), "rows that cannot be used, left out"),
            (
                self.doubts.len(),
                "cases in doubt, which were settled by a guess",
            ),
            (self.warnings.len(), "notes"),
        ];
        let missing = self
            .missing_features
            .iter()
            .enumerate()
            .map(|(place, count)| {
                let name = self.feature_name(place);
                (
                    *count,
                    format!("patients without a value of {name}, filled by the mean"),
                )
            });
        let kinds = kinds.map(|(count, what)| (count, what.to_owned()));
        let met = kinds
            .into_iter()
            .chain(missing)
            .filter(|(count, _)| *count > 0);
        met.map(|(count, what)| format!("{what}: {count}"))
            .collect()
    }

    /// Whether nothing was left out.
    pub fn is_clean(&self) -> bool {
        self.first_omission().is_none()
    }

    /// Patients without images and folders without a row that are probably meant to be one: an ID of the table, and a folder.
    pub fn near_misses(&self) -> Vec<(&str, &Path)> {
        let ids = self.rows_without_images.iter().map(String::as_str);
        let names = self.images_without_row.iter().map(|folder| {
            let name = folder.file_name().and_then(|name| name.to_str());
            name.unwrap_or_default()
        });
        let pairs = near_ids::pairs(ids, names).into_iter();
        pairs
            .map(|(id, folder)| {
                let id = self.rows_without_images[id].as_str();
                (id, self.images_without_row[folder].as_path())
            })
            .collect()
    }

    /// Name for people of the feature in this place of a patient's vector.
    ///
    /// # Panics
    /// If there is no such place.
    pub fn feature_name(&self, place: usize) -> &str {
        match &self.feature_names {
            Some(names) => &names[place],
            None => Feature::ALL[place].name(),
        }
    }

    /// The first thing left out, in words.
    pub(super) fn first_omission(&self) -> Option<String> {
        let file = self.bad_files.first().map(BadFile::to_string);
        let row = || self.bad_rows.first().map(BadRow::to_string);
        let without_images = || {
            let id = self.rows_without_images.first()?;
            Some(format!("patient {id} of the table has no image"))
        };
        let without_row = || {
            let folder = self.images_without_row.first()?;
            Some(format!("{} has no row in the table", folder.display()))
        };
        file.or_else(row)
            .or_else(without_images)
            .or_else(without_row)
    }
}

/// A line for each kind of omission, for people.
impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = counted(self.rows, ["row", "rows"]);
        write!(f, "{rows} in the table")?;
        let near = self.near_misses();
        for (id, folder) in &near {
            let folder = folder.display();
            write!(
                f,
                "\npatient {id} of the table has no images, and {folder} no row, left out: did you mean the same?"
            )?;
        }
        let is_near = |id: &str| near.iter().any(|(other, _)| *other == id);
        let ids = self.rows_without_images.iter().map(String::as_str);
        let ids: Vec<&str> = ids.filter(|id| !is_near(id)).collect();
        match ids.as_slice() {
            [] => {}
            _ => {
                let (rows, ids) = (counted(ids.len(), ["row", "rows"]), ids.join(", "));
                write!(f, "\n{rows} without images, left out: {ids}")?;
            }
        }
        for folder in &self.images_without_row {
            if !near.iter().any(|(_, other)| other == folder) {
                write!(f, "\n{}: no row in the table, left out", folder.display())?;
            }
        }
        for file in &self.bad_files {
            write!(f, "\n{file}, left out")?;
        }
        for row in &self.bad_rows {
            write!(f, "\n{row}, left out")?;
        }
        for (place, count) in self.missing_features.iter().enumerate() {
            let name = self.feature_name(place);
            if *count > 0 {
                let patients = counted(*count, ["patient", "patients"]);
                write!(f, "\n{name} missing for {patients}, imputed by the mean")?;
            }
        }
        if self.damaged_cache_entries > 0 {
            let count = self.damaged_cache_entries;
            write!(f, "\n{count} damaged entries of the cache made again")?;
        }
        for doubt in &self.doubts {
            write!(f, "\n{doubt}")?;
        }
        for warning in &self.warnings {
            write!(f, "\n{warning}")?;
        }
        Ok(())
    }
}

/// What was read of a clinical table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSource {
    /// The file.
    pub path: PathBuf,
    /// Of a workbook.
    pub sheet: Option<String>,
    /// What each column was taken for, and its title: ("EDSS", "EDSS score").
    pub columns: Vec<(String, String)>,
}

/// Something that was guessed or not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Of what: a patient, a row, a file, in words.
    pub about: String,
    /// What is in doubt, what was done, and how to settle it: the same text for all doubts of a kind.
    pub kind: String,
}

impl Doubt {
    pub(super) fn new(about: impl fmt::Display, kind: impl Into<String>) -> Self {
        Self {
            about: about.to_string(),
            kind: kind.into(),
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.about, self.kind)
    }
}

/// An image file that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadFile {
    /// Which file.
    pub path: PathBuf,
    /// Why, in words.
    pub reason: String,
}

impl fmt::Display for BadFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

/// A row of the table that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// Row of the sheet, from 1.
    pub row: usize,
    /// Why, in words.
    pub reason: &'static str,
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {} of the table: {}", self.row, self.reason)
    }
}

/// Why a folder gives no cohort.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// No such folder, or not readable.
    #[error("cannot read the data folder {}: {reason}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// Nothing of what is looked for.
    #[error(
        "no data in {} that can be recognised. Looked for: a list manifest.csv of patients and images; \
         participants.tsv beside BIDS folders sub-1, sub-2, ..; a table (clinical.csv, .tsv or .xlsx) beside \
         folders Patient-1, Patient-2, .. of NIfTI files, as in MS60, or beside a folder of DICOM files for each \
         patient",
        path.display()
    )]
    NoLayout {
        /// The folder.
        path: PathBuf,
    },
    /// It cannot be told which images are meant.
    #[error(
        "{} could be {first} or {second}: name a folder with only one, or write a manifest.csv that says what \
         is to be read",
        path.display()
    )]
    SeveralLayouts {
        /// The folder.
        path: PathBuf,
        /// One.
        first: Layout,
        /// The other.
        second: Layout,
    },
    /// No clinical table in the folder.
    #[error(
        "no clinical table in {}: put 'clinical.csv' or 'Supplementary Table 1 for patient info .xlsx' \
         there, beside the folders of the patients",
        path.display()
    )]
    NoTable {
        /// The folder.
        path: PathBuf,
    },
    /// Several tables and none with the name of the data set.
    #[error(
        "{count} tables in {} and none named 'clinical' or '.. patient info ..': leave one, or name it so",
        path.display()
    )]
    SeveralTables {
        /// The folder.
        path: PathBuf,
        /// How many.
        count: usize,
    },
    /// The table is not a readable workbook.
    #[error("cannot read the clinical table {}: {reason}", path.display())]
    Table {
        /// The table.
        path: PathBuf,
        /// Why, in words.
        reason: String,
    },
    /// A column that training cannot do without is not there.
    #[error(
        "no column named {column} in {}; its columns are: {}. Name the column of the patients' \
         {column} '{column}' in the header row",
        path.display(),
        found.join(", ")
    )]
    NoColumn {
        /// The table.
        path: PathBuf,
        /// The column.
        column: String,
        /// The columns there are.
        found: Vec<String>,
    },
    /// A patient without a score, where every one needs one.
    #[error("patient {id} has no EDSS")]
    NoScore {
        /// Name within the cohort.
        id: String,
    },
    /// Two columns for what can be but one, and they differ.
    #[error(
        "two columns of {} could be the {what} and differ: '{first}' and '{second}'. Rename the one that is not meant",
        path.display()
    )]
    TwoColumns {
        /// The table.
        path: PathBuf,
        /// What is looked for.
        what: &'static str,
        /// Name and place of one column.
        first: String,
        /// Name and place of the other.
        second: String,
    },
    /// Nobody is left.
    #[error(
        "no patient in {} has both a usable row and a usable image; {}",
        path.display(),
        first_omission.as_deref().unwrap_or("the table has no rows")
    )]
    NoPatients {
        /// The folder.
        path: PathBuf,
        /// The first thing left out, in words.
        first_omission: Option<String>,
    },
    /// Reading one scan would take more than the whole limit.
    #[error(
        "reading {} takes up to {needed_mib} MiB, more than the limit of {limit_mib} MiB: raise \
         `memory_limit_mib`, or take the file away",
        path.display()
    )]
    LargeScan {
        /// The scan.
        path: PathBuf,
        /// What it takes.
        needed_mib: u64,
        /// `memory_limit_mib`.
        limit_mib: u64,
    },
    /// The slices that are to stay do not fit.
    #[error(
        "the prepared slices of {} do not fit into the limit of {limit_mib} MiB beside \
         the largest scan: raise `memory_limit_mib`, or take fewer slices of each patient",
        counted(*scans, ["scan", "scans"])
    )]
    Memory {
        /// Scans in all.
        scans: usize,
        /// `memory_limit_mib`.
        limit_mib: u64,
    },
    /// What was read is not what was listed.
    #[error("scans of {} were read, where {listed} are listed",
        counted(*read, ["patient", "patients"])
    )]
    OtherPatients {
        /// Patients listed.
        listed: usize,
        /// Patients read.
        read: usize,
    },
    /// More slices than a machine could hold: what was read is not to be believed, or is too much for one hospital.
    #[error(
        "{claimed} slices are said to have been read, where at most {} can be used: if the data are that large, use fewer slices of \
         each scan (setting `training.slices_per_patient`)",
        crate::inventory::MAX_SLICES
    )]
    TooManySlices {
        /// Slices of all patients.
        claimed: u64,
    },
    /// Something was left out and `strict` forbids it.
    #[error("{omission} (strict: nothing may be left out)")]
    Strict {
        /// The first thing left out, in words.
        omission: String,
    },
}
