//! The masks `a_j s` and what is done with them to a chunk. One pass over 4096 words each, vectorised for the machine
//! it runs on; nothing branches on a secret.

use pulp::Arch;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::parameters::{NOISE_BOUND, PAYLOAD_BITS, STEP_BITS};
use super::{MODULUS, RING_DEGREE};
use crate::hash::{Digest, SecretKey32, derive_key};
use crate::ring::{Modulus, NttPlan, Prg, fill_keystream, uniform};

/// The ring of the sealed sum with its transform prepared. Make one and share it: see [`Round`](super::Round).
///
/// ```
/// use crypto::sealed_sum::SumRing;
///
/// // Some milliseconds, once for all rounds and threads.
/// let ring = std::sync::Arc::new(SumRing::new());
/// ```
pub struct SumRing {
    plan: NttPlan,
}

impl SumRing {
    /// Prepares the transform.
    pub fn new() -> Self {
        let plan = NttPlan::new(RING_DEGREE, Modulus::new(MODULUS));
        Self { plan }
    }

    /// `a_j s`, into `mask`.
    pub(super) fn mask(&self, key: &MaskKey, chunk: usize, secret: &RingSecret, mask: &mut [u64]) {
        key.polynomial(chunk, mask);
        self.plan.evaluate_row(mask);
        Arch::new().dispatch(|| multiply(mask, &secret.evaluations, &secret.quotients));
        self.plan.interpolate_row(mask);
    }
}

impl Default for SumRing {
    fn default() -> Self {
        Self::new()
    }
}

/// What determines all `a_j` of a header (PROTOCOL 3.3). Public.
pub(super) struct MaskKey(SecretKey32);

impl MaskKey {
    pub fn new(header_hash: &Digest) -> Self {
        Self(derive_key(header_hash, "a", &[]))
    }

    /// The coefficients of `a_j`: uniform, from stream j. The branch is on public data.
    pub fn polynomial(&self, chunk: usize, words: &mut [u64]) {
        fill_keystream(&self.0, chunk as u64, 0, words);
        if !Arch::new().dispatch(|| cut_to_modulus(words)) {
            // Once in 2^46 words one is skipped, and all that follow move up.
            let mut prg = Prg::new(&self.0, chunk as u64);
            words.copy_from_slice(uniform(&mut prg, Q, words.len()).words());
        }
    }
}

/// A small secret, ready to be multiplied by: its evaluations, each with its Shoup quotient. Erased when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct RingSecret {
    evaluations: Vec<u64>,
    quotients: Vec<u64>,
}

impl RingSecret {
    pub fn new(ring: &SumRing, small: &[i64]) -> Self {
        let mut evaluations: Vec<u64> = small.iter().map(|&s| Q.from_small(s)).collect();
        ring.plan.evaluate_row(&mut evaluations);
        let quotients = evaluations.iter().map(|&s| shoup_quotient(s)).collect();
        Self {
            evaluations,
            quotients,
        }
    }
}

/// `mask + DELTA m + e` modulo q, as bytes, e being the centred binomial of a word of coins.
pub(super) fn seal_chunk(mask: &[u64], message: &[u64], coins: &[u64], bytes: &mut [u8]) {
    Arch::new().dispatch(|| seal_words(mask, message, coins, bytes));
}

/// What a chunk turned out to hold, apart from its messages.
#[derive(Clone, Copy)]
pub(super) struct Unmasked {
    /// The largest magnitude of a noise.
    pub largest_noise: u64,
    /// Whether all messages are below 2^48.
    pub messages_fit: bool,
}

/// Takes the mask from the words of a summed chunk and splits what is left into messages, which replace the mask, and
/// noise.
pub(super) fn unmask_chunk(bytes: &[u8], mask: &mut [u64]) -> Unmasked {
    Arch::new().dispatch(|| unmask_words(bytes, mask))
}

/// Coins for the noise of a chunk: a word for each coefficient (PROTOCOL 3.5).
pub(super) fn noise_coins(key: &SecretKey32, chunk: usize, coins: &mut [u64]) {
    fill_keystream(key, chunk as u64, 0, coins);
}

/// Buffers for one chunk, used again for the next. Erased when dropped.
pub(super) struct ChunkBuffers {
    /// The mask, and what replaces it.
    pub mask: Zeroizing<Vec<u64>>,
    /// Coins for the noise, or multipliers for the tag, of which there are up to three for two words.
    pub keystream: Zeroizing<Vec<u64>>,
}

