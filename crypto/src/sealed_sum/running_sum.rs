use pulp::Arch;

use super::error::check_length;
use super::{CHUNK_BYTES, MODULUS, SumError};
use crate::ring::Modulus;

/// The coordinator's sum of masked chunks, one addition per word and no transform.
///
/// It holds nothing secret: masked chunks and their sums are uniform to whoever lacks the shares.
///
/// ```
/// use crypto::sealed_sum::{CHUNK_BYTES, RunningSum};
///
/// let mut sum = RunningSum::new(2);
/// sum.add(&[1; 2 * CHUNK_BYTES])?;
/// sum.add_chunk(1, &[1; CHUNK_BYTES])?;
/// assert_eq!(sum.as_bytes()[CHUNK_BYTES - 1..=CHUNK_BYTES], [1, 2]);
/// // A word that is not below q changes nothing.
/// assert!(sum.add(&[0xff; 2 * CHUNK_BYTES]).is_err());
/// # Ok::<(), crypto::sealed_sum::SumError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningSum(Vec<u8>);

impl RunningSum {
    /// The sum of no contributions, `chunks` chunks long.
    pub fn new(chunks: usize) -> Self {
        Self(vec![0; chunks * CHUNK_BYTES])
    }

    /// Adds one chunk of a contribution. On an error nothing was added.
    ///
    /// # Errors
    /// If there is no such chunk, the length is not [`CHUNK_BYTES`], or a word is not below [`MODULUS`].
    pub fn add_chunk(&mut self, index: usize, bytes: &[u8]) -> Result<(), SumError> {
        let chunks = self.chunks();
        check_chunk(bytes)?;
        let sum = self
            .0
            .chunks_exact_mut(CHUNK_BYTES)
            .nth(index)
            .ok_or(SumError::NoSuchChunk { index, chunks })?;
        add_words(sum, bytes);
        Ok(())
    }

    /// Adds all chunks of a contribution, one after another. On an error nothing was added.
    ///
    /// # Errors
    /// If the length is not that of the sum, or a word is not below [`MODULUS`].
    pub fn add(&mut self, chunks: &[u8]) -> Result<(), SumError> {
        self.update(chunks, add_words, subtract_words)
    }

    /// Takes a contribution out again that was added. The sum cannot tell whether it was: other chunks leave another sum. On an error
    /// nothing was taken out.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn subtract(&mut self, chunks: &[u8]) -> Result<(), SumError> {
        self.update(chunks, subtract_words, add_words)
    }

    fn update(
        &mut self,
        chunks: &[u8],
        operation: fn(&mut [u8], &[u8]),
        inverse: fn(&mut [u8], &[u8]),
    ) -> Result<(), SumError> {
        check_length("contribution", self.0.len(), chunks)?;
        for (chunk, bytes) in chunks.chunks_exact(CHUNK_BYTES).enumerate() {
            // One chunk at a time, so that it is checked and added while it is in the cache.
            if let Err(error) = check_chunk(bytes) {
                let done = ..chunk * CHUNK_BYTES;
                inverse(&mut self.0[done], &chunks[done]);
                return Err(error);
            }
            operation(&mut self.0[chunk * CHUNK_BYTES..][..CHUNK_BYTES], bytes);
        }
        Ok(())
    }

    /// The number of chunks.
    pub fn chunks(&self) -> usize {
        self.0.len() / CHUNK_BYTES
    }

    /// The summed chunks, as they are sent and hashed.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The summed chunks, as they are sent and hashed.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Checks one chunk before it is stored or added.
///
/// # Errors
/// If the length is not [`CHUNK_BYTES`], or a word is not below [`MODULUS`].
pub fn check_chunk(bytes: &[u8]) -> Result<(), SumError> {
    check_words("chunk", CHUNK_BYTES, bytes)
}

/// Checks that bytes are little-endian words below the modulus, of this length in all.
pub(super) fn check_words(
    what: &'static str,
    expected: usize,
    bytes: &[u8],
) -> Result<(), SumError> {
    check_length(what, expected, bytes)?;
    let largest = Arch::new().dispatch(
        #[inline(always)]
        || words(bytes).fold(0, u64::max),
    );
    if largest < MODULUS {
        return Ok(());
    }
    let index = words(bytes).position(|word| word >= MODULUS);
    let index = index.expect("the largest word is not below the modulus");
    Err(SumError::Word { what, index })
}

/// The little-endian words of bytes whose length was checked.
#[inline(always)]
fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes
        .as_chunks::<8>()
        .0
        .iter()
        .copied()
        .map(u64::from_le_bytes)
}

fn add_words(sum: &mut [u8], bytes: &[u8]) {
    Arch::new().dispatch(
        #[inline(always)]
        || update_words(sum, bytes, |sum, word| Q.add(sum, word)),
    );
}

