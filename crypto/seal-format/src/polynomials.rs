//! Residues of polynomials: word for word as SEAL's evaluations, and in its order.

use zeroize::Zeroizing;

use super::bytes::{Reader, Writer};
use super::header::{self, HEADER_BYTES};
use super::{SealContext, SealError};

/// The length of an array of so many words.
pub(super) const fn array_bytes(words: usize) -> usize {
    HEADER_BYTES + 8 + 8 * words
}

/// The bytes of the words of an array, which is an object itself.
pub(super) fn read_array<'a>(outer: &mut Reader<'a>) -> Result<&'a [u8], SealError> {
    let (_, mut array) = header::inner(outer)?;
    let count = array.word()?;
    let bytes = array.bytes(count.saturating_mul(8))?;
    array.finish()?;
    Ok(bytes)
}

/// Writes the array of all words of the polynomials.
pub(super) fn write_array(writer: &mut Writer, context: &SealContext, polynomials: &[&[u64]]) {
    let words: usize = polynomials.iter().map(|words| words.len()).sum();
    header::write(writer, |writer| {
        writer.word(words as u64);
        for polynomial in polynomials {
            let rows = polynomial.chunks_exact(context.context.degree());
            for (row, order) in rows.zip(&context.orders) {
                for place in order.places() {
                    writer.word(row[place]);
                }
            }
        }
    });
}

impl SealContext {
    /// A polynomial as `crypto` has it, a row of words for each prime that the bytes have a row of. `first` is the place of its
    /// first word, for messages.
    ///
    /// It may be a secret one: it is erased when dropped, and which word is too large is looked for only if one is.
    pub(super) fn polynomial(
        &self,
        what: &'static str,
        bytes: &[u8],
        first: usize,
    ) -> Result<Zeroizing<Vec<u64>>, SealError> {
        let degree = self.context.degree();
        let (words, rest) = bytes.as_chunks::<8>();
        assert!(
            words.len().is_multiple_of(degree) && rest.is_empty(),
            "whole rows"
        );
        let mut polynomial = Zeroizing::new(vec![0; words.len()]);
        let plans = self.context.key_plans().iter().zip(&self.orders);
        let rows = (polynomial.chunks_exact_mut(degree)).zip(words.chunks_exact(degree));
        for (k, ((row, words), (plan, order))) in rows.zip(plans).enumerate() {
            let prime = plan.modulus().value();
            let mut all_fit = true;
            for (place, &word) in order.places().zip(words) {
                let word = u64::from_le_bytes(word);
                all_fit &= word < prime;
                row[place] = word;
            }
            if !all_fit {
                let too_large = |&word: &[u8; 8]| u64::from_le_bytes(word) >= prime;
                let place = words.iter().position(too_large);
                let index = first + k * degree + place.expect("one of them");
                return Err(SealError::Word { what, index });
            }
        }
        Ok(polynomial)
    }
}