impl ChunkBuffers {
    pub fn new() -> Self {
        Self {
            mask: Zeroizing::new(vec![0; RING_DEGREE]),
            keystream: Zeroizing::new(vec![0; RING_DEGREE * 3 / 2]),
        }
    }
}

#[inline(always)]
fn cut_to_modulus(words: &mut [u64]) -> bool {
    let mut largest = 0;
    for word in words {
        *word &= u64::MAX >> (u64::BITS - Q.bits());
        largest = largest.max(*word);
    }
    largest < MODULUS
}

/// Pointwise `words * factors`: a Shoup product with the high half of a product of words from four products of half
/// words, which vectorise.
#[inline(always)]
fn multiply(words: &mut [u64], factors: &[u64], quotients: &[u64]) {
    for (word, (&factor, &quotient)) in words.iter_mut().zip(factors.iter().zip(quotients)) {
        let multiple = high_product(*word, quotient);
        let remainder = word
            .wrapping_mul(factor)
            .wrapping_sub(multiple.wrapping_mul(MODULUS));
        *word = subtract_once(remainder);
    }
}

#[inline(always)]
fn seal_words(mask: &[u64], message: &[u64], coins: &[u64], bytes: &mut [u8]) {
    let words = mask.iter().zip(message).zip(coins);
    for (bytes, ((&mask, &message), &coins)) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        // As m < 2^48, DELTA m is below 2^61: with the mask and q, below 3 q < 2^64.
        let noise = u64::from(coins.count_ones()) + (MODULUS - u64::from(NOISE_BOUND));
        let sum = mask + (message << STEP_BITS) + noise;
        *bytes = subtract_once(subtract_once(sum)).to_le_bytes();
    }
}

#[inline(always)]
fn unmask_words(bytes: &[u8], mask: &mut [u64]) -> Unmasked {
    let (mut largest_noise, mut beyond) = (0, 0);
    for (word, bytes) in mask.iter_mut().zip(bytes.as_chunks::<8>().0) {
        let difference = subtract_once(u64::from_le_bytes(*bytes) + (MODULUS - *word));
        let noisy = subtract_once(difference + HALF_STEP);
        *word = noisy >> STEP_BITS;
        beyond |= *word >> PAYLOAD_BITS;
        largest_noise = largest_noise.max((noisy & (2 * HALF_STEP - 1)).abs_diff(HALF_STEP));
    }
    Unmasked {
        largest_noise,
        messages_fit: beyond == 0,
    }
}

#[inline(always)]
fn high_product(a: u64, b: u64) -> u64 {
    const LOW: u64 = u32::MAX as u64;
    let (a_low, a_high) = (a & LOW, a >> 32);
    let (b_low, b_high) = (b & LOW, b >> 32);
    let middle = a_high * b_low + ((a_low * b_low) >> 32);
    let carry = a_low * b_high + (middle & LOW);
    a_high * b_high + (middle >> 32) + (carry >> 32)
}

/// Where the difference wraps it is the larger of the two, so the minimum needs no branch.
#[inline(always)]
fn subtract_once(a: u64) -> u64 {
    a.min(a.wrapping_sub(MODULUS))
}

/// `floor(2^64 s / q)` of a residue, without a division, whose time would depend on it.
fn shoup_quotient(s: u64) -> u64 {
    // 2^125 / q, and with it 2^64 s / q, from below: by less than s / 2^61 + 1, so by at most 2.
    const RECIPROCAL: u64 = ((1_u128 << 125) / MODULUS as u128) as u64;
    let estimate = ((u128::from(s) * u128::from(RECIPROCAL)) >> 61) as u64;
    // 2^64 s less estimate times q: below 3 q, so its low word is all of it.
    let remainder = 0_u64.wrapping_sub(estimate.wrapping_mul(MODULUS));
    let at_least = |bound: u64| 1 ^ (remainder.wrapping_sub(bound) > remainder) as u64;
    estimate + at_least(MODULUS) + at_least(2 * MODULUS)
}

const HALF_STEP: u64 = 1 << (STEP_BITS - 1);

