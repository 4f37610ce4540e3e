//! Before a participant connects: a known update is sealed and known features are encrypted by the very functions that a run uses, and
//! what would leave is looked at.
//!
//! What it finds: values that leave as numbers, and anything else that is the same each time it is made from the same values: a plain
//! encoding of any form, a mask that was left out or does not cover all, randomness that repeats. What it cannot find: a mask that
//! somebody knows, keys that are weak or given away, noise of the wrong width. For those there are the proof, the tests and review.

use crypto::{
    ckks::Profile,
    hash::SecretKey32,
    sealed_sum::{
        self, ClippedTensor, FieldFormat, HospitalId, Seed, SumRing, SumShape, TagKey, Weight, pack,
    },
};
use model_data::FEATURES;
use protocol::{codec, digests::SessionId, message::ToCoordinator, vocabulary::ConditioningForm};
use rand_core::CryptoRng;

use super::{
    conditioning::{
        Conditioner, EncryptedProducts, release::ReleaseLevels, weights::ConditioningWeights,
    },
    round::contribute::mask,
};

/// Something would leave this hospital unprotected.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the self-test failed, and this hospital takes part in nothing: {what} would leave it {how}. This build or this machine is at fault: \
     install the release again, and report it (SECURITY.md)"
)]
pub struct Unprotected {
    /// Of what.
    what: String,
    /// In which way.
    how: &'static str,
}

/// Seals and encrypts twice, with two sources of randomness that must differ: in a program the system's both times.
///
/// # Errors
/// [`Unprotected`] names the first thing that would leave unencrypted.
pub fn self_test(
    profiles: &[Profile],
    ring: &SumRing,
    first: &mut impl CryptoRng,
    second: &mut impl CryptoRng,
) -> Result<(), Unprotected> {
    let values = Known::values();
    compare(
        "an update",
        &values,
        0,
        &sealed(ring, first),
        &sealed(ring, second),
    )?;
    for &profile in profiles {
        let what = format!("clinical features ({profile})");
        let (one, other) = (encrypted(profile, first), encrypted(profile, second));
        compare(&what, &values, HEADER_BYTES, &one, &other)?;
    }
    Ok(())
}

/// What leaves of a contribution: the masked chunks, and the boxes with the shares.
fn sealed(ring: &SumRing, rng: &mut impl CryptoRng) -> Vec<Vec<u8>> {
    let joined: Vec<_> = (1..=3).filter_map(HospitalId::new).collect();
    let counters = [1; 2];
    let shape = SumShape::new(
        VALUES_IN_A_SUM,
        &counters,
        FieldFormat::TwoBy24,
        joined.len(),
    )
    .expect("a small sum");
    let values: Vec<_> = Known::numbers().cycle().take(VALUES_IN_A_SUM).collect();
    let clips = [ClippedTensor {
        values: VALUES_IN_A_SUM,
        clip: 8.0,
    }];
    let weight = Weight { own: 1, largest: 1 };
    let (message, _) = pack(&shape, &values, &clips, weight, &[1, 200]).expect("it fits");
    let key = || SecretKey32::from_bytes([7; 32]);
    let sum = sealed_sum::Round {
        ring,
        header_hash: &[7; 32],
        shape: &shape,
        threshold: 2,
        tag_key: &TagKey::derive(&key(), &[7; 32]),
    };
    let pair = key();
    let seed = Seed::from_rng(rng);
    let masked = mask(&sum, &joined, (joined[0], 0), seed, message, |_| {
        Some(&pair)
    })
    .expect("three hospitals, one of them ours");
    let boxes = masked.boxes.into_iter().map(|share| share.sealed.0);
    std::iter::once(masked.chunks).chain(boxes).collect()
}

/// What leaves of the conditioning: W and the features under one key.
fn encrypted(profile: Profile, rng: &mut impl CryptoRng) -> Vec<Vec<u8>> {
    let numbers: Vec<_> = Known::numbers().collect();
    let (features, _) = numbers.as_chunks::<FEATURES>();
    let weights = features[0].map(|value| value as f32);
    let weights = ConditioningWeights::from_kept(ConditioningForm::Study, FEATURES, &weights);
    let id = HospitalId::new(1).expect("in range");
    let session = SessionId::from_bytes([7; 16]);
    let products = EncryptedProducts {
        profile,
        slots_per_patient: FEATURES,
    };
    let levels = ReleaseLevels::FINEST;
    let features = features.iter().map(|features| Box::from(&features[..]));
    let features = features.collect();
    let mut conditioner = Conditioner::new(id, session, features, Some(products), levels, rng);
    // A profile always asks; products that are made here would leave nothing to look at.
    let messages = conditioner.request(weights, rng).err().unwrap_or_default();
    let parts = messages.into_iter().map(|message| match message {
        ToCoordinator::EncryptedFeatures(features) => features.bytes.0,
        ToCoordinator::FilterRequest(request) => request.bytes.0,
        other => codec::encode_frame(&other),
    });
    parts.collect()
}

/// Both times the same things leave; none shows a value, and no two are alike.
fn compare(
    what: &str,
    values: &Known,
    header_bytes: usize,
    one: &[Vec<u8>],
    other: &[Vec<u8>],
) -> Result<(), Unprotected> {
    let fault = |how| Unprotected {
        what: what.to_owned(),
        how,
    };
    if one.is_empty() || one.len() != other.len() {
        return Err(fault("in a form that cannot be looked at"));
    }
    for (one, other) in one.iter().zip(other) {
        if values.are_in(one) || values.are_in(other) {
            return Err(fault("as plain numbers"));
        }
        let body = |bytes: &'_ [u8]| bytes.get(header_bytes..).unwrap_or_default().to_vec();
        if are_alike(&body(one), &body(other)) {
            return Err(fault("in a form that is the same every time"));
        }
    }
    Ok(())
}

