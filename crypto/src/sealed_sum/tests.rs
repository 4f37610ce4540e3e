//! Whole sums: the properties of PROTOCOL 8 that need more than one part.

use rayon::prelude::*;

use super::parameters::NOISE_BOUND;
use super::seal::{mask_chunk, mask_key};
use super::*;
use crate::hash::{Digest, SecretKey32, sha256};
use crate::ring::{Coefficients, Modulus, Prg};

const HEADER: Digest = [3; 32];
const EQUAL: Weight = Weight { own: 1, largest: 1 };

fn hospital(number: usize) -> HospitalId {
    HospitalId::new(u8::try_from(number).expect("below 128")).expect("not 0")
}

fn hospitals(count: usize) -> Vec<HospitalId> {
    (1..=count).map(hospital).collect()
}

fn seal_one(
    ring: &SumRing,
    id: usize,
    message: &PackedMessage,
    t: usize,
    joined: usize,
) -> Contribution {
    let seed = Seed::from_bytes([id as u8; 32]);
    seal(
        ring,
        &HEADER,
        hospital(id),
        0,
        &seed,
        message,
        t,
        &hospitals(joined),
    )
    .expect("seals")
}

/// The sum of the contributions, and the answers of `joined` hospitals.
fn gather(
    contributions: &[Contribution],
    joined: usize,
) -> (Vec<u8>, Vec<(HospitalId, UnlockVector)>) {
    let mut sum = RunningSum::new(contributions[0].chunks.len() / CHUNK_BYTES);
    for contribution in contributions {
        sum.add(&contribution.chunks).expect("valid words");
    }
    let answers = (0..joined)
        .map(|place| {
            let held = contributions
                .iter()
                .map(|contribution| &contribution.shares[place].1);
            (hospital(place + 1), add_shares(held))
        })
        .collect();
    (sum.into_bytes(), answers)
}

/// `count` numbers of `bits` bits from one stream.
fn random_words(stream: u64, count: usize, bits: u32) -> Vec<u64> {
    let mut bytes = vec![0; count * 8];
    Prg::new(&SecretKey32::from_bytes([77; 32]), stream).fill(&mut bytes);
    let words = bytes
        .as_chunks::<8>()
        .0
        .iter()
        .copied()
        .map(u64::from_le_bytes);
    words.map(|word| word >> (64 - bits)).collect()
}

/// Packs field values as they are: what `pack` does after quantising.
fn packed(shape: &SumShape, fields: &[u64]) -> PackedMessage {
    let per_word = shape.format().fields();
    let mut words = vec![0; shape.chunks() * RING_DEGREE];
    for (index, field) in fields.iter().enumerate() {
        words[index / per_word] |=
            field << ((index % per_word) as u32 * shape.format().field_bits());
    }
    PackedMessage::from_words(words, shape.joined())
}

fn opened(result: Result<OpenedSum, OpenError>) -> OpenedSum {
    result.unwrap_or_else(|refused| panic!("the sum did not open: {refused}"))
}