const Q: Modulus = Modulus::new(MODULUS);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn residue() -> impl Strategy<Value = u64> {
        prop_oneof![0..MODULUS, 0..4_u64, MODULUS - 4..MODULUS]
    }

    // Every kernel, as the compiler's plain code and as what the machine's vectors make of it.
    proptest! {
        #[test]
        fn products_agree_with_division(pairs in prop::collection::vec((residue(), residue()), 1..40)) {
            let (mut words, factors): (Vec<u64>, Vec<u64>) = pairs.iter().copied().unzip();
            let quotients: Vec<u64> = factors.iter().map(|&s| shoup_quotient(s)).collect();
            for (&factor, &quotient) in factors.iter().zip(&quotients) {
                prop_assert_eq!(u128::from(quotient), (u128::from(factor) << 64) / u128::from(MODULUS));
            }
            let mut dispatched = words.clone();
            multiply(&mut words, &factors, &quotients);
            Arch::new().dispatch(|| multiply(&mut dispatched, &factors, &quotients));
            for ((&(a, b), &word), &vector) in pairs.iter().zip(&words).zip(&dispatched) {
                let expected = u128::from(a) * u128::from(b) % u128::from(MODULUS);
                prop_assert_eq!((u128::from(word), u128::from(vector)), (expected, expected));
            }
        }

        #[test]
        fn a_chunk_is_sealed_and_unmasked_as_the_equation_says(
            words in prop::collection::vec(
                (
                    residue(),
                    prop_oneof![0..1_u64 << 48, Just((1 << 48) - 1), Just(0)],
                    prop_oneof![any::<u64>(), Just(0), Just(u64::MAX)],
                ),
                1..40,
            ),
        ) {
            let masks: Vec<u64> = words.iter().map(|word| word.0).collect();
            let messages: Vec<u64> = words.iter().map(|word| word.1).collect();
            let coins: Vec<u64> = words.iter().map(|word| word.2).collect();
            let mut plain = vec![0; 8 * words.len()];
            let mut dispatched = plain.clone();
            seal_words(&masks, &messages, &coins, &mut plain);
            seal_chunk(&masks, &messages, &coins, &mut dispatched);
            prop_assert_eq!(&plain, &dispatched);
            for (bytes, (mask, message, coins)) in plain.as_chunks::<8>().0.iter().zip(&words) {
                let noise = i128::from(coins.count_ones()) - 32;
                let expected = (i128::from(*mask) + 8192 * i128::from(*message) + noise)
                    .rem_euclid(i128::from(MODULUS));
                prop_assert_eq!(i128::from(u64::from_le_bytes(*bytes)), expected);
            }

            let largest = coins.iter().map(|coins| coins.count_ones().abs_diff(32)).max();
            for unmask in [unmask_chunk, |bytes: &[u8], mask: &mut [u64]| unmask_words(bytes, mask)] {
                let mut opened = masks.clone();
                // A message of 0 with a noise below 0 is half a step from no message at all.
                let unmasked = unmask(&plain, &mut opened);
                prop_assert_eq!(&opened, &messages);
                prop_assert!(unmasked.messages_fit);
                prop_assert_eq!(Some(unmasked.largest_noise as u32), largest);
            }
        }

        /// Whatever the words are, what is reported is what they are.
        #[test]
        fn noise_and_messages_out_of_range_are_reported(word in residue(), mask in residue()) {
            let mut opened = [mask];
            let unmasked = unmask_chunk(&word.to_le_bytes(), &mut opened);
            let shifted = (u128::from(word) + u128::from(MODULUS - mask) + 4096) % u128::from(MODULUS);
            prop_assert_eq!(u128::from(opened[0]), shifted >> 13);
            prop_assert_eq!(unmasked.messages_fit, shifted >> 61 == 0);
            let noise = (shifted % 8192) as i64 - 4096;
            prop_assert_eq!(unmasked.largest_noise, noise.unsigned_abs());
        }
    }

    #[test]
    fn public_polynomials_are_those_of_the_sampler() {
        let key = MaskKey::new(&[4; 32]);
        let mut words = vec![0; RING_DEGREE];
        key.polynomial(7, &mut words);
        let expected = uniform(&mut Prg::new(&key.0, 7), Q, RING_DEGREE);
        assert_eq!(words, expected.words());
        // A word that is skipped is seen.
        let mut skipped = [1, MODULUS, 2];
        assert!(!cut_to_modulus(&mut skipped));
        assert!(cut_to_modulus(&mut [1, MODULUS - 1, u64::MAX << 62]));
    }
}
