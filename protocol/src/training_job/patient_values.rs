//! What a trainer is given of each patient, and what it hands back of each.

use std::ops::Deref;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::codec::{Decode, Encode};

/// So many values a patient, patient after patient; erased when dropped.
#[derive(Clone, Default, PartialEq, Encode, Decode, Zeroize, ZeroizeOnDrop)]
#[cfg_attr(any(test, feature = "testing"), derive(Debug))]
pub struct PatientValues {
    per_patient: u32,
    values: Vec<f32>,
}

impl PatientValues {
    /// `per_patient` values of each; what is left of the last patient without all of its own is cut off.
    ///
    /// # Panics
    /// If `per_patient` is more than a `u32` holds.
    pub fn new(per_patient: usize, mut values: Vec<f32>) -> Self {
        let whole = values.len().checked_div(per_patient).unwrap_or(0) * per_patient;
        values.truncate(whole);
        Self {
            per_patient: u32::try_from(per_patient).expect("a handful of values"),
            values,
        }
    }

    /// Values of each patient.
    pub fn per_patient(&self) -> usize {
        self.per_patient as usize
    }

    /// How many patients have all of their values.
    pub fn len(&self) -> usize {
        let patients = self.values.len().checked_div(self.per_patient());
        patients.unwrap_or(0)
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, patient after patient.
    pub fn flat(&self) -> &[f32] {
        &self.values[..self.len() * self.per_patient()]
    }

    /// The values of each patient.
    pub fn rows(&self) -> std::slice::ChunksExact<'_, f32> {
        self.flat().chunks_exact(self.per_patient().max(1))
    }

    /// The values of one patient.
    pub fn row(&self, patient: usize) -> Option<&[f32]> {
        self.rows().nth(patient)
    }

    /// Whether it is of as many patients, with as many values each.
    pub fn is_shaped_like(&self, other: &Self) -> bool {
        (self.per_patient, self.values.len()) == (other.per_patient, other.values.len())
    }
}

/// A row each.
impl<const N: usize> From<Vec<[f32; N]>> for PatientValues {
    fn from(rows: Vec<[f32; N]>) -> Self {
        Self::new(N, rows.into_flattened())
    }
}

/// What a trainer is given of each patient: a filter of the conditioned convolution (3x3, row by row, in [-1, 1]), or shifts of the
/// logits. As confidential as the clinical features that it was made from: erased when dropped.
#[derive(PartialEq, Encode, Decode)]
pub struct PatientInputs(PatientValues);

impl From<PatientValues> for PatientInputs {
    fn from(values: PatientValues) -> Self {
        Self(values)
    }
}

impl Deref for PatientInputs {
    type Target = PatientValues;

    fn deref(&self) -> &PatientValues {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{decode, encode};

    #[test]
    fn values_are_read_patient_by_patient() {
        let values = PatientValues::from(vec![[1.0, 2.0], [3.0, 4.0]]);
        assert_eq!((values.per_patient(), values.len()), (2, 2));
        assert_eq!(values.row(1), Some(&[3.0, 4.0][..]));
        assert_eq!(values.row(2), None);
        assert_eq!(values.flat(), [1.0, 2.0, 3.0, 4.0]);
        assert!(values.is_shaped_like(&PatientValues::new(2, vec![0.0; 4])));
        assert!(!values.is_shaped_like(&PatientValues::new(4, vec![0.0; 4])));
        assert_eq!(PatientValues::new(2, vec![0.0; 5]).len(), 2);
        assert!(PatientValues::default().is_empty());
    }

    /// From a pipe any two numbers can come.
    #[test]
    fn values_that_make_no_whole_patients_are_those_of_the_whole_ones() {
        for (per_patient, count, patients) in [(0, 3, 0), (2, 5, 2), (9, 8, 0)] {
            let spoilt = PatientValues {
                per_patient,
                values: vec![1.0; count],
            };
            let read: PatientValues = decode(&encode(&spoilt)).expect("well formed");
            assert_eq!((read.len(), read.rows().count()), (patients, patients));
            assert_eq!(read.flat().len(), patients * per_patient as usize);
        }
    }
}
