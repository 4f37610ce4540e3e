use zeroize::Zeroizing;

use super::{BLOCK_WORDS, Coefficients, Modulus, fill_keystream};
use crate::hash::SecretKey32;

/// `prg(key, stream)` of PROTOCOL 3.1: ChaCha20 with a 64-bit counter from 0 and a 64-bit stream number.
///
/// One key per purpose: two purposes under one key would share streams.
///
/// ```
/// use crypto::{hash::SecretKey32, ring::Prg};
///
/// let key = SecretKey32::from_bytes([7; 32]);
/// let (mut whole, mut parts, mut other) = ([0; 32], [0; 32], [0; 32]);
/// Prg::new(&key, 0).fill(&mut whole);
/// let mut prg = Prg::new(&key, 0);
/// prg.fill(&mut parts[..8]);
/// prg.fill(&mut parts[8..]);
/// assert_eq!(parts, whole);
/// // Another stream of the same key has nothing in common with it.
/// Prg::new(&key, 1).fill(&mut other);
/// assert_ne!(other, whole);
/// ```
pub struct Prg {
    key: SecretKey32,
    stream: u64,
    /// Of the stream, the first that is not in `words`.
    next_block: u64,
    /// Some blocks of the stream.
    words: Zeroizing<Vec<u64>>,
    /// Bytes of `words` that are used up, a multiple of four.
    used: usize,
}

impl Prg {
    /// The start of one stream of one key.
    pub fn new(key: &SecretKey32, stream: u64) -> Self {
        Self {
            key: SecretKey32::from_bytes(*key.as_bytes()),
            stream,
            next_block: 0,
            words: Zeroizing::new(vec![0; WORDS_AT_ONCE]),
            used: 8 * WORDS_AT_ONCE,
        }
    }

    /// The next bytes of the stream. What a multiple of four leaves over of a word is skipped.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for bytes in bytes.chunks_mut(4) {
            if self.used == 8 * WORDS_AT_ONCE {
                self.refill();
            }
            // The lower half of a word comes first.
            let half = self.words[self.used / 8] >> (8 * (self.used % 8));
            bytes.copy_from_slice(&half.to_le_bytes()[..bytes.len()]);
            self.used += 4;
        }
    }

    /// Hands `count` little-endian words to `consume`, in order.
    fn for_each_word(&mut self, count: usize, mut consume: impl FnMut(usize, u64)) {
        let mut done = 0;
        while done < count {
            if !self.used.is_multiple_of(8) {
                // A word that lies across the end of one that was begun.
                let mut word = Zeroizing::new([0; 8]);
                self.fill(&mut *word);
                consume(done, u64::from_le_bytes(*word));
                done += 1;
                continue;
            }
            if self.used == 8 * WORDS_AT_ONCE {
                self.refill();
            }
            let left = &self.words[self.used / 8..];
            let taken = left.len().min(count - done);
            for (place, &word) in left[..taken].iter().enumerate() {
                consume(done + place, word);
            }
            self.used += 8 * taken;
            done += taken;
        }
    }

    fn refill(&mut self) {
        fill_keystream(&self.key, self.stream, self.next_block, &mut self.words);
        self.next_block += (WORDS_AT_ONCE / BLOCK_WORDS) as u64;
        self.used = 0;
    }
}

/// `count` coefficients uniform below the modulus: words cut to its bits, those not below it skipped.
///
/// For public polynomials: how many words are skipped shows in the time taken.
///
/// ```
/// use crypto::{hash::SecretKey32, ring::{Modulus, Prg, uniform}, sealed_sum::MODULUS};
///
/// let public_seed = SecretKey32::from_bytes([7; 32]);
/// let polynomial = uniform(&mut Prg::new(&public_seed, 0), Modulus::new(MODULUS), 4096);
/// assert!(polynomial.words().iter().all(|&word| word < MODULUS));
/// ```
pub fn uniform(prg: &mut Prg, modulus: Modulus, count: usize) -> Coefficients {
    let mut words = vec![0; count];
    fill_uniform(prg, modulus, &mut words);
    Coefficients::from_words(words)
}

