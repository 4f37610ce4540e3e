//! Whole sums: the properties of PROTOCOL 8 that need more than one part.

mod attacks;
mod budgets;
mod exactness;

use std::sync::Arc;

use super::mask::MaskKey;
use super::*;
use crate::hash::{Digest, SecretKey32, sha256};
use crate::ring::Prg;

const HEADER: Digest = [3; 32];
const EQUAL: Weight = Weight { own: 1, largest: 1 };

fn hospital(number: usize) -> HospitalId {
    HospitalId::new(u8::try_from(number).expect("below 128")).expect("not 0")
}

fn hospitals(count: usize) -> Vec<HospitalId> {
    (1..=count).map(hospital).collect()
}

/// What the parties of a sum own.
struct Setting {
    ring: SumRing,
    shape: SumShape,
    threshold: usize,
    tag_key: TagKey,
}

impl Setting {
    fn new(shape: SumShape, threshold: usize) -> Self {
        Self {
            ring: SumRing::new(),
            shape,
            threshold,
            tag_key: TagKey::derive(&SecretKey32::from_bytes([5; 32]), &HEADER),
        }
    }

    fn round(&self) -> Round<'_> {
        Round {
            ring: &self.ring,
            header_hash: &HEADER,
            shape: &self.shape,
            threshold: self.threshold,
            tag_key: &self.tag_key,
        }
    }

    fn seal(&self, id: usize, message: &PackedMessage) -> Contribution {
        let seed = Seed::from_bytes([id as u8; 32]);
        let joined = hospitals(self.shape.joined());
        seal(&self.round(), &joined, hospital(id), 0, &seed, message).expect("seals")
    }

    /// Seals field values as they are: what comes after quantising.
    fn seal_fields(&self, id: usize, fields: &[u64]) -> Contribution {
        self.seal(id, &packed(&self.shape, fields))
    }
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

/// An answer once more: only tests give one twice.
fn copy(answer: &UnlockVector) -> UnlockVector {
    UnlockVector::from_bytes(&answer.to_bytes()).expect("valid")
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
    let mut words = vec![0; shape.message_chunks() * RING_DEGREE];
    for (index, field) in fields.iter().enumerate() {
        words[index / per_word] |=
            field << ((index % per_word) as u32 * shape.format().field_bits());
    }
    PackedMessage::from_words(words, shape)
}

fn opened(result: Result<OpenedSum, OpenError>) -> OpenedSum {
    result.unwrap_or_else(|refused| panic!("the sum did not open: {refused}"))
}

/// A real round at the threshold of ten hospitals: eight contribute, all ten answer.
struct Scenario {
    setting: Setting,
    clips: Vec<ClippedTensor>,
    updates: Vec<Vec<f64>>,
    contributions: Vec<Contribution>,
    sum: Vec<u8>,
    answers: Vec<(HospitalId, UnlockVector)>,
}

const JOINED: usize = 10;
const CONTRIBUTORS: usize = 8;

impl Scenario {
    fn new() -> Self {
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
        let setting = Setting::new(shape, threshold(JOINED));
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
                let packed = pack(&setting.shape, update, &clips, EQUAL, &counters);
                setting.seal(place + 1, &packed.expect("packs").0)
            })
            .collect();
        let (sum, answers) = gather(&contributions, JOINED);
        Self {
            setting,
            clips,
            updates,
            contributions,
            sum,
            answers,
        }
    }

    /// What everyone says of one contributor's shares.
    fn dealer_answers(&self, place: usize, digest: &Digest) -> Vec<(HospitalId, DealerAnswer)> {
        let shares = self.contributions[place].shares.iter();
        shares
            .map(|(id, share)| (*id, share.answer(digest)))
            .collect()
    }

    fn answers(&self, places: impl IntoIterator<Item = usize>) -> Vec<(HospitalId, UnlockVector)> {
        let answer = |place: usize| (self.answers[place].0, copy(&self.answers[place].1));
        places.into_iter().map(answer).collect()
    }

    fn open(
        &self,
        sum: &[u8],
        answers: &[(HospitalId, UnlockVector)],
    ) -> Result<OpenedSum, OpenError> {
        open(&self.setting.round(), CONTRIBUTORS, sum, answers)
    }

    fn refusal(&self, sum: &[u8], answers: &[(HospitalId, UnlockVector)]) -> OpenError {
        self.open(sum, answers).err().expect("must not open")
    }

    fn fault(&self, sum: &[u8], answers: &[(HospitalId, UnlockVector)]) -> OpenFault {
        self.refusal(sum, answers).fault
    }
}