/// Property 1: the sum is the integer sum, for random values and with every value and digit at its largest.
#[test]
fn sum_is_exact_at_random_and_at_the_extremes() {
    let ring = SumRing::new();
    for joined in [2, 3, 10, 100, 127] {
        for format in [FieldFormat::TwoBy24, FieldFormat::ThreeBy16] {
            for extreme in [false, true] {
                let shape = SumShape::new(1000, &[1, 7, 3], format, joined).expect("a valid shape");
                let bits = shape.value_bits();
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
                    .map(|(place, fields)| {
                        seal_one(&ring, place + 1, &packed(&shape, fields), 2, joined)
                    })
                    .collect();
                let (sum, answers) = gather(&contributions, joined);
                let result = opened(open(&ring, &HEADER, &shape, joined, 2, &sum, &answers));
                let total = |index: usize| messages.iter().map(|fields| fields[index]).sum::<u64>();
                assert!(
                    result
                        .values
                        .iter()
                        .enumerate()
                        .all(|(index, &value)| value == total(index))
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
    let ring = SumRing::new();
    let joined = MAX_HOSPITALS;
    let shape = SumShape::new(8191, &[1], FieldFormat::TwoBy24, joined).expect("a valid shape");
    let mut fields = vec![(1 << shape.value_bits()) - 1; 8191];
    fields.push(1);
    let message = packed(&shape, &fields);
    for sign in [-1, 1] {
        let coins = vec![sign * i64::from(NOISE_BOUND); RING_DEGREE];
        let modulus = Modulus::new(MODULUS);
        let secret = ring.plan.forward(Coefficients::from_small(&coins, modulus));
        let mut bytes = vec![0; CHUNK_BYTES];
        let mask = ring.mask(&mask_key(&HEADER), 0);
        mask_chunk(&ring, &secret, mask, message.words(), &coins, &mut bytes);
        let key = SecretKey32::from_bytes([1; 32]);
        let shares = shamir::share_out(&coins, 85, &hospitals(joined), &key);
        // All contributors made the same contribution; nothing in the sum depends on that.
        let mut sum = RunningSum::new(1);
        for _ in 0..joined {
            sum.add(&bytes).expect("valid words");
        }
        let answers: Vec<_> = shares
            .iter()
            .map(|(id, share)| (*id, add_shares(std::iter::repeat_n(share, joined))))
            .collect();
        let result = opened(open(
            &ring,
            &HEADER,
            &shape,
            joined,
            85,
            sum.as_bytes(),
            &answers,
        ));
        assert!(
            result
                .values
                .iter()
                .all(|&value| value == fields[0] * joined as u64)
        );
        assert_eq!(result.counters, [127]);
        assert_eq!(result.largest_noise, 4064);
    }
}

/// A real round at the threshold of ten hospitals: eight contribute, all ten answer.
struct Round {
    ring: SumRing,
    shape: SumShape,
    clips: Vec<ClippedTensor>,
    updates: Vec<Vec<f64>>,
    sum: Vec<u8>,
    answers: Vec<(HospitalId, UnlockVector)>,
}

const JOINED: usize = 10;
const CONTRIBUTORS: usize = 8;

impl Round {
    fn new() -> Self {
        let ring = SumRing::new();
        let shape =
            SumShape::new(9000, &[3, 3], FieldFormat::TwoBy24, JOINED).expect("a valid shape");
        let clips = vec![
            ClippedTensor {
                values: 4000,
                clip: 0.25,
            },
            ClippedTensor {
                values: 5000,
                clip: 2.0,
            },
        ];
        let updates: Vec<Vec<f64>> = (0..CONTRIBUTORS as u64)
            .map(|stream| {
                let words = random_words(stream, 9000, 53);
                words
                    .iter()
                    .map(|&word| (word as f64 / 2_f64.powi(52) - 1.0) / 4.0)
                    .collect()
            })
            .collect();
        let contributions: Vec<_> = updates
            .iter()
            .enumerate()
            .map(|(place, update)| {
                let counters = [1, 100 + place as u64];
                let (message, _) = pack(&shape, update, &clips, EQUAL, &counters).expect("packs");
                seal_one(&ring, place + 1, &message, threshold(JOINED), JOINED)
            })
            .collect();
        let (sum, answers) = gather(&contributions, JOINED);
        Self {
            ring,
            shape,
            clips,
            updates,
            sum,
            answers,
        }
    }

    fn answers(&self, places: impl IntoIterator<Item = usize>) -> Vec<(HospitalId, UnlockVector)> {
        let copy = |place: usize| {
            let (id, vector) = &self.answers[place];
            (
                *id,
                UnlockVector::from_bytes(&vector.to_bytes()).expect("valid"),
            )
        };
        places.into_iter().map(copy).collect()
    }

    fn open(
        &self,
        sum: &[u8],
        answers: &[(HospitalId, UnlockVector)],
    ) -> Result<OpenedSum, OpenError> {
        open(
            &self.ring,
            &HEADER,
            &self.shape,
            CONTRIBUTORS,
            threshold(JOINED),
            sum,
            answers,
        )
    }

    fn refusal(&self, sum: &[u8], answers: &[(HospitalId, UnlockVector)]) -> OpenError {
        self.open(sum, answers).err().expect("must not open")
    }
}

/// The answer with one element changed by one.
fn off_by_one(answer: &UnlockVector, element: usize) -> UnlockVector {
    let mut bytes = answer.to_bytes();
    let pair = [bytes[2 * element], bytes[2 * element + 1]];
    let changed = (u32::from(u16::from_le_bytes(pair)) + 1) % SHARE_MODULUS;
    bytes[2 * element..2 * element + 2].copy_from_slice(&(changed as u16).to_le_bytes());
    UnlockVector::from_bytes(&bytes).expect("still below p")
}

/// Property 2, and the mean: any seven answers, also of the two that did not contribute.
#[test]
fn any_threshold_of_answers_opens_the_same_mean() {
    let round = Round::new();
    let mut means = vec![];
    for places in [
        vec![0, 1, 2, 3, 4, 5, 6],
        vec![9, 8, 7, 3, 5, 1, 0],
        (0..10).collect(),
    ] {
        let result = opened(round.open(&round.sum, &round.answers(places)));
        assert_eq!(result.counters, [8, (100..108).sum()]);
        let mean = result.mean(&round.shape, &round.clips, 1, CONTRIBUTORS as u64);
        means.push(mean.expect("the clips of the shape"));
    }
    assert_eq!(means[0], means[1]);
    assert_eq!(means[0], means[2]);
    for (index, mean) in means[0].iter().enumerate() {
        let exact = round
            .updates
            .iter()
            .map(|update| update[index])
            .sum::<f64>()
            / 8.0;
        let clip = if index < 4000 { 0.25 } else { 2.0 };
        let step = clip / f64::from((1 << 19) - 1);
        assert!(
            (mean - exact).abs() <= step / 2.0 * 1.000_001,
            "value {index}"
        );
    }
}

#[test]
fn weights_make_a_weighted_mean() {
    let ring = SumRing::new();
    let shape = SumShape::new(1, &[1], FieldFormat::TwoBy24, 2).expect("a valid shape");
    let clips = [ClippedTensor {
        values: 1,
        clip: 1.0,
    }];
    let contributions: Vec<_> = [(1, 0.5, 3), (2, -0.25, 1)]
        .into_iter()
        .map(|(id, value, own)| {
            let weight = Weight { own, largest: 3 };
            let (message, _) = pack(&shape, &[value], &clips, weight, &[1]).expect("packs");
            seal_one(&ring, id, &message, 2, 2)
        })
        .collect();
    let (sum, answers) = gather(&contributions, 2);
    let result = opened(open(&ring, &HEADER, &shape, 2, 2, &sum, &answers));
    let mean = result.mean(&shape, &clips, 3, 4).expect("weights 3 and 1")[0];
    assert!((mean - (3.0 * 0.5 - 0.25) / 4.0).abs() < 1e-6, "{mean}");
}

#[test]
fn a_mean_of_another_sum_is_refused() {
    let round = Round::new();
    let result = opened(round.open(&round.sum, &round.answers(0..7)));
    assert_eq!(result.contributors, CONTRIBUTORS);
    let refusal = |shape: &SumShape, clips: &[ClippedTensor], largest, sum| {
        result.mean(shape, clips, largest, sum).err()
    };
    let (shape, clips) = (&round.shape, &round.clips);
    for (largest, sum) in [(1, 8), (3, 8), (3, 24)] {
        assert_eq!(refusal(shape, clips, largest, sum), None);
    }
    for (largest, sum) in [(1, 0), (1, 7), (1, 9), (3, 25), (0, 0), (0, 8)] {
        let contributors = CONTRIBUTORS;
        let weights = SumError::WeightSum {
            sum,
            contributors,
            largest,
        };
        assert_eq!(refusal(shape, clips, largest, sum), Some(weights));
    }
    assert!(matches!(
        refusal(shape, &clips[..1], 1, 8),
        Some(SumError::Count { .. })
    ));
    for clip in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let mut clips = clips.clone();
        clips[1].clip = clip;
        let refused = refusal(shape, &clips, 1, 8);
        assert_eq!(refused, Some(SumError::Clip { tensor: 1 }));
    }
    let shorter = SumShape::new(4000, &[3, 3], shape.format(), JOINED).expect("a valid shape");
    assert!(matches!(
        refusal(&shorter, &clips[..1], 1, 8),
        Some(SumError::Count { .. })
    ));
}

/// Property 4: the smallest error in any one coefficient of a share.
#[test]
fn a_share_off_by_one_is_refused_or_left_out() {
    let round = Round::new();
    for (place, element) in [(0, 0), (3, 77), (6, 4095)] {
        let mut answers = round.answers(0..7);
        answers[place].1 = off_by_one(&answers[place].1, element);
        let refused = round.refusal(&round.sum, &answers);
        assert!(
            matches!(refused, OpenError::SecretDoesNotFit { tried: 1, .. }),
            "{refused}"
        );
        // With one to spare the wrong one is found wherever it is.
        answers.extend(round.answers(7..8));
        assert_eq!(opened(round.open(&round.sum, &answers)).counters[0], 8);
    }
    // Two wrong ones among nine, with two to spare. Not in the same element: errors there can cancel, and then the secret is right.
    let mut answers = round.answers(0..9);
    for place in [2, 5] {
        answers[place].1 = off_by_one(&answers[place].1, place);
    }
    assert_eq!(opened(round.open(&round.sum, &answers)).counters[0], 8);
    answers[0].1 = off_by_one(&answers[0].1, 0);
    assert!(matches!(
        round.refusal(&round.sum, &answers),
        OpenError::SecretDoesNotFit { tried: 36, .. }
    ));
}

/// Properties 3 and 4: too few answers, answers for another set, another header, another sum.
#[test]
fn what_does_not_belong_together_does_not_open() {
    let round = Round::new();
    let t = threshold(JOINED);
    let six = round.answers(0..6);
    assert_eq!(
        round.refusal(&round.sum, &six),
        OpenError::TooFewShares {
            found: 6,
            threshold: 7
        }
    );
    let six_for_six = open(
        &round.ring,
        &HEADER,
        &round.shape,
        CONTRIBUTORS,
        6,
        &round.sum,
        &six,
    );
    assert!(matches!(
        six_for_six.err(),
        Some(OpenError::SecretDoesNotFit { .. })
    ));

    let seven = round.answers(0..7);
    let mut other_header = HEADER;
    other_header[31] ^= 1;
    let refused = open(
        &round.ring,
        &other_header,
        &round.shape,
        CONTRIBUTORS,
        t,
        &round.sum,
        &seven,
    );
    assert!(matches!(
        refused.err(),
        Some(OpenError::SecretDoesNotFit { .. })
    ));

    let twice = round.answers([0, 1, 2, 3, 4, 5, 5]);
    let refused = round.refusal(&round.sum, &twice);
    assert_eq!(
        refused,
        OpenError::DuplicateShare {
            hospital: hospital(6)
        }
    );

    let wrong_count = open(&round.ring, &HEADER, &round.shape, 9, t, &round.sum, &seven);
    assert!(matches!(
        wrong_count.err(),
        Some(OpenError::ValueRange { .. } | OpenError::Contributions { .. })
    ));
    for contributors in [0, 11] {
        let refused = open(
            &round.ring,
            &HEADER,
            &round.shape,
            contributors,
            t,
            &round.sum,
            &seven,
        );
        assert_eq!(
            refused.err(),
            Some(OpenError::Contributors {
                contributors,
                joined: 10
            })
        );
    }
    for threshold in [0, 1, 128] {
        let refused = open(
            &round.ring,
            &HEADER,
            &round.shape,
            8,
            threshold,
            &round.sum,
            &seven,
        );
        assert_eq!(refused.err(), Some(OpenError::Threshold { threshold }));
    }
}

#[test]
fn a_sum_with_wrong_bytes_does_not_open() {
    let round = Round::new();
    let seven = round.answers(0..7);
    assert!(matches!(
        round.refusal(&round.sum[8..], &seven),
        OpenError::Sum(SumError::Length { .. })
    ));
    let mut outside = round.sum.clone();
    outside[8 * 5000..8 * 5001].copy_from_slice(&MODULUS.to_le_bytes());
    let word = SumError::Word {
        what: "sum",
        index: 5000,
    };
    assert_eq!(round.refusal(&outside, &seven), OpenError::Sum(word));

    // Half a step, in the first chunk and in a later one.
    for (chunk, word) in [(0, 17), (1, 4096 + 17)] {
        let mut sum = round.sum.clone();
        sum[8 * word + 1] ^= 0x10;
        let refused = round.refusal(&sum, &seven);
        match chunk {
            0 => assert!(matches!(refused, OpenError::SecretDoesNotFit { .. })),
            _ => assert_eq!(refused, OpenError::Noise { chunk }),
        }
    }

    // With shares to spare every choice of them is tried, though all give the same secret.
    let mut sum = round.sum.clone();
    sum[1] ^= 0x10;
    let refused = OpenError::SecretDoesNotFit {
        threshold: 7,
        found: 10,
        tried: 120,
    };
    assert_eq!(round.refusal(&sum, &round.answers(0..10)), refused);
}

/// A small secret that does not fit is looked at once, and what comes after it still is.
#[test]
fn a_small_wrong_secret_does_not_hide_the_right_one() {
    let ring = SumRing::new();
    let shape = SumShape::new(1, &[1], FieldFormat::TwoBy24, 6).expect("a valid shape");
    let message = packed(&shape, &[7, 1]);
    let contributions: Vec<_> = (1..=3)
        .map(|id| seal_one(&ring, id, &message, 2, 6))
        .collect();
    let (sum, mut answers) = gather(&contributions, 6);
    // Of answers that are 0 everywhere every two give the secret 0.
    for (_, answer) in &mut answers[..4] {
        *answer = UnlockVector::from_bytes(&[0; SHARE_BYTES]).expect("a valid vector");
    }
    let result = |answers| open(&ring, &HEADER, &shape, 3, 2, &sum, answers);
    assert_eq!(opened(result(&answers)).values, [21]);
    assert_eq!(
        result(&answers[..4]).err(),
        Some(OpenError::SecretDoesNotFit {
            threshold: 2,
            found: 4,
            tried: 6
        })
    );
}

/// A coordinator that shifts the message itself passes the noise check; the ranges are what is left (until the tag).
#[test]
fn sums_that_the_contributors_cannot_have_made_are_refused() {
    let ring = SumRing::new();
    let shape = SumShape::new(2, &[1, 2], FieldFormat::TwoBy24, 2).expect("a valid shape");
    let largest = (1 << shape.value_bits()) - 1;
    let refusal = |first: [u64; 6], second: [u64; 6]| {
        let contributions: Vec<_> = [(1, first), (2, second)]
            .iter()
            .map(|(id, fields)| seal_one(&ring, *id, &packed(&shape, fields), 2, 2))
            .collect();
        let (sum, answers) = gather(&contributions, 2);
        open(&ring, &HEADER, &shape, 2, 2, &sum, &answers).err()
    };
    let good = [5, largest, 1, 255, 255, 0];
    let with = |index: usize, field: u64| {
        let mut fields = good;
        fields[index] = field;
        fields
    };
    assert_eq!(refusal(good, good), None);
    assert_eq!(
        refusal(with(0, 1), with(0, 0)),
        Some(OpenError::ValueRange { index: 0 })
    );
    assert_eq!(
        refusal(good, with(1, largest + 1)),
        Some(OpenError::ValueRange { index: 1 })
    );
    assert_eq!(
        refusal(good, with(4, 256)),
        Some(OpenError::DigitRange { counter: 1 })
    );
    let miscounted = OpenError::Contributions { contributors: 2 };
    assert_eq!(refusal(good, with(2, 2)), Some(miscounted));
    assert_eq!(refusal(good, with(5, 1)), Some(OpenError::Padding));
}

#[test]
fn contribution_is_the_same_at_any_number_of_threads_and_changes_with_every_input() {
    let ring = SumRing::new();
    let shape = SumShape::new(20_000, &[1], FieldFormat::TwoBy24, 3).expect("a valid shape");
    let clips = [ClippedTensor {
        values: 20_000,
        clip: 1.0,
    }];
    let message = |value: f64| {
        let (message, _) = pack(&shape, &vec![value; 20_000], &clips, EQUAL, &[1]).expect("packs");
        message
    };
    let bytes = |header: u8, id: usize, attempt: u8, seed: u8, value: f64| {
        let seed = Seed::from_bytes([seed; 32]);
        let id = hospital(id);
        let message = message(value);
        let contribution = seal(
            &ring,
            &[header; 32],
            id,
            attempt,
            &seed,
            &message,
            2,
            &hospitals(3),
        )
        .expect("seals");
        let mut bytes = contribution.chunks;
        for (_, share) in contribution.shares {
            bytes.extend_from_slice(&share.to_bytes());
        }
        bytes
    };
    let reference = bytes(1, 1, 0, 1, 0.0);
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("a pool");
        assert_eq!(pool.install(|| bytes(1, 1, 0, 1, 0.0)), reference);
    }
    // Shares are at the end: they must all differ too, as everything is derived anew.
    let shares = reference.len() - 3 * SHARE_BYTES;
    for other in [
        bytes(2, 1, 0, 1, 0.0),
        bytes(1, 2, 0, 1, 0.0),
        bytes(1, 1, 1, 1, 0.0),
        bytes(1, 1, 0, 2, 0.0),
        bytes(1, 1, 0, 1, 0.5),
    ] {
        let equal_words = reference
            .as_chunks::<8>()
            .0
            .iter()
            .zip(other.as_chunks::<8>().0)
            .filter(|(a, b)| a == b);
        assert_eq!(equal_words.count(), 0);
        assert_ne!(reference[shares..], other[shares..]);
    }
}

/// One contribution byte for byte. The expected values come from an independent program that follows PROTOCOL 3.1 to
/// 3.5 from the text: its own ChaCha20 and HKDF, and the product of polynomials as one of large integers.
#[test]
fn contribution_is_that_of_the_specification() {
    let joined = [1, 5, 7, 127].map(hospital);
    let shape = SumShape::new(8200, &[3, 2], FieldFormat::TwoBy24, 4).expect("a valid shape");
    let clips = [
        ClippedTensor {
            values: 5000,
            clip: 0.25,
        },
        ClippedTensor {
            values: 3200,
            clip: 1.5,
        },
    ];
    let values: Vec<f64> = (0..8200)
        .map(|i| f64::from(i * 37 % 101 - 50) / 64.0)
        .collect();
    let weight = Weight { own: 3, largest: 4 };
    let (message, _) = pack(&shape, &values, &clips, weight, &[1, 70_000]).expect("packs");
    let (ring, seed) = (SumRing::new(), Seed::from_bytes([9; 32]));
    let contribution =
        seal(&ring, &HEADER, hospital(5), 2, &seed, &message, 3, &joined).expect("seals");

    let mask = ring.plan.inverse(ring.mask(&mask_key(&HEADER), 0));
    assert_eq!(mask.words()[0], 1_728_960_086_900_248_118);
    assert_eq!(mask.words()[4095], 1_490_865_634_682_219_960);
    let shares: Vec<u8> = contribution
        .shares
        .iter()
        .flat_map(|(_, share)| share.to_bytes().to_vec())
        .collect();
    for (bytes, expected) in [
        (
            &contribution.chunks,
            "9877e9405790306ab647f8ac702630711cbf2a88cd32f7baf7576f966c40d5fd",
        ),
        (
            &shares,
            "4daf1778f1af37bb905b4655645ed21397b84399acc902165913fb36b024b711",
        ),
    ] {
        let digest = sha256(bytes);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }
}

#[test]
fn recipients_must_be_distinct_enough_and_include_the_sender() {
    let ring = SumRing::new();
    let shape = SumShape::new(0, &[1], FieldFormat::TwoBy24, 3).expect("a valid shape");
    let (message, _) = pack(&shape, &[], &[], EQUAL, &[1]).expect("packs");
    let refusal = |t: usize, joined: &[HospitalId]| {
        let seed = Seed::from_bytes([1; 32]);
        seal(&ring, &HEADER, hospital(1), 0, &seed, &message, t, joined).err()
    };
    assert_eq!(refusal(2, &hospitals(3)), None);
    assert_eq!(
        refusal(1, &hospitals(3)),
        Some(SumError::Threshold {
            threshold: 1,
            joined: 3
        })
    );
    assert_eq!(
        refusal(4, &hospitals(3)),
        Some(SumError::Threshold {
            threshold: 4,
            joined: 3
        })
    );
    assert_eq!(
        refusal(2, &hospitals(1)),
        Some(SumError::Joined { joined: 1 })
    );
    let twice = [hospital(1), hospital(2), hospital(2)];
    assert_eq!(
        refusal(2, &twice),
        Some(SumError::Duplicate {
            hospital: hospital(2)
        })
    );
    for joined in [2, 4] {
        assert_eq!(
            refusal(2, &hospitals(joined)),
            Some(SumError::PackedForOthers { packed: 3, joined })
        );
    }
    let without = [hospital(2), hospital(3)];
    assert_eq!(
        refusal(2, &without),
        Some(SumError::NotJoined {
            hospital: hospital(1)
        })
    );
}

#[test]
fn fresh_seeds_differ() {
    assert_ne!(Seed::generate().as_bytes(), Seed::generate().as_bytes());
}

/// Property 15, a smoke test only: what is sent for a constant message looks uniform modulo q.
#[test]
fn masked_chunks_look_uniform() {
    let ring = SumRing::new();
    let shape = SumShape::new(65_000, &[1], FieldFormat::TwoBy24, 2).expect("a valid shape");
    let clips = [ClippedTensor {
        values: 65_000,
        clip: 1.0,
    }];
    let (message, _) = pack(&shape, &vec![0.0; 65_000], &clips, EQUAL, &[1]).expect("packs");
    let chunks = seal_one(&ring, 1, &message, 2, 2).chunks;
    let words: Vec<u64> = chunks
        .as_chunks::<8>()
        .0
        .iter()
        .copied()
        .map(u64::from_le_bytes)
        .collect();
    assert_eq!(words.len(), 8 * RING_DEGREE);
    let mut bins = [0_u32; 64];
    for &word in &words {
        bins[(word >> 56) as usize] += 1;
    }
    let expected = words.len() as f64 / 64.0;
    let chi_square: f64 = bins
        .iter()
        .map(|&x| (f64::from(x) - expected).powi(2) / expected)
        .sum();
    // 63 degrees of freedom: above 130 once in a million.
    assert!(chi_square < 130.0, "{chi_square}");
}
