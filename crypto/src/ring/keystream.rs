//! `prg(key, stream)` of PROTOCOL 3.1 from any block on: ChaCha20 in bulk. Half of what a sealed sum costs is this.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use zeroize::Zeroizing;

use crate::hash::SecretKey32;

/// Words of one block of ChaCha20.
pub(crate) const BLOCK_WORDS: usize = 8;

/// Writes the words of a stream from block `first_block` on: the bytes of [`Prg`](super::Prg), little-endian.
pub(crate) fn fill_keystream(key: &SecretKey32, stream: u64, first_block: u64, words: &mut [u64]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V4::try_new() {
        avx512::fill(simd, key, stream, first_block, words);
        return;
    }
    fill_portably(key, stream, first_block, words);
}

fn fill_portably(key: &SecretKey32, stream: u64, first_block: u64, words: &mut [u64]) {
    let mut generator = ChaCha20Rng::from_seed(*key.as_bytes());
    generator.set_stream(stream);
    generator.set_word_pos(16 * u128::from(first_block));
    let mut block = Zeroizing::new([0_u8; 1024]);
    for words in words.chunks_mut(block.len() / 8) {
        generator.fill_bytes(&mut *block);
        for (word, bytes) in words.iter_mut().zip(block.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
    }
    // The generator cannot erase itself: its key and its buffer are overwritten by those of a public one.
    generator = ChaCha20Rng::from_seed([0; 32]);
    std::hint::black_box(&generator);
}

/// Sixteen blocks at a time, one in each 32-bit lane: five times as fast as the portable generator, whose widest
/// registers have 256 bits.
#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::__m512i;

    use pulp::x86::V4;
    use zeroize::{Zeroize, Zeroizing};

    use super::BLOCK_WORDS;
    use crate::hash::SecretKey32;

    const BLOCKS: usize = 16;
    /// More than the work takes of the stack: 2.1 KB in a build for release, 5 KB without all optimisation.
    const WIPED_BYTES: usize = 8192;

    pub fn fill(simd: V4, key: &SecretKey32, stream: u64, first_block: u64, words: &mut [u64]) {
        let state = initial_state(key, stream);
        simd.vectorize(
            #[inline(always)]
            || {
                let mut block = first_block;
                for words in words.chunks_mut(BLOCKS * BLOCK_WORDS) {
                    let bytes = sixteen_blocks(simd, &state, block);
                    let (whole, rest) = words.as_chunks_mut::<BLOCK_WORDS>();
                    for (words, bytes) in whole.iter_mut().zip(bytes) {
                        *words = pulp::cast(bytes);
                    }
                    if let Some(&last) = bytes.get(whole.len()) {
                        let last: [u64; BLOCK_WORDS] = pulp::cast(last);
                        rest.copy_from_slice(&last[..rest.len()]);
                    }
                    block += BLOCKS as u64;
                }
            },
        );
        simd.vectorize(
            #[inline(always)]
            || wipe_stack(simd),
        );
    }

    /// Overwrites what lies deeper on the stack than the caller: where the work of a call before had key and stream, in whatever
    /// the compiler kept them.
    #[inline(always)]
    fn wipe_stack(simd: V4) {
        let mut depth = [simd.avx512f._mm512_setzero_si512(); WIPED_BYTES / 64];
        depth.zeroize();
        std::hint::black_box(&depth);
    }

    /// RFC 8439, 2.3, but for the 64-bit counter and the 64-bit stream in place of the nonce.
    fn initial_state(key: &SecretKey32, stream: u64) -> Zeroizing<[u32; 16]> {
        let mut state = Zeroizing::new([0; 16]);
        state[..4].copy_from_slice(&[0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574]);
        for (word, bytes) in state[4..12]
            .iter_mut()
            .zip(key.as_bytes().as_chunks::<4>().0)
        {
            *word = u32::from_le_bytes(*bytes);
        }
        state[14] = stream as u32;
        state[15] = (stream >> 32) as u32;
        state
    }

    #[inline(always)]
    fn sixteen_blocks(simd: V4, state: &[u32; 16], first_block: u64) -> [__m512i; BLOCKS] {
        let counter = |lane: usize| first_block + lane as u64;
        let low: [u32; 16] = std::array::from_fn(|lane| counter(lane) as u32);
        let high: [u32; 16] = std::array::from_fn(|lane| (counter(lane) >> 32) as u32);
        let mut start = [simd.avx512f._mm512_setzero_si512(); 16];
        for (start, &word) in start.iter_mut().zip(state) {
            *start = simd.avx512f._mm512_set1_epi32(word as i32);
        }
        start[12] = pulp::cast(low);
        start[13] = pulp::cast(high);

        let mut x = start;
        for _ in 0..10 {
            for [a, b, c, d] in [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15]] {
                quarter_round(simd, &mut x, a, b, c, d);
            }
            for [a, b, c, d] in [[0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14]] {
                quarter_round(simd, &mut x, a, b, c, d);
            }
        }
        for (x, start) in x.iter_mut().zip(start) {
            *x = simd.avx512f._mm512_add_epi32(*x, start);
        }
        transpose(simd, x)
    }

    #[inline(always)]
    fn quarter_round(simd: V4, x: &mut [__m512i; 16], a: usize, b: usize, c: usize, d: usize) {
        let f = simd.avx512f;
        x[a] = f._mm512_add_epi32(x[a], x[b]);
        x[d] = f._mm512_rol_epi32::<16>(f._mm512_xor_si512(x[d], x[a]));
        x[c] = f._mm512_add_epi32(x[c], x[d]);
        x[b] = f._mm512_rol_epi32::<12>(f._mm512_xor_si512(x[b], x[c]));
        x[a] = f._mm512_add_epi32(x[a], x[b]);
        x[d] = f._mm512_rol_epi32::<8>(f._mm512_xor_si512(x[d], x[a]));
        x[c] = f._mm512_add_epi32(x[c], x[d]);
        x[b] = f._mm512_rol_epi32::<7>(f._mm512_xor_si512(x[b], x[c]));
    }

    /// From one register for each word of a block to one for each block.
    #[inline(always)]
    fn transpose(simd: V4, x: [__m512i; 16]) -> [__m512i; BLOCKS] {
        let f = simd.avx512f;
        // Within each group of four words: register 4 g + r has, in quarter l, words 4 g to 4 g + 3 of block 4 l + r.
        let mut quarters = x;
        for group in quarters.as_chunks_mut::<4>().0 {
            let [a, b, c, d] = *group;
            let (low_ab, high_ab) = (f._mm512_unpacklo_epi32(a, b), f._mm512_unpackhi_epi32(a, b));
            let (low_cd, high_cd) = (f._mm512_unpacklo_epi32(c, d), f._mm512_unpackhi_epi32(c, d));
            *group = [
                f._mm512_unpacklo_epi64(low_ab, low_cd),
                f._mm512_unpackhi_epi64(low_ab, low_cd),
                f._mm512_unpacklo_epi64(high_ab, high_cd),
                f._mm512_unpackhi_epi64(high_ab, high_cd),
            ];
        }
        let mut blocks = quarters;
        for r in 0..4 {
            let [a, b, c, d] = [0, 4, 8, 12].map(|group| quarters[group + r]);
            let low_ab = f._mm512_shuffle_i32x4::<0x44>(a, b);
            let high_ab = f._mm512_shuffle_i32x4::<0xee>(a, b);
            let low_cd = f._mm512_shuffle_i32x4::<0x44>(c, d);
            let high_cd = f._mm512_shuffle_i32x4::<0xee>(c, d);
            blocks[r] = f._mm512_shuffle_i32x4::<0x88>(low_ab, low_cd);
            blocks[4 + r] = f._mm512_shuffle_i32x4::<0xdd>(low_ab, low_cd);
            blocks[8 + r] = f._mm512_shuffle_i32x4::<0x88>(high_ab, high_cd);
            blocks[12 + r] = f._mm512_shuffle_i32x4::<0xdd>(high_ab, high_cd);
        }
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keystream_is_that_of_the_generator(
            key: [u8; 32],
            stream: u64,
            first_block in 0..40_u64,
            length in 0..700_usize,
        ) {
            let key = SecretKey32::from_bytes(key);
            let skipped = first_block as usize * BLOCK_WORDS;
            let mut bytes = vec![0; 8 * (skipped + length)];
            let mut generator = ChaCha20Rng::from_seed(*key.as_bytes());
            generator.set_stream(stream);
            generator.fill_bytes(&mut bytes);
            let all = bytes.as_chunks::<8>().0.iter().copied().map(u64::from_le_bytes);
            let expected: Vec<u64> = all.skip(skipped).collect();
            for fill in [fill_keystream, fill_portably] {
                let mut words = vec![0; length];
                fill(&key, stream, first_block, &mut words);
                prop_assert_eq!(&words, &expected);
            }
        }
    }

    /// Of the path with AVX-512: neither the stream nor the key in the registers' form, each of its words sixteen times, stays on the stack.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    #[test]
    fn nothing_stays_on_the_stack() {
        use side_channels::memory::Needle;

        let Some(simd) = pulp::x86::V4::try_new() else {
            return;
        };
        let key = [0x5a, 0x17, 0xc3, 0x88]
            .repeat(8)
            .try_into()
            .expect("32 bytes");
        let key = SecretKey32::from_bytes(key);
        for length in [16 * BLOCK_WORDS, 5 * BLOCK_WORDS + 3] {
            let mut words = vec![0; length];
            avx512::fill(simd, &key, 7, 3, &mut words);
            let mut needles: Vec<_> = words
                .chunks_exact(4)
                .map(|words| Needle::from_words(words.iter().copied()))
                .collect();
            needles.push(Needle::from_words(std::iter::repeat_n(
                0x88c3_175a_88c3_175a,
                8,
            )));
            words.fill(0);
            avx512::fill(simd, &key, 7, 3, &mut words);
            words.fill(0);
            std::hint::black_box(&words);
            let found: Vec<usize> = needles.iter().map(Needle::occurrences).collect();
            assert!(
                found.iter().all(|found| *found == 0),
                "{length} words: {found:?}"
            );
        }
    }

    /// The counter has 64 bits: its upper half counts where the lower one ends, in the midst of sixteen blocks.
    #[test]
    fn counter_carries_into_its_upper_half() {
        let key = SecretKey32::from_bytes([3; 32]);
        let first_block = (1 << 32) - 5;
        let mut fast = vec![0; 32 * BLOCK_WORDS];
        let mut portable = fast.clone();
        fill_keystream(&key, 9, first_block, &mut fast);
        fill_portably(&key, 9, first_block, &mut portable);
        assert_eq!(fast, portable);
    }
}
