use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{SHARE_MODULUS, SumError};
use crate::hash::SecretKey32;
use crate::ring::Prg;

/// Elements of the share field. Erased when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct FieldVector(Vec<u16>);

impl FieldVector {
    /// The residues of `values`.
    pub fn from_residues(values: impl ExactSizeIterator<Item = u64>) -> Self {
        let mut elements = Vec::with_capacity(values.len());
        elements.extend(values.map(|value| (value % P) as u16));
        Self(elements)
    }

    /// The first `count` elements of a stream: little-endian `u16` pieces, those not below p skipped
    /// (PROTOCOL 3.1). That the time taken shows how many were skipped says nothing of those kept.
    pub fn uniform(key: &SecretKey32, stream: u64, count: usize) -> Self {
        let mut prg = Prg::new(key, stream);
        let mut elements = Self(Vec::with_capacity(count));
        let mut block = Zeroizing::new([0_u8; 512]);
        while elements.0.len() < count {
            prg.fill(&mut *block);
            let pieces = block
                .as_chunks::<2>()
                .0
                .iter()
                .copied()
                .map(u16::from_le_bytes);
            let missing = count - elements.0.len();
            let below = pieces.filter(|&piece| u32::from(piece) < SHARE_MODULUS);
            elements.0.extend(below.take(missing));
        }
        elements
    }

    /// The elements, each below p.
    pub fn elements(&self) -> &[u16] {
        &self.0
    }

    /// Appends the wire form, little-endian `u16`.
    pub fn write_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.0.iter().flat_map(|element| element.to_le_bytes()));
    }

    /// Reads bytes whose length was checked.
    pub fn from_bytes(what: &'static str, bytes: &[u8]) -> Result<Self, SumError> {
        let pieces = bytes.as_chunks::<2>().0;
        let mut vector = Self(Vec::with_capacity(pieces.len()));
        vector
            .0
            .extend(pieces.iter().copied().map(u16::from_le_bytes));
        let outside = |&element: &u16| u32::from(element) >= SHARE_MODULUS;
        match vector.0.iter().position(outside) {
            Some(index) => Err(SumError::Word { what, index }),
            None => Ok(vector),
        }
    }
}

/// `base^exponent` modulo p; the exponent is public.
pub(super) fn power(base: u64, exponent: u64) -> u64 {
    (0..u64::BITS - exponent.leading_zeros())
        .rev()
        .fold(1, |power, bit| {
            let factor = if exponent >> bit & 1 == 1 { base } else { 1 };
            power * power % P * factor % P
        })
}

/// The inverse modulo p of what is not a multiple of p (Fermat).
pub(super) fn inverse(element: u64) -> u64 {
    power(element, P - 2)
}

/// p, in the width of the accumulators.
pub(super) const P: u64 = SHARE_MODULUS as u64;