/// Whether more bytes are the same, in the same places, than chance has it: among a million random places of four bytes one in four
/// thousand pairs has a single one.
fn are_alike(one: &[u8], other: &[u8]) -> bool {
    let pairs = one.windows(4).zip(other.windows(4));
    pairs.filter(|(one, other)| one == other).count() > MAX_ALIKE
}

/// Values that nobody has, in the forms in which a program writes numbers.
struct Known {
    /// Eight bytes each, sorted: a double, or two singles that follow one another.
    forms: Vec<[u8; 8]>,
}

impl Known {
    fn numbers() -> impl Iterator<Item = f64> + Clone {
        (0..PATIENTS * FEATURES).map(|place| 0.7310585786 + place as f64 * 0.0519372)
    }

    fn values() -> Self {
        let mut forms = Vec::new();
        for (value, next) in Self::numbers().zip(Self::numbers().skip(1)) {
            forms.extend([value.to_le_bytes(), value.to_be_bytes()]);
            let [single, follows] = [value as f32, next as f32];
            for [left, right] in [
                [single.to_le_bytes(), follows.to_le_bytes()],
                [single.to_be_bytes(), follows.to_be_bytes()],
            ] {
                let mut both = [0; 8];
                both[..4].copy_from_slice(&left);
                both[4..].copy_from_slice(&right);
                forms.push(both);
            }
        }
        forms.sort_unstable();
        Self { forms }
    }

    fn are_in(&self, bytes: &[u8]) -> bool {
        let mut windows = bytes.windows(8);
        windows.any(|window| {
            let found = self
                .forms
                .binary_search_by(|form| form.as_slice().cmp(window));
            found.is_ok()
        })
    }
}

const PATIENTS: usize = 8;
const VALUES_IN_A_SUM: usize = 8000;
/// Of a ciphertext: version, kind, key, level and scale are the same every time, or may be.
const HEADER_BYTES: usize = 32;
const MAX_ALIKE: usize = 8;

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use getrandom::SysRng;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
    use rand_core::UnwrapErr;

    use super::*;

    const ALL: [Profile; 2] = [Profile::Hardened, Profile::Study];

    fn chance(seed: u8) -> ChaCha20Rng {
        ChaCha20Rng::from_seed([seed; 32])
    }

    #[test]
    fn what_this_release_sends_passes_and_soon() {
        let ring = SumRing::new();
        let began = Instant::now();
        let (one, other) = (&mut UnwrapErr(SysRng), &mut UnwrapErr(SysRng));
        assert_eq!(self_test(&ALL, &ring, one, other), Ok(()));
        // A tenth of a second where nothing else computes, both profiles included.
        let took = began.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
    }

    #[test]
    fn randomness_that_repeats_is_noticed_in_each_part() {
        let ring = SumRing::new();
        let error = self_test(&[], &ring, &mut chance(1), &mut chance(1)).expect_err("the same");
        assert_eq!(error.what, "an update");
        assert_eq!(error.how, "in a form that is the same every time");
        let values = Known::values();
        let [one, other] = [1, 1].map(|seed| encrypted(Profile::Hardened, &mut chance(seed)));
        let error = compare("features", &values, HEADER_BYTES, &one, &other).expect_err("the same");
        assert_eq!(error.how, "in a form that is the same every time");
        assert!(error.to_string().contains("install the release again"));
    }

    #[test]
    fn numbers_are_found_wherever_they_lie_in_what_leaves() {
        let values = Known::values();
        let third: Vec<_> = Known::numbers().skip(3).take(2).collect();
        let forms = [
            third[0].to_le_bytes().to_vec(),
            third[0].to_be_bytes().to_vec(),
            third
                .iter()
                .flat_map(|value| (*value as f32).to_le_bytes())
                .collect(),
            third
                .iter()
                .flat_map(|value| (*value as f32).to_be_bytes())
                .collect(),
        ];
        for form in forms {
            let mut one = sealed(&SumRing::new(), &mut chance(1));
            let other = sealed(&SumRing::new(), &mut chance(2));
            assert_eq!(compare("it", &values, 0, &one, &other), Ok(()));
            one[0].splice(1001..1001 + form.len(), form.iter().copied());
            let error = compare("it", &values, 0, &one, &other).expect_err("a number");
            assert_eq!(error.how, "as plain numbers");
        }
    }

    /// As an encryption without its mask would be: high bits that stay, low bits that are noise.
    #[test]
    fn noise_alone_does_not_hide_a_value() {
        let mut chance = chance(3);
        let mut noisy = || -> Vec<u8> {
            let words = (0..4096_u64).map(|place| {
                let noise = rand_core::Rng::next_u32(&mut chance) & 0xfffff;
                (place << 40) | u64::from(noise)
            });
            words.flat_map(u64::to_le_bytes).collect()
        };
        let values = Known::values();
        let (one, other) = (vec![noisy()], vec![noisy()]);
        let error = compare("it", &values, 0, &one, &other).expect_err("not masked");
        assert_eq!(error.how, "in a form that is the same every time");
        let nothing = compare("it", &values, 0, &[], &[]);
        assert!(nothing.is_err());
    }
}
