//! What the sealed sum does with secrets, for [`crate::constant_time`].

use std::hint::black_box;
use std::sync::LazyLock;

use super::mask::{MaskKey, RingSecret, seal_chunk, unmask_chunk};
use super::shamir::{Dealing, rebuild};
use super::tag::padded_tag;
use super::{
    ClippedTensor, FieldFormat, HospitalId, RING_DEGREE, SHARE_BYTES, SHARE_MODULUS, Share,
    SumRing, SumShape, TagKey, Weight, add_shares, pack,
};
use crate::hash::{SecretKey32, constant_time_eq, labelled_hash_of_words};
use side_channels::constant_time::{Operation, Secret};

pub(crate) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "quantise and pack values and counters",
        prepare: |secret| {
            let values = secret.reals(0.5, VALUES);
            let counter = secret.words(1)[0] >> 40;
            Box::new(move || {
                let clips = [ClippedTensor {
                    values: VALUES,
                    clip: 1.0,
                }];
                let packed = pack(
                    &SHAPE,
                    &values,
                    &clips,
                    Weight { own: 1, largest: 1 },
                    &[1, counter],
                );
                black_box(packed.is_ok());
            })
        },
    },
    Operation {
        name: "mask a chunk",
        prepare: |secret| {
            let small = secret.small(32, RING_DEGREE);
            let coins = secret.words(RING_DEGREE);
            let message = message(secret);
            Box::new(move || {
                let ring_secret = RingSecret::new(&RING, &small);
                let mut mask = vec![0; RING_DEGREE];
                RING.mask(&MaskKey::new(&[0; 32]), 0, &ring_secret, &mut mask);
                let mut bytes = vec![0; 8 * RING_DEGREE];
                seal_chunk(&mask, &message, &coins, &mut bytes);
                black_box(bytes);
            })
        },
    },
    Operation {
        name: "unmask a chunk",
        prepare: |secret| {
            // What the sum of the first secrets is, and words of the sum that are any.
            let small = secret.small(32, RING_DEGREE);
            let bytes = vec![7; 8 * RING_DEGREE];
            Box::new(move || {
                let ring_secret = RingSecret::new(&RING, &small);
                let mut mask = vec![0; RING_DEGREE];
                RING.mask(&MaskKey::new(&[0; 32]), 0, &ring_secret, &mut mask);
                black_box(unmask_chunk(&bytes, &mut mask));
            })
        },
    },
    Operation {
        name: "tag of a message",
        prepare: |secret| {
            let message = message(secret);
            let tag_key = TagKey::derive(&key(1), &[0; 32]);
            Box::new(move || {
                let mut keystream = vec![0; RING_DEGREE];
                let part = tag_key.of_chunk(&SHAPE, 0, &message, &mut keystream);
                // The fields are asked for only where the key's streams skip a piece.
                let tags = tag_key.of_sum(&[part], std::iter::empty());
                black_box(padded_tag(&tags, &key(2)));
            })
        },
    },
    Operation {
        name: "hash of a message",
        prepare: |secret| {
            let message = secret.words(RING_DEGREE);
            Box::new(move || {
                black_box(labelled_hash_of_words("m", &message));
            })
        },
    },
    Operation {
        name: "share out a secret among ten hospitals",
        prepare: |secret| {
            let small = secret.small(32, RING_DEGREE);
            Box::new(move || {
                let dealing = Dealing::new(&small, 7, &key(1), &key(2));
                black_box(dealing.share_out(&hospitals()));
            })
        },
    },
    Operation {
        name: "read, add and rebuild shares",
        prepare: |secret| {
            let bytes = share_bytes(secret);
            Box::new(move || {
                let share = Share::from_bytes(&bytes).expect("elements of the field");
                let vectors = [0; 7].map(|_| add_shares([&share; 3].into_iter()));
                let chosen: Vec<_> = hospitals().into_iter().zip(&vectors).collect();
                black_box(rebuild(&chosen, 0..RING_DEGREE));
            })
        },
    },
    Operation {
        name: "answer to the dealer check",
        prepare: |secret| {
            let bytes = share_bytes(secret);
            let share = Share::from_bytes(&bytes).expect("elements of the field");
            Box::new(move || {
                black_box(share.answer(&[3; 32]));
            })
        },
    },
    Operation {
        name: "comparison of two digests",
        prepare: |secret| {
            let pairs = vec![(secret.bytes(), Secret::Mixed.bytes()); 64];
            Box::new(move || {
                for (left, right) in &pairs {
                    black_box(constant_time_eq(left, right));
                }
            })
        },
    },
];

const VALUES: usize = 8192 - 4;

static RING: LazyLock<SumRing> = LazyLock::new(SumRing::new);
static SHAPE: LazyLock<SumShape> = LazyLock::new(|| {
    SumShape::new(VALUES, &[1, 3], FieldFormat::TwoBy24, 10).expect("a shape of one chunk")
});

fn key(byte: u8) -> SecretKey32 {
    SecretKey32::from_bytes([byte; 32])
}

/// Words below 2^48.
fn message(secret: Secret) -> Vec<u64> {
    let words = secret.words(RING_DEGREE);
    words.iter().map(|word| word >> 16).collect()
}

fn hospitals() -> Vec<HospitalId> {
    (1..=10).filter_map(HospitalId::new).collect()
}

/// Elements that are all 0, all the largest, or without a pattern.
fn share_bytes(secret: Secret) -> Vec<u8> {
    let words = secret.words(SHARE_BYTES / 2);
    let elements = words
        .iter()
        .map(|word| ((word >> 32) * u64::from(SHARE_MODULUS)) >> 32);
    elements
        .flat_map(|element| (element as u16).to_le_bytes())
        .collect()
}
