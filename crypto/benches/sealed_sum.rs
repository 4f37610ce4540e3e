//! A sealed sum of 10 and of 100 hospitals: what a hospital does for its update, what the coordinator does for each, and the opening.
//!
//! An update has a tenth of the values of the hybrid network; the work grows in proportion. `experiments bench crypto` measures a whole
//! one, beside TenSEAL.

use crypto::hash::{Digest, SecretKey32};
use crypto::sealed_sum::{
    CHUNK_BYTES, ClippedTensor, Contribution, FieldFormat, HospitalId, PackedMessage, Round,
    RunningSum, Seed, SumRing, SumShape, TagKey, Weight, add_shares, open, pack, seal, threshold,
};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};

fn main() {
    divan::main();
}

/// Quantise and clip.
#[divan::bench(args = HOSPITALS)]
fn pack_an_update(bencher: Bencher<'_, '_>, hospitals: u8) {
    let federation = Federation::new(hospitals);
    bencher
        .counter(ItemsCount::new(VALUES))
        .bench(|| federation.packed());
}

/// Mask, share, tag.
#[divan::bench(args = HOSPITALS)]
fn seal_an_update(bencher: Bencher<'_, '_>, hospitals: u8) {
    let federation = Federation::new(hospitals);
    let message = federation.packed();
    bencher
        .counter(ItemsCount::new(VALUES))
        .bench(|| federation.sealed(&message));
}

#[divan::bench(args = HOSPITALS)]
fn add_a_contribution(bencher: Bencher<'_, '_>, hospitals: u8) {
    let federation = Federation::new(hospitals);
    let contribution = federation.sealed(&federation.packed());
    let mut sum = RunningSum::new(federation.shape.chunks());
    bencher
        .counter(BytesCount::new(federation.shape.chunks() * CHUNK_BYTES))
        .bench_local(|| sum.add(&contribution.chunks).expect("of this shape"));
}

/// One contribution stands for all: a sum cannot tell it from others.
#[divan::bench(args = HOSPITALS)]
fn open_a_sum(bencher: Bencher<'_, '_>, hospitals: u8) {
    let federation = Federation::new(hospitals);
    let contribution = federation.sealed(&federation.packed());
    let contributors = federation.joined.len();
    let mut sum = RunningSum::new(federation.shape.chunks());
    for _ in 0..contributors {
        sum.add(&contribution.chunks).expect("of this shape");
    }
    let answers: Vec<_> = (0..threshold(contributors))
        .map(|place| {
            let held = std::iter::repeat_n(&contribution.shares[place].1, contributors);
            (federation.joined[place], add_shares(held))
        })
        .collect();
    bencher.counter(ItemsCount::new(VALUES)).bench(|| {
        let opened = open(&federation.round(), contributors, sum.as_bytes(), &answers);
        opened.expect("an honest sum")
    });
}

/// What all hospitals of a round have in common, and an update.
struct Federation {
    ring: SumRing,
    joined: Vec<HospitalId>,
    shape: SumShape,
    tag_key: TagKey,
    update: Vec<f64>,
}

impl Federation {
    fn new(hospitals: u8) -> Self {
        let joined: Vec<HospitalId> = (1..=hospitals).filter_map(HospitalId::new).collect();
        let shape = SumShape::new(VALUES, &COUNTERS, FieldFormat::TwoBy24, joined.len());
        Self {
            ring: SumRing::new(),
            shape: shape.expect("a sum of so many hospitals"),
            joined,
            tag_key: TagKey::derive(&SecretKey32::from_bytes([1; 32]), &HEADER_HASH),
            update: (0..VALUES).map(|place| (place as f64).sin()).collect(),
        }
    }

    fn packed(&self) -> PackedMessage {
        let weight = Weight { own: 1, largest: 1 };
        let (message, _saturation) =
            pack(&self.shape, &self.update, &CLIPS, weight, &[1, 0]).expect("of this shape");
        message
    }

    fn sealed(&self, message: &PackedMessage) -> Contribution {
        let (first, seed) = (self.joined[0], Seed::generate());
        seal(&self.round(), &self.joined, first, 0, &seed, message).expect("a member")
    }

    fn round(&self) -> Round<'_> {
        Round {
            ring: &self.ring,
            header_hash: &HEADER_HASH,
            shape: &self.shape,
            threshold: threshold(self.joined.len()),
            tag_key: &self.tag_key,
        }
    }
}

const HOSPITALS: [u8; 2] = [10, 100];
const VALUES: usize = 420_000;
/// As in an update of the protocol: "contributions" of three digits, "saturated values" of four.
const COUNTERS: [u8; 2] = [3, 4];
const HEADER_HASH: Digest = [7; 32];
const CLIPS: [ClippedTensor; 1] = [ClippedTensor {
    values: VALUES,
    clip: 1.0,
}];
