//! The wire forms: one byte for their version and one for what they are, the name of the key, and polynomials as
//! packed coefficients.
//!
//! A row of N coefficients below a prime of b bits is the little-endian number that has coefficient i from bit `b i`
//! on: `N b / 8` bytes. N is a multiple of 64, so that every row ends with a whole word and nothing is padded.
//! Coefficients, not evaluations: whoever reads may use another root of unity.

use super::rns::RnsPolynomial;
use super::{CkksError, KeyId};
use crate::ring::NttPlan;

/// What the first byte is.
pub(super) const VERSION: u8 = 1;

/// What the second byte is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ciphertext = 1,
    SeededCiphertext = 2,
    PublicKey = 3,
    SeededPublicKey = 4,
    RelinearisationKey = 5,
    SeededRelinearisationKey = 6,
}

/// Version, kind and key id.
pub(super) const HEADER_BYTES: usize = 1 + 1 + 16;

/// The length of a polynomial modulo the primes of `plans`.
pub(super) fn polynomial_bytes(plans: &[NttPlan]) -> usize {
    plans.iter().map(row_bytes).sum()
}

/// Puts the parts of a byte string together.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// Starts with version, kind and key; `rest` bytes are to follow.
    pub(super) fn new(kind: Kind, key: KeyId, rest: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + rest);
        bytes.extend([VERSION, kind as u8]);
        bytes.extend(key.as_bytes());
        Self(bytes)
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn polynomial(mut self, polynomial: &RnsPolynomial, plans: &[NttPlan]) -> Self {
        let coefficients = polynomial.duplicate().into_coefficients(plans);
        for (row, plan) in coefficients.rows().zip(plans) {
            pack(row, plan.modulus().bits(), &mut self.0);
        }
        self
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Takes a byte string apart.
pub(super) struct Reader<'a> {
    what: &'static str,
    whole: usize,
    rest: &'a [u8],
    words_read: usize,
}

impl<'a> Reader<'a> {
    /// Checks version and kind; says which of the kinds it is.
    pub(super) fn new(
        what: &'static str,
        kinds: &[Kind],
        bytes: &'a [u8],
    ) -> Result<(Self, Kind), CkksError> {
        let mut reader = Self {
            what,
            whole: bytes.len(),
            rest: bytes,
            words_read: 0,
        };
        let [version] = reader.array()?;
        if version != VERSION {
            return Err(CkksError::Version {
                what,
                found: version,
            });
        }
        let [found] = reader.array()?;
        let kind = kinds.iter().find(|&&kind| kind as u8 == found);
        let kind = kind.ok_or(CkksError::Kind { what, found })?;
        Ok((reader, *kind))
    }

    pub(super) fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], CkksError> {
        let (array, rest) = (self.rest.split_first_chunk()).ok_or_else(|| self.length(LENGTH))?;
        self.rest = rest;
        Ok(*array)
    }

    pub(super) fn key_id(&mut self) -> Result<KeyId, CkksError> {
        self.array().map(KeyId::from_bytes)
    }

    /// Checks how much is left, before anything is made room for.
    pub(super) fn expect_rest(&self, bytes: usize) -> Result<(), CkksError> {
        if self.rest.len() == bytes {
            Ok(())
        } else {
            Err(self.length(bytes))
        }
    }

    /// A polynomial modulo the primes of `plans`.
    pub(super) fn polynomial(&mut self, plans: &[NttPlan]) -> Result<RnsPolynomial, CkksError> {
        let packed = (self.rest.split_at_checked(polynomial_bytes(plans)))
            .ok_or_else(|| self.length(polynomial_bytes(plans)))?;
        let mut coefficients = RnsPolynomial::zero(plans[0].degree(), plans.len());
        let mut rows = packed.0;
        for (row, plan) in coefficients.rows_mut().zip(plans) {
            let packed = rows
                .split_off(..row_bytes(plan))
                .expect("its part of the polynomial");
            unpack(packed, plan.modulus().bits(), row);
            let prime = plan.modulus().value();
            if let Some(place) = row.iter().position(|&word| word >= prime) {
                return Err(CkksError::Word {
                    what: self.what,
                    index: self.words_read + place,
                });
            }
            self.words_read += row.len();
        }
        self.rest = packed.1;
        Ok(coefficients.into_evaluations(plans))
    }

    /// The error of a whole that is shorter or longer than with so many bytes from here on.
    fn length(&self, rest: usize) -> CkksError {
        CkksError::Length {
            what: self.what,
            expected: self.whole - self.rest.len() + rest,
            found: self.whole,
        }
    }
}

fn row_bytes(plan: &NttPlan) -> usize {
    plan.degree() / 8 * plan.modulus().bits() as usize
}

/// Appends the low `bits` bits of every word.
fn pack(words: &[u64], bits: u32, bytes: &mut Vec<u8>) {
    let (mut pending, mut filled) = (0_u128, 0);
    for &word in words {
        pending |= u128::from(word) << filled;
        filled += bits;
        if filled >= u64::BITS {
            bytes.extend((pending as u64).to_le_bytes());
            pending >>= u64::BITS;
            filled -= u64::BITS;
        }
    }
    assert_eq!(filled, 0, "a row ends with a whole word");
}

/// Fills the words of a row from its packed form.
fn unpack(bytes: &[u8], bits: u32, words: &mut [u64]) {
    let mut packed = bytes.as_chunks::<8>().0.iter();
    let mask = u64::MAX >> (u64::BITS - bits);
    let (mut pending, mut filled) = (0_u128, 0);
    for word in words {
        if filled < bits {
            let next = packed.next().expect("as many bytes as the row needs");
            pending |= u128::from(u64::from_le_bytes(*next)) << filled;
            filled += u64::BITS;
        }
        *word = pending as u64 & mask;
        pending >>= bits;
        filled -= bits;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn packed_words_lie_bit_by_bit() {
        let mut words = [0; 64];
        words[..3].copy_from_slice(&[0x1_2345_6789, 1, 0x1_ffff_ffff]);
        let mut bytes = vec![];
        pack(&words, 33, &mut bytes);
        assert_eq!(bytes.len(), 64 * 33 / 8);
        // 33 bits, then a one at bit 33, then 33 ones from bit 66 on.
        let first = u128::from_le_bytes(*bytes.first_chunk().expect("264 bytes"));
        assert_eq!(first, 0x1_2345_6789 | 1 << 33 | 0x1_ffff_ffff << 66);
        assert!(bytes[16..].iter().all(|&byte| byte == 0));
    }

    proptest! {
        #[test]
        fn packing_loses_nothing(
            bits in 33_u32..=60,
            words in prop::collection::vec(any::<u64>(), 64..=64),
        ) {
            let words: Vec<u64> = words.iter().map(|word| word >> (64 - bits)).collect();
            let mut bytes = vec![];
            pack(&words, bits, &mut bytes);
            let mut unpacked = vec![0; 64];
            unpack(&bytes, bits, &mut unpacked);
            prop_assert_eq!(unpacked, words);
        }
    }
}
