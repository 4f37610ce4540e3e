//! How a data folder is laid out, told by what is in it.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use super::{
    DataError, Inventory, LoadOptions, bids,
    dicom::holds_dicom,
    dicom_folders,
    folder::{entries, is_nifti, is_table, patient_id, root_entries},
    manifest, ms60,
};

/// A way to lay out images and clinical rows in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// A list of patients and images, `manifest.csv`.
    Manifest,
    /// A BIDS tree: `participants.tsv` beside folders `sub-K`.
    Bids,
    /// The MS60 data set's: a table beside folders `Patient-K` of NIfTI files.
    Ms60,
    /// A table beside folders of DICOM files, one for each patient.
    Dicom,
}

impl Layout {
    /// Name for people and for machines: `ms60`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Bids => "bids",
            Self::Ms60 => "ms60",
            Self::Dicom => "dicom",
        }
    }

    /// Finds out which layout a folder has; a file is taken for a manifest.
    ///
    /// `manifest.csv` wins over whatever else there is: somebody wrote it to say what is to be read. Of the others only one may
    /// fit.
    ///
    /// # Errors
    /// A folder that is not there, has no layout known here, or has two.
    pub fn recognise(root: &Path) -> Result<Self, DataError> {
        if root.is_file() {
            return Ok(Self::Manifest);
        }
        let found = root_entries(root)?;
        if found.contains_key(manifest::FILE) {
            return Ok(Self::Manifest);
        }
        let mut fitting = vec![];
        let participants = found.contains_key(bids::TABLE);
        if participants && any_folder(&found, |name, _| is_subject(name)) {
            fitting.push(Self::Bids);
        }
        let is_patient = |name: &str| patient_id(name).is_some();
        let of_patients = any_folder(&found, |name, _| is_patient(name));
        let nifti = any_folder(&found, |name, path| is_patient(name) && holds_nifti(path));
        let dicom = any_folder(&found, |name, path| !is_subject(name) && holds_dicom(path));
        if nifti || (of_patients && !dicom) {
            fitting.push(Self::Ms60);
        }
        let table = found
            .keys()
            .any(|name| is_table(name) && name != bids::TABLE);
        // Scans as they came from the scanner may lie beside what was made of them.
        if dicom && (table || fitting.is_empty()) && !nifti {
            fitting.push(Self::Dicom);
        }
        match fitting.as_slice() {
            [only] => Ok(*only),
            // A table alone: what is missing are the images, and that is said best by who looks for them.
            [] if table => Ok(Self::Ms60),
            [] => Err(DataError::NoLayout {
                path: root.to_owned(),
            }),
            [first, second, ..] => Err(DataError::SeveralLayouts {
                path: root.to_owned(),
                first: *first,
                second: *second,
            }),
        }
    }

    /// As [`Layout::recognise`], for scans without a table: a BIDS tree needs no `participants.tsv`.
    pub(super) fn to_predict(root: &Path) -> Result<Self, DataError> {
        match Self::recognise(root) {
            Err(DataError::NoLayout { .. })
                if any_folder(&root_entries(root)?, |name, _| is_subject(name)) =>
            {
                Ok(Self::Bids)
            }
            recognised => recognised,
        }
    }

    /// Who is in the folder and which scans of the contrasts asked for there are.
    ///
    /// # Errors
    /// A clinical table that is not there, cannot be read, or lacks a column that training cannot
    /// do without.
    pub fn inventory(self, root: &Path, options: &LoadOptions) -> Result<Inventory, DataError> {
        let mut inventory = match self {
            Self::Manifest if root.is_file() => manifest::inventory(root, options),
            Self::Manifest => manifest::inventory(&root.join(manifest::FILE), options),
            Self::Bids => bids::inventory(root, options),
            Self::Ms60 => ms60::inventory(root, options),
            Self::Dicom => dicom_folders::inventory(root, options),
        }?;
        inventory.report.layout = Some(self);
        if !options.features.is_study() {
            let names = options.features.names().map(str::to_owned);
            inventory.report.feature_names = Some(names.collect());
        }
        Ok(inventory)
    }
}

/// In words, with what makes it.
impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Manifest => "a manifest (manifest.csv)",
            Self::Bids => "a BIDS tree (participants.tsv and folders sub-K)",
            Self::Ms60 => "the MS60 layout (a table and folders Patient-K of NIfTI files)",
            Self::Dicom => "folders of DICOM files (beside a table)",
        })
    }
}

fn any_folder(found: &BTreeMap<String, PathBuf>, fits: impl Fn(&str, &Path) -> bool) -> bool {
    found
        .iter()
        .any(|(name, path)| path.is_dir() && fits(name, path))
}

fn is_subject(name: &str) -> bool {
    bids::label("sub-", name).is_some()
}

fn holds_nifti(folder: &Path) -> bool {
    entries(folder).is_ok_and(|found| found.keys().any(|name| is_nifti(name)))
}
