//! How a data folder is laid out, told by what is in it.

use std::path::Path;

use super::{DataError, Inventory, LoadOptions, ms60};

/// A way to lay out images and clinical rows in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// The MS60 data set's: an .xlsx table beside folders `Patient-K`.
    Ms60,
}

impl Layout {
    /// Name for people and for machines: `ms60`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ms60 => "ms60",
        }
    }

    /// Finds out which layout a folder has.
    ///
    /// # Errors
    /// A folder that is not there or has no layout known here.
    pub fn recognise(root: &Path) -> Result<Self, DataError> {
        if let Err(error) = std::fs::read_dir(root) {
            return Err(DataError::Folder {
                path: root.to_owned(),
                reason: error.to_string(),
            });
        }
        Ok(Self::Ms60)
    }

    /// Who is in the folder and which scans of the contrasts asked for there are.
    ///
    /// # Errors
    /// A clinical table that is not there, cannot be read, or lacks a column that training cannot
    /// do without.
    pub fn inventory(self, root: &Path, options: &LoadOptions) -> Result<Inventory, DataError> {
        match self {
            Self::Ms60 => ms60::inventory(root, options),
        }
    }
}