/// [`uniform`] into words that are there already.
pub(crate) fn fill_uniform(prg: &mut Prg, modulus: Modulus, words: &mut [u64]) {
    let mask = u64::MAX >> (u64::BITS - modulus.bits());
    let mut filled = 0;
    while filled < words.len() {
        prg.for_each_word(words.len() - filled, |_, word| {
            let word = word & mask;
            // Written in any case, kept only if below: a skipped word is overwritten by the next.
            words[filled] = word;
            filled += usize::from(word < modulus.value());
        });
    }
}

/// `count` samples of the binomial distribution of `2 * half_width` coins, centred: each is the number of
/// ones among the low `2 * half_width` bits of one word, less `half_width`. Variance `half_width / 2`.
///
/// ```
/// use crypto::{hash::SecretKey32, ring::{Prg, centred_binomial}};
///
/// let key = SecretKey32::from_bytes([7; 32]);
/// let noise = centred_binomial(&mut Prg::new(&key, 0), 32, 4096);
/// assert!(noise.iter().all(|sample| (-32..=32).contains(sample)));
/// let mean_square = noise.iter().map(|sample| sample * sample).sum::<i64>() / 4096;
/// assert!((14..=18).contains(&mean_square));
/// ```
///
/// # Panics
/// If `half_width` is 0 or above 32: a word has 64 coins.
pub fn centred_binomial(prg: &mut Prg, half_width: u32, count: usize) -> Zeroizing<Vec<i64>> {
    assert!((1..=32).contains(&half_width));
    let mut samples = Zeroizing::new(vec![0; count]);
    prg.for_each_word(count, |index, word| {
        samples[index] = coins_of(word, half_width);
    });
    samples
}

/// `count` samples of {-1, 0, 1}, each the integer part of `3 * word / 2^64`, less 1.
///
/// The bias against uniform is below 2^-62 a sample; in exchange nothing is rejected, and so nothing branches.
///
/// ```
/// use crypto::{hash::SecretKey32, ring::{Prg, ternary}};
///
/// let secret = ternary(&mut Prg::new(&SecretKey32::from_bytes([7; 32]), 0), 8192);
/// assert!(secret.iter().all(|sample| (-1..=1).contains(sample)));
/// ```
pub fn ternary(prg: &mut Prg, count: usize) -> Zeroizing<Vec<i64>> {
    let mut samples = Zeroizing::new(vec![0; count]);
    prg.for_each_word(count, |index, word| {
        samples[index] = ((u128::from(word) * 3) >> 64) as i64 - 1;
    });
    samples
}

/// The ones among the low `2 * half_width` bits of a word, less `half_width`.
pub(super) fn coins_of(word: u64, half_width: u32) -> i64 {
    let mask = u64::MAX >> (u64::BITS - 2 * half_width);
    i64::from((word & mask).count_ones()) - i64::from(half_width)
}

