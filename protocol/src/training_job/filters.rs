//! The finished filters that a trainer is given.

use std::ops::Deref;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{
    codec::{Decode, Encode},
    network::CONDITIONED_VALUES,
};

/// A finished filter of the conditioned convolution: 3x3, row by row, clipped to [-1, 1]. As confidential as the clinical features
/// that it was made from.
pub type Filter = [f32; CONDITIONED_VALUES];

/// One filter a patient, erased when dropped.
#[derive(PartialEq, Encode, Decode, Zeroize, ZeroizeOnDrop)]
pub struct PatientFilters(Vec<Filter>);

impl From<Vec<Filter>> for PatientFilters {
    fn from(filters: Vec<Filter>) -> Self {
        Self(filters)
    }
}

impl Deref for PatientFilters {
    type Target = [Filter];

    fn deref(&self) -> &[Filter] {
        &self.0
    }
}
