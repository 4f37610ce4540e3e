//! One patient: an EDSS score, clinical features, and slices.

use std::fmt;

use super::{Edss, Slice};

/// Everything training needs to know of one patient.
#[derive(Clone, PartialEq)]
pub struct Patient {
    /// Name within the cohort (the row's ID in a table).
    pub id: String,
    /// Disability score, from which the label is cut.
    pub edss: Edss,
    /// Raw values in the order of [`super::LoadOptions::features`]; `None` where the row has none.
    pub features: Vec<Option<f64>>,
    /// Slices of the scan, from the feet up.
    pub slices: Vec<Slice>,
}

/// Name and number of slices only: the rest is clinical.
impl fmt::Debug for Patient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patient")
            .field("id", &self.id)
            .field("slices", &self.slices.len())
            .finish_non_exhaustive()
    }
}
