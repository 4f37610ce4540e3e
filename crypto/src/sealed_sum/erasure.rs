//! That nothing secret of a sum stays in memory once it is dropped (PROTOCOL 7).

use zeroize::Zeroizing;

use super::{
    ClippedTensor, FieldFormat, HospitalId, MODULUS, RING_DEGREE, Round, Seed, SumRing, SumShape,
    TagKey, UnlockVector, Weight, add_shares, open, pack, seal,
};
use crate::hash::{SecretKey32, derive_key, labelled_hash_of_words};
use crate::ring::{Coefficients, Modulus, Prg, centred_binomial, fill_keystream};
use crate::sealed_sum::RunningSum;
use side_channels::memory::Needle;

const HEADER_HASH: [u8; 32] = [0x5e; 32];
const VALUES: usize = 3000;

/// Every secret that a contribution is made of, as it lies in memory while it is used.
fn needles_of_contribution(
    hospital: HospitalId,
    seed: &Seed,
    message: &super::PackedMessage,
) -> Vec<(&'static str, Needle)> {
    let message_hash = Zeroizing::new(labelled_hash_of_words("m", message.words()));
    let id = [hospital.get()];
    let parts: [&[u8]; 4] = [&HEADER_HASH, &id, &[0], &*message_hash];
    let key = derive_key(seed.as_bytes(), "k", &parts);
    let binomial = |label, stream| {
        let key = derive_key(key.as_bytes(), label, &[]);
        centred_binomial(&mut Prg::new(&key, stream), 32, RING_DEGREE)
    };
    let secret = binomial("s", 0);
    // The noise is never there but as the words of coins it is counted from.
    let mut coins = Zeroizing::new(vec![0; 64]);
    let noise_key = derive_key(key.as_bytes(), "e", &[]);
    fill_keystream(&noise_key, 0, 0, &mut coins);
    let residues = Coefficients::from_small(&secret, Modulus::new(MODULUS));
    let of_words = |words: &[u64]| Needle::from_words(words[..64].iter().copied());
    let mut needles = vec![
        ("message", of_words(message.words())),
        (
            "secret",
            Needle::from_words(secret[..64].iter().map(|&s| s as u64)),
        ),
        ("secret's residues", of_words(residues.words())),
        ("coins of the noise", of_words(&coins)),
    ];
    let elements = |key: &SecretKey32| {
        let mut bytes = Zeroizing::new([0; 32]);
        Prg::new(key, 1).fill(&mut *bytes);
        Needle::from_bytes(&*bytes)
    };
    needles.push((
        "coefficient of the shares",
        elements(&derive_key(key.as_bytes(), "R", &[])),
    ));
    needles.push(("k", Needle::from_bytes(key.as_bytes())));
    for label in ["s", "e", "R"] {
        needles.push((
            label,
            Needle::from_bytes(derive_key(key.as_bytes(), label, &[]).as_bytes()),
        ));
    }
    needles
}

#[test]
fn a_sum_leaves_no_secret_behind() {
    let ring = SumRing::new();
    let shape = SumShape::new(VALUES, &[3], FieldFormat::TwoBy24, 3).expect("a valid shape");
    let tag_key = TagKey::derive(&SecretKey32::from_bytes([0x7a; 32]), &HEADER_HASH);
    let round = Round {
        ring: &ring,
        header_hash: &HEADER_HASH,
        shape: &shape,
        threshold: 2,
        tag_key: &tag_key,
    };
    let joined: Vec<HospitalId> = (1..=3).filter_map(HospitalId::new).collect();
    let clips = [ClippedTensor {
        values: VALUES,
        clip: 1.0,
    }];

    let mut needles = vec![];
    let mut sum = RunningSum::new(shape.chunks());
    let mut contributions = vec![];
    for (place, &hospital) in joined.iter().enumerate() {
        let values: Zeroizing<Vec<f64>> = Zeroizing::new(
            (0..VALUES)
                .map(|k| ((k * 7 + place) as f64 * 0.618_033_988).fract())
                .collect(),
        );
        let (message, _) = pack(
            &shape,
            values.as_slice(),
            &clips,
            Weight { own: 1, largest: 1 },
            &[1],
        )
        .expect("a valid message");
        let seed = Seed::generate();
        let contribution = seal(&round, &joined, hospital, 0, &seed, &message).expect("valid");
        sum.add(&contribution.chunks).expect("valid chunks");
        needles.extend(needles_of_contribution(hospital, &seed, &message));
        for (_, share) in &contribution.shares {
            needles.push(("share", Needle::from_bytes(&share.to_bytes()[..64])));
        }
        contributions.push(contribution);
    }
    let answers: Vec<(HospitalId, UnlockVector)> = (0..3)
        .map(|place| {
            let held = contributions
                .iter()
                .map(|contribution| &contribution.shares[place].1);
            (joined[place], add_shares(held))
        })
        .collect();
    for (_, answer) in &answers {
        needles.push((
            "unlock vector",
            Needle::from_bytes(&answer.to_bytes()[..64]),
        ));
    }
    let opened = open(&round, 3, sum.as_bytes(), &answers).expect("an honest sum");
    needles.push((
        "opened sum",
        Needle::from_words(
            opened.values.as_chunks().0[..64]
                .iter()
                .map(|[low, high]| u64::from(*low) | u64::from(*high) << 32),
        ),
    ));

    // The search itself works: shares, vectors and the sum are still there.
    let alive = needles
        .iter()
        .filter(|(_, needle)| needle.occurrences() > 0)
        .count();
    assert!(
        alive >= 13,
        "only {alive} of what is still in use was found"
    );
    drop((contributions, answers, opened));
    let left: Vec<_> = (needles.iter())
        .map(|(name, needle)| (*name, needle.occurrences()))
        .filter(|(_, occurrences)| *occurrences > 0)
        .collect();
    assert!(left.is_empty(), "left in memory: {left:?}");
}