/// Sixteen blocks of ChaCha20, which wide vectors make together.
const WORDS_AT_ONCE: usize = 16 * BLOCK_WORDS;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealed_sum::MODULUS;

    fn prg(stream: u64) -> Prg {
        Prg::new(&SecretKey32::from_bytes([0; 32]), stream)
    }

    /// RFC 8439, appendix A.1, test vector 1: key 0, nonce 0, counter 0.
    #[test]
    fn stream_is_chacha20_of_rfc_8439() {
        let mut bytes = [0; 64];
        prg(0).fill(&mut bytes);
        assert_eq!(
            bytes[..16],
            [
                0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90, 0x40, 0x5d, 0x6a, 0xe5, 0x53, 0x86,
                0xbd, 0x28
            ]
        );
    }

    /// RFC 8439, appendix A.1, test vector 5: the last byte of its nonce is 2, all else 0.
    #[test]
    fn stream_number_is_the_end_of_the_nonce() {
        let mut bytes = [0; 16];
        prg(2 << 56).fill(&mut bytes);
        assert_eq!(
            bytes,
            [
                0xc2, 0xc6, 0x4d, 0x37, 0x8c, 0xd5, 0x36, 0x37, 0x4a, 0xe2, 0x04, 0xb9, 0xef, 0x93,
                0x3f, 0xcd
            ]
        );
    }

    /// However a stream is cut, as long as the cuts are at multiples of four.
    #[test]
    fn parts_of_a_stream_join() {
        let mut whole = vec![0; 8 * 600];
        prg(8).fill(&mut whole);
        let mut cut = prg(8);
        let mut parts = Vec::new();
        for (place, length) in [4, 1024, 8, 12, 2000].into_iter().enumerate() {
            let mut part = vec![0; length];
            cut.fill(&mut part);
            parts.extend(part);
            cut.for_each_word(place * 20, |_, word| parts.extend(word.to_le_bytes()));
        }
        assert_eq!(parts, whole[..parts.len()]);
        // The rest of a half word is skipped.
        let mut short = prg(8);
        short.fill(&mut [0; 3]);
        short.for_each_word(1, |_, word| assert_eq!(word.to_le_bytes(), whole[4..12]));
    }

    #[test]
    fn uniform_skips_words_and_goes_on_in_the_stream() {
        // With the least prime-sized modulus above 2^32 about half of the words are rejected.
        let modulus = Modulus::new((1 << 32) + 15);
        let mut words = vec![];
        prg(3).for_each_word(1000, |_, word| words.push(word & ((1 << 33) - 1)));
        words.retain(|&word| word < modulus.value());
        assert!(words.len() < 600);
        assert_eq!(uniform(&mut prg(3), modulus, 400).words(), &words[..400]);
    }

    #[test]
    fn binomial_reaches_its_ends_and_no_further() {
        assert_eq!(coins_of(0, 32), -32);
        assert_eq!(coins_of(u64::MAX, 32), 32);
        assert_eq!(coins_of(1 << 63, 32), -31);
        // Bits above the coins do not count.
        assert_eq!(coins_of(u64::MAX << 42, 21), -21);
        assert_eq!(coins_of(u64::MAX >> 22, 21), 21);
        assert_eq!(coins_of(u64::MAX, 21), 21);
    }

    #[test]
    fn binomial_of_given_words_and_moments() {
        let mut words = vec![];
        prg(4).for_each_word(1 << 16, |_, word| words.push(word));
        let samples = centred_binomial(&mut prg(4), 32, 1 << 16);
        let count = samples.len() as f64;
        let mean = samples.iter().sum::<i64>() as f64 / count;
        let variance = samples.iter().map(|x| x * x).sum::<i64>() as f64 / count;
        assert!(mean.abs() < 5.0 * 4.0 / count.sqrt(), "mean {mean}");
        assert!((variance - 16.0).abs() < 0.5, "variance {variance}");
        for (word, sample) in words.iter().zip(samples.iter()) {
            assert_eq!(i64::from(word.count_ones()) - 32, *sample);
        }
        let narrow = centred_binomial(&mut prg(5), 21, 1 << 16);
        let variance = narrow.iter().map(|x| x * x).sum::<i64>() as f64 / count;
        assert!((variance - 10.5).abs() < 0.4, "variance {variance}");
        assert!(narrow.iter().all(|x| x.abs() <= 21));
    }

    #[test]
    fn ternary_takes_three_values_equally_often() {
        let samples = ternary(&mut prg(6), 30_000);
        for value in -1..=1 {
            let share = samples.iter().filter(|&&x| x == value).count();
            assert!((9_500..10_500).contains(&share), "{value}: {share}");
        }
    }

    #[test]
    fn uniform_is_uniform_modulo_the_sealed_sum_modulus() {
        let words = uniform(&mut prg(7), Modulus::new(MODULUS), 1 << 16);
        let mut bins = [0_u32; 16];
        for &word in words.words() {
            assert!(word < MODULUS);
            bins[(word >> 58) as usize] += 1;
        }
        let chi_square: f64 = bins
            .iter()
            .map(|&x| (f64::from(x) - 4096.0).powi(2) / 4096.0)
            .sum();
        assert!(
            chi_square < 45.0,
            "chi-square with 15 degrees of freedom: {chi_square}"
        );
    }
}
