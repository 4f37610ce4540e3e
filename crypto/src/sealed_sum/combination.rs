use super::field::{FieldVector, P};
use super::{HospitalId, RING_DEGREE};
use crate::hash::SecretKey32;

/// How many random combinations are taken of a vector: a wrong vector has all of them right with probability
/// p^-8, about 2^-128, so that not even trying many vectors against known coefficients finds one.
pub(super) const COMBINATIONS: usize = 8;

/// Eight random linear forms of a vector of [`RING_DEGREE`] field elements: the forms of points on one polynomial lie
/// on one polynomial of the same degree, so whole vectors are compared by eight numbers.
pub(super) struct Combination(FieldVector);

/// Each party's combinations, by its share point.
pub(super) type CombinedRows = Vec<(HospitalId, [u16; COMBINATIONS])>;

impl Combination {
    /// The coefficients `rho[k][row]`, uniform modulo p from stream 0 of a key, k-major.
    pub fn new(key: &SecretKey32) -> Self {
        Self(FieldVector::uniform(key, 0, RING_DEGREE * COMBINATIONS))
    }

    /// `sum over k of rho[k][row] vector[k] + offset[row]`, for every row; without an offset it is 0.
    pub fn apply(&self, vector: &FieldVector, offset: Option<&FieldVector>) -> [u16; COMBINATIONS] {
        // 4096 products of two residues and an offset: below 2^45.
        let mut sums = [0_u64; COMBINATIONS];
        let offset = offset.map_or(&[][..], FieldVector::elements);
        for (sum, &offset) in sums.iter_mut().zip(offset) {
            *sum = offset.into();
        }
        let coefficients = self.0.elements().as_chunks::<COMBINATIONS>().0;
        for (coefficients, &element) in coefficients.iter().zip(vector.elements()) {
            for (sum, &coefficient) in sums.iter_mut().zip(coefficients) {
                *sum += u64::from(u32::from(coefficient) * u32::from(element));
            }
        }
        sums.map(|sum| (sum % P) as u16)
    }
}
