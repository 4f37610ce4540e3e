//! Property 1 of PROTOCOL 8: the opened sum is the integer sum, whatever the values and the coins.

use rayon::prelude::*;

use super::super::mask::{ChunkBuffers, MaskKey, RingSecret, seal_chunk};
use super::super::parameters::NOISE_BOUND;
use super::super::shamir::Dealing;
use super::*;

/// Property 1: the sum is the integer sum, for random values and with every value and digit at its largest.
#[test]
fn sum_is_exact_at_random_and_at_the_extremes() {
    for joined in [2, 3, 10, 100, 127] {
        for format in [FieldFormat::TwoBy24, FieldFormat::ThreeBy16] {
            for extreme in [false, true] {
                let shape = SumShape::new(1000, &[1, 7, 3], format, joined).expect("a valid shape");
                let setting = Setting::new(shape, 2);
                let bits = setting.shape.value_bits();
                let messages: Vec<Vec<u64>> = (0..joined as u64)
                    .map(|stream| {
                        let mut fields = if extreme {
                            vec![(1 << bits) - 1; 1000]
                        } else {
                            random_words(stream, 1000, bits)
                                .iter()
                                .map(|&u| u.max(1))
                                .collect()
                        };
                        fields.push(1);
                        let digits = if extreme {
                            vec![255; 10]
                        } else {
                            random_words(stream + 200, 10, 8)
                        };
                        fields.extend(digits);
                        fields
                    })
                    .collect();
                let contributions: Vec<_> = messages
                    .par_iter()
                    .enumerate()
                    .map(|(place, fields)| setting.seal_fields(place + 1, fields))
                    .collect();
                let (sum, answers) = gather(&contributions, joined);
                let result = opened(open(&setting.round(), joined, &sum, &answers));
                let total = |index: usize| messages.iter().map(|fields| fields[index]).sum::<u64>();
                assert!(
                    result
                        .values
                        .iter()
                        .enumerate()
                        .all(|(index, &value)| u64::from(value) == total(index))
                );
                let digits = |from: usize, to: usize| {
                    (from..to).rev().fold(0, |sum, k| sum * 256 + total(k))
                };
                assert_eq!(
                    result.counters,
                    [joined as u64, digits(1001, 1008), digits(1008, 1011)]
                );
                assert!(result.largest_noise <= 32 * joined as u32);
            }
        }
    }
}

/// Property 1, the noise: 127 secrets and noises that all are at one end of their range, and the largest message.
#[test]
fn sum_is_exact_when_all_noise_is_at_its_bound() {
    let joined = MAX_HOSPITALS;
    let shape = SumShape::new(8191, &[1], FieldFormat::TwoBy24, joined).expect("a valid shape");
    let mut fields = vec![(1 << shape.value_bits()) - 1; 8191];
    fields.push(1);
    let message = packed(&shape, &fields);
    let setting = Setting::new(shape, 85);
    let mut buffers = ChunkBuffers::new();
    let keystream = &mut buffers.keystream;
    let tag_key = &setting.tag_key;
    let part = tag_key.of_chunk(&setting.shape, 0, message.words(), keystream);
    let tags = tag_key.of_sum(&[part], message.fields());
    let mut tag_words = [0; RING_DEGREE];
    // With the largest padding.
    for (word, tag) in tag_words.iter_mut().zip(*tags) {
        *word = tag + ((1 << 31) - 1) * 1023;
    }
    for sign in [-1, 1] {
        let coins = vec![sign * i64::from(NOISE_BOUND); RING_DEGREE];
        let secret = RingSecret::new(&setting.ring, &coins);
        let mask_key = MaskKey::new(&HEADER);
        // Words of only tails or heads.
        let noise = vec![if sign < 0 { 0 } else { u64::MAX }; RING_DEGREE];
        let mut bytes = vec![0; 2 * CHUNK_BYTES];
        let words = [message.words(), &tag_words];
        for (chunk, (bytes, words)) in bytes.chunks_mut(CHUNK_BYTES).zip(words).enumerate() {
            let mask = &mut buffers.mask;
            setting.ring.mask(&mask_key, chunk, &secret, mask);
            seal_chunk(mask, words, &noise, bytes);
        }
        let key = |byte| SecretKey32::from_bytes([byte; 32]);
        let shares = Dealing::new(&coins, 85, &key(1), &key(2)).share_out(&hospitals(joined));
        // All contributors made the same contribution; nothing in the sum depends on that.
        let mut sum = RunningSum::new(2);
        for _ in 0..joined {
            sum.add(&bytes).expect("valid words");
        }
        let answers: Vec<_> = shares
            .iter()
            .map(|(id, share)| (*id, add_shares(std::iter::repeat_n(share, joined))))
            .collect();
        let result = opened(open(&setting.round(), joined, sum.as_bytes(), &answers));
        assert!(
            result
                .values
                .iter()
                .all(|&value| u64::from(value) == fields[0] * joined as u64)
        );
        assert_eq!(result.counters, [127]);
        assert_eq!(result.largest_noise, 4064);
    }
}
