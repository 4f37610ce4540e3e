use std::sync::LazyLock;

use crypto::hash::SecretKey32;
use crypto::sealed_sum::{
    CHUNK_BYTES, ClippedTensor, DealerAnswer, DealerVerdict, FieldFormat, HospitalId, Round,
    RunningSum, SHARE_BYTES, Seed, Share, SumRing, SumShape, TagKey, UNLOCK_BYTES, UnlockVector,
    Weight, add_shares, judge_dealer, open, pack, seal,
};

use super::decoder::{Decoder, Forms};
use super::edits::edited;

/// [`Share::from_bytes`].
pub const SHARE: Decoder = Decoder {
    name: "share",
    forms: Forms::One,
    accepted: || vec![pattern(SHARE_BYTES)],
    decode_and_encode: |bytes| Some(Share::from_bytes(bytes).ok()?.to_bytes().to_vec()),
};

/// [`UnlockVector::from_bytes`].
pub const UNLOCK_VECTOR: Decoder = Decoder {
    name: "unlock vector",
    forms: Forms::One,
    accepted: || vec![pattern(UNLOCK_BYTES)],
    decode_and_encode: |bytes| Some(UnlockVector::from_bytes(bytes).ok()?.to_bytes().to_vec()),
};

/// [`DealerAnswer::from_bytes`].
pub const DEALER_ANSWER: Decoder = Decoder {
    name: "dealer answer",
    forms: Forms::One,
    accepted: || vec![pattern(DealerAnswer::BYTES)],
    decode_and_encode: |bytes| Some(DealerAnswer::from_bytes(bytes).ok()?.to_bytes().to_vec()),
};

/// [`RunningSum::add`] of two chunks.
pub const CONTRIBUTION: Decoder = Decoder {
    name: "contribution",
    forms: Forms::One,
    accepted: || vec![pattern(2 * CHUNK_BYTES)],
    decode_and_encode: |bytes| {
        let mut sum = RunningSum::new(2);
        sum.add(bytes).ok()?;
        Some(sum.into_bytes())
    },
};

/// All decoders of this module.
pub const ALL: [&Decoder; 4] = [&SHARE, &UNLOCK_VECTOR, &DEALER_ANSWER, &CONTRIBUTION];

/// Opens a sum of three hospitals after edits of the sum and of the answers. Whether it opens.
///
/// # Panics
/// If it opens to anything but the true sum.
pub fn opens_altered(script: &[u8]) -> bool {
    let HonestSum { sum, answers, .. } = &*HONEST_SUM;
    let altered = edited(&[&sum[..], answers].concat(), script);
    let (sum, answers) = altered.split_at(sum.len().min(altered.len()));
    let answers: Vec<_> = (answers.chunks(UNLOCK_BYTES))
        .zip(HOSPITALS)
        .filter_map(|(bytes, hospital)| Some((hospital, UnlockVector::from_bytes(bytes).ok()?)))
        .collect();
    match open(&HONEST_SUM.round(), HOSPITALS.len(), sum, &answers) {
        Ok(opened) => {
            assert!(opened.values.iter().all(|&value| value == TRUE_VALUE));
            assert_eq!(opened.counters, [3, 3 * COUNTER]);
            true
        }
        Err(_) => false,
    }
}

/// Judges a dealer by any answers under any threshold.
///
/// # Panics
/// If somebody is named who did not answer.
pub fn judge(input: &[u8]) -> Option<DealerVerdict> {
    let (threshold, records) = input.split_first()?;
    let answers: Vec<_> = records
        .chunks_exact(1 + DealerAnswer::BYTES)
        .filter_map(|record| {
            let hospital = HospitalId::new(record[0])?;
            Some((hospital, DealerAnswer::from_bytes(&record[1..]).ok()?))
        })
        .collect();
    let verdict = judge_dealer(usize::from(*threshold), &answers);
    if let DealerVerdict::Deviating(named) = &verdict {
        assert!(!named.is_empty());
        let answered = |id| answers.iter().any(|(hospital, _)| hospital == id);
        assert!(named.iter().all(answered), "{named:?}");
    }
    Some(verdict)
}

struct HonestSum {
    ring: SumRing,
    shape: SumShape,
    tag_key: TagKey,
    sum: Vec<u8>,
    /// The unlock vectors one after another.
    answers: Vec<u8>,
}

impl HonestSum {
    fn round(&self) -> Round<'_> {
        Round {
            ring: &self.ring,
            header_hash: &[7; 32],
            shape: &self.shape,
            threshold: 2,
            tag_key: &self.tag_key,
        }
    }
}

static HONEST_SUM: LazyLock<HonestSum> = LazyLock::new(|| {
    let mut honest = HonestSum {
        ring: SumRing::new(),
        shape: SumShape::new(VALUES, &[3, 3], FieldFormat::TwoBy24, 3).expect("a valid shape"),
        tag_key: TagKey::derive(&SecretKey32::from_bytes([1; 32]), &[7; 32]),
        sum: vec![],
        answers: vec![],
    };
    let round = honest.round();
    let clips = [ClippedTensor {
        values: VALUES,
        clip: 1.0,
    }];
    let weight = Weight { own: 1, largest: 1 };
    let mut sum = RunningSum::new(honest.shape.chunks());
    let contributions = HOSPITALS.map(|hospital| {
        let (message, _) = pack(&honest.shape, &[0.0; VALUES], &clips, weight, &[1, COUNTER])
            .expect("a valid message");
        let seed = Seed::from_bytes([hospital.get(); 32]);
        let contribution = seal(&round, &HOSPITALS, hospital, 0, &seed, &message);
        contribution.expect("a message for this round")
    });
    let mut answers = vec![];
    for (place, contribution) in contributions.iter().enumerate() {
        sum.add(&contribution.chunks).expect("a valid contribution");
        let held = contributions
            .iter()
            .map(|contribution| &contribution.shares[place].1);
        answers.extend_from_slice(&add_shares(held).to_bytes());
    }
    (honest.sum, honest.answers) = (sum.into_bytes(), answers);
    honest
});

const HOSPITALS: [HospitalId; 3] = [hospital(1), hospital(2), hospital(3)];
const VALUES: usize = 100;
const COUNTER: u64 = 1000;
/// Zero is the middle of 22 bits.
const TRUE_VALUE: u32 = 3 << 21;

const fn hospital(number: u8) -> HospitalId {
    HospitalId::new(number).expect("1 to 127")
}

/// Bytes whose words are below every modulus, however wide a word is.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place % 61) as u8).collect()
}