fn subtract_words(sum: &mut [u8], bytes: &[u8]) {
    Arch::new().dispatch(
        #[inline(always)]
        || update_words(sum, bytes, |sum, word| Q.subtract(sum, word)),
    );
}

#[inline(always)]
fn update_words(sum: &mut [u8], bytes: &[u8], operation: impl Fn(u64, u64) -> u64) {
    for (sum, word) in sum.as_chunks_mut::<8>().0.iter_mut().zip(words(bytes)) {
        *sum = operation(u64::from_le_bytes(*sum), word).to_le_bytes();
    }
}

/// The arithmetic modulo q, prepared by the compiler.
const Q: Modulus = Modulus::new(MODULUS);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chunk(word: u64) -> Vec<u8> {
        word.to_le_bytes().repeat(CHUNK_BYTES / 8)
    }

    #[test]
    fn many_largest_words_add_up_modulo_q() {
        let mut sum = RunningSum::new(2);
        for _ in 0..127 {
            sum.add_chunk(1, &chunk(MODULUS - 1))
                .expect("a valid chunk");
        }
        assert!(words(&sum.as_bytes()[..CHUNK_BYTES]).all(|word| word == 0));
        assert!(words(&sum.as_bytes()[CHUNK_BYTES..]).all(|word| word == MODULUS - 127));
    }

    #[test]
    fn a_bad_last_word_leaves_the_sum_as_it_was() {
        let mut sum = RunningSum::new(1);
        let mut bytes = chunk(5);
        bytes[CHUNK_BYTES - 8..].copy_from_slice(&MODULUS.to_le_bytes());
        let word = Err(SumError::Word {
            what: "chunk",
            index: 4095,
        });
        assert_eq!(check_chunk(&bytes), word);
        assert_eq!(sum.add_chunk(0, &bytes), word);
        assert!(sum.add(&bytes).is_err());
        assert_eq!(
            sum.add_chunk(1, &chunk(5)),
            Err(SumError::NoSuchChunk {
                index: 1,
                chunks: 1
            })
        );
        assert_eq!(sum, RunningSum::new(1));
        assert_eq!(sum.add(&chunk(5)), Ok(()));
        assert_eq!(sum.into_bytes(), chunk(5));
    }

    /// Words that lie anywhere below q, the ends included.
    fn two_chunks(seed: u64) -> Vec<u8> {
        let words = (0..2 * CHUNK_BYTES as u64 / 8).map(|place| match (place + seed) % 5 {
            0 => 0,
            1 => MODULUS - 1,
            _ => {
                (place + 1)
                    .wrapping_mul(seed | 1)
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                    % MODULUS
            }
        });
        words.flat_map(u64::to_le_bytes).collect()
    }

    #[test]
    fn a_contribution_that_is_subtracted_leaves_the_sum_of_the_others() {
        let [first, second, third] = [1, 2, 3].map(two_chunks);
        let mut sum = RunningSum::new(2);
        for chunks in [&first, &second, &third] {
            sum.add(chunks).expect("valid chunks");
        }
        sum.subtract(&second).expect("valid chunks");
        let mut others = RunningSum::new(2);
        others.add(&third).expect("valid chunks");
        others.add(&first).expect("valid chunks");
        assert_eq!(sum, others);
        sum.subtract(&first).expect("valid chunks");
        sum.subtract(&third).expect("valid chunks");
        assert_eq!(sum, RunningSum::new(2));
        // Below zero it goes on from q.
        sum.subtract(&two_chunks(1)).expect("valid chunks");
        for (word, own) in words(sum.as_bytes()).zip(words(&first)) {
            assert_eq!((word + own) % MODULUS, 0);
        }
    }

    #[test]
    fn bad_chunks_are_not_subtracted() {
        let mut sum = RunningSum::new(2);
        sum.add(&two_chunks(7)).expect("valid chunks");
        let before = sum.clone();
        let mut chunks = two_chunks(8);
        chunks[2 * CHUNK_BYTES - 8..].copy_from_slice(&MODULUS.to_le_bytes());
        let word = SumError::Word {
            what: "chunk",
            index: 4095,
        };
        assert_eq!(sum.subtract(&chunks), Err(word));
        assert!(sum.subtract(&chunks[..CHUNK_BYTES]).is_err());
        assert_eq!(sum, before);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_chunk_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..64),
            whole: bool,
        ) {
            let bytes = if whole { bytes.iter().copied().cycle().take(CHUNK_BYTES).collect() } else { bytes };
            let accepted = check_chunk(&bytes).is_ok();
            let valid = bytes.len() == CHUNK_BYTES && words(&bytes).all(|word| word < MODULUS);
            prop_assert_eq!(accepted, valid);
            prop_assert_eq!(RunningSum::new(1).add_chunk(0, &bytes).is_ok(), valid);
        }
    }
}
