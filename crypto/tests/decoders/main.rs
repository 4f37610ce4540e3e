//! Any bytes are a value or an error: what the fuzz targets run, on a few inputs in every test.

#[path = "../../fuzz/src/ckks.rs"]
mod ckks;
#[path = "../../fuzz/src/decoder.rs"]
#[expect(dead_code, reason = "the wire forms have one form each")]
mod decoder;
#[path = "../../fuzz/src/edits.rs"]
mod edits;
mod properties;
#[path = "../../fuzz/src/sealed_sum.rs"]
mod sealed_sum;

use crypto::sealed_sum::DealerVerdict;
use decoder::Decoder;
use edits::edited;
use proptest::prelude::*;

fn decoders() -> impl Iterator<Item = &'static Decoder> {
    ckks::ALL.into_iter().chain(sealed_sum::ALL)
}

#[test]
fn an_honest_sum_opens_and_an_altered_bit_above_the_noise_is_seen() {
    assert!(sealed_sum::opens_altered(&[]));
    assert!(
        sealed_sum::opens_altered(&[2, 40, 0, 0, 0, 0, 0, 0]),
        "a bit of noise"
    );
    // Bits far above the noise: of the first chunk, and of the tag's.
    for place in [101, 40_005_u32] {
        let [a, b, c, d] = place.to_le_bytes();
        assert!(!sealed_sum::opens_altered(&[2, a, b, c, d, 3, 0, 0]));
    }
}

#[test]
fn a_dealer_is_judged_under_every_threshold() {
    let answers: Vec<u8> = (1..=9)
        .flat_map(|id| [&[id][..], &[3; 16]].concat())
        .collect();
    for threshold in 0..=u8::MAX {
        let verdict = sealed_sum::judge(&[&[threshold], &answers[..]].concat());
        let expected = match threshold {
            // Equal answers lie on the polynomial of degree 0.
            1..9 => DealerVerdict::Consistent,
            9.. => DealerVerdict::TooFew,
            0 => continue,
        };
        assert_eq!(verdict, Some(expected), "{threshold}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn an_altered_sum_opens_to_the_true_values_or_not_at_all(
        script in prop::collection::vec(any::<u8>(), 8..32),
    ) {
        sealed_sum::opens_altered(&script);
    }

    #[test]
    fn any_answers_are_judged(
        threshold in 0..12_u8,
        answers in prop::collection::vec((0..12_u8, any::<[u8; 16]>()), 0..20),
    ) {
        let records = answers.iter().flat_map(|(id, answer)| [&[*id][..], answer].concat());
        sealed_sum::judge(&std::iter::once(threshold).chain(records).collect::<Vec<_>>());
    }
}

#[test]
fn edits_change_what_they_say() {
    let bytes: Vec<u8> = (0..32).collect();
    assert_eq!(edited(&bytes, &[]), bytes);
    assert_eq!(edited(&bytes, &[4, 5, 0, 0, 0, 0, 0, 0]), bytes[..5]);
    let mut flipped = bytes.clone();
    flipped[9] ^= 8;
    assert_eq!(edited(&bytes, &[2, 9, 0, 0, 0, 3, 0, 0]), flipped);
    let word = [&bytes[..8], &[0xff; 8], &bytes[16..]].concat();
    assert_eq!(edited(&bytes, &[3, 9, 0, 0, 0, 2, 3, 0]), word);
    // At the end there is room for nothing.
    assert_eq!(edited(&bytes, &[3, 32, 0, 0, 0, 2, 3, 0]), bytes);
}