/// Property 2, and the mean: any seven answers, also of the two that did not contribute.
#[test]
fn any_threshold_of_answers_opens_the_same_mean() {
    let round = Scenario::new();
    let mut means = vec![];
    for places in [
        vec![0, 1, 2, 3, 4, 5, 6],
        vec![9, 8, 7, 3, 5, 1, 0],
        (0..10).collect(),
    ] {
        let result = Arc::new(opened(round.open(&round.sum, &round.answers(places))));
        assert_eq!(result.counters, [8, (100..108).sum()]);
        let mean = result.mean(&round.setting.shape, &round.clips, 1, CONTRIBUTORS as u64);
        means.push(mean.expect("the clips of the shape").to_vec());
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

/// By the definition, value by value, whatever piece is read; tensors without values are in between.
#[test]
fn a_mean_is_the_same_in_any_pieces() {
    let sizes = [0, 3, 0, 4097, 1, 0, 900, 0];
    let count = sizes.iter().sum();
    let shape = SumShape::new(count, &[1], FieldFormat::TwoBy24, 10).expect("a valid shape");
    let clips: Vec<_> = (1..)
        .zip(sizes)
        .map(|(place, values)| ClippedTensor {
            values,
            clip: 0.37 * f64::from(place),
        })
        .collect();
    let values = random_words(5, count, 23);
    let values: Vec<u32> = values.iter().map(|&word| word as u32).collect();
    let sum = Arc::new(OpenedSum {
        values: values.clone(),
        counters: vec![7],
        contributors: 7,
        largest_noise: 0,
        wrong_answers: vec![],
    });
    let mean = sum.mean(&shape, &clips, 3, 12).expect("valid weights");
    let steps = clips.iter().flat_map(|tensor| {
        let step = tensor.clip / f64::from((1 << 19) - 1);
        std::iter::repeat_n(step, tensor.values)
    });
    let expected: Vec<f64> = steps
        .zip(&values)
        .map(|(step, &sum)| step * f64::from(sum as i32 - 7 * (1 << 19)) * 3.0 / 12.0)
        .collect();
    assert_eq!(mean.to_vec(), expected);
    for length in [1, 2, 5, 1024, 4100, count] {
        for first in 0..=count - length {
            let mut piece = vec![f64::NAN; length];
            mean.read(first, &mut piece);
            assert_eq!(piece, expected[first..][..length]);
        }
    }
}

#[test]
fn a_sum_opens_the_same_at_any_number_of_threads() {
    let round = Scenario::new();
    let open = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let pool = pool.build().expect("a pool");
        let result = opened(pool.install(|| round.open(&round.sum, &round.answers(0..9))));
        (
            result.values.clone(),
            result.counters.clone(),
            result.largest_noise,
        )
    };
    let alone = open(1);
    for threads in [2, 5] {
        assert_eq!(open(threads), alone);
    }
}

/// Property 2 for whole rosters: whichever answers there are, and from whomever, they open the same sum.
#[test]
fn any_choice_of_answers_opens_the_same_sum() {
    for joined in [2, 3, 10, 100, 127] {
        let shape = SumShape::new(50, &[1], FieldFormat::ThreeBy16, joined).expect("a valid shape");
        let setting = Setting::new(shape, threshold(joined));
        let contributors = 2.max(joined / 20);
        let contributions: Vec<_> = (0..contributors)
            .map(|place| {
                let mut fields = random_words(place as u64, 50, setting.shape.value_bits() - 1);
                fields.iter_mut().for_each(|field| *field += 1);
                fields.push(1);
                // From the end: with the first answers, nobody that contributed answers.
                setting.seal_fields(joined - place, &fields)
            })
            .collect();
        let (sum, answers) = gather(&contributions, joined);
        let mut previous = None;
        for stream in 0..4 {
            let mut order: Vec<usize> = (0..joined).collect();
            let keys = random_words(1000 + stream, joined, 32);
            order.sort_by_key(|&place| (stream > 0).then_some(keys[place]));
            let chosen: Vec<_> = order[..setting.threshold]
                .iter()
                .map(|&place| (answers[place].0, copy(&answers[place].1)))
                .collect();
            let result = opened(open(&setting.round(), contributors, &sum, &chosen));
            assert_eq!(
                *previous.get_or_insert(result.values.clone()),
                result.values
            );
            assert_eq!(result.wrong_answers, []);
        }
    }
}

#[test]
fn weights_make_a_weighted_mean() {
    let shape = SumShape::new(1, &[1], FieldFormat::TwoBy24, 2).expect("a valid shape");
    let setting = Setting::new(shape, 2);
    let clips = [ClippedTensor {
        values: 1,
        clip: 1.0,
    }];
    let contributions: Vec<_> = [(1, 0.5, 3), (2, -0.25, 1)]
        .into_iter()
        .map(|(id, value, own)| {
            let weight = Weight { own, largest: 3 };
            let packed = pack(&setting.shape, &[value], &clips, weight, &[1]);
            setting.seal(id, &packed.expect("packs").0)
        })
        .collect();
    let (sum, answers) = gather(&contributions, 2);
    let result = Arc::new(opened(open(&setting.round(), 2, &sum, &answers)));
    let mean = result.mean(&setting.shape, &clips, 3, 4);
    let mean = mean.expect("weights 3 and 1").to_vec()[0];
    assert!((mean - (3.0 * 0.5 - 0.25) / 4.0).abs() < 1e-6, "{mean}");
}

#[test]
fn a_mean_of_another_sum_is_refused() {
    let round = Scenario::new();
    let result = Arc::new(opened(round.open(&round.sum, &round.answers(0..7))));
    assert_eq!(result.contributors, CONTRIBUTORS);
    let refusal = |shape: &SumShape, clips: &[ClippedTensor], largest, sum| {
        result.mean(shape, clips, largest, sum).err()
    };
    let (shape, clips) = (&round.setting.shape, &round.clips);
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

/// Properties 3 and 4: too few answers, answers for another set, another header, another sum.
#[test]
fn what_does_not_belong_together_does_not_open() {
    let round = Scenario::new();
    let six = round.answers(0..6);
    let seven = round.answers(0..7);
    let fault = |change: &dyn Fn(&mut Round<'_>), contributors, answers: &[_]| {
        let mut changed = round.setting.round();
        change(&mut changed);
        let refused = open(&changed, contributors, &round.sum, answers);
        refused.err().map(|error| error.fault)
    };
    let as_it_is: &dyn Fn(&mut Round<'_>) = &|_| ();
    assert_eq!(
        fault(as_it_is, CONTRIBUTORS, &six),
        Some(OpenFault::TooFewShares {
            found: 6,
            threshold: 7
        })
    );
    assert!(matches!(
        fault(&|round| round.threshold = 6, CONTRIBUTORS, &six),
        Some(OpenFault::SecretDoesNotFit { .. })
    ));

    let mut other_header = HEADER;
    other_header[31] ^= 1;
    let refused = open(
        &Round {
            header_hash: &other_header,
            ..round.setting.round()
        },
        CONTRIBUTORS,
        &round.sum,
        &seven,
    );
    assert!(matches!(
        refused.err().expect("must not open").fault,
        OpenFault::SecretDoesNotFit { .. }
    ));
    let other_key = TagKey::derive(&SecretKey32::from_bytes([6; 32]), &HEADER);
    let refused = open(
        &Round {
            tag_key: &other_key,
            ..round.setting.round()
        },
        CONTRIBUTORS,
        &round.sum,
        &seven,
    );
    assert_eq!(refused.err(), Some(OpenFault::Tag.into()));

    let twice = round.answers([0, 1, 2, 3, 4, 5, 5]);
    let hospital = hospital(6);
    assert_eq!(
        round.fault(&round.sum, &twice),
        OpenFault::DuplicateShare { hospital }
    );

    assert!(matches!(
        fault(as_it_is, 9, &seven),
        Some(OpenFault::ValueRange { .. } | OpenFault::Contributions { .. })
    ));
    for contributors in [0, 11] {
        assert_eq!(
            fault(as_it_is, contributors, &seven),
            Some(OpenFault::Contributors {
                contributors,
                joined: 10
            })
        );
    }
    for threshold in [0, 1, 128] {
        assert_eq!(
            fault(&|round| round.threshold = threshold, 8, &seven),
            Some(OpenFault::Threshold { threshold })
        );
    }
}

#[test]
fn a_sum_with_wrong_bytes_does_not_open() {
    let round = Scenario::new();
    let seven = round.answers(0..7);
    assert!(matches!(
        round.fault(&round.sum[8..], &seven),
        OpenFault::Sum(SumError::Length { .. })
    ));
    let mut outside = round.sum.clone();
    outside[8 * 5000..8 * 5001].copy_from_slice(&MODULUS.to_le_bytes());
    let word = SumError::Word {
        what: "sum",
        index: 5000,
    };
    assert_eq!(round.fault(&outside, &seven), OpenFault::Sum(word));

    // Half a step, in the first chunk, in a later one and in the tag's.
    for (chunk, word) in [(0, 17), (1, 4096 + 17), (2, 8192 + 17)] {
        let mut sum = round.sum.clone();
        sum[8 * word + 1] ^= 0x10;
        let fault = round.fault(&sum, &seven);
        match chunk {
            0 => assert!(matches!(fault, OpenFault::SecretDoesNotFit { .. })),
            _ => assert_eq!(fault, OpenFault::Noise { chunk }),
        }
    }

    // Answers that all belong together give the same secret whichever are chosen.
    let mut sum = round.sum.clone();
    sum[1] ^= 0x10;
    let fault = OpenFault::SecretDoesNotFit {
        threshold: 7,
        found: 10,
        tried: 1,
    };
    assert_eq!(round.refusal(&sum, &round.answers(0..10)), fault.into());
}

/// What passes the noise check and the tag can only have been made so by a contributor.
#[test]
fn sums_that_the_contributors_cannot_have_made_are_refused() {
    let shape = SumShape::new(2, &[1, 2], FieldFormat::TwoBy24, 2).expect("a valid shape");
    let largest = (1 << shape.value_bits()) - 1;
    let setting = Setting::new(shape, 2);
    let refusal = |first: [u64; 5], second: [u64; 5]| {
        let contributions: Vec<_> = [(1, first), (2, second)]
            .iter()
            .map(|(id, fields)| setting.seal_fields(*id, fields))
            .collect();
        let (sum, answers) = gather(&contributions, 2);
        let refused = open(&setting.round(), 2, &sum, &answers).err();
        refused.map(|error| error.fault)
    };
    let good = [5, largest, 1, 255, 255];
    let with = |index: usize, field: u64| {
        let mut fields = good;
        fields[index] = field;
        fields
    };
    assert_eq!(refusal(good, good), None);
    assert_eq!(
        refusal(with(0, 1), with(0, 0)),
        Some(OpenFault::ValueRange { index: 0 })
    );
    assert_eq!(
        refusal(good, with(1, largest + 1)),
        Some(OpenFault::ValueRange { index: 1 })
    );
    assert_eq!(
        refusal(good, with(4, 256)),
        Some(OpenFault::DigitRange { counter: 1 })
    );
    let miscounted = OpenFault::Contributions { contributors: 2 };
    assert_eq!(refusal(good, with(2, 2)), Some(miscounted));

    let padded = [&good[..], &[1]].concat();
    let contributions = [1, 2].map(|id| setting.seal_fields(id, &padded));
    let (sum, answers) = gather(&contributions, 2);
    let refused = open(&setting.round(), 2, &sum, &answers).err();
    assert_eq!(refused, Some(OpenFault::Padding.into()));
}

#[test]
fn contribution_is_the_same_at_any_number_of_threads_and_changes_with_every_input() {
    let shape = SumShape::new(20_000, &[1], FieldFormat::TwoBy24, 3).expect("a valid shape");
    let setting = Setting::new(shape, 2);
    let clips = [ClippedTensor {
        values: 20_000,
        clip: 1.0,
    }];
    let bytes = |header: u8, id: usize, attempt: u8, seed: u8, value: f64| {
        let seed = Seed::from_bytes([seed; 32]);
        let values = vec![value; 20_000];
        let (message, _) = pack(&setting.shape, &values, &clips, EQUAL, &[1]).expect("packs");
        let round = Round {
            header_hash: &[header; 32],
            ..setting.round()
        };
        let sealed = seal(
            &round,
            &hospitals(3),
            hospital(id),
            attempt,
            &seed,
            &message,
        );
        let contribution = sealed.expect("seals");
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
    let seed = Seed::from_bytes([9; 32]);
    let setting = Setting::new(shape, 3);
    let sealed = seal(&setting.round(), &joined, hospital(5), 2, &seed, &message);
    let contribution = sealed.expect("seals");

    let mut mask = vec![0; RING_DEGREE];
    MaskKey::new(&HEADER).polynomial(0, &mut mask);
    assert_eq!(mask[0], 1_728_960_086_900_248_118);
    assert_eq!(mask[4095], 1_490_865_634_682_219_960);
    let (message_chunks, tag_chunk) = contribution.chunks.split_at(2 * CHUNK_BYTES);
    let shares: Vec<_> = contribution
        .shares
        .iter()
        .map(|(_, share)| share.to_bytes())
        .collect();
    let secrets: Vec<u8> = shares
        .iter()
        .flat_map(|share| share[..UNLOCK_BYTES].to_vec())
        .collect();
    let dealer_masks: Vec<u8> = shares
        .iter()
        .flat_map(|share| share[UNLOCK_BYTES..].to_vec())
        .collect();
    let answers: Vec<u8> = contribution
        .shares
        .iter()
        .flat_map(|(_, share)| share.answer(&[8; 32]).to_bytes())
        .collect();
    for (bytes, expected) in [
        (
            message_chunks,
            "9877e9405790306ab647f8ac702630711cbf2a88cd32f7baf7576f966c40d5fd",
        ),
        (
            tag_chunk,
            "db96edce0ba066adb6b0e753e7422ba0553acbdd27eb0911331937386623b2ac",
        ),
        (
            &secrets,
            "4daf1778f1af37bb905b4655645ed21397b84399acc902165913fb36b024b711",
        ),
        (
            &dealer_masks,
            "7995e2458950c5ade02f94f8b03a8adbaaa30907e4ca5b4225c7f0dc377b10de",
        ),
        (
            &answers,
            "03257ade896dc5691b744fdb632402474491f90d653db410a935e111516a2dfa",
        ),
    ] {
        let digest = sha256(bytes);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }
}

#[test]
fn recipients_must_be_distinct_enough_and_include_the_sender() {
    let shape = SumShape::new(0, &[1], FieldFormat::TwoBy24, 3).expect("a valid shape");
    let setting = Setting::new(shape, 2);
    let (message, _) = pack(&setting.shape, &[], &[], EQUAL, &[1]).expect("packs");
    let seed = Seed::from_bytes([1; 32]);
    let refusal = |threshold: usize, joined: &[HospitalId]| {
        let round = Round {
            threshold,
            ..setting.round()
        };
        seal(&round, joined, hospital(1), 0, &seed, &message).err()
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
            Some(SumError::ShapeForOthers { shape: 3, joined })
        );
    }
    let without = [hospital(2), hospital(3)];
    assert_eq!(
        refusal(2, &without),
        Some(SumError::NotJoined {
            hospital: hospital(1)
        })
    );

    let other = SumShape::new(0, &[2], FieldFormat::TwoBy24, 3).expect("a valid shape");
    let round = Round {
        shape: &other,
        ..setting.round()
    };
    let refused = seal(&round, &hospitals(3), hospital(1), 0, &seed, &message).err();
    assert_eq!(refused, Some(SumError::OtherShape));
}

#[test]
fn fresh_seeds_differ() {
    assert_ne!(Seed::generate().as_bytes(), Seed::generate().as_bytes());
}

/// Property 15, a smoke test only: what is sent for a constant message looks uniform modulo q.
#[test]
fn masked_chunks_look_uniform() {
    let shape = SumShape::new(65_000, &[1], FieldFormat::TwoBy24, 2).expect("a valid shape");
    let setting = Setting::new(shape, 2);
    let clips = [ClippedTensor {
        values: 65_000,
        clip: 1.0,
    }];
    let packed = pack(&setting.shape, &vec![0.0; 65_000], &clips, EQUAL, &[1]);
    let chunks = setting.seal(1, &packed.expect("packs").0).chunks;
    let words: Vec<u64> = chunks
        .as_chunks::<8>()
        .0
        .iter()
        .copied()
        .map(u64::from_le_bytes)
        .collect();
    assert_eq!(words.len(), 9 * RING_DEGREE);
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
