use super::rns::RnsPolynomial;
use super::{CkksError, DEGREE, KeyId};
use crate::ring::{Coefficients, NttPlan};

pub(super) const KEY_ID_BYTES: usize = 16;
pub(super) const SEED_BYTES: usize = 32;
/// Key id, level as one byte, scale as the bits of an `f64`.
pub(super) const CIPHERTEXT_HEADER_BYTES: usize = KEY_ID_BYTES + 1 + 8;

/// Reads the parts of a byte string whose whole length was checked first.
pub(super) struct Reader<'a> {
    what: &'static str,
    rest: &'a [u8],
    words_read: usize,
}

impl<'a> Reader<'a> {
    /// Starts to read, if the length is as it must be.
    pub(super) fn new(
        what: &'static str,
        expected: usize,
        bytes: &'a [u8],
    ) -> Result<Self, CkksError> {
        if bytes.len() == expected {
            Ok(Self {
                what,
                rest: bytes,
                words_read: 0,
            })
        } else {
            Err(CkksError::Length {
                what,
                expected,
                found: bytes.len(),
            })
        }
    }

    pub(super) fn array<const LENGTH: usize>(&mut self) -> [u8; LENGTH] {
        let (array, rest) = self
            .rest
            .split_first_chunk()
            .expect("the length was checked at the start");
        self.rest = rest;
        *array
    }

    pub(super) fn key_id(&mut self) -> KeyId {
        KeyId(self.array())
    }

    /// One residue for each plan, as coefficients.
    pub(super) fn polynomial(&mut self, plans: &[NttPlan]) -> Result<RnsPolynomial, CkksError> {
        let mut residues = Vec::with_capacity(plans.len());
        for plan in plans {
            let mut words = Vec::with_capacity(DEGREE);
            for _ in 0..DEGREE {
                let word = u64::from_le_bytes(self.array());
                if word >= plan.modulus().value() {
                    return Err(CkksError::Word {
                        what: self.what,
                        index: self.words_read,
                    });
                }
                self.words_read += 1;
                words.push(word);
            }
            residues.push(plan.forward(Coefficients::from_words(words)));
        }
        Ok(RnsPolynomial(residues))
    }
}

pub(super) fn write_words(words: &[u64], bytes: &mut Vec<u8>) {
    bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}
